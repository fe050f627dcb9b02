// What a value of the encoder shall be: the magnitude, the one below it or zero, whichever costs least.
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

class Chooser {
   public:
    static constexpr bool decides = true;

    Chooser(const float* values, const CoefficientGrid& grid, const CoefficientSteps& steps, float lambda,
            const uint8_t* refreshed = nullptr)
        : values_(values), refreshed_(refreshed), coefficients_(grid.coefficients), classes_(steps.classes),
          lambda_(lambda / 256) {
        for (size_t m = 0; m < steps.classes; ++m) per_step_.push_back(1 / steps.sizes[m]);
    }

    // Whether any coefficient of a band may become something.
    MIDSTREAM_INLINE bool may_use(const Place& place, size_t from, size_t to, const float* predicted) {
        const float* values = values_ + place.cell * coefficients_;
        const float per_step = per_step_[place.importance];
        bool may_be = false;
        for (size_t k = from; k < to; ++k) {
            scaled_[k - from] = (values[k] - predicted[k]) * per_step;
            may_be |= !(std::fabs(scaled_[k - from]) < least);
        }
        return may_be;
    }
    // Whether any of a band that may be used becomes something, as things stand before it.
    template <class Coder, class Contexts>
    MIDSTREAM_INLINE bool uses(Coder& coder, const Contexts& contexts, const Place& place, const Strength& strength,
                               size_t from, size_t to) const {
        for (size_t k = from; k < to; ++k)
            if (std::fabs(scaled_[k - from]) >= certain) return true;
        const uint32_t own = coder.own(place, strength, from), brief = coder.brief(place, strength, from);
        for (size_t k = from; k < to; ++k) {
            const float size = std::fabs(scaled_[k - from]);
            if (size < least) continue;
            typename Coder::Asked value;
            coder.ask(contexts, place, from, k, own, brief, value);
            if (choose(coder, value, size)) return true;
        }
        return false;
    }
    template <class Coder, class Asked>
    MIDSTREAM_INLINE int32_t value(Coder& coder, Asked& value, size_t place_in_band) const {
        const float x = scaled_[place_in_band], size = std::fabs(x);
        if (size < least) return 0;
        const int32_t magnitude = choose(coder, value, size);
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
            float cost = lambda_ * static_cast<float>(coder.price_of_mode(place, m));
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
        const float nothing = size * size + lambda_ * rough_bits[level].zero;
        if (size < rough_least) return nothing;
        const float magnitude = std::floor(size + rough_rounding), off = size - magnitude;
        const auto bits = rough_bits[level].more + rough_bits_octave * std::log2(std::max(magnitude, 1.0f));
        return std::min(nothing, off * off + lambda_ * bits);
    }
    float scaled(const Place& place, size_t k, float predicted) const {
        return (values_[place.cell * coefficients_ + k] - predicted) * per_step_[place.importance];
    }
    template <class Coder, class Asked>
    MIDSTREAM_INLINE int32_t choose(Coder& coder, Asked& value, float size) const {
        constexpr auto largest = static_cast<float>(largest_coefficient - 1);
        const auto top = static_cast<int32_t>((size < largest ? size : largest) + 0.5f);  // a NaN is large
        const int32_t high = std::max(top, 1);
        if (high > unary_limit) return high;
        float best = size * size + lambda_ * static_cast<float>(coder.price(value, 0, false));
        int32_t chosen = 0;
        // Bits up to where the candidates part are the same for all of them; the first is the sign's.
        uint32_t shared = 256 + coder.price(value, 0, true);
        for (int32_t m = 1; m <= high; ++m) {
            if (m + 1 >= high) {
                const float off = size - coder.reconstruction(value.level, m);
                const float cost = off * off + lambda_ * static_cast<float>(shared + coder.price(value, m, false));
                if (cost < best) best = cost, chosen = m;
            }
            if (m < high) shared += coder.price(value, m, true);
        }
        return chosen;
    }

    // In steps: below and above them rate and distortion need not be weighed (docs/method.md, "Constants").
    static constexpr float least = 0.55f, certain = 1.6f;
    const float* values_;
    const uint8_t* refreshed_;
    size_t coefficients_, classes_;
    std::vector<float> per_step_;
    float lambda_;
    float scaled_[band];  // what is to be coded of a band, in steps
};

}  // namespace midstream::coefficients
