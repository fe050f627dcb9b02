// Rows of numbers, side by side in lanes, as pairs of whole numbers of 16 bits.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "dispatch.hpp"
#include "pairs.hpp"

namespace midstream {

// Of `rows` [rows, lanes] times `scales` [lanes], two rows at a time, [(rows + 1) / 2, lanes, 2]; a row that is missing is 0.
MIDSTREAM_INLINE void round_pairs(const float* __restrict from, size_t rows, const float* __restrict scales,
                                  int32_t* __restrict pairs) {
    constexpr float shift = 12582912;  // 1.5 * 2^23, beyond which there are no fractions
    for (size_t row = 0; row < rows; row += 2) {
        const bool two = row + 1 < rows;
        const float *first = from + row * pair_lanes, *second = from + (two ? row + 1 : row) * pair_lanes;
        const float there = two ? 1.0f : 0.0f;
        int32_t* out = pairs + row / 2 * pair_lanes;
        for (size_t i = 0; i < pair_lanes; ++i) {
            const auto low = std::bit_cast<uint32_t>(first[i] * scales[i] + shift);
            const auto high = std::bit_cast<uint32_t>(second[i] * there * scales[i] + shift);
            out[i] = static_cast<int32_t>((high << 16) | (low & 0xFFFF));
        }
    }
}

}  // namespace midstream
