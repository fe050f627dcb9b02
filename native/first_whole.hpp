// The first stage of the transform as an encoder takes it: in whole numbers of 16 bits, like the second one, with an error
// below 2^-12 of what an element of a level holds altogether; and what the probe makes of each cell's elements
// (docs/method.md, "Importance map"). stages.hpp has the stage that floats are exact in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "cell_lanes.hpp"
#include "pages.hpp"
#include "stages.hpp"

namespace midstream {

// Of one level. Never changes: any number of threads may use it at once.
class FirstWhole {
   public:
    struct Level {
        size_t channels, ratio, count;
        const float *basis, *weight, *mean;  // [count, channels], [channels], [channels]
    };
    // What the probe asks: `features` rows [features, count] of an element's coefficients, and what is added to them.
    struct Sight {
        size_t features = 0;
        const float *rows = nullptr, *bias = nullptr;
    };
    FirstWhole(const Level& level, const Sight& sight);

    size_t channels() const { return channels_; }
    size_t ratio() const { return ratio_; }
    size_t dimensions() const { return count_ * ratio_ * ratio_; }
    // Numbers of a cell for the probe: of each feature the largest and, of several elements, their mean.
    size_t pooled() const { return bias_.size() * (ratio_ > 1 ? 2 : 1); }

    // Cells [first, last) of a block, row by row, of a level [channels, height, width] with its border repeated beyond it:
    // coefficients of the first one, as `first_stage` has them, at `out`, `stride` further on those of the next; and for
    // the probe [pooled()] at `seen`, likewise. False where an element is not finite, or beyond what can be squared.
    bool run(const float* level, size_t height, size_t width, const CellBlock& block, size_t first, size_t last, float* out,
             size_t stride, float* seen, size_t seen_stride) const;

   private:
    size_t rows() const { return units_.size(); }
    void gather(const float* level, const LevelGrid& grid, const CellLanes& chunk, float* panel) const;
    void put(const CellLanes& chunk, size_t row, const float* values, float* out, size_t stride) const;
    void pool(const CellLanes& chunk, size_t feature, const float* from, float* seen, size_t stride) const;

    size_t channels_, ratio_, count_;
    std::vector<float> weight_, mean_, bias_;
    Table<int16_t> rows_;       // [rows, pairs, 2]: of the basis, then of the probe
    std::vector<float> units_;  // [rows]
};

}  // namespace midstream
