// Which rows the flags of a cell's bands have, as the network of an entropy model says.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "entropy_inputs.hpp"
#include "entropy_model.hpp"
#include "entropy_sets.hpp"
#include "shorts.hpp"

namespace midstream::entropy {

// What is known before the first flag of a cell is added up for all of them; what the flags before a flag say of it is
// looked up, so that little is left to do from one to the next.
class FlagRows {
   public:
    FlagRows(const Model& model, const Expected& expected, size_t classes)
        : model_(model), bands_(model.bands()), by_class_(classes * bands_ * flag_units), sums_(bands_ * flag_units),
          counted_(bands_ + 1), offset_(model.statistics().flags.offset) {
        const auto& network = model.statistics().flags;
        for (size_t m = 0; m < classes; ++m)
            for (size_t b = 0; b < bands_; ++b)
                for (size_t unit = 0; unit < flag_units; ++unit)
                    by_class_[(m * bands_ + b) * flag_units + unit] = static_cast<int16_t>(
                        network.bias[b * flag_units + unit] + network.weights[0][unit] * expected.of(m).here[b] +
                        network.weights[flag_inputs - 1][unit] * said * static_cast<int>(m));
        for (size_t past = 0; past < pasts; ++past)
            for (size_t i = 0; i < remembered; ++i)
                for (size_t unit = 0; unit < flag_units; ++unit)
                    of_past_[past][unit] = static_cast<int16_t>(
                        of_past_[past][unit] + (past >> i & 1 ? said * network.weights[first_remembered + i][unit] : 0));
        for (size_t n = 0; n <= bands_; ++n) counted_[n] = eighths(64 * static_cast<int32_t>(n) + 32);
        for (size_t unit = 0; unit < flag_units; ++unit) {
            of_count_[unit] = network.weights[first_remembered - 1][unit];
            out_high_[unit] = static_cast<int16_t>(network.out[unit] >> 8);
            out_low_[unit] = static_cast<int16_t>(network.out[unit] & 255);
        }
    }

    void begin(const Neighbours& near, size_t importance) {
        using Vectors = ShortVectors<flag_units>;
        using Shorts = Vectors::Shorts;
        const auto& weights = model_.statistics().flags.weights;
        const auto of = [&](size_t input) { return loaded<Shorts>(weights[input].data()); };
        const Shorts west = of(1), north = of(2), north_west = of(3), north_east = of(4);
        const int16_t* from = &by_class_[importance * bands_ * flag_units];
        int16_t* to = sums_.data();
        for (size_t b = 0; b < bands_; ++b, from += flag_units, to += flag_units) {
            const Shorts rows = west * Vectors::all(near.w.bands[b]) + north * Vectors::all(near.n.bands[b]);
            const Shorts corners = north_west * Vectors::all(near.nw.bands[b]) + north_east * Vectors::all(near.ne.bands[b]);
            stored(loaded<Shorts>(from) + rows + corners, to);
        }
    }

    // Of a band, with so many ones before it, and the flags just before it, the nearest the lowest bit.
    static constexpr size_t pasts = 8;
    template <class Set>
    MIDSTREAM_INLINE size_t row(const Expected::Class& expected, size_t b, size_t ones, size_t past) const {
        const int16_t count = limited(counted_[ones] - expected.bands[b]);
        const int16_t *known = &sums_[b * flag_units], *before = of_past_[past].data();
        const int32_t out = offset_ + Set::out({known, before, of_count_.data(), out_high_.data(), out_low_.data(), count});
        return static_cast<size_t>(std::clamp(out >> 16, 0, static_cast<int>(flag_distributions) - 1));
    }

   private:
    static constexpr size_t remembered = 3, first_remembered = 6;  // of the inputs
    static_assert(pasts == size_t{1} << remembered);

    const Model& model_;
    size_t bands_;
    std::vector<int16_t> by_class_;  // [classes, bands, units]
    std::vector<int16_t> sums_;      // [bands, units]: of the cell
    std::vector<int32_t> counted_;   // [ones]
    int32_t offset_;
    std::array<std::array<int16_t, flag_units>, pasts> of_past_{};
    std::array<int16_t, flag_units> of_count_, out_high_, out_low_;
};

}  // namespace midstream::entropy
