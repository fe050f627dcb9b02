#include "stages.hpp"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <vector>

#include "dispatch.hpp"
#include "panels.hpp"

namespace midstream {
namespace {

// Elements that lie side by side, both in a row of a level and in a row of a cell.
struct Run {
    size_t lane, length;
    size_t y, x;       // in the level
    size_t cell, at;   // number in the block, and element y * ratio + x of the cell
};

// Elements of a block in their rows, a panel's columns after the other; those beyond the borders among them, or not.
class Elements {
   public:
    Elements(const LevelGrid& grid, const CellBlock& block, bool beyond)
        : ratio_(grid.ratio), block_(block), top_(block.top * ratio_), left_(block.left * ratio_),
          height_((beyond ? block.bottom * ratio_ : std::min(block.bottom * ratio_, grid.height)) - top_),
          width_((beyond ? block.right * ratio_ : std::min(block.right * ratio_, grid.width)) - left_) {}

    // The runs of the next panel; none at the end.
    const std::vector<Run>& next() {
        runs_.clear();
        for (size_t lane = 0; lane < panel_width && y_ < height_;) {
            const size_t in_cell = x_ % ratio_;
            const size_t length = std::min({ratio_ - in_cell, width_ - x_, panel_width - lane});
            runs_.push_back({lane, length, top_ + y_, left_ + x_, y_ / ratio_ * block_.columns() + x_ / ratio_,
                             y_ % ratio_ * ratio_ + in_cell});
            lane += length, x_ += length;
            if (x_ == width_) x_ = 0, ++y_;
        }
        return runs_;
    }

   private:
    size_t ratio_;
    CellBlock block_;
    size_t top_, left_, height_, width_, y_ = 0, x_ = 0;
    std::vector<Run> runs_;
};

// Most runs are as short as a cell is wide, for which a call would take longer than the copy.
MIDSTREAM_INLINE void copy_run(const float* from, size_t length, float* to) {
    switch (length) {
        case 1: std::memcpy(to, from, 1 * sizeof(float)); break;
        case 2: std::memcpy(to, from, 2 * sizeof(float)); break;
        case 4: std::memcpy(to, from, 4 * sizeof(float)); break;
        case 8: std::memcpy(to, from, 8 * sizeof(float)); break;
        default: std::memcpy(to, from, length * sizeof(float));
    }
}

// Rows [count, inner] times a panel, four rows at a time: `take` has the number of the first one, how many, and sums.
template <class Take>
void for_rows(const float* rows, size_t count, size_t inner, const float* panel, const Take& take) {
    float sums[panel_rows * panel_width];
    for (size_t n = 0; n < count;) {
        const size_t there = n + panel_rows <= count ? panel_rows : 1;
        const float* lines[panel_rows] = {};
        for (size_t i = 0; i < there; ++i) lines[i] = rows + (n + i) * inner;
        panel_sums(lines, there, inner, panel, sums);
        for (size_t i = 0; i < there; ++i) take(n + i, sums + i * panel_width);
        n += there;
    }
}

bool all_finite(const float* values, size_t count) {
    uint32_t largest = 0;
    for (size_t i = 0; i < count; ++i) largest = std::max(largest, std::bit_cast<uint32_t>(values[i]) & 0x7FFFFFFF);
    return largest < 0x7F800000;  // of an infinity
}

}  // namespace

bool first_stage(const float* level, const LevelGrid& grid, const float* rows, const float* centre, size_t count,
                 const CellBlock& block, float* out, size_t stride) {
    std::vector<float> panel(grid.channels * panel_width);
    Elements elements(grid, block, true);
    bool finite = true;
    for (const auto* runs = &elements.next(); !runs->empty(); runs = &elements.next()) {
        for (size_t c = 0; c < grid.channels; ++c) {
            float* to = &panel[c * panel_width];
            for (const Run& run : *runs) {
                const float* from = level + (c * grid.height + std::min(run.y, grid.height - 1)) * grid.width;
                const size_t inside = run.x < grid.width ? std::min(run.length, grid.width - run.x) : 0;
                if (inside) copy_run(from + run.x, inside, to + run.lane);
                for (size_t i = inside; i < run.length; ++i) to[run.lane + i] = from[grid.width - 1];
            }
        }
        const size_t lanes = runs->back().lane + runs->back().length;
        for (size_t c = 0; c < grid.channels; ++c) finite &= all_finite(&panel[c * panel_width], lanes);
        const size_t area = grid.ratio * grid.ratio;
        for_rows(rows, count, grid.channels, panel.data(), [&](size_t j, float* sums) {
            for (size_t i = 0; i < panel_width; ++i) sums[i] -= centre[j];
            for (const Run& run : *runs)
                copy_run(sums + run.lane, run.length, out + run.cell * stride + j * area + run.at);
        });
    }
    return finite;
}

bool last_stage(const float* cells, size_t stride, const LevelGrid& grid, const float* columns,
                const LevelLimits& limits, size_t count, const CellBlock& block, float* out) {
    const size_t area = grid.ratio * grid.ratio;
    std::vector<float> panel(count * panel_width);
    Elements elements(grid, block, false);
    bool finite = true;
    for (const auto* runs = &elements.next(); !runs->empty(); runs = &elements.next()) {
        const size_t lanes = runs->back().lane + runs->back().length;
        for (const Run& run : *runs) {
            const float* from = cells + run.cell * stride + run.at;
            for (size_t j = 0; j < count; ++j) copy_run(from + j * area, run.length, &panel[j * panel_width + run.lane]);
        }
        for_rows(columns, grid.channels, count, panel.data(), [&](size_t c, float* sums) {
            const float mean = limits.mean[c], low = limits.low[c], high = limits.high[c];
            for (size_t i = 0; i < panel_width; ++i) sums[i] += mean;
            finite &= all_finite(sums, lanes);
            for (size_t i = 0; i < panel_width; ++i) {
                const float raised = sums[i] > low ? sums[i] : low;
                sums[i] = raised < high ? raised : high;
            }
            float* plane = out + c * grid.height * grid.width;
            for (const Run& run : *runs)
                copy_run(sums + run.lane, run.length, plane + run.y * grid.width + run.x);
        });
    }
    return finite;
}

}  // namespace midstream
