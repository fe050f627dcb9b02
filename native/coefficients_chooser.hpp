// What a value of the encoder shall be: zero below a threshold, which is higher where it would cost many bits, else the
// nearest magnitude.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

#include "coefficients.hpp"
#include "coefficients_coder.hpp"

namespace midstream::coefficients {

// What a coder without contexts would take for a coefficient of each level, in 1/256 bits: for a zero, and for anything
// else with its sign, to which every octave of magnitude adds. Of the Laplacians that `expected` is made of; an encoder
// decides with it, so that it need not be the same everywhere.
struct RoughBits {
    float zero, more;
};
inline const auto rough_bits = [] {
    std::array<RoughBits, coefficient_levels> out{};
    for (int level = 0; level < coefficient_levels; ++level) {
        const double fall = std::sqrt(2.0) / std::exp2((level - 20) / 4.0);
        const double zero = std::clamp(1 - std::exp(-0.6 * fall), 1e-3, 1 - 1e-4);
        out[static_cast<size_t>(level)] = {
            static_cast<float>(-256 * std::log2(zero)),
            static_cast<float>(-256 * (std::log2(1 - zero) + std::log2(1 - std::exp(-fall)) - 1))};
    }
    return out;
}();
inline constexpr float rough_bits_octave = 512, rough_least = 0.6f, rough_rounding = 0.45f, rough_most = 1 << 22;
// What octaves of magnitude add.
inline const auto rough_octaves = [] {
    std::array<float, 256> out{};
    for (size_t i = 1; i < out.size(); ++i) out[i] = rough_bits_octave * std::log2(static_cast<float>(i));
    return out;
}();
// What a bit is worth that says how a cell is predicted: the ways differ in bits alone.
inline constexpr float mode_bit_worth = 0.07f;

// In steps, what is below it becomes zero, by level: where one and zero cost the same.
inline std::array<float, coefficient_levels> thresholds(const CoefficientModel& model, float bit_worth) {
    std::array<float, coefficient_levels> out;
    for (uint32_t level = 0; level < coefficient_levels; ++level) {
        const float one = model.reconstruction(level, 1);
        const float bits = (rough_bits[level].more - rough_bits[level].zero) / 256;
        out[level] = (one + bit_worth * bits / one) / 2;
    }
    return out;
}

class Chooser {
   public:
    static constexpr bool decides = true;

    Chooser(const CoefficientModel& model, const float* values, const CoefficientGrid& grid, const CoefficientSteps& steps,
            const uint8_t* refreshed = nullptr)
        : model_(model), values_(values), refreshed_(refreshed), coefficients_(grid.coefficients), classes_(steps.classes) {
        for (size_t m = 0; m < steps.classes; ++m) per_step_.push_back(1 / steps.sizes[m]);
        thresholds_ = thresholds(model, steps.bit_worth);
        least_ = *std::min_element(thresholds_.begin(), thresholds_.end());
    }

    // Whether any coefficient of a band becomes something.
    MIDSTREAM_INLINE bool uses(size_t cell, size_t importance, const uint8_t* levels, size_t from, size_t to,
                               const float* predicted) {
        const float* values = values_ + cell * coefficients_ + from;
        const float per_step = per_step_[importance];
        // Of a whole band the compiler knows how many there are.
        const bool may_be = to - from == band ? scale(values, predicted + from, per_step, band)
                                              : scale(values, predicted + from, per_step, to - from);
        if (may_be)
            for (size_t k = from; k < to; ++k)
                if (!(std::fabs(scaled_[k - from]) < thresholds_[levels[k]])) return true;
        return false;
    }
    MIDSTREAM_INLINE int32_t value(uint32_t level, size_t place_in_band) const {
        constexpr auto largest = static_cast<float>(largest_coefficient - 1);
        const float x = scaled_[place_in_band], size = std::fabs(x);
        if (size < thresholds_[level]) return 0;
        int32_t magnitude = std::max(static_cast<int32_t>((size < largest ? size : largest) + 0.5f), 1);
        if (magnitude > 1) {  // what the one below stands for may be nearer
            const float off = model_.reconstruction(level, magnitude) - size;
            if (off > size - model_.reconstruction(level, magnitude - 1)) --magnitude;
        }
        return x < 0 ? -magnitude : magnitude;
    }

