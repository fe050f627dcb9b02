// Layers and coarser groups from cells that are decoded before them. docs/format.md is normative.
#pragma once

#include <array>
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

// Cells that were decoded before, [cells, stride], of which the first so many numbers are there to be looked at.
struct DecodedCells {
    const float* values;
    size_t stride;
};

// Of each group before, so many numbers of a cell are looked at, at most: of the one at a place, of those beside it and of
// those at its corners.
using LookedAt = std::array<size_t, 3>;

// What a group's coefficients are expected to be. Never changes: any number of threads may use it at once.
class Coarser {
   public:
    // A matrix [outputs, inputs] of what is looked at in 3x3 cells, row by row, in each in all groups before; and a one. In
    // whole numbers, with numbers up to 2^16, or std::invalid_argument is thrown, or in binary32, every sum in order.
    Coarser(const float* matrix, size_t outputs, size_t inputs, const LookedAt& most, bool whole);

    size_t outputs() const { return outputs_; }
    // Whether this is what is looked at in such groups.
    bool fits(const std::vector<DecodedCells>& before) const;

    // Of the cells of a block of a grid, out [cells, outputs], from those of groups before, which have a grid of their own.
    // False where one of them is not finite.
    bool predict(const std::vector<DecodedCells>& before, const GridSize& before_grid, const GridSize& grid,
                 const CellBlock& block, float* out) const;

   private:
    size_t inputs_, outputs_;
    LookedAt most_;
    std::vector<WholeProduct> whole_;  // one, or none
    Table<float> panels_;              // see panels.hpp
    std::vector<float> constant_;      // [outputs]
};

// Of each cell of a grid the least of the first group's numbers below it.
void least_below(const uint8_t* first, const GridSize& first_grid, const GridSize& grid, uint8_t* out);

}  // namespace midstream
