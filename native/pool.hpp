// The elements of each cell of a grid as one number: what a probe makes of them (docs/method.md).
#pragma once

#include <cstddef>

namespace midstream {

// Of maps [count, height * ratio, width * ratio] in which numbers below zero are made small, max(x, leak * x): the largest
// of the ratio x ratio elements of each cell, [count, height, width] and, unless `means` is null, their means. Sums are
// taken row by row.
void pool(const float* maps, size_t count, size_t height, size_t width, size_t ratio, float leak, float* largest,
          float* means);

}  // namespace midstream
