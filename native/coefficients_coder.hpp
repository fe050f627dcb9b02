// Transform coefficients are coded cell after cell, in a cell the strongest first, by prediction (neighbours.hpp) and
// context mixing (mixing.hpp): how far off they are likely to be, coefficients_contexts.hpp. docs/format.md is normative.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "coefficients.hpp"
#include "coefficients_contexts.hpp"
#include "dispatch.hpp"
#include "mixing.hpp"
#include "neighbours.hpp"

namespace midstream::coefficients {

// Where the coder is.
struct Place {
    ptrdiff_t y, x;
    size_t cell, importance, column;  // the last one is that of `levels`: a mode of prediction and an importance class
    Neighbours near;
};

// What coding a frame takes beside the coder's end and its state.
struct Task {
    const CoefficientModel& model;
    CoefficientGrid grid;
    CoefficientSteps steps;
    CoefficientImage image;
    std::vector<uint8_t> levels;  // [columns, coefficients], as the model has them
    // Of a predicted frame.
    const FramePredictors* predictors = nullptr;
    const FrameReference* reference = nullptr;
    uint8_t* modes = nullptr;
    // Of a decoder: called with the number of rows that are what they are going to be.
    RowsDone done = {};
};

template <class Coder, class Kind, class Lanes>
class CoefficientCoder {
   public:
    using At = Layout<Kind>;
    using Mix = Mixer<Kind::contexts, Lanes>;

    // A value that is about to be coded.
    struct Asked {
        uint32_t at[Kind::contexts];
        uint32_t level;
    };

    CoefficientCoder(Coder& coder, const Task& task, Slot* slots)
        : coder_(coder), grid_(task.grid), steps_(task.steps), image_(task.image), slots_(slots),
          model_(task.model), done_(task.done), predictors_(task.predictors), reference_(task.reference), modes_(task.modes),
          mixer_(sets), expected_(task.levels, task.grid.coefficients), cells_(task.grid), sums_(cells_.padded()),
          around_(model_.whole_neighbours(), image_.decoded, grid_.coefficients, grid_.width),
          alone_(std::max({cells_.padded(), model_.neighbours().predicted(), model_.whole_neighbours().predicted()})),
          moved_(Kind::predicted ? cells_.padded() : 0), before_(Kind::predicted ? cells_.padded() : 0) {}

    // The quantiser says, before a value is coded, what it shall be; a decoder's says nothing. False when what is read
    // is not valid.
    template <class Quantiser>
    MIDSTREAM_INLINE bool run(Quantiser& quantiser) {
        auto* learnt = reinterpret_cast<int32_t*>(slots_ + At::weights);
        int32_t* times = learnt + sets * Mix::inputs;
        for (size_t i = 0; i < sets; ++i)
            mixer_.put_weights(i, learnt + i * Mix::inputs, static_cast<uint16_t>(times[i]));
        if (!image_.known && !code_importance()) return false;
        for (ptrdiff_t y = 0; y < static_cast<ptrdiff_t>(grid_.height); ++y) {
            for (ptrdiff_t x = 0; x < static_cast<ptrdiff_t>(grid_.width); ++x) {
                const size_t cell = static_cast<size_t>(y) * grid_.width + static_cast<size_t>(x);
                Place place = {y, x, cell, image_.importance[cell], image_.importance[cell],
                               {cells_.at(y, x), cells_.at(y, x - 1), cells_.at(y - 1, x), cells_.at(y - 1, x - 1),
                                cells_.at(y - 1, x + 1), cells_.at(y, x - 2), cells_.at(y - 2, x)}};
                if constexpr (Quantiser::decides) expect(static_cast<size_t>(y), static_cast<size_t>(x));
                const float* predicted = alone_.data();
                if constexpr (Kind::predicted) {
                    if (!code_mode(place, quantiser)) return false;
                    if (modes_[cell]) predicted = moved_.data();
                }
                if (!code_cell(place, predicted, quantiser)) return false;
            }
            if constexpr (!Quantiser::decides)
                if (model_.whole()) {
                    add_expected(static_cast<size_t>(y));
                    if (done_) done_(static_cast<size_t>(y) + 1);
                }
        }
        if constexpr (!Quantiser::decides)  // no value says how one is read: cells wait for each other here, not above
            if (!model_.whole())
                model_.neighbours().add(image_.decoded, grid_.coefficients, grid_.height, grid_.width, modes_);
        for (size_t i = 0; i < sets; ++i) times[i] = mixer_.take_weights(i, learnt + i * Mix::inputs);
        return true;
    }

