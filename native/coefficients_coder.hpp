// Transform coefficients are coded cell after cell, in a cell the strongest first, by prediction and context mixing
// (mixing.hpp). What a coefficient is expected to be: a linear function of the cells around that are decoded already.
// How far off it is likely to be: coefficients_contexts.hpp. docs/format.md is normative.
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

namespace midstream::coefficients {

// Where the coder is.
struct Place {
    ptrdiff_t y, x;
    size_t cell, importance, column;  // the last one is that of `levels`: a mode of prediction and an importance class
    Neighbours near;
};

template <class Coder, class Kind>
class CoefficientCoder {
   public:
    using At = Layout<Kind>;
    using Mix = typename At::Mix;
    static constexpr int contexts = Kind::contexts;

    // `levels` as the model has them, [coefficients, columns]; `predictors`, `reference` and `modes` of a predicted frame.
    CoefficientCoder(Coder& coder, const CoefficientModel& model, const CoefficientGrid& grid,
                     const CoefficientSteps& steps, uint32_t* state, const CoefficientImage& image,
                     std::vector<uint8_t> levels, const FramePredictors* predictors = nullptr,
                     const FrameReference* reference = nullptr, uint8_t* modes = nullptr)
        : coder_(coder), grid_(grid), steps_(steps), image_(image), state_(state),
          references_(model.statistics().references.data()), offsets_(model.statistics().offsets.data()),
          prediction_(model.statistics().prediction.data()), inputs_(model.statistics().inputs),
          outputs_(model.statistics().outputs), predictors_(predictors), reference_(reference), modes_(modes),
          columns_(levels.size() / grid.coefficients), mixer_(sets), levels_(std::move(levels)),
          wanted_(columns_ * (grid.coefficients + 1)), cells_(grid), predicted_(grid.coefficients),
          before_sums_(Kind::predicted ? grid.coefficients + 1 : 0), chosen_(image.chosen ? 0 : grid.coefficients) {
        for (size_t c = 0; c < columns_; ++c)
            for (size_t k = 0; k < grid.coefficients; ++k)
                wanted_[c * (grid.coefficients + 1) + k + 1] =
                    wanted_[c * (grid.coefficients + 1) + k] + expected[levels_[k * columns_ + c]];
        const auto* weights = reinterpret_cast<const int32_t*>(state + At::weights);
        std::copy_n(weights, sets * Mix::inputs, mixer_.weights().begin());
        for (size_t i = 0; i < sets; ++i) mixer_.learnt()[i] = static_cast<uint16_t>(state[At::learnt + i]);
        Slot* at = reinterpret_cast<Slot*>(state);
        for (int i = 0; i < contexts; ++i) slots_[i] = at + At::context(i);
        signs_ = at + At::signs, bands_ = at + At::bands, importance_ = at + At::importance;
        frame_modes_ = at + At::modes, escape_ = at + At::escape;
    }

    // The quantiser says, before a value is coded, what it shall be; a decoder's says nothing.
    template <class Quantiser>
    bool run(Quantiser& quantiser) {
        switch (current_path()) {
#ifdef MIDSTREAM_X86
            case Path::avx512:
            case Path::avx2: return run_avx2(quantiser);
#endif
            default: return code_all(quantiser);
        }
    }

    // Bits, in 1/256, that a decision would take.
    uint32_t price(const Around& around, int magnitude, bool larger) {
        typename Mix::Inputs in;
        const int decision = decision_of(magnitude);
        uint32_t at[contexts];
        locate(around, at);
        for (int c = 0; c < contexts; ++c)
            Mix::put(in, c, slots_[c][at[c] * decisions + static_cast<uint32_t>(decision)]);
        Mix::put_constant(in);
        const int32_t p = mixer_.mix(set_of(decision, around), in);
        return bits_of(larger ? p : 65536 - p);
    }
    // Bits, in 1/256, that a mode would take.
    uint32_t price_of_mode(const Place& place, size_t mode) const {
        const Slot* slots = mode_slots(place);
        uint32_t bits = 0;
        for (size_t m = 0; m <= mode && m + 1 < predictors_->modes; ++m) {
            const int32_t p = std::clamp(slots[m].probability() * 16, least_chance, 65536 - least_chance);
            bits += bits_of(m < mode ? p : 65536 - p);
        }
        return bits;
    }
    uint32_t level(size_t k, size_t column) const { return levels_[k * columns_ + column]; }
    // What a cell that is predicted from the frame before is expected to be.
    float from_before(size_t mode, size_t cell, size_t k) const {
        return predictors_->gains[(mode - 1) * grid_.coefficients + k] * reference_->values[cell * grid_.coefficients + k];
    }

