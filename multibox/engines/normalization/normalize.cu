// L2 normalisation, x / (|x| + eps) * scale, over the channels of maps (pixels, channels).
// Sums are in float32 and in a fixed order, so a run repeats to the last bit.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

const int BLOCK = 256, WARPS = 8;  // of a block; gpu.py repeats them
const int PIXELS = 32;             // of a block of the gradient; gpu.py repeats it

// Neighbouring numbers, which a thread loads or stores at once.
template <class T, int V>
struct alignas(sizeof(T) * V) Vector {
    T at[V];
};

__device__ float sum_over_lanes(float x) {
    for (int bits = 16; bits; bits /= 2) x += __shfl_xor_sync(~0u, x, bits);
    return x;
}

// Each warp computes one pixel.
template <class T, int V>
__global__ void normalize(const T* __restrict__ x, const T* __restrict__ scale, T* __restrict__ y,
                          int pixels, int channels, float eps) {
    typedef Vector<T, V> Numbers;
    const int pixel = blockIdx.x * WARPS + threadIdx.x / 32, width = channels / V;
    if (pixel >= pixels) return;
    const Numbers* in = reinterpret_cast<const Numbers*>(x) + size_t(pixel) * width;
    Numbers* out = reinterpret_cast<Numbers*>(y) + size_t(pixel) * width;
    float square = 0;
    for (int i = threadIdx.x % 32; i < width; i += 32) {
        const Numbers numbers = in[i];
        for (int v = 0; v < V; ++v) square += float(numbers.at[v]) * float(numbers.at[v]);
    }
    const float factor = 1 / (sqrtf(sum_over_lanes(square)) + eps);
    for (int i = threadIdx.x % 32; i < width; i += 32) {
        const Numbers numbers = in[i], scales = reinterpret_cast<const Numbers*>(scale)[i];
        Numbers result;
        for (int v = 0; v < V; ++v)
            result.at[v] = T(float(numbers.at[v]) * factor * float(scales.at[v]));
        out[i] = result;
    }
}

// gscale is (blocks, channels): each row is the share of a block in the gradient of the scale.
// First each warp sums over the channels of some pixels, then each thread sums over the pixels of
// some channels.
template <class T, int V>
__global__ void normalize_gradient(const T* __restrict__ x, const T* __restrict__ scale,
                                   const T* __restrict__ gy, T* __restrict__ gx,
                                   float* __restrict__ gscale, int pixels, int channels,
                                   float eps) {
    typedef Vector<T, V> Numbers;
    __shared__ float factors[PIXELS], alongs[PIXELS], shares[BLOCK * V];
    const int width = channels / V, n = min(PIXELS, pixels - int(blockIdx.x) * PIXELS);
    const size_t first = size_t(blockIdx.x) * PIXELS * width;
    const Numbers* in = reinterpret_cast<const Numbers*>(x) + first;
    const Numbers* gradients = reinterpret_cast<const Numbers*>(gy) + first;
    const Numbers* scales = reinterpret_cast<const Numbers*>(scale);
    for (int pixel = threadIdx.x / 32; pixel < n; pixel += WARPS) {
        float square = 0, product = 0;
        for (int i = threadIdx.x % 32; i < width; i += 32) {
            const Numbers value = in[pixel * width + i], gradient = gradients[pixel * width + i];
            const Numbers factor = scales[i];
            for (int v = 0; v < V; ++v) {
                square += float(value.at[v]) * float(value.at[v]);
                product += float(value.at[v]) * float(gradient.at[v]) * float(factor.at[v]);
            }
        }
        const float length = sqrtf(sum_over_lanes(square)), factor = 1 / (length + eps);
        product = sum_over_lanes(product);
        factors[pixel] = factor;
        alongs[pixel] = length == 0 ? 0 : product / length * factor * factor;
    }
    __syncthreads();
    const int columns = min(width, BLOCK), rows = BLOCK / columns;
    const int row = threadIdx.x / columns, column = threadIdx.x % columns;
    for (int start = 0; start < width; start += columns) {
        float share[V] = {};
        if (row < rows && start + column < width) {
            const Numbers factor = scales[start + column];
            for (int pixel = row; pixel < n; pixel += rows) {
                const int at = pixel * width + start + column;
                const Numbers value = in[at], gradient = gradients[at];
                Numbers result;
                for (int v = 0; v < V; ++v) {
                    const float direction = float(value.at[v]), change = float(gradient.at[v]);
                    share[v] += change * direction * factors[pixel];
                    result.at[v] = T(change * float(factor.at[v]) * factors[pixel]
                                     - direction * alongs[pixel]);
                }
                reinterpret_cast<Numbers*>(gx)[first + at] = result;
            }
        }
        for (int v = 0; v < V; ++v) shares[threadIdx.x * V + v] = share[v];
        __syncthreads();
        for (int i = threadIdx.x; i < columns * V; i += BLOCK) {
            float sum = 0;
            for (int r = 0; r < rows; ++r) sum += shares[r * columns * V + i];
            if (start * V + i < channels)
                gscale[size_t(blockIdx.x) * channels + start * V + i] = sum;
        }
        __syncthreads();  // until all threads have read the shares
    }
}
