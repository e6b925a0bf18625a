// Greedy non-maximum suppression per class and image, and the best detections of each image.

typedef unsigned long long Key;  // the upper half orders by score, the lower half by index

const int WARP = 32;
const int THREADS = 256;  // of each block; suppression_gpu.py repeats it
const int SHARED = 2048;  // keys that a block can hold in its shared memory

template <class T>
struct Box { T y_min, x_min, y_max, x_max; };

// Products that no fused multiply-add absorbs, so the IoU is rounded as on a CPU.
__device__ float product(float x, float y) { return __fmul_rn(x, y); }
__device__ double product(double x, double y) { return __dmul_rn(x, y); }

template <class T>
__device__ T area(const Box<T>& box) {
    return product(box.y_max - box.y_min, box.x_max - box.x_min);
}

// Whether the IoU reaches the threshold. A box with nan has the area nan, and so overlaps nothing.
template <class T>
__device__ bool overlap(const Box<T>& a, const Box<T>& b, T thresh) {
    const T top = max(a.y_min, b.y_min), left = max(a.x_min, b.x_min);
    const T height = max(min(a.y_max, b.y_max), top) - top;
    const T width = max(min(a.x_max, b.x_max), left) - left;
    const T intersection = product(height, width);
    return intersection / (area(a) + area(b) - intersection) >= thresh;
}

// A key that orders as the score does, which is not nan. No key is 0.
__device__ Key key_of(float score, unsigned index) {
    unsigned bits = __float_as_uint(score);
    if (bits == 1u << 31) bits = 0;  // -0 equals 0
    const unsigned ordered = bits >> 31 ? ~bits : bits | 1u << 31;
    return Key(ordered) << 32 | index;
}

// Sorts n keys from the largest to the smallest, by all threads of a block. This is bitonic sort:
// two sorted halves are merged by a comparison of mirrored pairs, and of ever nearer pairs after
// it. Keys after the n-th would be 0, so their comparisons would change nothing.
__device__ void sort(Key* keys, int n) {
    int n_pair = 1;
    while (2 * n_pair < n) n_pair *= 2;
    for (int half = 1; half < n; half *= 2)
        for (int apart = half; apart; apart /= 2) {
            __syncthreads();
            for (int pair = threadIdx.x; pair < n_pair; pair += THREADS) {
                const int place = pair & (apart - 1), one = 2 * pair - place;
                const int other = apart == half ? one + 2 * (apart - place) - 1 : one + apart;
                if (other >= n) continue;
                const Key key = keys[one], other_key = keys[other];
                if (key < other_key) {
                    keys[one] = other_key;
                    keys[other] = key;
                }
            }
        }
    __syncthreads();
}

