// Elements to symbols and back, one channel at a time; a kernel for each instruction set.
//
// Everything goes in blocks of block_size elements, which stay in cache. The order of every addition is part of the
// definition: lanes (element i of a block goes to lane i mod the number of lanes), folded by halves in double.
//
// A symbol is the number of boundaries that an element reaches, so a list of float32 boundaries says exactly which
// elements fall where. Up to most_compared boundaries, the elements that reach each are summed on the way, as distances
// from a pivot.
#pragma once

#include <cstddef>
#include <cstdint>

namespace midstream::channels {

constexpr size_t block_size = 1024;
constexpr size_t statistics_lanes = 32;  // of double, of distances from the block's first element
constexpr size_t sum_lanes = 16;         // of float32
constexpr size_t most_compared = 15;     // beyond it a binary search is faster
constexpr size_t most_looked_up = 16;    // entries of a table that fits in registers

struct BlockStatistics {
    double mean;
    double m2;  // sum of squared deviations from it
    float min, max;
};

struct Kernel {
    BlockStatistics (*statistics)(const float* x, size_t size);
    // Symbols of a block; reached[j] counts the elements at or above boundary j, lane[j] sums them.
    void (*quantize)(const float* x, size_t size, const float* boundaries, size_t count, float pivot, uint8_t* symbols,
                     uint32_t* reached, float (*lane)[sum_lanes]);
    // out = table[symbol] for a table of at most most_looked_up entries; symbols beyond it give anything. `past_cache`:
    // write to memory without reading the lines first, for more than a cache holds.
    void (*look_up)(const uint8_t* symbols, size_t size, const float* table, size_t entries, bool past_cache, float* out);
};

const Kernel& kernel();  // of the path in force
extern const Kernel reference_kernel;
extern const Kernel avx2_kernel, avx512_kernel, neon_kernel;  // each where the machine has it

// What the kernels share is in no namespace of its own name, so that each file's copy is of its own instruction set.
namespace {

// Destroys the lanes.
inline double fold(double* lane, size_t lanes) {
    for (size_t half = lanes / 2; half > 0; half /= 2)
        for (size_t i = 0; i < half; ++i) lane[i] += lane[i + half];
    return lane[0];
}

// The elements from `from` on, which do not fill all lanes once more.
inline void add_rest(const float* x, size_t from, size_t size, double* sum, double* square, float& min, float& max) {
    for (size_t i = from; i < size; ++i) {
        const double d = static_cast<double>(x[i]) - static_cast<double>(x[0]);
        sum[i - from] += d, square[i - from] += d * d;
        min = x[i] < min ? x[i] : min, max = x[i] > max ? x[i] : max;
    }
}

// Statistics of a block from its lanes, which are destroyed. The first element is at most sqrt(size) deviations from the
// mean, so the difference of squares costs ten bits of a double's 53.
inline BlockStatistics merged(float first, size_t size, double* sum, double* square, float min, float max) {
    const double total = fold(sum, statistics_lanes), n = static_cast<double>(size);
    return {static_cast<double>(first) + total / n, fold(square, statistics_lanes) - total * (total / n), min, max};
}

}  // namespace

}  // namespace midstream::channels
