// Max pooling of maps (height, width, inner), whose elements are vectors of V numbers. Arrays in the
// memory order (B, C, H, W) have B * C maps with inner = V = 1. Arrays in the memory order
// (B, H, W, C) have B maps with inner = C / V.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

const int STOPPED = 128;  // is added to the index of a window whose gradient a ReLU stops

struct Maps {
    int in_height, in_width, out_height, out_width, inner, pad_y, pad_x;
    int blocks;  // per map
};

// Neighbouring numbers, which a thread loads or stores at once.
template <class T, int V>
struct alignas(sizeof(T) * V) Vector {
    T at[V];
};

// Finds the element of this thread in a map (height, width, inner); false if there is none.
__device__ bool find_element(const Maps& maps, unsigned height, unsigned width, int& y, int& x,
                             int& c) {
    const unsigned inner = maps.inner;
    const unsigned i = blockIdx.x % maps.blocks * blockDim.x + threadIdx.x;
    c = i % inner, x = i / inner % width, y = i / inner / width;
    return i < height * width * inner;
}

// Each thread finds the maxima of V windows, and the indices of their first taps with these values.
// With RELU, results below 0 become 0.
template <class T, int V, bool RELU, int KY, int KX, int SY, int SX>
__global__ void max_pool(const T* __restrict__ x, T* __restrict__ y, unsigned char* index,
                         Maps maps) {
    int row, column, c;
    if (!find_element(maps, maps.out_height, maps.out_width, row, column, c)) return;
    const size_t map = blockIdx.x / maps.blocks;
    const Vector<T, V>* in = reinterpret_cast<const Vector<T, V>*>(x)
        + map * maps.in_height * maps.in_width * maps.inner + c;
    float most[V];
    int tap[V] = {};
    for (int v = 0; v < V; ++v) most[v] = __int_as_float(0xff800000);  // -infinity
    for (int i = 0; i < KY; ++i)
        for (int j = 0; j < KX; ++j) {
            const int in_y = row * SY - maps.pad_y + i, in_x = column * SX - maps.pad_x + j;
            if (unsigned(in_y) >= unsigned(maps.in_height)
                || unsigned(in_x) >= unsigned(maps.in_width)) continue;
            const Vector<T, V> values = in[(in_y * maps.in_width + in_x) * maps.inner];
            for (int v = 0; v < V; ++v) {
                const float value = values.at[v];
                if (value > most[v]) tap[v] = i * KX + j, most[v] = value;
                if (value != value) most[v] = value;  // nan stays, because no value is larger
            }
        }
    Vector<T, V> result;
    Vector<unsigned char, V> taps;
    for (int v = 0; v < V; ++v) {
        result.at[v] = T(RELU && most[v] < 0 ? 0 : most[v]);
        taps.at[v] = RELU && !(most[v] > 0) ? tap[v] + STOPPED : tap[v];
    }
    const size_t out = ((map * maps.out_height + row) * maps.out_width + column) * maps.inner + c;
    reinterpret_cast<Vector<T, V>*>(y)[out] = result;
    reinterpret_cast<Vector<unsigned char, V>*>(index)[out] = taps;
}

// Each thread sums the gradients of SY x SX inputs of V channels, which lie in the same windows.
template <class T, int V, int KY, int KX, int SY, int SX>
__global__ void max_pool_gradient(const T* __restrict__ gy, const unsigned char* __restrict__ index,
                                  T* __restrict__ gx, Maps maps) {
    int row, column, c;
    if (!find_element(maps, (maps.in_height + maps.pad_y + SY - 1) / SY,
                      (maps.in_width + maps.pad_x + SX - 1) / SX, row, column, c)) return;
    const size_t map = blockIdx.x / maps.blocks;
    const size_t first = map * maps.out_height * maps.out_width * maps.inner + c;
    const Vector<T, V>* gradients = reinterpret_cast<const Vector<T, V>*>(gy) + first;
    const Vector<unsigned char, V>* indices
        = reinterpret_cast<const Vector<unsigned char, V>*>(index) + first;
    Vector<T, V>* in = reinterpret_cast<Vector<T, V>*>(gx)
        + map * maps.in_height * maps.in_width * maps.inner + c;
    float sum[SY][SX][V] = {};
    for (int i = 0; i < KY; i += SY)
        for (int j = 0; j < KX; j += SX) {
            const int out_y = row - i / SY, out_x = column - j / SX;
            if (unsigned(out_y) >= unsigned(maps.out_height)
                || unsigned(out_x) >= unsigned(maps.out_width)) continue;
            const int out = (out_y * maps.out_width + out_x) * maps.inner;
            const Vector<T, V> gradient = gradients[out];
            const Vector<unsigned char, V> tap = indices[out];
            for (int y = 0; y < SY && i + y < KY; ++y)
                for (int x = 0; x < SX && j + x < KX; ++x)
                    for (int v = 0; v < V; ++v)
                        if (tap.at[v] == (i + y) * KX + j + x) sum[y][x][v] += float(gradient.at[v]);
        }
    for (int y = 0; y < SY; ++y)
        for (int x = 0; x < SX; ++x) {
            const int in_y = row * SY - maps.pad_y + y, in_x = column * SX - maps.pad_x + x;
            if (unsigned(in_y) >= unsigned(maps.in_height)
                || unsigned(in_x) >= unsigned(maps.in_width)) continue;
            Vector<T, V> result;
            for (int v = 0; v < V; ++v) result.at[v] = T(sum[y][x][v]);
            in[(in_y * maps.in_width + in_x) * maps.inner] = result;
        }
}
