// What the network of an entropy model looks at: whole numbers in eighths of an octave, mostly, within +-127.
// docs/format.md is normative ("Entropy model").
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "coefficients_contexts.hpp"
#include "dispatch.hpp"
#include "entropy_model.hpp"

namespace midstream::entropy {

// log2(1 + x) in eighths, between powers of two on a straight line: exponent and first three bits in binary32.
MIDSTREAM_INLINE int32_t eighths(int32_t x) {
    return (std::bit_cast<int32_t>(static_cast<float>(x + 1)) >> 20) - (127 << 3);
}
MIDSTREAM_INLINE int16_t limited(int32_t x) {
    return static_cast<int16_t>(std::clamp(x, -largest_input, largest_input));
}
constexpr int16_t said = 8;  // what a yes, or a class, counts as

// What is expected in each importance class, with its step: of a coefficient its scale beside the step, and what
// surrounds it; of a band what came before it in the cell. Whole bands: behind the last coefficient nothing is expected.
class Expected {
   public:
    struct Class {
        const int16_t *scale, *around;               // [padded]
        const int16_t *slow, *total, *here, *bands;  // [bands]
    };

    Expected(const int16_t* scales, const std::vector<uint8_t>& levels, const CoefficientSteps& steps, size_t coefficients)
        : padded_((coefficients + band - 1) / band * band), bands_(padded_ / band),
          by_value_(2 * padded_ * steps.classes), by_band_(4 * bands_ * steps.classes) {
        std::vector<int32_t> magnitudes(padded_);
        for (size_t m = 0; m < steps.classes; ++m) {
            int16_t* scale = &by_value_[2 * m * padded_];
            for (size_t k = 0; k < coefficients; ++k) {
                scale[k] = static_cast<int16_t>(std::clamp(scales[k] - steps.indices[m], -64, 63));
                magnitudes[k] = coefficients::expected[levels[m * coefficients + k]];
            }
            expect_around(magnitudes, scale + padded_);
            expect_bands(magnitudes, &by_band_[4 * m * bands_]);
        }
    }
    Class of(size_t importance) const {
        const int16_t* value = &by_value_[2 * importance * padded_];
        const int16_t* of_band = &by_band_[4 * importance * bands_];
        return {value, value + padded_, of_band, of_band + bands_, of_band + 2 * bands_, of_band + 3 * bands_};
    }

   private:
    void expect_around(const std::vector<int32_t>& magnitudes, int16_t* around) const {
        std::vector<int32_t> sums(padded_ + 1);
        for (size_t k = 0; k < padded_; ++k) sums[k + 1] = sums[k] + magnitudes[k];
        for (size_t k = 0; k < padded_; ++k) {
            const size_t window = coefficients::window, from = k < window ? 0 : k - window;
            around[k] = static_cast<int16_t>(eighths((sums[std::min(k + window, padded_)] - sums[from]) * 3 / 4));
        }
    }
    void expect_bands(const std::vector<int32_t>& magnitudes, int16_t* out) const {
        int32_t slow = 0, total = 0, used = 0;
        for (size_t b = 0; b < bands_; ++b) {
            int32_t here = 0;
            for (size_t k = b * band; k < (b + 1) * band; ++k) here += magnitudes[k];
            out[b] = static_cast<int16_t>(eighths(slow + 8));
            out[bands_ + b] = static_cast<int16_t>(eighths(total + 256));
            out[2 * bands_ + b] = limited(eighths(here >> 2));
            out[3 * bands_ + b] = static_cast<int16_t>(eighths(used + 32));
            slow = (slow >> 1) + (here >> 2), total += here, used += 64 * here / (256 + here);
        }
    }

