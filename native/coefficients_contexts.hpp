// What tells how large a coefficient is likely to be: how strong it is beside the step, how strong those before it were
// in this cell beside what was expected of them, the neighbours' coefficients around it, and two related ones.
// docs/format.md is normative, and docs/method.md ("Constants") says where the numbers come from.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "coefficients.hpp"
#include "mixing.hpp"

namespace midstream::coefficients {

constexpr int decisions = 6;        // zero or not, then magnitudes 1, 2, 3-4, 5-8, 9 and more
constexpr int unary_limit = 20;     // magnitudes above it are escaped
constexpr int longest_escape = 21;  // bits
constexpr size_t numbered = 1024;   // coefficients from here on share their contexts
constexpr size_t band = 16;         // coefficients that are zero together cost one decision
constexpr size_t window = 8;        // coefficients before and behind that a neighbour's strength is summed over
constexpr int slow_fade = 4, quick_fade = 2;  // log2 of how many coefficients strengths remember
constexpr size_t sets = decisions * 4;
constexpr size_t escape_slots = 32;
constexpr size_t classes = most_importance_classes;

// What a frame that stands alone has contexts of.
struct Alone {
    static constexpr bool predicted = false;
    static constexpr int contexts = 7;
    static constexpr std::array<size_t, contexts> sizes = {
        32 * 16 * 4, numbered * 4, 8 * 32 * 8, 32 * 64, 16 * 16 * 16, 4096, numbered * 4};
    static constexpr size_t signed_alone = numbered;  // coefficients from here on share the contexts of their signs
    static constexpr size_t sign_slots = signed_alone * 9, band_slots = coefficient_levels * 4 * 3 * 2;
    static constexpr size_t importance_slots = classes * classes * classes, mode_slots = 0;
};

// The same and more: what the frame before had at the place and around it.
struct Predicted {
    static constexpr bool predicted = true;
    static constexpr int contexts = 11;
    static constexpr size_t signed_alone = 64;
    static constexpr std::array<size_t, contexts> sizes = {
        32 * 16 * 4, numbered * 4, 8 * 32 * 8, 32 * 64, 16 * 16 * 16, 4096, numbered * 4,
        32 * 16 * 4, 32 * 16 * 8, 16 * 16 * 16, signed_alone * 4};
    static constexpr size_t sign_slots = signed_alone * 27, band_slots = Alone::band_slots * 9;
    static constexpr size_t importance_slots = Alone::importance_slots * classes;
    static constexpr size_t mode_slots = most_frame_modes * most_frame_modes * most_frame_modes * most_frame_modes;
};

// Where what is learnt lies: slots, the mixer's weights, and how often it learnt. Of predicted frames what is handed on
// from frame to frame is at the end: the slots of the last context, of signs and modes, and what follows them.
template <class Kind>
struct Layout {
    using Mix = Mixer<Kind::contexts>;
    static constexpr size_t first_contexts(int count) {
        size_t sum = 0;
        for (int i = 0; i < count; ++i) sum += Kind::sizes[static_cast<size_t>(i)] * decisions;
        return sum;
    }
    static constexpr size_t between = Kind::predicted ? Kind::band_slots + Kind::importance_slots : 0;
    static constexpr size_t context(int number) {
        return first_contexts(number) + (number == Kind::contexts - 1 ? between : 0);
    }
    static constexpr size_t carried = context(Kind::contexts - 1);
    static constexpr size_t signs = first_contexts(Kind::contexts) + between;
    static constexpr size_t bands = Kind::predicted ? first_contexts(Kind::contexts - 1) : signs + Kind::sign_slots;
    static constexpr size_t importance = bands + Kind::band_slots;
    static constexpr size_t modes = Kind::predicted ? signs + Kind::sign_slots : importance + Kind::importance_slots;
    static constexpr size_t escape = modes + Kind::mode_slots, slots = escape + escape_slots;
    static constexpr size_t weights = slots, learnt = weights + sets * Mix::inputs, size = learnt + sets;
};

// Mean magnitude in 1/256 at each level: of a Laplacian of standard deviation 2^((level - 20) / 4) steps, whose values
// become the whole number above from a fraction of 0.6 on.
inline constexpr std::array<int32_t, coefficient_levels> expected = {
    1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   2,   5,   9,   15,  24,  35,
    50,  68,  89,  115, 145, 180, 222, 272, 330, 400, 482, 580, 695, 833, 996, 1190};

// 0 for 0, then in halves of log2, up to `most`.
constexpr int half_log(uint32_t x, int most) {
    if (x == 0) return 0;
    const int width = std::bit_width(x);
    const int half = width > 1 ? static_cast<int>(x >> (width - 2) & 1) : 0;
    return std::min(2 * width - 1 + half, most);
}

// How a strength compares with what was expected: 8 is as expected, a step is half of log2.
constexpr int ratio(int32_t strength, int32_t wanted) {
    const int have = half_log(static_cast<uint32_t>(strength) + 4, 63);
    return std::clamp(have - half_log(static_cast<uint32_t>(wanted) + 4, 63) + 8, 0, 15);
}

constexpr int decision_of(int magnitude) {  // the one that asks whether the magnitude is larger than this
    return magnitude < 3 ? magnitude : magnitude < 5 ? 3 : magnitude < 9 ? 4 : 5;
}

inline uint32_t bits_of(int32_t p) {  // in 1/256
    static const auto table = [] {
        std::array<uint32_t, 4097> out{};
        for (int i = 0; i <= 4096; ++i)
            out[static_cast<size_t>(i)] = static_cast<uint32_t>(std::lround(-256 * std::log2(std::max(i, 1) / 4096.0)));
        return out;
    }();
    return table[static_cast<size_t>(p >> 4)];
}

// What is known of a cell that was coded: magnitudes up to 255, signs (1 positive, 2 negative), sums of the magnitudes
// of all coefficients before each one (modulo 2^16, of which the difference over a window is right), and which bands
// are not zero. Behind the borders all is zero.
struct Cell {
    uint8_t* magnitudes;
    uint8_t* signs;
    uint16_t* sums;
    uint8_t* bands;
    int32_t sum(size_t from, size_t to) const { return static_cast<uint16_t>(sums[to] - sums[from]); }
};

class Cells {
   public:
    explicit Cells(const CoefficientGrid& grid)
        : coefficients_(grid.coefficients), bands_((grid.coefficients + band - 1) / band), width_(grid.width + 3),
          rows_(std::min<size_t>(grid.height, 3)), magnitudes_(stored() * coefficients_),
          signs_(stored() * coefficients_), sums_(stored() * (coefficients_ + 1)), used_(stored() * bands_) {}
    // Three rows are enough: cells reach two rows up. Above the first row is a cell of its own.
    Cell at(ptrdiff_t y, ptrdiff_t x) {
        return of(y < 0 ? rows_ * width_ : static_cast<size_t>(y) % rows_ * width_ + static_cast<size_t>(x + 2));
    }
    void clear(ptrdiff_t y) {
        const Cell first = of(static_cast<size_t>(y) % rows_ * width_);
        std::fill_n(first.magnitudes, width_ * coefficients_, uint8_t{0});
        std::fill_n(first.signs, width_ * coefficients_, uint8_t{0});
        std::fill_n(first.sums, width_ * (coefficients_ + 1), uint16_t{0});
        std::fill_n(first.bands, width_ * bands_, uint8_t{0});
    }

