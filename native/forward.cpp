#include "forward.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "buffer.hpp"

namespace midstream {
namespace {

// Cells that are taken together: what the first stage makes of them stays in a cache, and few lanes of it are idle.
constexpr size_t least_cells = 16, most_cells = pair_lanes, most_numbers = size_t{1} << 17;

}  // namespace

Forward::Forward(std::vector<FirstWhole> levels, const SecondStage& second, const CellMix* sight)
    : levels_(std::move(levels)), second_(second), sight_(sight) {
    size_t dimensions = 0, pooled = 0;
    for (const FirstWhole& level : levels_) dimensions += level.dimensions(), pooled += level.pooled();
    if (dimensions != second_.dimensions() || pooled != (sight_ ? sight_->features() : 0))
        throw std::invalid_argument("forward: shapes");
}

float Forward::begin(const Map* maps, const CellBlock& block, int16_t* whole, float* units, float* mixed) const {
    const size_t cells = block.rows() * block.columns(), stride = second_.dimensions();
    const size_t features = sight_ ? sight_->features() : 0;
    const size_t together = std::clamp(most_numbers / stride, least_cells, most_cells);
    const auto numbers = buffer<float>(std::min(together, cells) * stride);
    std::vector<float> seen(together * features);
    float largest = 0;
    for (size_t cell = 0; cell < cells; cell += together) {
        const size_t count = std::min(together, cells - cell);
        size_t at = 0, feature = 0;
        for (size_t i = 0; i < levels_.size(); ++i) {
            const FirstWhole& level = levels_[i];
            if (!level.run(maps[i].values, maps[i].height, maps[i].width, block, cell, cell + count, numbers.get() + at,
                           stride, seen.data() + feature, features))
                return HUGE_VALF;
            at += level.dimensions(), feature += level.pooled();
        }
        if (sight_) sight_->mix(seen.data(), count, mixed + cell * sight_->mixed());
        const float now = second_.round(numbers.get(), count, whole + cell * second_.whole_size(), units + cell);
        if (!(now < HUGE_VALF)) return HUGE_VALF;
        largest = std::max(largest, now);
    }
    return largest;
}

}  // namespace midstream
