// The results of the heads, maps (images, cells, channels), joined to float32 (images, boxes, n).
#include <cuda_bf16.h>
#include <cuda_fp16.h>

const int BLOCK = 256;  // threads of a block; gpu.py repeats it
const int MAPS = 16;    // at most; gpu.py repeats it

// Maps of one batch. Each image of map m has the numbers first[m] to first[m + 1] of a row.
template <class T>
struct Maps {
    T* at[MAPS];
    int first[MAPS + 1];
    int count;
};

// Finds the place of number i of the joined array in its map.
template <class T>
__device__ T& place(const Maps<T>& maps, int i) {
    const int row = maps.first[maps.count], image = i / row, number = i % row;
    int m = 0;
    while (number >= maps.first[m + 1]) ++m;
    const int size = maps.first[m + 1] - maps.first[m];
    return maps.at[m][size_t(image) * size + number - maps.first[m]];
}

template <class T>
__global__ void join(const Maps<T> maps, float* __restrict__ joined, int size) {
    const int i = blockIdx.x * BLOCK + threadIdx.x;
    if (i < size) joined[i] = float(place(maps, i));
}

template <class T>
__global__ void split(const Maps<T> maps, const float* __restrict__ joined, int size) {
    const int i = blockIdx.x * BLOCK + threadIdx.x;
    if (i < size) place(maps, i) = T(joined[i]);
}
