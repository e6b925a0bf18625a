// Max pooling of maps (height, width, inner): inner is 1 where arrays lie in memory as (B, C, H, W),
// with B * C maps, and C where they lie as (B, H, W, C), with B maps.
#include <cuda_fp16.h>

struct Maps {
    int in_height, in_width, out_height, out_width, inner, pad_y, pad_x, blocks;  // blocks a map
};

// Divide a block's share of a map among its threads; false: this thread has none.
__device__ bool place(const Maps& maps, unsigned height, unsigned width, int& y, int& x, int& c)
{
    const unsigned inner = maps.inner;
    const unsigned i = blockIdx.x % maps.blocks * blockDim.x + threadIdx.x;
    c = i % inner, x = i / inner % width, y = i / inner / width;
    return i < height * width * inner;
}

// A thread finds the maximum of a window, and the number of the tap it comes from first.
template <class T, int KY, int KX, int SY, int SX>
__global__ void max_pool(const T* __restrict__ x, T* __restrict__ y, unsigned char* index, Maps maps)
{
    int row, column, c;
    if (!place(maps, maps.out_height, maps.out_width, row, column, c)) return;
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
            if (value != value) most = value;  // nan comes through: nothing is more
        }
    const size_t out = ((map * maps.out_height + row) * maps.out_width + column) * maps.inner + c;
    y[out] = T(most);
    index[out] = tap;
}

// A thread brings together the gradients of SY x SX inputs, which lie in the same windows.
template <class T, int KY, int KX, int SY, int SX>
__global__ void max_pool_gradient(const T* __restrict__ gy, const unsigned char* __restrict__ index,
                                  T* __restrict__ gx, Maps maps)
{
    int row, column, c;
    if (!place(maps, (maps.in_height + maps.pad_y + SY - 1) / SY,
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
