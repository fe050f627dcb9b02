#include "stages.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "aligned.hpp"
#include "dispatch.hpp"
#include "panels.hpp"

namespace midstream {
namespace {

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

// A few panels at a time of a block's elements, row by row, those beyond the level's borders among them. A few, because
// going to each channel of a level is worth it for more than one panel.
class Sheets {
   public:
    static constexpr size_t most_panels = 4;

    Sheets(const LevelGrid& grid, const CellBlock& block)
        : grid_(grid), columns_(block.columns()), top_(block.top * grid.ratio), left_(block.left * grid.ratio),
          height_(block.bottom * grid.ratio - top_),
          width_(block.right * grid.ratio - left_) {}

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

// Whether all of many numbers are finite: of one that is not, the product with 0 is a NaN.
MIDSTREAM_INLINE void look_at(const float* __restrict values, float* __restrict seen) {
    for (size_t i = 0; i < panel_width; ++i) seen[i] += values[i] * 0.0f;
}
bool all_finite(const float* seen) {
    return std::all_of(seen, seen + panel_width, [](float sum) { return sum == 0; });
}

// The panels of a sheet, [panels][inner][panel_width], and products with them.
class Packed {
   public:
    using Panel = float[panel_width];

    explicit Packed(size_t inner) : inner_(inner), values_(Sheets::most_panels * inner * panel_width) {}

    Panel& at(size_t panel, size_t d) { return reinterpret_cast<Panel&>(values_[(panel * inner_ + d) * panel_width]); }
    // `take` has the number of each of `count` rows [count, inner], and its sums in each of the panels.
    template <class Take>
    MIDSTREAM_INLINE void multiply(const float* rows, size_t count, size_t panels, const Take& take) {
        alignas(cache_line) float sums[Sheets::most_panels][panel_rows * panel_width];
        for (size_t n = 0; n < count; n += panel_rows) {
            const float* lines[panel_rows];
            for (size_t i = 0; i < panel_rows; ++i) lines[i] = rows + std::min(n + i, count - 1) * inner_;
            for (size_t p = 0; p < panels; ++p) panel_sums(lines, panel_rows, inner_, at(p, 0), sums[p]);
            for (size_t i = 0; i < std::min(panel_rows, count - n); ++i) {
                float* row[Sheets::most_panels];
                for (size_t p = 0; p < panels; ++p) row[p] = sums[p] + i * panel_width;
                take(n + i, row);
            }
        }
    }

   private:
    size_t inner_;
    AlignedVector<float> values_;
};

}  // namespace

namespace {

MIDSTREAM_INLINE bool first_stage_in(const float* level, const LevelGrid& grid, const float* rows, const float* centre,
                                     size_t count, const CellBlock& block, float* out, size_t stride) {
    const size_t area = grid.ratio * grid.ratio;
    Packed packed(grid.channels);
    Sheets sheets(grid, block);
    Packed::Panel seen = {};
    while (sheets.next()) {
        for (size_t c = 0; c < grid.channels; ++c) {
            const float* from = level + c * grid.height * grid.width;
            for (const LevelRun& run : sheets.in_level) {
                float* to = packed.at(run.panel, c) + run.lane;
                if (run.inside) copy_run(from + run.at, run.inside, to);
                std::fill(to + run.inside, to + run.length, from[run.last]);
            }
            for (size_t p = 0; p < sheets.panels; ++p) look_at(packed.at(p, c), seen);
        }
        packed.multiply(rows, count, sheets.panels, [&](size_t j, float* const* sums) {
            for (size_t p = 0; p < sheets.panels; ++p)
                for (size_t i = 0; i < panel_width; ++i) sums[p][i] -= centre[j];
            for (const CellRun& run : sheets.in_cells)
                copy_run(sums[run.panel] + run.lane, run.length, out + run.cell * stride + j * area + run.at);
        });
    }
    return all_finite(seen);
}

#ifdef MIDSTREAM_X86
MIDSTREAM_AVX2 bool first_stage_avx2(const float* level, const LevelGrid& grid, const float* rows, const float* centre,
                                     size_t count, const CellBlock& block, float* out, size_t stride) {
    return first_stage_in(level, grid, rows, centre, count, block, out, stride);
}
#endif

}  // namespace

bool first_stage(const float* level, const LevelGrid& grid, const float* rows, const float* centre, size_t count,
                 const CellBlock& block, float* out, size_t stride) {
    switch (current_path()) {
#ifdef MIDSTREAM_X86
        case Path::avx512:
        case Path::avx2: return first_stage_avx2(level, grid, rows, centre, count, block, out, stride);
#endif
        default: return first_stage_in(level, grid, rows, centre, count, block, out, stride);
    }
}

}  // namespace midstream
