// L2 normalisation, x / (|x| + eps) * scale, over the channels of (images, channels, pixels) in any
// memory order. A block computes 32 pixels: each lane computes one pixel, and the warps share the
// channels.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

const int WARPS = 8;

struct Maps {
    int channels, pixels, channel_stride, pixel_stride;  // per image
    unsigned total;  // number of pixels of all images
    float eps;
};

// The index of the first channel of this thread's pixel; -1 for a thread beyond the last pixel.
__device__ long long start(const Maps& maps) {
    const unsigned pixel = blockIdx.x * 32 + threadIdx.x % 32;
    if (pixel >= maps.total) return -1;
    return (long long)(pixel / maps.pixels) * maps.channels * maps.pixels
        + (long long)(pixel % maps.pixels) * maps.pixel_stride;
}

// Sums the values that the warps hold for each pixel.
__device__ float sum_over_warps(float value) {
    __shared__ float part[WARPS][32];
    const int lane = threadIdx.x % 32;
    __syncthreads();  // until all threads have read the previous sum
    part[threadIdx.x / 32][lane] = value;
    __syncthreads();
    float sum = 0;
    for (int warp = 0; warp < WARPS; ++warp) sum += part[warp][lane];
    return sum;
}

template <class T>
__global__ void normalize(const T* __restrict__ x, const T* __restrict__ scale, T* __restrict__ y,
                          Maps maps) {
    const long long first = start(maps);
    const int end = first < 0 ? 0 : maps.channels;
    float square = 0;
    for (int c = threadIdx.x / 32; c < end; c += WARPS) {
        const float value = x[first + (long long)c * maps.channel_stride];
        square += value * value;
    }
    const float norm = sqrtf(sum_over_warps(square)) + maps.eps;
    for (int c = threadIdx.x / 32; c < end; c += WARPS) {
        const long long i = first + (long long)c * maps.channel_stride;
        y[i] = T(float(x[i]) / norm * float(scale[c]));
    }
}

// gscale is (blocks, channels): each row is the share of a block in the gradient of the scale.
template <class T>
__global__ void normalize_gradient(const T* __restrict__ x, const T* __restrict__ scale,
                                   const T* __restrict__ gy, T* __restrict__ gx,
                                   float* __restrict__ gscale, Maps maps) {
    const long long first = start(maps);
    float square = 0, product = 0;
    for (int c = threadIdx.x / 32; c < maps.channels && first >= 0; c += WARPS) {
        const long long i = first + (long long)c * maps.channel_stride;
        const float value = x[i];
        square += value * value;
        product += value * float(gy[i]) * float(scale[c]);
    }
    const float length = sqrtf(sum_over_warps(square)), norm = length + maps.eps;
    product = sum_over_warps(product);
    const float along = length == 0 ? 0 : product / length / norm / norm;
    for (int c = threadIdx.x / 32; c < maps.channels; c += WARPS) {
        float share = 0;
        if (first >= 0) {
            const long long i = first + (long long)c * maps.channel_stride;
            const float value = x[i], gradient = gy[i];
            gx[i] = T(gradient * float(scale[c]) / norm - value * along);
            share = gradient * value / norm;
        }
        for (int bit = 16; bit; bit /= 2) share += __shfl_xor_sync(~0u, share, bit);
        if (threadIdx.x % 32 == 0) gscale[(size_t)blockIdx.x * maps.channels + c] = share;
    }
}