    size_t padded_, bands_;
    std::vector<int16_t> by_value_, by_band_;
};

// What is known of a cell that was coded, of this row and the one above: log2 of magnitudes, sums of magnitudes around
// each, and log2 of the sums of bands. Behind the borders, and behind the last coefficient, all is zero.
struct Cell {
    uint8_t* magnitudes;  // [padded]
    uint16_t* sums;       // [padded]
    uint8_t* bands;       // [bands]
};
struct Neighbours {
    Cell here, w, n, nw, ne;
};

class Cells {
   public:
    Cells(size_t bands, size_t width)
        : bands_(bands), width_(width + 2), magnitudes_(2 * width_ * padded()), sums_(2 * width_ * padded()),
          band_sums_(2 * width_ * bands) {}
    size_t padded() const { return bands_ * band; }
    Neighbours around(size_t y, size_t x) {
        return {at(y, x + 1), at(y, x), at(y + 1, x + 1), at(y + 1, x), at(y + 1, x + 2)};
    }

   private:
    Cell at(size_t y, size_t column) {
        const size_t cell = y % 2 * width_ + column;
        return {&magnitudes_[cell * padded()], &sums_[cell * padded()], &band_sums_[cell * bands_]};
    }

    size_t bands_, width_;
    std::vector<uint8_t> magnitudes_;
    std::vector<uint16_t> sums_;
    std::vector<uint8_t> band_sums_;
};

// How far a cell's flags, or its values, have come.
struct Flags {
    int32_t used = 0;              // so many bands so far
    std::array<int16_t, 3> last{};  // the three before, the nearest first

    MIDSTREAM_INLINE void inputs(const Expected::Class& expected, const Neighbours& near, size_t importance, size_t b,
                                 std::array<int16_t, flag_inputs>& out) const {
        out = {expected.here[b], near.w.bands[b], near.n.bands[b], near.nw.bands[b], near.ne.bands[b],
               limited(eighths(64 * used + 32) - expected.bands[b]), last[0], last[1], last[2],
               static_cast<int16_t>(said * static_cast<int16_t>(importance))};
    }
    MIDSTREAM_INLINE void add(uint32_t flag) {
        used += static_cast<int32_t>(flag);
        last = {static_cast<int16_t>(flag ? said : 0), last[0], last[1]};
    }
};

struct Strength {
    int32_t slow = 0, total = 0, before = 0;  // of the bands before: fading, together, and of the last one

    MIDSTREAM_INLINE void add(int32_t sum) { slow = (slow >> 1) + 64 * sum, total += sum, before = sum; }
    // `used` bands of the cell in all, `left` of them from here on.
    MIDSTREAM_INLINE void inputs(const Expected::Class& expected, size_t importance, size_t b, bool next, int32_t used,
                                 int32_t left, std::array<int16_t, band_inputs>& out) const {
        out = {limited(eighths(slow + 8) - expected.slow[b]), limited(eighths(256 * total + 256) - expected.total[b]),
               limited(eighths(before)), static_cast<int16_t>(said * static_cast<int16_t>(importance)),
               static_cast<int16_t>(next ? said : 0), limited(eighths(64 * used)), limited(eighths(64 * left))};
    }
};

// Of the values of a band, side by side.
using ValueInputs = std::array<std::array<int16_t, band>, value_inputs>;

MIDSTREAM_INLINE void inputs_of_values(const Expected::Class& expected, const Neighbours& near, size_t from,
                                       ValueInputs& out) {
    for (size_t i = 0; i < band; ++i) {
        const size_t k = from + i;
        out[0][i] = expected.scale[k];
        out[1][i] = near.w.magnitudes[k];
        out[2][i] = near.n.magnitudes[k];
        out[3][i] = near.nw.magnitudes[k];
        out[4][i] = near.ne.magnitudes[k];
    }
    for (size_t i = 0; i < band; ++i) {
        const size_t k = from + i;
        const int32_t sides = int32_t{near.w.sums[k]} + near.n.sums[k];
        const int32_t sum = 2 * sides + near.nw.sums[k] + near.ne.sums[k];
        out[5][i] = limited(eighths(32 * sum) - expected.around[k]);
    }
}

}  // namespace midstream::entropy
