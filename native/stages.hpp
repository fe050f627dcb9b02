// The first stage of the transform: from a level's channels to coefficients, which lie cell by cell, as calibration takes
// it, in binary32. An encoder's is in first_whole.hpp, the way back in last_stage.hpp.
#pragma once

#include <cstddef>

namespace midstream {

// A level whose maps lie under cells of `ratio` x `ratio` elements each; the last ones may reach beyond its borders.
struct LevelGrid {
    size_t channels, height, width;  // of the level
    size_t ratio;
};

// Cells [top, bottom) x [left, right) of a grid.
struct CellBlock {
    size_t top, bottom, left, right;
    size_t rows() const { return bottom - top; }
    size_t columns() const { return right - left; }
};

// Of a level [channels, height, width], the coefficients of the cells of a block: `count` for each of the elements,
//
//     out[cell][j * ratio^2 + y * ratio + x] = sum over c of rows[j, c] * level[c, y, x] - centre[j],
//
// y and x counted within the cell, with the border repeated beyond it. `out` is that of the block's first cell, and
// `stride` what a cell has there. False where an element is not finite.
bool first_stage(const float* level, const LevelGrid& grid, const float* rows, const float* centre, size_t count,
                 const CellBlock& block, float* out, size_t stride);

}  // namespace midstream
