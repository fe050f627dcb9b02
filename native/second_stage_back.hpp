// The way back through the second stage of the transform in whole numbers: from a cell's coefficients to the numbers that
// the last stage begins with. Exact, whatever the order of the sums. docs/format.md is normative ("In whole numbers").
#pragma once

#include <cstddef>
#include <cstdint>

#include "aligned.hpp"
#include "pairs.hpp"

namespace midstream {

// Of one group. Never changes: any number of threads may use it at once.
class SecondStageBack {
   public:
    // A basis [coefficients, dimensions] of numbers up to 2^14 in magnitude, or std::invalid_argument is thrown.
    SecondStageBack(const float* basis, size_t coefficients, size_t dimensions);

    size_t coefficients() const { return coefficients_; }
    size_t dimensions() const { return dimensions_; }

    // From `coefficients` [cells, coefficients] numbers [cells, count] of the dimensions from `first` on, a multiple of
    // pair_lanes. False where a coefficient is not finite.
    bool multiply(const float* coefficients, size_t cells, size_t first, size_t count, float* out) const;

   private:
    size_t coefficients_, dimensions_, pairs_;
    int exponent_;  // of two, that the basis is multiplied with
    AlignedVector<int16_t> panels_;  // [panels][pairs][pair_lanes][2], see pairs.hpp
};

}  // namespace midstream
