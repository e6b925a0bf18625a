// The multibox loss: cross entropy per box, the hardest negatives per image, and the gradients.
// Sums are in float32 and in a fixed order, so a run repeats to the last bit.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

typedef unsigned long long Key;

#define INF __int_as_float(0x7f800000)
const int WARP = 32;
const int TILE = 6144;     // floats of logits in a block's shared memory; gpu.py repeats it
const int BLOCK = 256;     // threads of a block that works on boxes; gpu.py repeats it
const int THREADS = 1024;  // threads of a block that works on one image; gpu.py repeats it
const int DIGIT = 12;      // bits of a key that one pass of the selection reads
const int INDEX = 28;      // bits of a key that order equal values; 32 + 28 bits are 5 digits

__device__ float warp_max(float x) {
    for (int bits = WARP / 2; bits; bits /= 2) x = fmaxf(x, __shfl_xor_sync(~0u, x, bits));
    return x;
}

template <class T>
__device__ T warp_sum(T x) {
    for (int bits = WARP / 2; bits; bits /= 2) x += __shfl_xor_sync(~0u, x, bits);
    return x;
}

// Copies n numbers to shared memory, and leaves a gap of ``pad`` floats after every C numbers.
template <class T>
__device__ void copy_to_tile(const T* x, int n, int C, int pad, float* tile) {
    const int WIDTH = sizeof(uint4) / sizeof(T), N = 4;  // each thread has N loads under way
    int n_vector = pad || size_t(x) % sizeof(uint4) ? 0 : n / WIDTH;
    for (int first = threadIdx.x; first < n_vector; first += N * BLOCK) {
        uint4 vector[N];
#pragma unroll
        for (int i = 0; i < N; ++i)
            if (first + i * BLOCK < n_vector)
                vector[i] = reinterpret_cast<const uint4*>(x)[first + i * BLOCK];
#pragma unroll
        for (int i = 0; i < N; ++i) {
            if (first + i * BLOCK >= n_vector) break;
            const T* from = reinterpret_cast<const T*>(&vector[i]);
            float4* to = reinterpret_cast<float4*>(tile + (first + i * BLOCK) * WIDTH);
#pragma unroll
            for (int j = 0; j < WIDTH; j += 4)
                to[j / 4] = make_float4(from[j], from[j + 1], from[j + 2], from[j + 3]);
        }
    }
    for (int i = n_vector * WIDTH + threadIdx.x; i < n; i += BLOCK) tile[i + i / C * pad] = x[i];
}

// Cross entropy per box: log(sum exp(logits)) minus the logit of the label. A block works on n_row
// boxes, one per thread. Logits pass through shared memory, so neighbouring threads read
// neighbouring numbers for any C. nan and infinities give the same results as in NumPy.
template <class T>
__global__ void __launch_bounds__(BLOCK)
cross_entropy(const T* __restrict__ logits, const int* __restrict__ labels,
              float* __restrict__ loss, int n_box, int C, int n_row) {
    alignas(sizeof(uint4)) __shared__ float tile[TILE];
    const size_t first = size_t(blockIdx.x) * n_row;
    const int n = min(size_t(n_row), n_box - first), thread = threadIdx.x;
    const int pad = 1 - C % 2;  // rows an odd number of floats apart lie in different banks
    copy_to_tile(logits + first * C, n * C, C, pad, tile);
    __syncthreads();
    if (thread >= n) return;
    const int label = labels[first + thread];
    const float* row = tile + thread * (C + pad);
    float largest = -INF, sum = 0;
#pragma unroll 4
    for (int i = 0; i < C; ++i) largest = fmaxf(largest, row[i]);  // skips nan; the sum does not
#pragma unroll 4
    for (int i = 0; i < C; ++i) sum += __expf(row[i] - largest);  // an error of 1e-7, as in the sum
    if (label < 0)
        loss[first + thread] = 0;
    else if (label < C)
        loss[first + thread] = logf(sum) - (row[label] - largest);
    else
        loss[first + thread] = INF - INF;  // nan; the label would index the logits of another box
}

