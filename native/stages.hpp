// The first stage of the transform, and the last one of the way back: from a level's channels to coefficients, which lie
// cell by cell, and from these to channels.
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

// The way back: from what `cells` has of the first cell, and so on, into the block's part of a level,
//
//     out[c, y, x] = limit(sum over j of columns[c, j] * cell[j * ratio^2 + y * ratio + x] + mean[c], low[c], high[c]).
//
// False where that is not finite before it is limited.
struct LevelLimits {
    const float *mean, *low, *high;  // [channels]
};
bool last_stage(const float* cells, size_t stride, const LevelGrid& grid, const float* columns,
                const LevelLimits& limits, size_t count, const CellBlock& block, float* out);

}  // namespace midstream
