// Layers and coarser groups from cells that are decoded before them. docs/format.md is normative.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "pages.hpp"
#include "stages.hpp"
#include "whole_product.hpp"

namespace midstream {

struct GridSize {
    size_t height, width;
};

// What a group's coefficients are expected to be. Never changes: any number of threads may use it at once.
class Coarser {
   public:
    // A matrix [outputs, inputs] of the first (inputs - 1) / 9 numbers of 3x3 cells, and a one; in whole
    // numbers, with numbers up to 2^16, or std::invalid_argument is thrown, or in binary32, every sum in order.
    Coarser(const float* matrix, size_t outputs, size_t inputs, bool whole);

    size_t outputs() const { return outputs_; }
    // How many numbers of a cell are looked at.
    size_t count() const { return (inputs_ - 1) / 9; }

    // Of the cells of a block of a grid, out [cells, outputs], from cells [first_grid, stride], decoded. False
    // where one of them is not finite.
    bool predict(const float* first, size_t stride, const GridSize& first_grid, const GridSize& grid, const CellBlock& block,
                 float* out) const;

   private:
    size_t inputs_, outputs_;
    std::vector<WholeProduct> whole_;  // one, or none
    Table<float> panels_;      // see panels.hpp
    std::vector<float> constant_;      // [outputs]
};

// Of each cell of a grid the least of the first group's numbers below it.
void least_below(const uint8_t* first, const GridSize& first_grid, const GridSize& grid, uint8_t* out);

}  // namespace midstream