   private:
#ifdef MIDSTREAM_X86
    template <class Quantiser>
    MIDSTREAM_AVX2 bool run_avx2(Quantiser& quantiser) { return code_all(quantiser); }
#endif

    template <class Quantiser>
    MIDSTREAM_INLINE bool code_all(Quantiser& quantiser) {
        if (!image_.known && !code_importance()) return false;
        for (ptrdiff_t y = 0; y < static_cast<ptrdiff_t>(grid_.height); ++y) {
            cells_.clear(y);
            for (ptrdiff_t x = 0; x < static_cast<ptrdiff_t>(grid_.width); ++x) {
                const size_t cell = static_cast<size_t>(y) * grid_.width + static_cast<size_t>(x);
                Place place = {y, x, cell, image_.importance[cell], image_.importance[cell],
                               {cells_.at(y, x), cells_.at(y, x - 1), cells_.at(y - 1, x), cells_.at(y - 1, x - 1),
                                cells_.at(y - 1, x + 1), cells_.at(y, x - 2), cells_.at(y - 2, x)}};
                predict(y, x);
                if constexpr (Kind::predicted)
                    if (!code_mode(place, quantiser)) return false;
                if (!code_cell(place, quantiser)) return false;
            }
        }
        std::memcpy(state_ + At::weights, mixer_.weights().data(), sets * Mix::inputs * sizeof(int32_t));
        for (size_t i = 0; i < sets; ++i) state_[At::learnt + i] = mixer_.learnt()[i];
        return true;
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
                Slot* slots = importance_ + around * classes;
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
    size_t mode_context(const Place& place) const {
        const size_t west = place.x ? modes_[place.cell - 1] : 0;
        const size_t north = place.y ? modes_[place.cell - grid_.width] : west;
        return ((west * most_frame_modes + north) * most_frame_modes + reference_->modes[place.cell]) * most_frame_modes;
    }
    const Slot* mode_slots(const Place& place) const { return frame_modes_ + mode_context(place); }

    template <class Quantiser>
    MIDSTREAM_INLINE bool code_mode(Place& place, Quantiser& quantiser) {
        const size_t count = grid_.coefficients;
        const size_t wanted = quantiser.mode(*this, place, predictors_->modes, predicted_.data());
        Slot* slots = frame_modes_ + mode_context(place);
        size_t mode = 0;
        for (; mode + 1 < predictors_->modes; ++mode) {
            int more = wanted > mode;
            code_bit(slots[mode], more);
            if (!more) break;
        }
        if (coder_.overrun()) return false;
        modes_[place.cell] = static_cast<uint8_t>(mode);
        place.column = mode * steps_.classes + place.importance;
        const int8_t* before = reference_->symbols + place.cell * count;
        for (size_t k = 0; k < count; ++k)
            before_sums_[k + 1] = static_cast<uint16_t>(before_sums_[k] + std::abs(before[k]));
        if (mode)
            for (size_t k = 0; k < count; ++k) predicted_[k] = from_before(mode, place.cell, k);
        return true;
    }

    // Adds up in one order whatever the vector's width: outputs are lanes.
    MIDSTREAM_INLINE void predict(ptrdiff_t y, ptrdiff_t x) {
        std::fill(predicted_.begin(), predicted_.end(), 0.0f);
        add_predicted(0, y, x - 1);
        add_predicted(1, y - 1, x);
        add_predicted(2, y - 1, x + 1);
    }
    MIDSTREAM_INLINE void add_predicted(size_t side, ptrdiff_t y, ptrdiff_t x) {
        if (y < 0 || x < 0 || x >= static_cast<ptrdiff_t>(grid_.width)) return;
        const size_t cell = static_cast<size_t>(y) * grid_.width + static_cast<size_t>(x), outputs = outputs_;
        const float* decoded = image_.decoded + cell * grid_.coefficients;
        const float* row = prediction_ + side * inputs_ * outputs;
        float* out = predicted_.data();
        for (size_t i = 0; i < inputs_; ++i, row += outputs) {
            const float value = decoded[i];
            if (value == 0) continue;
            for (size_t o = 0; o < outputs; ++o) out[o] += value * row[o];
        }
    }

    template <class Quantiser>
    MIDSTREAM_INLINE bool code_cell(const Place& place, Quantiser& quantiser) {
        const size_t count = grid_.coefficients;
        const Neighbours& near = place.near;
        int32_t* chosen = image_.chosen ? image_.chosen + place.cell * count : chosen_.data();
        Strength strength;
        int before = 1;
        for (size_t b = 0; b * band < count; ++b) {
            const size_t from = b * band, to = std::min(from + band, count);
            const auto own = static_cast<uint32_t>(ratio(strength.slow, strength.wanted_slow)) / 4;
            size_t around = (level(from, place.column) * 4 + own) * 3 + near.w.bands[b] + near.n.bands[b];
            around = around * 2 + static_cast<size_t>(before);
            if constexpr (Kind::predicted) around = around * 9 + band_before(from, to);
            int used = quantiser.used(*this, place, strength, from, to, predicted_.data());
            code_bit(bands_[around], used);
            near.here.bands[b] = static_cast<uint8_t>(used);
            before = used;
            if (coder_.overrun()) return false;
            for (size_t k = from; k < to; ++k) {
                int32_t value = 0;
                if (used) {
                    const Around there = look(k, place, strength, chosen);
                    value = quantiser.value(*this, place, there, k, predicted_[k]);
                    if (!code_value(there, k, place, value)) return false;
                }
                chosen[k] = value;
                keep(place, k, value, strength);
            }
        }
        return true;
    }

    // How much of the band, and of the whole cell, was not zero in the frame before: 0 to 8.
    size_t band_before(size_t from, size_t to) const {
        const int32_t here = before_sum(from, to);
        const int cell = half_log(static_cast<uint32_t>(before_sum(0, grid_.coefficients)), 15);
        return static_cast<size_t>((here == 0 ? 0 : here < 3 ? 1 : 2) * 3 + std::min(cell / 4, 2));
    }
    int32_t before_sum(size_t from, size_t to) const {
        return static_cast<uint16_t>(before_sums_[to] - before_sums_[from]);
    }

    MIDSTREAM_INLINE void keep(const Place& place, size_t k, int32_t value, Strength& strength) {
        const size_t at = place.cell * grid_.coefficients + k;
        const Cell& here = place.near.here;
        const uint32_t own = level(k, place.column);
        const int32_t size = std::min(std::abs(value), 255);
        image_.decoded[at] = predicted_[k];
        if (value != 0) {
            const float magnitude = reconstruction(own, std::abs(value)) * steps_.sizes[place.importance];
            image_.decoded[at] += value < 0 ? -magnitude : magnitude;
        }
        if (image_.symbols) image_.symbols[at] = static_cast<int8_t>(std::clamp(value, -127, 127));
        here.magnitudes[k] = static_cast<uint8_t>(size);
        here.signs[k] = static_cast<uint8_t>(value > 0 ? 1 : value < 0 ? 2 : 0);
        here.sums[k + 1] = static_cast<uint16_t>(here.sums[k] + size);
        strength.add(size, expected[own]);
    }

   public:
    float reconstruction(uint32_t level, int32_t magnitude) const {
        const int32_t c = std::min(magnitude, reconstruction_classes) - 1;
        const int8_t offset = offsets_[level * reconstruction_classes + static_cast<uint32_t>(c)];
        return static_cast<float>(magnitude) + static_cast<float>(offset) / 64;
    }

    MIDSTREAM_INLINE Around look(size_t k, const Place& place, const Strength& strength, const int32_t* chosen) const {
        const Neighbours& near = place.near;
        const uint32_t w = near.w.magnitudes[k], n = near.n.magnitudes[k], nw = near.nw.magnitudes[k];
        const uint32_t ne = near.ne.magnitudes[k], ww = near.ww.magnitudes[k], nn = near.nn.magnitudes[k];
        const size_t low = k < window ? 0 : k - window, high = std::min(k + window, grid_.coefficients);
        const auto sum = [&](const Cell& c) { return c.sum(low, high); };
        const int32_t beside = 2 * sum(near.w) + 2 * sum(near.n) + sum(near.nw) + sum(near.ne);
        const int32_t* wanted = &wanted_[place.column * (grid_.coefficients + 1)];
        const uint16_t* back = references_ + 2 * k;
        const auto few = [](uint32_t v, uint32_t most) { return std::min(v, most); };
        const auto there = [&](uint16_t distance) {
            return distance ? few(static_cast<uint32_t>(std::abs(chosen[k - distance])), 3) : 0;
        };
        Around out;
        out.level = level(k, place.column);
        out.coefficient = static_cast<uint32_t>(std::min(k, numbered - 1));
        out.near = static_cast<uint32_t>(half_log(2 * w + 2 * n + nw + ne, 7));
        out.nearest = few(w + n, 3);
        out.own = static_cast<uint32_t>(ratio(strength.slow, strength.wanted_slow));
        out.brief = static_cast<uint32_t>(ratio(strength.quick, strength.wanted_quick));
        out.beside = static_cast<uint32_t>(ratio(64 * beside, (wanted[high] - wanted[low]) * 3 / 2)) / 2;
        out.related = there(back[0]) * 4 + there(back[1]);
        out.pattern = few(w, 3) | few(n, 3) << 2 | few(nw, 3) << 4;
        out.pattern |= few(ne, 3) << 6 | few(ww, 3) << 8 | few(nn, 3) << 10;
        if constexpr (Kind::predicted) {
            out.before = few(was(place.cell, k), 3);
            out.before_beside = static_cast<uint32_t>(half_log(static_cast<uint32_t>(before_sum(low, high)), 15));
            out.before_around = static_cast<uint32_t>(half_log(was_around(place, k), 7));
            const int32_t whole = before_sum(0, grid_.coefficients);
            out.before_cell = static_cast<uint32_t>(half_log(static_cast<uint32_t>(whole), 15));
        }
        return out;
    }

   private:
    // The magnitude that the frame before had in a cell; and in the cells around that come after this one.
    uint32_t was(size_t cell, size_t k) const {
        return static_cast<uint32_t>(std::abs(reference_->symbols[cell * grid_.coefficients + k]));
    }
    uint32_t was_around(const Place& place, size_t k) const {
        const auto right = static_cast<size_t>(place.x) + 1, below = static_cast<size_t>(place.y) + 1;
        const bool has_right = right < grid_.width, has_below = below < grid_.height;
        uint32_t sum = has_right ? 2 * was(place.cell + 1, k) : 0;
        if (has_below) {
            const size_t south = place.cell + grid_.width;
            sum += 2 * was(south, k) + (place.x ? was(south - 1, k) : 0) + (has_right ? was(south + 1, k) : 0);
        }
        return sum;
    }

    MIDSTREAM_INLINE static void locate(const Around& a, uint32_t (&at)[contexts]) {
        at[0] = (a.level * 16 + a.own) * 4 + a.nearest;
        at[1] = a.coefficient * 4 + a.nearest;
        at[2] = (a.near * 32 + a.level) * 8 + a.beside;
        at[3] = a.level * 64 + a.related * 4 + a.nearest;
        at[4] = (a.brief * 16 + a.own) * 16 + a.level / 2;
        at[5] = a.pattern;
        at[6] = a.coefficient * 4 + a.own / 4;
        if constexpr (Kind::predicted) {
            at[7] = (a.level * 16 + a.before_beside) * 4 + a.before;
            at[8] = (a.level * 16 + a.before * 4 + a.nearest) * 8 + a.before_around;
            at[9] = (a.before_cell * 16 + a.own) * 16 + a.level / 2;
            at[10] = std::min(a.coefficient, static_cast<uint32_t>(Kind::signed_alone - 1)) * 4 + a.before;
        }
    }

    MIDSTREAM_INLINE static size_t set_of(int decision, const Around& around) {
        return static_cast<size_t>(decision) * 4 + around.level / 8;
    }

    MIDSTREAM_INLINE bool code_value(const Around& around, size_t k, const Place& place, int32_t& value) {
        uint32_t at[contexts];
        locate(around, at);
        const int wanted = std::abs(value);
        int magnitude = 0;
        for (; magnitude <= unary_limit; ++magnitude) {
            int larger = wanted > magnitude;
            code_decision(around, at, decision_of(magnitude), larger);
            if (!larger) break;
        }
        if (magnitude > unary_limit && !code_escape(wanted - magnitude, magnitude)) return false;
        int negative = value < 0;
        if (magnitude) code_bit(sign_slot(k, place), negative);
        value = negative ? -magnitude : magnitude;
        return !coder_.overrun();
    }
    Slot& sign_slot(size_t k, const Place& place) const {
        const Neighbours& near = place.near;
        size_t at = std::min(k, Kind::signed_alone - 1) * 9 + near.w.signs[k] * size_t{3} + near.n.signs[k];
        if constexpr (Kind::predicted) {
            const int8_t was = reference_->symbols[place.cell * grid_.coefficients + k];
            at = at * 3 + (was > 0 ? 1 : was < 0 ? 2 : 0);
        }
        return signs_[at];
    }

    MIDSTREAM_INLINE void code_decision(const Around& around, const uint32_t (&at)[contexts], int decision, int& bit) {
        Slot* slot[contexts];
        typename Mix::Inputs in;
        for (int c = 0; c < contexts; ++c) {
            slot[c] = &slots_[c][at[c] * decisions + static_cast<uint32_t>(decision)];
            Mix::put(in, c, *slot[c]);
        }
        Mix::put_constant(in);
        const size_t set = set_of(decision, around);
        const int32_t p = mixer_.mix(set, in);
        coder_.code(bit, static_cast<uint32_t>(p));
        mixer_.learn(set, in, p, bit);
        for (Slot* each : slot) each->update(bit);
    }

    // Exponential Golomb code: the bit length of `above` + 1 in unary, then its lower bits.
    bool code_escape(int above, int& magnitude) {
        const uint32_t wanted = static_cast<uint32_t>(std::max(above, 0)) + 1;
        const int width = std::bit_width(wanted);
        int length = 1;
        for (; length <= longest_escape; ++length) {
            int longer = width > length;
            code_bit(escape_[length], longer);
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
        const int32_t p = std::clamp(slot.probability() * 16, least_chance, 65536 - least_chance);
        coder_.code(bit, static_cast<uint32_t>(p));
        slot.update(bit);
    }

    Coder& coder_;
    CoefficientGrid grid_;
    CoefficientSteps steps_;
    CoefficientImage image_;
    uint32_t* state_;
    const uint16_t* references_;  // these are the model's: CoefficientStatistics
    const int8_t* offsets_;
    const float* prediction_;
    size_t inputs_, outputs_;
    const FramePredictors* predictors_;
    const FrameReference* reference_;
    uint8_t* modes_;
    size_t columns_;
    Mix mixer_;
    std::vector<uint8_t> levels_;
    std::vector<int32_t> wanted_;  // [columns, coefficients + 1]: sums of what is expected
    Cells cells_;
    std::vector<float> predicted_;
    std::vector<uint16_t> before_sums_;  // of magnitudes that the frame before had, as Cell has them
    std::vector<int32_t> chosen_;        // of a cell, where the caller does not want them of all
    Slot *slots_[contexts], *signs_, *bands_, *importance_, *frame_modes_, *escape_;
};

}  // namespace midstream::coefficients
