// Coarser groups from the first one, whose cells are decoded before them. docs/format.md is normative.
#pragma once

#include <cstddef>
#include <cstdint>

#include "stages.hpp"

namespace midstream {

struct GridSize {
    size_t height, width;
};

// What the surroundings of the cells of a block of a grid make of the first group's cells [grid, stride], decoded: out
// [cells, columns], of a matrix [inner, columns] in panels. Surroundings are the first (inner - 1) / 9 numbers of 3x3 cells,
// and a one. False where one of them is not finite.
bool predict_coarser(const float* first, size_t stride, const GridSize& first_grid, const float* panels, size_t inner,
                     size_t columns, const GridSize& grid, const CellBlock& block, float* out);

// Of each cell of a grid the least of the first group's numbers below it.
void least_below(const uint8_t* first, const GridSize& first_grid, const GridSize& grid, uint8_t* out);

}  // namespace midstream