// Suppresses among the candidates of one class of one image, one block per row of scores. Writes
// the indices of the kept boxes, and their number. Candidates are the n_candidate boxes of the
// highest scores from score_thresh on; of equal scores, the first boxes are candidates, and the
// last box comes first. With keep_all every candidate is kept, in the order of the boxes.
template <class T>
__global__ void __launch_bounds__(THREADS)
suppress(const T* __restrict__ coordinates, const float* __restrict__ score, float score_thresh,
         T iou_thresh, int keep_all, int n_candidate, Key* scratch, int* __restrict__ kept,
         int* __restrict__ n_kept, int K, int C) {
    __shared__ Key own[SHARED];
    __shared__ Box<T> tile[WARP];
    __shared__ unsigned later[WARP];  // per box of the tile: the later boxes that overlap it
    __shared__ int n;
    const int thread = threadIdx.x, lane = thread % WARP;
    const Box<T>* bbox =
        reinterpret_cast<const Box<T>*>(coordinates) + size_t(blockIdx.x / C) * K;
    score += size_t(blockIdx.x) * K;
    scratch += size_t(blockIdx.x) * K;
    kept += size_t(blockIdx.x) * n_candidate;
    if (thread == 0) n = 0;
    __syncthreads();
    for (int i = thread; i < K; i += THREADS)
        if (score[i] >= score_thresh) {
            const int at = atomicAdd(&n, 1);  // in any order, as the keys are sorted afterwards
            const Key key = key_of(score[i], ~i);
            scratch[at] = key;
            if (at < SHARED) own[at] = key;
        }
    __syncthreads();
    Key* const found = n <= SHARED ? own : scratch;
    const int m = min(n, n_candidate);
    if (m < n) sort(found, n);
    Key* const keys = m <= SHARED ? own : scratch;
    for (int i = thread; i < m; i += THREADS)
        keys[i] = keep_all ? unsigned(found[i]) : found[i] ^ ~0u;
    sort(keys, m);
    if (keep_all) {
        for (int i = thread; i < m; i += THREADS) kept[i] = ~unsigned(keys[i]);
        if (thread == 0) n_kept[blockIdx.x] = m;
        return;
    }
    int count = 0;
    for (int first = 0; first < m; first += WARP) {  // a key becomes 0 as its box is suppressed
        const Key key = first + lane < m ? keys[first + lane] : 0;
        unsigned left = __ballot_sync(~0u, key != 0);
        if (!left) continue;
        Box<T> box = {};
        if (key) box = bbox[unsigned(key)];
        if (thread < WARP) tile[lane] = box;
        __syncthreads();
        for (int i = thread / WARP; i < WARP; i += THREADS / WARP) {
            const bool hit = i < lane && key && overlap(tile[i], box, iou_thresh);
            const unsigned hits = __ballot_sync(~0u, hit);
            if (lane == 0) later[i] = hits;
        }
        __syncthreads();
        unsigned chosen = 0;
        while (left) {
            const int i = __ffs(left) - 1;
            chosen |= 1u << i;
            left &= ~(later[i] | 1u << i);
        }
        if (thread < WARP && chosen >> lane & 1)
            kept[count + __popc(chosen & ((1u << lane) - 1))] = unsigned(key);
        count += __popc(chosen);
        for (int i = first + WARP + thread; i < m; i += THREADS) {
            if (!keys[i]) continue;
            const Box<T> other = bbox[unsigned(keys[i])];
            for (unsigned rest = chosen; rest; rest &= rest - 1)
                if (overlap(tile[__ffs(rest) - 1], other, iou_thresh)) {
                    keys[i] = 0;
                    break;
                }
        }
        __syncthreads();
    }
    if (thread == 0) n_kept[blockIdx.x] = count;
}

// Writes the detections of one image as rows of six numbers: box, score and class. One block per
// image, whose rows end before ends[image]. If it has more detections than rows, those of the
// highest scores are written, and of equal scores the first. Their order stays.
template <class T>
__global__ void __launch_bounds__(THREADS)
collect(const T* __restrict__ coordinates, const float* __restrict__ score,
        const int* __restrict__ kept, const int* __restrict__ n_kept,
        const int* __restrict__ ends, Key* scratch, float* __restrict__ rows, int n_candidate,
        int K, int C) {
    __shared__ Key own[SHARED];
    const int thread = threadIdx.x;
    const size_t image = blockIdx.x;
    const Box<T>* bbox = reinterpret_cast<const Box<T>*>(coordinates) + image * K;
    score += image * C * K;
    scratch += image * C * K;
    kept += image * C * n_candidate;
    n_kept += image * C;
    const int start = image ? ends[image - 1] : 0, n = ends[image] - start;
    int total = 0;
    for (int c = 0; c < C; ++c) total += n_kept[c];
    Key* const keys = total <= SHARED ? own : scratch;
    for (int c = 0, before = 0; c < C; before += n_kept[c++])
        for (int i = thread; i < n_kept[c]; i += THREADS) {
            const int place = c * n_candidate + i;
            keys[before + i] = key_of(score[size_t(c) * K + kept[place]], ~place);
        }
    if (n < total) {
        sort(keys, total);
        for (int i = thread; i < n; i += THREADS) keys[i] = unsigned(keys[i]);
        sort(keys, n);
    }
    __syncthreads();
    for (int i = thread; i < n; i += THREADS) {
        const unsigned place = ~unsigned(keys[i]);
        const int c = place / n_candidate, index = kept[place];
        const Box<T> box = bbox[index];
        float* row = rows + 6 * size_t(start + i);
        row[0] = box.y_min;
        row[1] = box.x_min;
        row[2] = box.y_max;
        row[3] = box.x_max;
        row[4] = score[size_t(c) * K + index];
        row[5] = c;
    }
}