    // Bits, in 1/256, that a mode would take.
    uint32_t price_of_mode(const Place& place, size_t mode) const {
        const Slot* slots = slots_ + mode_slots(place);
        uint32_t bits = 0;
        for (size_t m = 0; m <= mode && m + 1 < predictors_->modes; ++m) {
            const int32_t p = slots[m].chance();
            bits += bits_of(m < mode ? p : 65536 - p);
        }
        return bits;
    }
    const uint8_t* levels(size_t column) const { return expected_.of(column).level; }
    // What a cell that is predicted from the frame before is expected to be.
    MIDSTREAM_INLINE void from_before(size_t mode, size_t cell, float* out) const {
        const float* gains = &predictors_->gains[(mode - 1) * grid_.coefficients];
        const float* values = reference_->values + cell * grid_.coefficients;
        for (size_t k = 0; k < grid_.coefficients; ++k) out[k] = gains[k] * values[k];
    }

    // How strong a cell has been up to a coefficient, beside what was expected.
    MIDSTREAM_INLINE uint32_t own(const Place& place, const Strength& strength, size_t k) const {
        return static_cast<uint32_t>(ratio(strength.slow, expected_.of(place.column).slow[k]));
    }
    MIDSTREAM_INLINE uint32_t brief(const Place& place, const Strength& strength, size_t k) const {
        return static_cast<uint32_t>(ratio(strength.quick, expected_.of(place.column).quick[k]));
    }
    // A value of a band, when so much is known of its cell.
    MIDSTREAM_INLINE void ask(const Band<Kind, Lanes>& band_of, const Place& place, size_t from, size_t k, uint32_t own,
                              uint32_t brief, Asked& out) const {
        const uint16_t* back = &model_.statistics().references[2 * k];
        const uint8_t* here = place.near.here.magnitudes + k;  // zero from here on: so is what a distance of 0 leads to
        const auto there = [&](uint16_t distance) { return std::min<uint32_t>(*(here - distance), 3); };
        band_of.locate(k - from, own, brief, there(back[0]) * 4 + there(back[1]), out.at);
        out.level = expected_.of(place.column).level[k];
    }

   private:
    // What a cell is expected to be from those before it, in `alone_`.
    void expect(size_t y, size_t x) {
        if (model_.whole()) return around_.predict(y, x, alone_.data());
        model_.neighbours().predict(image_.decoded, grid_.coefficients, grid_.width, y, x, alone_.data());
    }
    // To the cells of a row, of which the differences to that were read.
    void add_expected(size_t y) {
        const size_t predicted = std::min(grid_.coefficients, model_.whole_neighbours().predicted());
        for (size_t x = 0; x < grid_.width; ++x) {
            const size_t cell = y * grid_.width + x;
            if (modes_ && modes_[cell]) continue;
            expect(y, x);
            float* decoded = image_.decoded + cell * grid_.coefficients;
            for (size_t k = 0; k < predicted; ++k) decoded[k] = alone_[k] + decoded[k];
        }
        std::fill(alone_.begin(), alone_.end(), 0.0f);  // what differences begin with
    }

    bool code_importance() {
        for (size_t y = 0; y < grid_.height; ++y)
            for (size_t x = 0; x < grid_.width; ++x) {
                const size_t cell = y * grid_.width + x;
                uint8_t* at = image_.importance + cell;
                const ptrdiff_t up = -static_cast<ptrdiff_t>(grid_.width);
                const size_t west = x ? at[-1] : y ? at[up] : 0;
                const size_t north = y ? at[up] : west;
                size_t around = west * classes + north;
                if constexpr (Kind::predicted) around += reference_->importance[cell] * classes * classes;
                Slot* slots = slots_ + At::importance + around * classes;
                size_t importance = 0;
                for (; importance + 1 < steps_.classes; ++importance) {
                    int more = *at > importance;
                    code_bit(slots[importance], more);
                    if (!more) break;
                }
                if (coder_.overrun()) return false;
                *at = static_cast<uint8_t>(importance);
            }
        return true;
    }

    // Modes of the cells to the west and north, and of this one in the frame before.
    size_t mode_slots(const Place& place) const {
        const size_t west = place.x ? modes_[place.cell - 1] : 0;
        const size_t north = place.y ? modes_[place.cell - grid_.width] : west;
        const size_t around = (west * most_frame_modes + north) * most_frame_modes + reference_->modes[place.cell];
        return At::modes + around * most_frame_modes;
    }

