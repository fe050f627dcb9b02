// `pair_sums` in vectors of an instruction set: a `Set` loads and stores them, repeats a pair in all their lanes, and
// adds to a sum what the two numbers in each lane of two vectors multiply to.
#pragma once

#include <algorithm>
#include <cstring>

#include "pairs.hpp"

namespace midstream::pairs {

using Sums = void (*)(const int16_t* const* a, size_t rows, size_t pairs, const int16_t* panel, int32_t* sums,
                      const uint32_t* at);
extern const Sums avx2_sums, avx512_sums, avx512vnni_sums, neon_sums;  // each where the machine has it

// `wide` vectors of sums side by side, of each row.
template <class Set, size_t rows, size_t wide>
void sums_of_rows(const int16_t* const* a, size_t pairs, const int16_t* panel, int32_t* sums, const uint32_t* at) {
    constexpr size_t width = sizeof(typename Set::Vector) / sizeof(int32_t);
    static_assert(pair_lanes % (width * wide) == 0);
    for (size_t lane = 0; lane < pair_lanes; lane += width * wide) {
        typename Set::Vector sum[rows][wide];
        for (auto& row : sum)
            for (auto& each : row) each = Set::zero();
        for (size_t i = 0; i < pairs; ++i) {
            const int16_t* row = panel + 2 * ((at ? at[i] : i) * pair_lanes + lane);
            typename Set::Vector b[wide];
            for (size_t v = 0; v < wide; ++v) b[v] = Set::load(row + 2 * v * width);
            for (size_t n = 0; n < rows; ++n) {
                int32_t pair;
                std::memcpy(&pair, a[n] + 2 * i, sizeof pair);
                const auto repeated = Set::repeat(pair);
                for (size_t v = 0; v < wide; ++v) sum[n][v] = Set::add_products(sum[n][v], repeated, b[v]);
            }
        }
        for (size_t n = 0; n < rows; ++n)
            for (size_t v = 0; v < wide; ++v) Set::store(sums + n * pair_lanes + lane + v * width, sum[n][v]);
    }
}

template <class Set>
void sums_of(const int16_t* const* a, size_t rows, size_t pairs, const int16_t* panel, int32_t* sums, const uint32_t* at) {
    constexpr size_t vectors = pair_lanes * sizeof(int32_t) / sizeof(typename Set::Vector);
    if (rows == 1) return sums_of_rows<Set, 1, std::min<size_t>(vectors, 8)>(a, pairs, panel, sums, at);
    sums_of_rows<Set, pair_rows, Set::wide>(a, pairs, panel, sums, at);
}

}  // namespace midstream::pairs
