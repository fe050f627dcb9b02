// `pair_sums` in vectors of an instruction set: a `Set` loads and stores them, repeats a pair in all their lanes, and
// adds to a sum what the two numbers in each lane of two vectors multiply to.
#pragma once

#include <cstring>

#include "pairs.hpp"

namespace midstream::pairs {

using Sums = void (*)(const int16_t* const (&a)[pair_rows], size_t pairs, const int16_t* panel, int32_t* sums,
                      const uint32_t* at);
extern const Sums avx2_sums, avx512_sums, avx512vnni_sums, neon_sums;  // each where the machine has it

template <class Set>
void sums_of(const int16_t* const (&a)[pair_rows], size_t pairs, const int16_t* panel, int32_t* sums, const uint32_t* at) {
    constexpr size_t width = sizeof(typename Set::Vector) / sizeof(int32_t);
    for (size_t lane = 0; lane < pair_lanes; lane += width * Set::wide) {
        typename Set::Vector sum[pair_rows][Set::wide];
        for (auto& row : sum)
            for (auto& each : row) each = Set::zero();
        for (size_t i = 0; i < pairs; ++i) {
            const int16_t* row = panel + 2 * ((at ? at[i] : i) * pair_lanes + lane);
            typename Set::Vector b[Set::wide];
            for (size_t v = 0; v < Set::wide; ++v) b[v] = Set::load(row + 2 * v * width);
            for (size_t n = 0; n < pair_rows; ++n) {
                int32_t pair;
                std::memcpy(&pair, a[n] + 2 * i, sizeof pair);
                const auto repeated = Set::repeat(pair);
                for (size_t v = 0; v < Set::wide; ++v) sum[n][v] = Set::add_products(sum[n][v], repeated, b[v]);
            }
        }
        for (size_t n = 0; n < pair_rows; ++n)
            for (size_t v = 0; v < Set::wide; ++v) Set::store(sums + n * pair_lanes + lane + v * width, sum[n][v]);
    }
}

}  // namespace midstream::pairs