    // The mode that costs least, by what a coder without contexts would take.
    template <class Coder>
    MIDSTREAM_INLINE size_t mode(const Coder& coder, const Place& place, size_t modes, const float* alone) {
        if (refreshed_ && refreshed_[place.cell]) return 0;
        const float* values = values_ + place.cell * coefficients_;
        const float per_step = per_step_[place.importance];
        moved_.resize(coefficients_), sizes_.resize(coefficients_), nothing_.resize(coefficients_);
        float *sizes = sizes_.data(), *nothing = nothing_.data();
        size_t best = 0;
        float least_cost = 0;
        for (size_t m = 0; m < modes; ++m) {
            const uint8_t* levels = coder.levels(m * classes_ + place.importance);
            const float* zeros = costs_of_zeros(levels, m * classes_ + place.importance, modes * classes_);
            if (m) coder.from_before(m, place.cell, moved_.data());
            const float* expected_values = m ? moved_.data() : alone;
            for (size_t k = 0; k < coefficients_; ++k) {
                sizes[k] = std::fabs((values[k] - expected_values[k]) * per_step);
                nothing[k] = sizes[k] * sizes[k] + zeros[k];
            }
            float cost = mode_lambda * static_cast<float>(coder.price_of_mode(place, m));
            for (size_t k = 0; k < coefficients_; ++k)
                cost += sizes[k] < rough_least ? nothing[k] : std::min(nothing[k], rough_cost(sizes[k], levels[k]));
            if (m == 0 || cost < least_cost) least_cost = cost, best = m;
        }
        return best;
    }

   private:
    // Differences in steps; whether one of them is large enough to become something in any context. A NaN is large.
    MIDSTREAM_INLINE bool scale(const float* values, const float* predicted, float per_step, size_t count) {
        int32_t large = 0;
        for (size_t i = 0; i < count; ++i) {
            scaled_[i] = (values[i] - predicted[i]) * per_step;
            large |= std::fabs(scaled_[i]) < least_ ? 0 : 1;
        }
        return large != 0;
    }
    // What zeros would take in a column of levels.
    const float* costs_of_zeros(const uint8_t* levels, size_t column, size_t columns) {
        zeros_.resize(columns);
        std::vector<float>& out = zeros_[column];
        if (out.empty())
            for (size_t k = 0; k < coefficients_; ++k) out.push_back(mode_lambda * rough_bits[levels[k]].zero);
        return out.data();
    }
    // What anything else would take.
    MIDSTREAM_INLINE float rough_cost(float size, uint32_t level) const {
        const auto magnitude = static_cast<int32_t>((size < rough_most ? size : rough_most) + rough_rounding);
        const float whole = static_cast<float>(magnitude), off = size - whole;
        const auto few = static_cast<size_t>(magnitude);
        const float octaves = few < rough_octaves.size() ? rough_octaves[few] : rough_bits_octave * std::log2(whole);
        return off * off + mode_lambda * (rough_bits[level].more + octaves);
    }
    static constexpr float mode_lambda = mode_bit_worth / 256;
    const CoefficientModel& model_;
    const float* values_;
    const uint8_t* refreshed_;
    size_t coefficients_, classes_;
    std::vector<float> per_step_;
    std::array<float, coefficient_levels> thresholds_;
    float least_;
    float scaled_[band];  // what is to be coded of a band, in steps
    std::vector<std::vector<float>> zeros_;        // by column
    std::vector<float> moved_, sizes_, nothing_;  // of a cell in a mode
};

}  // namespace midstream::coefficients
