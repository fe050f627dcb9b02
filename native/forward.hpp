// From the levels of a group to whole numbers of its cells, for the second stage, and to what the probe sees in each of
// them: all that an encoder makes of a pyramid before it knows a step.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "cell_scores.hpp"
#include "first_whole.hpp"
#include "second_stage.hpp"

namespace midstream {

// Never changes: any number of threads may use it at once.
class Forward {
   public:
    // `sight` may be null. std::invalid_argument where levels, sight and second stage do not belong together.
    Forward(std::vector<FirstWhole> levels, const SecondStage& second, const CellMix* sight);

    struct Map {
        const float* values;  // [channels, height, width]
        size_t height, width;
    };
    const std::vector<FirstWhole>& levels() const { return levels_; }
    const SecondStage& second() const { return second_; }
    const CellMix* sight() const { return sight_; }

    // For the cells of a block, what SecondStage::round makes of the levels and returns; and, with a sight, CellMix::mix.
    float begin(const Map* maps, const CellBlock& block, int16_t* whole, float* units, float* mixed) const;

   private:
    std::vector<FirstWhole> levels_;
    const SecondStage& second_;
    const CellMix* sight_;
};

}  // namespace midstream
