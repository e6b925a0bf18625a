// Momentum SGD of many parameters in one launch.
#include <cuda_fp16.h>

constexpr int TENSORS = 64;  // of a launch: their table is a parameter of the kernel, 4 KB at most
constexpr int CHUNK = 4096;  // elements a block

// A table of tensors: addresses, sizes, and the block that begins each; T is the gradients' type.
template <class T>
struct Tensors {
    const T* gradient[TENSORS];
    float* parameter[TENSORS];
    float* velocity[TENSORS];
    T* rounded[TENSORS];  // the network's copy of the parameter, where it is not float32
    int size[TENSORS], first_block[TENSORS];
    int count;
};

// Find the block's tensor; its elements are those from start to end.
template <class T>
__device__ int find(const Tensors<T>& tensors, int& start, int& end)
{
    int tensor = 0;
    for (int step = TENSORS / 2; step; step /= 2)
        if (tensor + step < tensors.count && tensors.first_block[tensor + step] <= blockIdx.x)
            tensor += step;
    start = (blockIdx.x - tensors.first_block[tensor]) * CHUNK;
    end = min(start + CHUNK, tensors.size[tensor]);
    return tensor;
}

// Gradients count ``factor`` times, and decay adds to them.
template <class T>
__global__ void update(const Tensors<T> tensors, float factor, float decay, float lr, float momentum)
{
    int start, end;
    const int tensor = find(tensors, start, end);
    const T* gradient = tensors.gradient[tensor];
    float* parameter = tensors.parameter[tensor];
    float* velocity = tensors.velocity[tensor];
    for (int first = start + threadIdx.x; first < end; first += 4 * blockDim.x) {
        float g[4], p[4], v[4];  // all loads before the first store, to wait once for memory
        for (int j = 0, i = first; j < 4; ++j, i += blockDim.x)
            if (i < end) g[j] = gradient[i], p[j] = parameter[i], v[j] = velocity[i];
        for (int j = 0, i = first; j < 4; ++j, i += blockDim.x)
            if (i < end) {
                velocity[i] = v[j] = momentum * v[j] - lr * (factor * g[j] + decay * p[j]);
                parameter[i] = p[j] += v[j];
                if (sizeof(T) < sizeof(float)) tensors.rounded[tensor][i] = T(p[j]);
            }
    }
}

// Set *found where a gradient is infinite or nan.
template <class T>
__global__ void find_nonfinite(const Tensors<T> tensors, int* found)
{
    int start, end;
    const int tensor = find(tensors, start, end);
    bool finite = true;
    for (int i = start + threadIdx.x; i < end; i += blockDim.x)
        finite &= isfinite(float(tensors.gradient[tensor][i]));
    if (!finite) *found = 1;
}
