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
inline constexpr float rough_bits_octave = 512, rough_least = 0.6f, rough_rounding = 0.45f;
// Squared error, in steps, that a bit is worth: of values, and of the ways to predict a cell, which differ in bits alone.
inline constexpr float bit_worth = 0.02f, mode_bit_worth = 0.07f;

class Chooser {
   public:
    static constexpr bool decides = true;

    Chooser(const CoefficientModel& model, const float* values, const CoefficientGrid& grid, const CoefficientSteps& steps,
            const uint8_t* refreshed = nullptr)
        : model_(model), values_(values), refreshed_(refreshed), coefficients_(grid.coefficients), classes_(steps.classes) {
        for (size_t m = 0; m < steps.classes; ++m) per_step_.push_back(1 / steps.sizes[m]);
        for (uint32_t level = 0; level < coefficient_levels; ++level) {
            const float one = model.reconstruction(level, 1);
            const float bits = (rough_bits[level].more - rough_bits[level].zero) / 256;
            thresholds_[level] = (one + bit_worth * bits / one) / 2;  // where one and zero cost the same
        }
        least_ = *std::min_element(thresholds_.begin(), thresholds_.end());
    }

    // Whether any coefficient of a band becomes something.
    MIDSTREAM_INLINE bool uses(const Place& place, const uint8_t* levels, size_t from, size_t to, const float* predicted) {
        const float* values = values_ + place.cell * coefficients_;
        const float per_step = per_step_[place.importance];
        bool may_be = false;
        for (size_t k = from; k < to; ++k) {
            scaled_[k - from] = (values[k] - predicted[k]) * per_step;
            may_be |= !(std::fabs(scaled_[k - from]) < least_);  // a NaN is large
        }
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
    size_t mode(const Coder& coder, const Place& place, size_t modes, const float* alone) const {
        size_t best = 0;
        float least_cost = 0;
        if (refreshed_ && refreshed_[place.cell]) return best;
        for (size_t m = 0; m < modes; ++m) {
            const uint8_t* levels = coder.levels(m * classes_ + place.importance);
            float cost = mode_lambda * static_cast<float>(coder.price_of_mode(place, m));
            for (size_t k = 0; k < coefficients_; ++k) {
                const float expected_value = m ? coder.from_before(m, place.cell, k) : alone[k];
                cost += rough_cost(std::fabs(scaled(place, k, expected_value)), levels[k]);
            }
            if (m == 0 || cost < least_cost) least_cost = cost, best = m;
        }
        return best;
    }

   private:
    float rough_cost(float size, uint32_t level) const {
        const float nothing = size * size + mode_lambda * rough_bits[level].zero;
        if (size < rough_least) return nothing;
        const float magnitude = std::floor(size + rough_rounding), off = size - magnitude;
        const auto bits = rough_bits[level].more + rough_bits_octave * std::log2(std::max(magnitude, 1.0f));
        return std::min(nothing, off * off + mode_lambda * bits);
    }
    float scaled(const Place& place, size_t k, float predicted) const {
        return (values_[place.cell * coefficients_ + k] - predicted) * per_step_[place.importance];
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
};

}  // namespace midstream::coefficients
