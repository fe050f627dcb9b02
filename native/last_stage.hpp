// The last stage of the way back: from what cells have after the second one to the channels of a level.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "pages.hpp"
#include "stages.hpp"

namespace midstream {

// Of one level. Never changes: any number of threads may use it at once.
class LastStage {
   public:
    struct Level {
        size_t channels, ratio, count;
        const float *columns, *mean;  // [channels, count], [channels]
    };
    // In binary32, every sum in the order of `count`; or in whole numbers, with finite columns, or
    // std::invalid_argument is thrown. docs/format.md is normative ("In whole numbers").
    LastStage(const Level& level, bool whole);

    size_t channels() const { return mean_.size(); }
    size_t ratio() const { return ratio_; }
    size_t dimensions() const { return count_ * ratio_ * ratio_; }

    // What a block of cells is put into: a level [channels, height, width], within limits [channels].
    struct Place {
        CellBlock block;
        size_t height, width;
        const float *low, *high;
        float* out;
    };
    // From the numbers of the block's first cell, `stride` further on those of the next,
    //
    //     out[c, y, x] = limit(sum over j of columns[c, j] * cell[j * ratio^2 + y * ratio + x] + mean[c], low[c], high[c]).
    //
    // False where that is not finite before it is limited.
    bool run(const float* numbers, size_t stride, const Place& place) const;

   private:
    bool run_in(const float* numbers, size_t stride, const Place& place) const;
    bool run_avx2(const float* numbers, size_t stride, const Place& place) const;
    bool run_avx512(const float* numbers, size_t stride, const Place& place) const;
    void product(size_t first, const float* panel, float* sums) const;
    void product(size_t first, const int32_t* pairs, int32_t* sums) const;

    size_t ratio_, count_;
    std::vector<float> mean_;
    bool whole_;
    int lower_ = 0;             // octaves that the numbers of an element stay below 2^14
    Table<float> columns_;      // [channels, count]
    Table<int16_t> pairs_;      // [channels, pairs, 2]
    std::vector<float> units_;  // [channels]
};

}  // namespace midstream