   private:
    size_t stored() const { return rows_ * width_ + 1; }
    Cell of(size_t cell) {
        return {&magnitudes_[cell * coefficients_], &signs_[cell * coefficients_],
                &sums_[cell * (coefficients_ + 1)], &used_[cell * bands_]};
    }

    size_t coefficients_, bands_, width_, rows_;
    std::vector<uint8_t> magnitudes_, signs_;
    std::vector<uint16_t> sums_;
    std::vector<uint8_t> used_;
};

struct Neighbours {
    Cell here, w, n, nw, ne, ww, nn;
};

// What the contexts of a value are made of; the last four of a predicted frame: magnitudes that the frame before had.
struct Around {
    uint32_t level, coefficient, near, nearest, own, brief, beside, related, pattern;
    uint32_t before, before_beside, before_around, before_cell;
};

// How strong a cell's coefficients have been so far, beside what was expected.
struct Strength {
    int32_t slow = 0, quick = 0, wanted_slow = 0, wanted_quick = 0;
    void add(int32_t magnitude, int32_t wanted) {
        slow += 256 * magnitude - (slow >> slow_fade), quick += 256 * magnitude - (quick >> quick_fade);
        wanted_slow += wanted - (wanted_slow >> slow_fade), wanted_quick += wanted - (wanted_quick >> quick_fade);
    }
};

}  // namespace midstream::coefficients
