// The gradients of ReLU and of a bias in one pass over maps (pixels, channels), and sums of maps.
// Sums are in float32 and in a fixed order, so a run repeats to the last bit.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

const int BLOCK = 256;   // threads of a block; gpu.py repeats it
const int UNROLLED = 2;  // pixels that a thread loads before it stores the first
const int TERMS = 8;     // arrays that one launch adds, at most; gpu.py repeats it
const int WARPS = 32;    // of a block that adds rows

// Neighbouring numbers, which a thread loads or stores at once.
template <class T, int V>
struct alignas(sizeof(T) * V) Vector {
    T at[V];
};

// A block works on n pixels. With RELU, gx is gy where 0 < y < ceiling, and elsewhere 0; an
// infinite ceiling cuts nothing off. Without RELU, gx is gy. WRITE stores gx. SUM stores the sums
// of gx over the block's pixels as a row of sums, which is (parts, channels).
template <class T, int V, bool RELU, bool WRITE, bool SUM>
__global__ void __launch_bounds__(BLOCK)
rectify(const T* __restrict__ y, const T* __restrict__ gy, T* __restrict__ gx,
        float* __restrict__ sums, int pixels, int channels, int n, float ceiling) {
    typedef Vector<T, V> Numbers;
    const int width = channels / V, columns = min(width, BLOCK), rows = BLOCK / columns;
    const int tiles = (width + columns - 1) / columns;  // a block computes at most 256 vectors wide
    const int tile = blockIdx.x % tiles, part = blockIdx.x / tiles;
    const int row = threadIdx.x / columns, column = tile * columns + threadIdx.x % columns;
    const int end = min((part + 1) * n, pixels);
    const bool clips = ceiling < __int_as_float(0x7f800000);
    float sum[V] = {};
    if (row < rows && column < width)
        for (int first = part * n + row; first < end; first += UNROLLED * rows) {
            Numbers out[UNROLLED], gradient[UNROLLED];
#pragma unroll
            for (int i = 0; i < UNROLLED; ++i)
                if (first + i * rows < end) {
                    const size_t at = size_t(first + i * rows) * width + column;
                    if (RELU) out[i] = reinterpret_cast<const Numbers*>(y)[at];
                    gradient[i] = reinterpret_cast<const Numbers*>(gy)[at];
                }
#pragma unroll
            for (int i = 0; i < UNROLLED; ++i)
                if (first + i * rows < end) {
#pragma unroll
                    for (int j = 0; j < V; ++j) {
                        const float value = RELU ? float(out[i].at[j]) : 1;
                        if (RELU && !(value > 0 && (value < ceiling || !clips)))
                            gradient[i].at[j] = T(0.f);
                        sum[j] += float(gradient[i].at[j]);
                    }
                    const size_t at = size_t(first + i * rows) * width + column;
                    if (WRITE) reinterpret_cast<Numbers*>(gx)[at] = gradient[i];
                }
        }
    if (!SUM) return;
    __shared__ float share[BLOCK * V];
    for (int j = 0; j < V; ++j) share[threadIdx.x * V + j] = sum[j];
    __syncthreads();
    for (int i = threadIdx.x; i < columns * V; i += BLOCK) {
        const int channel = tile * columns * V + i;
        float all = 0;
        for (int r = 0; r < rows; ++r) all += share[r * columns * V + i];
        if (channel < channels) sums[size_t(part) * channels + channel] = all;
    }
}

// Adds the rows of (parts, channels). A block adds 32 channels, and its warps share the rows.
template <class T>
__global__ void add_rows(const float* __restrict__ rows, T* __restrict__ result, int parts,
                         int channels) {
    __shared__ float share[WARPS][32];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, channel = blockIdx.x * 32 + lane;
    float sum = 0;
    if (channel < channels)
#pragma unroll 8
        for (int i = warp; i < parts; i += WARPS) sum += rows[size_t(i) * channels + channel];
    share[warp][lane] = sum;
    __syncthreads();
    if (warp || channel >= channels) return;
    for (int i = 1; i < WARPS; ++i) sum += share[i][lane];
    result[channel] = T(sum);
}

template <class T>
struct Terms {
    const T* at[TERMS];
};

// Adds arrays of V * size numbers, one vector per thread.
template <class T, int V>
__global__ void add(const Terms<T> terms, T* __restrict__ result, int count, int size) {
    typedef Vector<T, V> Numbers;
    const int i = blockIdx.x * BLOCK + threadIdx.x;
    if (i >= size) return;
    Numbers term[TERMS];
#pragma unroll
    for (int k = 0; k < TERMS; ++k)
        if (k < count) term[k] = reinterpret_cast<const Numbers*>(terms.at[k])[i];
    Numbers total;
#pragma unroll
    for (int j = 0; j < V; ++j) {
        float sum = term[0].at[j];
#pragma unroll
        for (int k = 1; k < TERMS; ++k)
            if (k < count) sum += float(term[k].at[j]);
        total.at[j] = T(sum);
    }
    reinterpret_cast<Numbers*>(result)[i] = total;
}