    template <class Quantiser>
    MIDSTREAM_INLINE bool code_mode(Place& place, Quantiser& quantiser) {
        size_t wanted = 0;
        if constexpr (Quantiser::decides) wanted = quantiser.mode(*this, place, predictors_->modes, alone_.data());
        Slot* slots = slots_ + mode_slots(place);
        size_t mode = 0;
        for (; mode + 1 < predictors_->modes; ++mode) {
            int more = wanted > mode;
            code_bit(slots[mode], more);
            if (!more) break;
        }
        if (coder_.overrun()) return false;
        modes_[place.cell] = static_cast<uint8_t>(mode);
        place.column = mode * steps_.classes + place.importance;
        if (mode) from_before(mode, place.cell, moved_.data());
        look_before(place);
        return true;
    }

    // What the frame before had here, and in the cells around that come after this one.
    MIDSTREAM_INLINE void look_before(const Place& place) {
        const size_t count = grid_.coefficients;
        const int8_t* here = reference_->symbols + place.cell * count;
        const auto right = static_cast<size_t>(place.x) + 1, below = static_cast<size_t>(place.y) + 1;
        const bool has_right = right < grid_.width, has_below = below < grid_.height;
        uint16_t* around = before_.around.data();
        const auto add = [&](const int8_t* symbols, int times) {
            for (size_t k = 0; k < count; ++k) around[k] = static_cast<uint16_t>(around[k] + times * std::abs(symbols[k]));
        };
        std::fill(before_.around.begin(), before_.around.end(), uint16_t{0});
        if (has_right) add(here + count, 2);
        if (has_below) {
            const int8_t* south = here + grid_.width * count;
            add(south, 2);
            if (place.x) add(south - count, 1);
            if (has_right) add(south + count, 1);
        }
        for (size_t k = 0; k < count; ++k) before_.magnitudes[k] = static_cast<uint8_t>(std::abs(here[k]));
        sums_.write(before_.magnitudes.data(), before_.magnitudes.size(), before_.sums.data());
        int32_t whole = 0;
        for (const uint8_t magnitude : before_.magnitudes) whole += magnitude;
        before_.whole = whole & 0xFFFF;
    }
    // How much of the band, and of the whole cell, was not zero in the frame before: 0 to 8.
    size_t band_before(size_t from) const {
        int32_t here = 0;
        for (size_t k = from; k < from + band; ++k) here += before_.magnitudes[k];
        return static_cast<size_t>((here == 0 ? 0 : here < 3 ? 1 : 2) * 3 + std::min(half_log(before_.whole, 15) / 4, 2));
    }

    template <class Quantiser>
    MIDSTREAM_INLINE bool code_cell(const Place& place, const float* predicted, Quantiser& quantiser) {
        const size_t count = grid_.coefficients, at = place.cell * count;
        const Neighbours& near = place.near;
        const Expectations::Column column = expected_.of(place.column);
        std::copy_n(predicted, count, image_.decoded + at);
        if (image_.symbols) std::fill_n(image_.symbols + at, count, int8_t{0});
        Strength strength;
        Band<Kind, Lanes> contexts;
        int before = 1;
        bool any = false;
        for (size_t b = 0; b * band < count; ++b) {
            const size_t from = b * band, to = std::min(from + band, count);
            std::fill_n(near.here.magnitudes + from, band, uint8_t{0});
            std::fill_n(near.here.signs + from, band, uint8_t{0});
            size_t slot = ((column.level[from] * size_t{4} + own(place, strength, from) / 4) * 3 + near.w.bands[b] + near.n.bands[b]) * 2;
            slot += static_cast<size_t>(before);
            if constexpr (Kind::predicted) slot = slot * 9 + band_before(from);
            int used = 0;
            if constexpr (Quantiser::decides) used = quantiser.uses(place.cell, place.importance, column.level, from, to, predicted);
            code_bit(slots_[At::bands + slot], used);
            if (used) contexts.find(from, column, near, before_);
            near.here.bands[b] = static_cast<uint8_t>(used);
            before = used;
            any |= used != 0;
            if (used) {
                for (size_t k = from; k < to; ++k)
                    if (!code_value(contexts, place, from, k, strength, quantiser)) return false;
            } else {
                strength.fade();
            }
            if (coder_.overrun()) return false;
        }
        if (any)
            sums_.write(near.here.magnitudes, cells_.padded(), near.here.sums);
        else
            std::fill_n(near.here.sums, cells_.padded(), uint16_t{0});
        return true;
    }

