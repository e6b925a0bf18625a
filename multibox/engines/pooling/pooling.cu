// Max pooling of maps (height, width, inner). Arrays in the memory order (B, C, H, W) have B * C
// maps with inner = 1. Arrays in the memory order (B, H, W, C) have B maps with inner = C.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

struct Maps {
    int in_height, in_width, out_height, out_width, inner, pad_y, pad_x;
    int blocks;  // per map
};

// Finds the element of this thread in a map (height, width, inner); false if there is none.
__device__ bool find_element(const Maps& maps, unsigned height, unsigned width, int& y, int& x,
                             int& c) {
    const unsigned inner = maps.inner;
    const unsigned i = blockIdx.x % maps.blocks * blockDim.x + threadIdx.x;
    c = i % inner, x = i / inner % width, y = i / inner / width;
    return i < height * width * inner;
}

// Each thread finds the maximum of one window, and the index of its first tap with that value.
template <class T, int KY, int KX, int SY, int SX>
__global__ void max_pool(const T* __restrict__ x, T* __restrict__ y, unsigned char* index,
                         Maps maps) {
    int row, column, c;
    if (!find_element(maps, maps.out_height, maps.out_width, row, column, c)) return;
    const size_t map = blockIdx.x / maps.blocks;
    x += map * maps.in_height * maps.in_width * maps.inner + c;
    float most = __int_as_float(0xff800000);  // -infinity
    int tap = 0;
    for (int i = 0; i < KY; ++i)
        for (int j = 0; j < KX; ++j) {
            const int in_y = row * SY - maps.pad_y + i, in_x = column * SX - maps.pad_x + j;
            if (unsigned(in_y) >= unsigned(maps.in_height)
                || unsigned(in_x) >= unsigned(maps.in_width)) continue;
            const float value = x[(in_y * maps.in_width + in_x) * maps.inner];
            if (value > most) tap = i * KX + j, most = value;
            if (value != value) most = value;  // nan stays, because no value is larger
        }
    const size_t out = ((map * maps.out_height + row) * maps.out_width + column) * maps.inner + c;
    y[out] = T(most);
    index[out] = tap;
}

// Each thread sums the gradients of SY x SX inputs, which lie in the same windows.
template <class T, int KY, int KX, int SY, int SX>
__global__ void max_pool_gradient(const T* __restrict__ gy, const unsigned char* __restrict__ index,
                                  T* __restrict__ gx, Maps maps) {
    int row, column, c;
    if (!find_element(maps, (maps.in_height + maps.pad_y + SY - 1) / SY,
                      (maps.in_width + maps.pad_x + SX - 1) / SX, row, column, c)) return;
    const size_t map = blockIdx.x / maps.blocks;
    gy += map * maps.out_height * maps.out_width * maps.inner + c;
    index += map * maps.out_height * maps.out_width * maps.inner + c;
    gx += map * maps.in_height * maps.in_width * maps.inner + c;
    float sum[SY][SX] = {};
    for (int i = 0; i < KY; i += SY)
        for (int j = 0; j < KX; j += SX) {
            const int out_y = row - i / SY, out_x = column - j / SX;
            if (unsigned(out_y) >= unsigned(maps.out_height)
                || unsigned(out_x) >= unsigned(maps.out_width)) continue;
            const int out = (out_y * maps.out_width + out_x) * maps.inner;
            const float gradient = gy[out];
            const int tap = index[out];
            for (int y = 0; y < SY && i + y < KY; ++y)
                for (int x = 0; x < SX && j + x < KX; ++x)
                    if (tap == (i + y) * KX + j + x) sum[y][x] += gradient;
        }
    for (int y = 0; y < SY; ++y)
        for (int x = 0; x < SX; ++x) {
            const int in_y = row * SY - maps.pad_y + y, in_x = column * SX - maps.pad_x + x;
            if (unsigned(in_y) < unsigned(maps.in_height)
                && unsigned(in_x) < unsigned(maps.in_width))
                gx[(in_y * maps.in_width + in_x) * maps.inner] = T(sum[y][x]);
        }
}