// The gradients of the 32 boxes of a warp; each thread passes the label and the weight of its box.
// The warp first writes zeros, 16 bytes at a time. Then it reads the logits of the boxes whose
// weight is not 0, and writes their gradients.
template <class T>
__device__ void write_gradient(const T* logits, T* gradient, int n_box, int C, int label,
                               float weight) {
    const int lane = threadIdx.x % WARP;
    const size_t first = (size_t(blockIdx.x) * blockDim.x + threadIdx.x) / WARP * WARP;
    if (first >= n_box) return;
    logits += first * C;
    gradient += first * C;
    const int n = min(size_t(WARP), n_box - first) * C, n_vector = n * sizeof(T) / sizeof(uint4);
    uint4* vectors = reinterpret_cast<uint4*>(gradient);  // aligned: 32 boxes are >= 64 C bytes
    for (int i = lane; i < n_vector; i += WARP) vectors[i] = uint4{0, 0, 0, 0};
    for (int i = n_vector * (sizeof(uint4) / sizeof(T)) + lane; i < n; i += WARP)
        gradient[i] = T(0.f);
    __syncwarp();  // zeros are written before gradients
    for (unsigned left = __ballot_sync(~0u, weight != 0); left; left &= left - 1) {
        const int box = __ffs(left) - 1, box_label = __shfl_sync(~0u, label, box);
        const float box_weight = __shfl_sync(~0u, weight, box);
        const T* row = logits + box * C;
        float largest = -INF, sum = 0;
        for (int c = lane; c < C; c += WARP) largest = fmaxf(largest, float(row[c]));
        largest = warp_max(largest);
        for (int c = lane; c < C; c += WARP) sum += __expf(float(row[c]) - largest);
        sum = warp_sum(sum);
        for (int c = lane; c < C; c += WARP)
            gradient[box * C + c] =
                T(box_weight * (__expf(float(row[c]) - largest) / sum - (c == box_label)));
    }
}

// The gradient of cross_entropy, one thread per box. A box of weight 0 gets exactly 0 for any
// logits.
template <class T>
__global__ void cross_entropy_gradient(const T* __restrict__ logits,
                                       const int* __restrict__ labels,
                                       const float* __restrict__ weights, T* gradient, int n_box,
                                       int C) {
    const size_t box = size_t(blockIdx.x) * blockDim.x + threadIdx.x;
    const int label = box < n_box ? labels[box] : -1;
    write_gradient(logits, gradient, n_box, C, label, label < 0 ? 0 : weights[box]);
}

// The sum over a block of whole warps; every thread gets it.
template <class T>
__device__ T block_sum(T x) {
    __shared__ T of_warp[WARP];
    x = warp_sum(x);
    __syncthreads();  // until all threads have read the previous sum
    if (threadIdx.x % WARP == 0) of_warp[threadIdx.x / WARP] = x;
    __syncthreads();
    T sum = 0;
    for (int warp = 0; warp < blockDim.x / WARP; ++warp) sum += of_warp[warp];
    return sum;
}

// A nonzero number that orders as x does; of equal x, the lower index gets the larger number.
__device__ Key key_of(float x, int index) {
    unsigned bits = __float_as_uint(x);
    if (bits == 1u << 31) bits = 0;  // -0 equals 0; x + 0.f would flush 1e-45 to 0 under CuPy
    const unsigned ordered = bits >> 31 ? ~bits : bits | 1u << 31;
    return Key(ordered) << INDEX | ((1u << INDEX) - 1 - index);
}

// The n-th largest key of a row. A row of fewer keys gives 1, which all keys reach. Keys of 0 do
// not count. This is radix select. Each pass counts the next digit of the keys that agree with the
// threshold so far, and keeps the digit at which the count from above reaches n. Two or three of
// the five passes usually suffice. All THREADS of a block take part.
template <class KeyAt>
__device__ Key threshold_of_largest(KeyAt key_at, int K, int n) {
    __shared__ int histogram[1 << DIGIT], of_warp[WARP];
    __shared__ int digit, n_in_digit, n_wanted;
    const int OWN = (1 << DIGIT) / THREADS, lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    if (n <= 0) return ~Key(0);
    Key prefix = 0;
    for (int shift = 4 * DIGIT; ; shift -= DIGIT) {
        __syncthreads();  // until all threads have read the shared results of the previous pass
        for (int i = 0; i < OWN; ++i) histogram[i * THREADS + threadIdx.x] = 0;
        if (threadIdx.x == 0) digit = -1;
        __syncthreads();
#pragma unroll 4
        for (int i = threadIdx.x; i < K; i += THREADS) {
            const Key key = key_at(i);
            if (key && key >> shift >> DIGIT == prefix)
                atomicAdd(&histogram[(key >> shift) & ((1 << DIGIT) - 1)], 1);
        }
        __syncthreads();
        const int highest = (1 << DIGIT) - 1 - OWN * threadIdx.x;  // highest digit of this thread
        int own = 0;
        for (int i = 0; i < OWN; ++i) own += histogram[highest - i];
        int reached = own;  // number of keys from the highest digit down to this thread's digits
        for (int by = 1; by < WARP; by *= 2) {
            const int below = __shfl_up_sync(~0u, reached, by);
            reached += lane >= by ? below : 0;
        }
        if (lane == WARP - 1) of_warp[warp] = reached;
        __syncthreads();
        for (int i = 0; i < warp; ++i) reached += of_warp[i];
        if (reached - own < n && n <= reached) {  // one thread at most
            int wanted = n - (reached - own), i = highest;
            while (wanted > histogram[i]) wanted -= histogram[i--];
            digit = i;
            n_in_digit = histogram[i];
            n_wanted = wanted;
        }
        __syncthreads();
        if (digit < 0) return 1;
        prefix = prefix << DIGIT | digit;
        n = n_wanted;
        if (n == n_in_digit) return prefix << shift;
    }
}

