// Numbers of a cell as whole numbers of 16 bits, of which sums are exact in any order. docs/format.md is normative ("In
// whole numbers").
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace midstream {

// Rounds to nearest, ties to even; below 2^22.
inline int32_t rounded(float value) {
    constexpr float shift = 12582912;  // 1.5 * 2^23, beyond which there are no fractions
    return std::bit_cast<int32_t>(value + shift) - std::bit_cast<int32_t>(shift);
}

// Values times 2^exponent, with an exponent for which the sum of their squares is below 2^30. Which one that is; none, but
// `not_finite`, where a value is not.
constexpr int not_finite = 1 << 20, most_exponent = 100;
int to_whole(const float* values, size_t count, int16_t* whole);

// How many of some numbers there are up to the last one that is not zero, or a few more.
size_t used(const float* values, size_t count);

// The largest magnitude of some numbers; a NaN if there is one.
float largest(const float* values, size_t count);

// The largest exponent up to 15 with which no value, times 2^exponent, is above 32767 in magnitude.
int whole_exponent(const float* values, size_t count);

}  // namespace midstream
