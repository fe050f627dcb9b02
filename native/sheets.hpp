// Elements of a level in panels, row by row: what the stages in binary32, and the last stage, take at a time.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <vector>

#include "dispatch.hpp"
#include "panels.hpp"
#include "stages.hpp"

namespace midstream {

// Elements of a panel that lie side by side in the level, at so many elements from its first: those that are `inside`
// come first, what follows repeats the last one of their row.
struct LevelRun {
    size_t panel, lane, length, inside;
    size_t at, last;
};
// Those that do so in a row of a cell, whose number is in the block: the first is its element `at` = y * ratio + x.
struct CellRun {
    size_t panel, lane, length;
    size_t cell, at;
};

// A few panels at a time of a block's elements, row by row, those beyond the level's borders among them or not. A few,
// because going to each channel of a level is worth it for more than one panel.
class Sheets {
   public:
    static constexpr size_t most_panels = 4;

    Sheets(const LevelGrid& grid, const CellBlock& block, bool beyond)
        : grid_(grid), columns_(block.columns()), top_(block.top * grid.ratio), left_(block.left * grid.ratio),
          height_((beyond ? block.bottom * grid.ratio : std::min(block.bottom * grid.ratio, grid.height)) - top_),
          width_((beyond ? block.right * grid.ratio : std::min(block.right * grid.ratio, grid.width)) - left_) {}

    // False at the end.
    bool next() {
        in_level.clear(), in_cells.clear();
        const size_t ratio = grid_.ratio;
        size_t at = 0;
        while (at < most_panels * panel_width && y_ < height_) {
            const size_t panel = at / panel_width, lane = at % panel_width;
            const size_t length = std::min(width_ - x_, panel_width - lane);
            add_in_level(panel, lane, length);
            for (size_t i = 0; i < length;) {
                const size_t x = x_ + i, within = x % ratio, there = std::min(ratio - within, length - i);
                const size_t cell = y_ / ratio * columns_ + x / ratio;
                in_cells.push_back({panel, lane + i, there, cell, y_ % ratio * ratio + within});
                i += there;
            }
            at += length, x_ += length;
            if (x_ == width_) x_ = 0, ++y_;
        }
        panels = panels_of(at);
        return at > 0;
    }

    std::vector<LevelRun> in_level;
    std::vector<CellRun> in_cells;
    size_t panels = 0;

   private:
    // From where the sheet is: with the run before, if it goes on there, as a row does where the one before it ends.
    void add_in_level(size_t panel, size_t lane, size_t length) {
        const size_t y = std::min(top_ + y_, grid_.height - 1), x = left_ + x_;
        const size_t inside = x < grid_.width ? std::min(length, grid_.width - x) : 0;
        const size_t at = y * grid_.width + x;
        if (!in_level.empty()) {
            LevelRun& before = in_level.back();
            if (before.panel == panel && before.inside == before.length && inside == length &&
                before.at + before.length == at) {
                before.length += length, before.inside += length;
                return;
            }
        }
        in_level.push_back({panel, lane, length, inside, at, (y + 1) * grid_.width - 1});
    }

    LevelGrid grid_;
    size_t columns_, top_, left_, height_, width_, y_ = 0, x_ = 0;
};

// Most runs are as short as a cell is wide, or a whole panel: a call would take longer than the copy.
MIDSTREAM_INLINE void copy_run(const float* from, size_t length, float* to) {
    switch (length) {
        case 1: std::memcpy(to, from, 1 * sizeof(float)); break;
        case 2: std::memcpy(to, from, 2 * sizeof(float)); break;
        case 4: std::memcpy(to, from, 4 * sizeof(float)); break;
        case 8: std::memcpy(to, from, 8 * sizeof(float)); break;
        case panel_width: std::memcpy(to, from, panel_width * sizeof(float)); break;
        default: std::memcpy(to, from, length * sizeof(float));
    }
}

}  // namespace midstream