// Marks the n largest values per row, one block per row. Of equal values the first are marked; -inf
// is never marked.
__global__ void __launch_bounds__(THREADS)
mark_largest(const float* __restrict__ values, const double* __restrict__ n,
             bool* __restrict__ marked, int K) {
    values += size_t(blockIdx.x) * K;
    marked += size_t(blockIdx.x) * K;
    auto key_at = [=](int i) { return values[i] > -INF ? key_of(values[i], i) : 0; };
    const Key threshold = threshold_of_largest(key_at, K, min(ceil(n[blockIdx.x]), double(K)));
    for (int i = threadIdx.x; i < K; i += THREADS) marked[i] = key_at(i) >= threshold;
}

// Marks the boxes of an image that count in the confidence loss: positives and the hardest
// negatives. Writes the sums of both losses and the number of positives per image, (B, 3). One
// block per image.
template <class T>
__global__ void __launch_bounds__(THREADS)
mine(const T* __restrict__ locs, const float* __restrict__ gt_locs, const int* __restrict__ labels,
     const float* __restrict__ conf_loss, double neg_pos_ratio, bool* __restrict__ counted,
     float* __restrict__ of_image, int K) {
    const size_t start = size_t(blockIdx.x) * K;
    labels += start;
    conf_loss += start;
    int n_positive = 0;
    for (int i = threadIdx.x; i < K; i += THREADS) n_positive += labels[i] > 0;
    n_positive = block_sum(n_positive);
    // A loss that is not finite ranks last, as the lowest finite number.
    auto key_at = [=](int i) {
        const float loss = conf_loss[i];
        return labels[i] ? 0 : key_of(fabsf(loss) < INF ? loss : __int_as_float(0xff7fffff), i);
    };
    const Key threshold = threshold_of_largest(
        key_at, K, min(ceil(n_positive * neg_pos_ratio), double(K)));
    float loc_sum = 0, conf_sum = 0;
    for (int i = threadIdx.x; i < K; i += THREADS) {
        const bool positive = labels[i] > 0, counts = positive || key_at(i) >= threshold;
        counted[start + i] = counts;
        if (counts) conf_sum += conf_loss[i];
        for (int j = 0; positive && j < 4; ++j) {
            const float distance = fabsf(float(locs[4 * (start + i) + j])
                                         - gt_locs[4 * (start + i) + j]);
            const float within_1 = fminf(distance, 1);
            loc_sum += within_1 * (distance - within_1 / 2);
        }
    }
    loc_sum = block_sum(loc_sum);
    conf_sum = block_sum(conf_sum);
    if (threadIdx.x) return;
    of_image[3 * blockIdx.x] = loc_sum;
    of_image[3 * blockIdx.x + 1] = conf_sum;
    of_image[3 * blockIdx.x + 2] = n_positive;
}

// Both losses: sums over B images, divided by the number of positives. With COUNT the kernel writes
// this number, else it reads the given number. A single block.
template <bool COUNT>
__global__ void average(const float* of_image, float* n_positive, float* loc_loss,
                        float* conf_loss, int B) {
    float loc_sum = 0, conf_sum = 0;
    int n = 0;
    for (int b = threadIdx.x; b < B; b += blockDim.x) {
        loc_sum += of_image[3 * b];
        conf_sum += of_image[3 * b + 1];
        n += of_image[3 * b + 2];
    }
    loc_sum = block_sum(loc_sum);
    conf_sum = block_sum(conf_sum);
    n = block_sum(n);
    if (threadIdx.x) return;
    if (COUNT) *n_positive = max(n, 1);
    *loc_loss = loc_sum / *n_positive;
    *conf_loss = conf_sum / *n_positive;
}

// The gradients of both losses in one pass, one thread per box.
template <class T>
__global__ void gradients(const T* __restrict__ locs, const T* __restrict__ logits,
                          const float* __restrict__ gt_locs, const int* __restrict__ labels,
                          const bool* __restrict__ counted, const float* __restrict__ n_positive,
                          const float* __restrict__ loc_weight,
                          const float* __restrict__ conf_weight, T* loc_gradient,
                          T* conf_gradient, int n_box, int C) {
    struct alignas(4 * sizeof(T)) Offsets { T of[4]; };
    const size_t box = size_t(blockIdx.x) * blockDim.x + threadIdx.x;
    const bool counts = box < n_box && counted[box];
    const int label = counts ? labels[box] : 0;
    if (box < n_box) {
        Offsets offsets;
        for (int j = 0; j < 4; ++j) {
            float clipped = 0;
            if (label > 0) {
                const float difference = float(locs[4 * box + j]) - gt_locs[4 * box + j];
                clipped = difference < -1 ? -1 : difference > 1 ? 1 : difference;  // or nan
                clipped *= *loc_weight / *n_positive;
            }
            offsets.of[j] = T(clipped);
        }
        reinterpret_cast<Offsets*>(loc_gradient)[box] = offsets;
    }
    write_gradient(logits, conf_gradient, n_box, C, label,
                   counts ? *conf_weight / *n_positive : 0);
}
