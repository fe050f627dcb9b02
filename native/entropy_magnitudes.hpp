// What magnitudes stand for, and which of them an encoder chooses (coefficients_chooser.hpp), of the values of a band side
// by side: without a jump that depends on one of them.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <vector>

#include "coefficients.hpp"
#include "coefficients_chooser.hpp"
#include "entropy_model.hpp"

namespace midstream::entropy {

// One of two by a mask, all ones or all zeros: what compilers make of it has no jumps.
MIDSTREAM_INLINE int32_t chosen_by(int32_t mask, int32_t yes, int32_t no) { return (yes & mask) | (no & ~mask); }
MIDSTREAM_INLINE float chosen_by(int32_t mask, float yes, float no) {
    return std::bit_cast<float>(chosen_by(mask, std::bit_cast<int32_t>(yes), std::bit_cast<int32_t>(no)));
}
MIDSTREAM_INLINE int32_t mask_of(bool yes) { return -static_cast<int32_t>(yes); }

// By importance class and coefficient; behind the last coefficient all is zero.
class Magnitudes {
   public:
    // `levels` [classes, coefficients], as the model of coefficients has them.
    Magnitudes(const CoefficientModel& model, const CoefficientSteps& steps, const std::vector<uint8_t>& levels)
        : padded_((model.coefficients() + band - 1) / band * band), steps_(steps),
          more_(steps.classes * reconstruction_classes * padded_) {
        const auto& offsets = model.statistics().offsets;
        for (size_t m = 0; m < steps.classes; ++m)
            for (size_t k = 0; k < model.coefficients(); ++k)
                for (size_t c = 0; c < reconstruction_classes; ++c) {
                    const size_t level = levels[m * model.coefficients() + k];
                    const float more = static_cast<float>(offsets[level * reconstruction_classes + c]) / 64;
                    more_[(m * reconstruction_classes + c) * padded_ + k] = more;
                }
    }

    // What the values of a band stand for; anything for 0.
    MIDSTREAM_INLINE void sizes(size_t importance, size_t from, const int32_t* values, float* out) const {
        const float* more = &more_[importance * reconstruction_classes * padded_ + from];
        const float step = steps_.sizes[importance];
        for (size_t i = 0; i < band; ++i) {
            const int32_t magnitude = std::abs(values[i]), sign = values[i] & std::numeric_limits<int32_t>::min();
            const float size = (static_cast<float>(magnitude) + more_of(more + i, magnitude)) * step;
            out[i] = std::bit_cast<float>(std::bit_cast<int32_t>(size) ^ sign);
        }
    }

   protected:
    // By how much more a magnitude, 1 or more, stands for than itself.
    MIDSTREAM_INLINE float more_of(const float* more, int32_t magnitude) const {
        const float one = more[0], two = more[padded_], rest = more[2 * padded_];
        return chosen_by(mask_of(magnitude < 2), one, chosen_by(mask_of(magnitude < 3), two, rest));
    }

    size_t padded_;
    CoefficientSteps steps_;
    std::vector<float> more_;  // [classes, reconstruction classes, padded]
};

class Choice : public Magnitudes {
   public:
    Choice(const CoefficientModel& model, const CoefficientSteps& steps, const std::vector<uint8_t>& levels)
        : Magnitudes(model, steps, levels), thresholds_(steps.classes * padded_, HUGE_VALF) {
        const auto by_level = coefficients::thresholds(model, steps.bit_worth);
        least_ = *std::min_element(by_level.begin(), by_level.end());
        for (size_t m = 0; m < steps.classes; ++m) {
            per_step_.push_back(1 / steps.sizes[m]);
            for (size_t k = 0; k < model.coefficients(); ++k)
                thresholds_[m * padded_ + k] = by_level[levels[m * model.coefficients() + k]];
        }
    }

    // What values [band] become beside what is expected of them. Whether any is not zero; if none is, nothing is written.
    MIDSTREAM_INLINE bool choose(size_t importance, size_t from, const float* values, const float* predicted,
                                 int32_t* out) const {
        constexpr auto largest = static_cast<float>(largest_coefficient - 1);
        const float per_step = per_step_[importance];
        float scaled[band];
        int32_t may_be = 0;
        for (size_t i = 0; i < band; ++i) {
            scaled[i] = (values[i] - predicted[i]) * per_step;
            may_be |= std::fabs(scaled[i]) < least_ ? 0 : 1;
        }
        if (!may_be) return false;
        const float* more = &more_[importance * reconstruction_classes * padded_ + from];
        const float* thresholds = &thresholds_[importance * padded_ + from];
        int32_t any = 0;
        for (size_t i = 0; i < band; ++i) {
            const float size = std::fabs(scaled[i]);
            const auto nearest = static_cast<int32_t>((size < largest ? size : largest) + 0.5f);
            const int32_t magnitude = nearest > 1 ? nearest : 1;
            // What the one below stands for may be nearer.
            const int32_t below = magnitude - 1;
            const float off = static_cast<float>(magnitude) + more_of(more + i, magnitude) - size;
            const float off_below = size - (static_cast<float>(below) + more_of(more + i, below));
            const int32_t fewer = mask_of(magnitude > 1) & mask_of(off > off_below);
            const int32_t minus = mask_of(scaled[i] < 0), kept = ~mask_of(size < thresholds[i]);
            out[i] = (((magnitude + fewer) ^ minus) - minus) & kept;
            any |= out[i];
        }
        return any != 0;
    }

   private:
    std::vector<float> thresholds_;  // [classes, padded]
    std::vector<float> per_step_;    // [classes]
    float least_;
};

}  // namespace midstream::entropy
