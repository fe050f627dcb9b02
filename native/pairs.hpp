// Products of matrices of whole numbers, two terms at a time: quicker than those of floats, and exact, so that no order
// of sums is to be kept.
#pragma once

#include <cstddef>
#include <cstdint>

namespace midstream {

constexpr size_t pair_lanes = 64;  // of a panel: numbers [pairs][pair_lanes][2]
constexpr size_t pair_rows = 4;    // that are taken together

// sums[n][lane] = sum over i of a[n][2 i] * panel[i][lane][0] + a[n][2 i + 1] * panel[i][lane][1], modulo 2^32, for 1 or
// `pair_rows` rows. With `at`, [pairs], panel[at[i]] takes the place of panel[i].
void pair_sums(const int16_t* const* a, size_t rows, size_t pairs, const int16_t* panel, int32_t* sums,
               const uint32_t* at = nullptr);

}  // namespace midstream
