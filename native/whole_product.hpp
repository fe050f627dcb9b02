// Products with a matrix in whole numbers: of the second stage of the way back, from a cell's coefficients to the numbers
// that the last stage begins with, and of what a coarser group is expected to be. Exact, whatever the order of the sums.
// docs/format.md is normative ("In whole numbers").
#pragma once

#include <cstddef>
#include <cstdint>

#include "pages.hpp"
#include "pairs.hpp"
#include "tiles.hpp"

namespace midstream {

// Never changes: any number of threads may use it at once.
class WholeProduct {
   public:
    // A matrix [inputs, outputs] of numbers up to 2^16 in magnitude, or std::invalid_argument is thrown. Sums are taken
    // modulo 2^32; if they are `bounded`, the numbers are made so small that none goes so far.
    WholeProduct(const float* matrix, size_t inputs, size_t outputs, bool bounded);

    size_t inputs() const { return inputs_; }
    size_t outputs() const { return outputs_; }

    // From `numbers` [rows, inputs] those [rows, count] of the outputs from `first` on, a multiple of pair_lanes. False
    // where a number is not finite.
    bool multiply(const float* numbers, size_t rows, size_t first, size_t count, float* out) const;

   private:
    bool multiply_pairs(const float* numbers, size_t rows, size_t first, size_t count, float* out) const;
    bool multiply_tiles(const float* numbers, size_t rows, size_t first, size_t count, float* out) const;

    size_t inputs_, outputs_, pairs_;
    int exponent_;           // of two, that the matrix is multiplied with
    Table<int16_t> panels_;  // [panels][pairs][pair_lanes][2], see pairs.hpp
    TileMatrix tiles_;       // the same
};

}  // namespace midstream
