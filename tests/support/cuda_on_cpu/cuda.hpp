// The part of CUDA's language that multibox's kernels use, for a C++ compiler and a CPU.
// Blocks run one after another in random order. The threads of a block are coroutines. They run in
// random order from one barrier to the next, so a missing barrier gives wrong results.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>
#include <setjmp.h>
#include <ucontext.h>
#ifdef __SSE__
#include <xmmintrin.h>
#endif

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __shared__ static
#define __forceinline__ inline
#define __launch_bounds__(...)

using std::max;
using std::min;
inline double min(double x, double y) { return fmin(x, y); }  // as in CUDA, nan only if both are
struct uint3 { unsigned x, y, z; };
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(16) int4 { int x, y, z, w; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
static uint3 threadIdx, blockIdx, blockDim, gridDim;
static const int warpSize = 32;

namespace on_cpu {
enum State { READY, AT_BLOCK_BARRIER, AT_WARP_BARRIER, DONE };
struct Thread {
    ucontext_t context;  // the start of the thread
    jmp_buf at;          // the point to resume at; swapcontext would take ten times as long
    bool begun;
    std::unique_ptr<char[]> stack;
    State state;
    unsigned mask;
    uint64_t value;
};
static std::vector<Thread> threads;
static jmp_buf scheduler;
static unsigned current;
static void (*body)();

inline void wait(State state, unsigned mask = 0) {
    const unsigned self = current;
    threads[self].state = state;
    threads[self].mask = mask;
    if (!_setjmp(threads[self].at)) _longjmp(scheduler, 1);
    threadIdx.x = current = self;
}

inline void run_thread() {
    body();
    threads[current].state = DONE;
    _longjmp(scheduler, 1);
}

// Release the threads whose barrier is complete. Returns whether there was such a thread.
inline bool release() {
    bool any = false, all_at_barrier = true;
    for (unsigned first = 0; first < threads.size(); first += 32) {
        const unsigned end = std::min<size_t>(first + 32, threads.size());
        unsigned waiting = 0;
        for (unsigned i = first; i < end; ++i) {
            waiting |= unsigned(threads[i].state == AT_WARP_BARRIER) << (i - first);
            all_at_barrier &= threads[i].state == AT_BLOCK_BARRIER || threads[i].state == DONE;
        }
        const unsigned exist = end - first == 32 ? ~0u : (1u << (end - first)) - 1;
        for (unsigned i = first; i < end; ++i)
            if ((waiting >> (i - first) & 1) && !(threads[i].mask & exist & ~waiting)) {
                threads[i].state = READY;
                any = true;
            }
    }
    for (Thread& thread : threads)
        if (all_at_barrier && thread.state == AT_BLOCK_BARRIER) {
            thread.state = READY;
            any = true;
        }
    return any;
}

// Run one block. Returns false if some threads wait for ever at a barrier that others miss.
inline bool run_block(std::mt19937& random) {
    std::vector<unsigned> order(threads.size());
    for (unsigned i = 0; i < threads.size(); ++i) {
        Thread& thread = threads[order[i] = i];
        if (!thread.stack) thread.stack.reset(new char[1 << 16]);
        getcontext(&thread.context);
        thread.context.uc_stack.ss_sp = thread.stack.get();
        thread.context.uc_stack.ss_size = 1 << 16;
        makecontext(&thread.context, run_thread, 0);
        thread.state = READY;
        thread.begun = false;
    }
    do {
        std::shuffle(order.begin(), order.end(), random);
        for (unsigned i : order)
            if (threads[i].state == READY) {
                threadIdx.x = current = i;
                if (_setjmp(scheduler)) continue;
                if (threads[i].begun) _longjmp(threads[i].at, 1);
                threads[i].begun = true;
                setcontext(&threads[i].context);
            }
    } while (release());
    for (Thread& thread : threads)
        if (thread.state != DONE) return false;
    return true;
}

template <class T>
T exchange(unsigned mask, T value, unsigned source) {
    const unsigned first = threadIdx.x / 32 * 32;
    threads[threadIdx.x].value = 0;
    std::memcpy(&threads[threadIdx.x].value, &value, sizeof value);
    wait(AT_WARP_BARRIER, mask);
    std::memcpy(&value, &threads[std::min<size_t>(first + source, threads.size() - 1)].value,
                sizeof value);
    wait(AT_WARP_BARRIER, mask);
    return value;
}

template <class... Args, size_t... I>
void call(void (*kernel)(Args...), void** args, std::index_sequence<I...>) {
    kernel(*static_cast<std::remove_reference_t<Args>*>(args[I])...);
}

static void** arguments;

// The types of a kernel's parameters: NumPy's letter for a number, the size for a structure, and
// a leading * for a pointer.
template <class T> constexpr char letter = 0;
template <> constexpr char letter<float> = 'f';
template <> constexpr char letter<double> = 'd';
template <> constexpr char letter<int> = 'i';
template <> constexpr char letter<bool> = '?';
template <> constexpr char letter<unsigned char> = 'B';
template <> constexpr char letter<unsigned long long> = 'L';  // NumPy's uint64

template <class T>
std::string type_name() {
    if constexpr (std::is_pointer_v<T>)
        return '*' + type_name<std::remove_cv_t<std::remove_pointer_t<T>>>();
    else
        return letter<T> ? std::string(1, letter<T>) : std::to_string(sizeof(T));
}

template <class... Args>
const char* types(void (*)(Args...)) {
    static const std::string all = ((type_name<std::remove_cv_t<Args>>() + ' ') + ...);
    return all.c_str();
}

// CuPy compiles with -ftz=true: arithmetic and comparisons treat numbers below 1.2e-38 as 0.
struct FlushToZero {
#ifdef __SSE__
    const unsigned before = _mm_getcsr();
    FlushToZero() { _mm_setcsr(before | 0x8040); }
    ~FlushToZero() { _mm_setcsr(before); }
#endif
};

template <auto kernel, class... Args>
int run(void (*)(Args...), unsigned grid, unsigned block, void** args, unsigned seed) {
    const FlushToZero as_cupy;
    std::mt19937 random(seed);
    std::vector<unsigned> order(grid);
    for (unsigned i = 0; i < grid; ++i) order[i] = i;
    std::shuffle(order.begin(), order.end(), random);
    threads.clear();
    threads.resize(block);
    blockDim = {block, 1, 1};
    gridDim = {grid, 1, 1};
    arguments = args;
    body = [] { call(static_cast<void (*)(Args...)>(kernel), arguments,
                     std::index_sequence_for<Args...>()); };
    for (unsigned i : order) {
        blockIdx = {i, 0, 0};
        if (!run_block(random)) return 1;
    }
    return 0;
}
}  // namespace on_cpu

inline void __syncthreads() { on_cpu::wait(on_cpu::AT_BLOCK_BARRIER); }
inline void __syncwarp(unsigned mask = ~0u) { on_cpu::wait(on_cpu::AT_WARP_BARRIER, mask); }
template <class T> T __shfl_sync(unsigned mask, T x, int lane) {
    return on_cpu::exchange(mask, x, lane & 31);
}
template <class T> T __shfl_xor_sync(unsigned mask, T x, int bits) {
    return on_cpu::exchange(mask, x, (threadIdx.x & 31) ^ bits);
}
template <class T> T __shfl_down_sync(unsigned mask, T x, unsigned by) {
    const unsigned lane = threadIdx.x & 31;
    return on_cpu::exchange(mask, x, lane + by < 32 ? lane + by : lane);
}
template <class T> T __shfl_up_sync(unsigned mask, T x, unsigned by) {
    const unsigned lane = threadIdx.x & 31;
    return on_cpu::exchange(mask, x, lane >= by ? lane - by : lane);
}
inline unsigned __ballot_sync(unsigned mask, int holds) {
    unsigned ballot = 0;
    on_cpu::threads[threadIdx.x].value = holds != 0;
    __syncwarp(mask);
    for (unsigned lane = 0, first = threadIdx.x / 32 * 32; lane < 32; ++lane)
        if ((mask >> lane & 1) && first + lane < on_cpu::threads.size())
            ballot |= unsigned(on_cpu::threads[first + lane].value) << lane;
    __syncwarp(mask);
    return ballot;
}
inline int __syncthreads_count(int holds) {
    on_cpu::threads[threadIdx.x].value = holds != 0;
    __syncthreads();
    int count = 0;
    for (auto& thread : on_cpu::threads) count += int(thread.value);
    __syncthreads();
    return count;
}
inline int __syncthreads_or(int holds) { return __syncthreads_count(holds) > 0; }
template <class T> T atomicAdd(T* address, T x) { T old = *address; *address += x; return old; }
template <class T> T atomicOr(T* address, T x) { T old = *address; *address |= x; return old; }
template <class T> T atomicMax(T* address, T x) {
    T old = *address; *address = max(old, x); return old;
}
template <class T> T __ldg(const T* address) { return *address; }
template <class T> T __ldcs(const T* address) { return *address; }
template <class T> void __stcs(T* address, T x) { *address = x; }
inline void __threadfence() {}
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __clz(int x) { return x ? __builtin_clz(unsigned(x)) : 32; }
inline int __ffs(int x) { return __builtin_ffs(x); }
template <class To, class From> To same_bits(From x) { To y; std::memcpy(&y, &x, sizeof y); return y; }
inline unsigned __float_as_uint(float x) { return same_bits<unsigned>(x); }
inline float __uint_as_float(unsigned x) { return same_bits<float>(x); }
inline int __float_as_int(float x) { return same_bits<int>(x); }
inline float __int_as_float(int x) { return same_bits<float>(x); }
inline float __fmul_rn(float x, float y) { return x * y; }
inline double __dmul_rn(double x, double y) { return x * y; }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float rsqrtf(float x) { return 1 / sqrtf(x); }
using std::isfinite;
