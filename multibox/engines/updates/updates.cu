// Momentum SGD and Adam: one launch updates many parameters.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

const int TENSORS = 64;  // per launch; their table is a kernel parameter, which CUDA limits to 4 KB
const int CHUNK = 4096;  // elements per block

// A table of tensors: addresses, sizes, and the first block of each. T is the type of gradients.
template <class T>
struct Tensors {
    const T* gradient[TENSORS];
    float* parameter[TENSORS];
    float* momentum[TENSORS];  // the velocity of momentum SGD, the first moment of Adam
    float* square[TENSORS];    // the second moment of Adam
    T* rounded[TENSORS];  // the network's copy of a parameter, if the network is not in float32
    int size[TENSORS], first_block[TENSORS];
    int row[TENSORS];  // of the array of rates
    int count;
};

// The rates of a parameter. They lie on the GPU, so a launch in a CUDA graph finds the latest ones.
struct Rates {
    double factor, decay;  // of the gradient, and of the parameter that is added to it
    double step, first;    // the learning rate and the momentum, or alpha and beta1 of Adam
    double second, eps, eta, weight_decay;  // of Adam
    double t;  // Adam's count of updates, with those that were left out since the host read them
};

// Finds the tensor of this block, and the range of its elements that the block updates.
template <class T>
__device__ int find(const Tensors<T>& tensors, int& start, int& end) {
    int tensor = 0;
    for (int step = TENSORS / 2; step; step /= 2)
        if (tensor + step < tensors.count && tensors.first_block[tensor + step] <= blockIdx.x)
            tensor += step;
    start = (blockIdx.x - tensors.first_block[tensor]) * CHUNK;
    end = min(start + CHUNK, tensors.size[tensor]);
    return tensor;
}

// Updates all tensors by ``Rule`` from their gradients: each gradient is divided by ``*scale`` and
// multiplied by the factor; then the decay times the parameter is added. Nothing is updated if
// ``*overflowed`` is not 0. ``*left_out`` updates were left out before.
template <class T, class Rule>
__device__ void update_by(const Tensors<T>& tensors, const double* rates, const double* scale,
                          const double* left_out, const int* overflowed) {
    if (*overflowed) return;
    int start, end;
    const int tensor = find(tensors, start, end);
    const Rates row = reinterpret_cast<const Rates*>(rates)[tensors.row[tensor]];
    const float factor = row.factor / *scale, decay = row.decay;
    const Rule rule(row, row.t - *left_out);
    const T* gradient = tensors.gradient[tensor];
    float* parameter = tensors.parameter[tensor];
    float* momentum = tensors.momentum[tensor];
    float* square = tensors.square[tensor];
    for (int first = start + threadIdx.x; first < end; first += 4 * blockDim.x) {
        // All loads come before the first store, to wait for memory once.
        float g[4], p[4], m[4], v[4];
        for (int j = 0, i = first; j < 4; ++j, i += blockDim.x)
            if (i < end) {
                g[j] = gradient[i], p[j] = parameter[i], m[j] = momentum[i];
                if (Rule::SQUARES) v[j] = square[i];
            }
        for (int j = 0, i = first; j < 4; ++j, i += blockDim.x)
            if (i < end) {
                rule(factor * g[j] + decay * p[j], p[j], m[j], v[j]);
                parameter[i] = p[j], momentum[i] = m[j];
                if (Rule::SQUARES) square[i] = v[j];
                if (sizeof(T) < sizeof(float)) tensors.rounded[tensor][i] = T(p[j]);
            }
    }
}

struct MomentumSGD {
    static const bool SQUARES = false;
    float lr, momentum;
    __device__ MomentumSGD(const Rates& row, double) : lr(row.step), momentum(row.first) {}
    __device__ void operator()(float g, float& p, float& v, float&) const {
        v = momentum * v - lr * g;
        p += v;
    }
};

// As in Chainer: the decoupled decay is scaled by eta.
struct Adam {
    static const bool SQUARES = true;
    float alpha, first, second, eps, eta, weight_decay;
    __device__ Adam(const Rates& row, double t)
        : first(1 - row.first), second(1 - row.second), eps(row.eps), eta(row.eta),
          weight_decay(row.weight_decay) {
        // The moments begin at 0, for which the step size is corrected.
        alpha = row.step * sqrt(1 - pow(row.second, t)) / (1 - pow(row.first, t));
    }
    __device__ void operator()(float g, float& p, float& m, float& v) const {
        m += first * (g - m);
        v += second * (g * g - v);
        p -= eta * (alpha * m / (sqrtf(v) + eps) + weight_decay * p);
    }
};

template <class T>
__global__ void update(const Tensors<T> tensors, const double* rates, const double* scale,
                       const double* left_out, const int* overflowed) {
    update_by<T, MomentumSGD>(tensors, rates, scale, left_out, overflowed);
}

template <class T>
__global__ void update_adam(const Tensors<T> tensors, const double* rates, const double* scale,
                            const double* left_out, const int* overflowed) {
    update_by<T, Adam>(tensors, rates, scale, left_out, overflowed);
}

// Sets *found to 1 if a gradient is infinite or nan.
template <class T>
__global__ void find_nonfinite(const Tensors<T> tensors, int* found) {
    int start, end;
    const int tensor = find(tensors, start, end);
    bool finite = true;
    for (int i = start + threadIdx.x; i < end; i += blockDim.x)
        finite &= isfinite(float(tensors.gradient[tensor][i]));
    if (!finite) *found = 1;
}

// Adapts the scale of the loss after an update, as Chainer does, and sets *found back to 0.
// state: the scale, whether gradients ever overflowed, and the number of updates left out.
__global__ void adapt(double* state, int* found, double multiplier, double largest) {
    state[0] *= *found ? .5 : state[1] ? multiplier : 2;
    state[0] = state[0] > largest ? largest : state[0] < 1 ? 1 : state[0];
    if (*found) state[1] = 1, state[2] += 1;
    *found = 0;
}