    template <class Quantiser>
    MIDSTREAM_INLINE bool code_value(const Band<Kind, Lanes>& contexts, const Place& place, size_t from, size_t k,
                                     Strength& strength, Quantiser& quantiser) {
        Asked value;
        ask(contexts, place, from, k, own(place, strength, k), brief(place, strength, k), value);
        int32_t wanted = 0;
        if constexpr (Quantiser::decides) wanted = quantiser.value(value.level, k - from);
        int magnitude = 0;
        if (!code_magnitude(value, std::abs(wanted), magnitude)) return false;
        if (magnitude) {
            int negative = wanted < 0;
            code_bit(slots_[sign_slot(k, place)], negative);
            keep(place, k, magnitude, negative, value.level);
        }
        strength.add(std::min(magnitude, 255));
        return true;
    }

    MIDSTREAM_INLINE bool code_magnitude(const Asked& value, int wanted, int& magnitude) {
        for (; magnitude <= unary_limit; ++magnitude) {
            const int decision = decision_of[static_cast<size_t>(magnitude)];
            int larger = wanted > magnitude;
            typename Mix::Look now;
            mixer_.look(static_cast<size_t>(decision) * 4 + value.level / 8, slots_, value.at,
                        static_cast<uint32_t>(decision), now);
            coder_.code(larger, static_cast<uint32_t>(now.chance));
            mixer_.learn(now, slots_, value.at, static_cast<uint32_t>(decision), larger);
            if (!larger) return true;
        }
        return code_escape(wanted - magnitude, magnitude);
    }

    // A value that is not zero. Signs are as hard to foresee as can be: no branch depends on them.
    MIDSTREAM_INLINE void keep(const Place& place, size_t k, int32_t magnitude, int negative, uint32_t level) {
        const size_t at = place.cell * grid_.coefficients + k;
        const int32_t sign = 1 - 2 * negative;
        image_.decoded[at] += model_.reconstruction(level, magnitude) * steps_.sizes[place.importance] * static_cast<float>(sign);
        if (image_.chosen) image_.chosen[at] = sign * magnitude;
        if (image_.symbols) image_.symbols[at] = static_cast<int8_t>(sign * std::min(magnitude, 127));
        place.near.here.magnitudes[k] = static_cast<uint8_t>(std::min(magnitude, 255));
        place.near.here.signs[k] = static_cast<uint8_t>(1 + negative);
    }

    size_t sign_slot(size_t k, const Place& place) const {
        const Neighbours& near = place.near;
        size_t at = std::min(k, Kind::signed_alone - 1) * 9 + near.w.signs[k] * size_t{3} + near.n.signs[k];
        if constexpr (Kind::predicted) {
            const int8_t was = reference_->symbols[place.cell * grid_.coefficients + k];
            at = at * 3 + (was > 0 ? 1 : was < 0 ? 2 : 0);
        }
        return At::signs + at;
    }

    // Exponential Golomb code: the bit length of `above` + 1 in unary, then its lower bits.
    bool code_escape(int above, int& magnitude) {
        const uint32_t wanted = static_cast<uint32_t>(std::max(above, 0)) + 1;
        const int width = std::bit_width(wanted);
        int length = 1;
        for (; length <= longest_escape; ++length) {
            int longer = width > length;
            code_bit(slots_[At::escape + static_cast<size_t>(length)], longer);
            if (!longer) break;
        }
        if (length > longest_escape) return false;
        uint32_t read = 1;
        for (int i = length - 2; i >= 0; --i) {
            int bit = static_cast<int>(wanted >> i & 1);
            coder_.code(bit, 32768);
            read = read * 2 + static_cast<uint32_t>(bit);
        }
        magnitude += static_cast<int>(read - 1);
        return magnitude <= largest_coefficient;
    }

    MIDSTREAM_INLINE void code_bit(Slot& slot, int& bit) {
        coder_.code(bit, static_cast<uint32_t>(slot.chance()));
        slot.update(bit);
    }

    Coder& coder_;
    CoefficientGrid grid_;
    CoefficientSteps steps_;
    CoefficientImage image_;
    Slot* slots_;  // the state: slots, and behind them what Layout says
    const CoefficientModel& model_;
    const RowsDone& done_;
    const FramePredictors* predictors_;
    const FrameReference* reference_;
    uint8_t* modes_;
    Mix mixer_;
    Expectations expected_;
    Cells cells_;
    WindowSums sums_;
    WholeNeighbours::Pass around_;
    std::vector<float> alone_, moved_;  // what the cell is expected to be: alone, or as the frame before has it
    Before before_;
};

}  // namespace midstream::coefficients
