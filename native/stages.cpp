#include "stages.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "aligned.hpp"
#include "dispatch.hpp"
#include "panels.hpp"
#include "sheets.hpp"

namespace midstream {
namespace {

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
    Sheets sheets(grid, block, true);
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
