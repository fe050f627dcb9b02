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

#include "aligned.hpp"
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
    static constexpr std::array<bool, contexts> by_number = {false, true, false, false, false, false, true};
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

// 0 for 0, then in halves of log2: exponent and first bit of a number below 2^24 in binary32.
constexpr int32_t half_log(int32_t x) {
    const int32_t halves = (std::bit_cast<int32_t>(static_cast<float>(x)) >> 22) - 253;
    return halves & ~(halves >> 31);
}
constexpr int32_t half_log(int32_t x, int32_t most) { return std::min(half_log(x), most); }

// How a strength compares with the half_log of what was expected, both with 4 added: 8 is as expected, a step is half
// of log2.
constexpr int32_t ratio(int32_t strength, int32_t wanted) {
    const int32_t above = half_log(strength + 4) - wanted + 8, over = above - 15;
    return (15 + (over & (over >> 31))) & ~(above >> 31);  // limited to 0 .. 15; a branch would be mistaken often
}

// The one that asks whether a magnitude is larger than this.
inline constexpr std::array<uint8_t, unary_limit + 1> decision_of = {0, 1, 2, 3, 3, 4, 4, 4, 4, 5, 5,
                                                                     5, 5, 5, 5, 5, 5, 5, 5, 5, 5};

// What a probability costs, in 1/256 bits, by its upper 12 bits. Only an encoder asks.
inline const auto bits_of_chances = [] {
    std::array<uint16_t, 4097> out{};
    for (int i = 0; i <= 4096; ++i)
        out[static_cast<size_t>(i)] = static_cast<uint16_t>(std::lround(-256 * std::log2(std::max(i, 1) / 4096.0)));
    return out;
}();
inline uint32_t bits_of(int32_t p) { return bits_of_chances[static_cast<size_t>(p >> 4)]; }

// How strong a cell's coefficients have been so far.
struct Strength {
    int32_t slow = 0, quick = 0;
    MIDSTREAM_INLINE void add(int32_t magnitude) { add(256 * magnitude, 256 * magnitude); }
    MIDSTREAM_INLINE void add(int32_t to_slow, int32_t to_quick) {
        slow += to_slow - (slow >> slow_fade), quick += to_quick - (quick >> quick_fade);
    }
    MIDSTREAM_INLINE void fade() {  // over a band that is zero
        if (slow >> slow_fade == 0 && quick >> quick_fade == 0) return;  // nothing is lost any more
        for (size_t i = 0; i < band; ++i) add(0);
    }
};

inline constexpr std::array<int32_t, lane_count> counting = {0, 1, 2, 3, 4, 5, 6, 7};

// What is expected in each column of `levels`, an importance class in a mode of prediction: levels, and the half_log of
// what strengths are compared with. Whole bands: behind the last coefficient all is zero.
class Expectations {
   public:
    struct Column {
        const uint8_t *level, *slow, *quick, *beside;
    };

    // `levels` [columns, coefficients].
    Expectations(const std::vector<uint8_t>& levels, size_t coefficients)
        : padded_((coefficients + band - 1) / band * band), all_(levels.size() / coefficients * 4 * padded_) {
        std::vector<int32_t> sums(coefficients + 1);
        for (size_t column = 0; column * coefficients < levels.size(); ++column) {
            const uint8_t* level = &levels[column * coefficients];
            uint8_t* out = &all_[column * 4 * padded_];
            std::copy_n(level, coefficients, out);
            for (size_t k = 0; k < coefficients; ++k) sums[k + 1] = sums[k] + expected[level[k]];
            Strength wanted;
            for (size_t k = 0; k < coefficients; ++k) {
                out[padded_ + k] = static_cast<uint8_t>(half_log(wanted.slow + 4));
                out[2 * padded_ + k] = static_cast<uint8_t>(half_log(wanted.quick + 4));
                const int32_t near = sums[std::min(k + window, coefficients)] - sums[k < window ? 0 : k - window];
                out[3 * padded_ + k] = static_cast<uint8_t>(half_log(near * 3 / 2 + 4));
                wanted.add(expected[level[k]], expected[level[k]]);
            }
        }
    }
    Column of(size_t column) const {
        const uint8_t* at = &all_[column * 4 * padded_];
        return {at, at + padded_, at + 2 * padded_, at + 3 * padded_};
    }

   private:
    size_t padded_;
    std::vector<uint8_t> all_;
};

// Sums of numbers over `window` before and behind each one; nothing is beyond the ends.
class WindowSums {
   public:
    explicit WindowSums(size_t padded) : wide_(padded + 2 * window, 0) {}
    // `of` and `out` [padded]. Sums of 2, 4, 8 and at last 16 side by side, each from two of those before.
    template <class T>
    MIDSTREAM_INLINE void write(const T* of, size_t padded, uint16_t* out) {
        uint16_t* sums = wide_.data();
        std::fill_n(sums, window, uint16_t{0});
        for (size_t k = 0; k < padded; ++k) sums[window + k] = of[k];
        std::fill_n(sums + window + padded, window, uint16_t{0});
        static_assert(2 * window == 16);
        for (size_t k = 0; k < padded + 14; ++k) sums[k] = static_cast<uint16_t>(sums[k] + sums[k + 1]);
        for (size_t k = 0; k < padded + 12; ++k) sums[k] = static_cast<uint16_t>(sums[k] + sums[k + 2]);
        for (size_t k = 0; k < padded + 8; ++k) sums[k] = static_cast<uint16_t>(sums[k] + sums[k + 4]);
        for (size_t k = 0; k < padded; ++k) out[k] = static_cast<uint16_t>(sums[k] + sums[k + 8]);
    }

   private:
    std::vector<uint16_t> wide_;
};

// What is known of a cell that was coded: magnitudes up to 255, signs (1 positive, 2 negative), sums of the magnitudes
// around each one, and which bands are not zero. Behind the borders, and behind the last coefficient, all is zero.
struct Cell {
    uint8_t* magnitudes;
    uint8_t* signs;
    uint16_t* sums;
    uint8_t* bands;
};

class Cells {
   public:
    explicit Cells(const CoefficientGrid& grid)
        : bands_((grid.coefficients + band - 1) / band), width_(grid.width + 3), rows_(std::min<size_t>(grid.height, 3)),
          magnitudes_(stored() * padded()), signs_(stored() * padded()), sums_(stored() * padded()),
          used_(stored() * bands_) {}
    size_t padded() const { return bands_ * band; }
    // Three rows are enough: cells reach two rows up. Above the first row is a cell of its own.
    Cell at(ptrdiff_t y, ptrdiff_t x) {
        const size_t cell = y < 0 ? rows_ * width_ : static_cast<size_t>(y) % rows_ * width_ + static_cast<size_t>(x + 2);
        return {&magnitudes_[cell * padded()], &signs_[cell * padded()], &sums_[cell * padded()], &used_[cell * bands_]};
    }

   private:
    size_t stored() const { return rows_ * width_ + 1; }

    size_t bands_, width_, rows_;
    std::vector<uint8_t> magnitudes_, signs_;
    std::vector<uint16_t> sums_;
    std::vector<uint8_t> used_;
};

struct Neighbours {
    Cell here, w, n, nw, ne, ww, nn;
};

// What the frame before had in a cell, of each coefficient: its magnitude, the sum of those around it, and a weighed sum
// of those in the cells that come after this one.
struct Before {
    std::vector<uint8_t> magnitudes;
    std::vector<uint16_t> sums, around;
    int32_t whole;  // sum of all magnitudes

    explicit Before(size_t padded) : magnitudes(padded), sums(padded), around(padded), whole(0) {}
};

// Where in the state the slots of a band's coefficients lie, context by context, but for what depends on the values that
// come before in the cell.
template <class Kind, class Lanes>
class Band {
   public:
    MIDSTREAM_INLINE void find(size_t from, const Expectations::Column& column, const Neighbours& near,
                               [[maybe_unused]] const Before& before) {
        for (size_t i = 0; i < band; i += lane_count) {
            const size_t k = from + i;
            const Whole w = Lanes::load(near.w.magnitudes + k), n = Lanes::load(near.n.magnitudes + k);
            const Whole nw = Lanes::load(near.nw.magnitudes + k), ne = Lanes::load(near.ne.magnitudes + k);
            const Whole ww = Lanes::load(near.ww.magnitudes + k), nn = Lanes::load(near.nn.magnitudes + k);
            const Whole strong = Lanes::load(near.w.sums + k) + Lanes::load(near.n.sums + k);
            const Whole sums = strong + strong + Lanes::load(near.nw.sums + k) + Lanes::load(near.ne.sums + k);
            const Whole usual = Lanes::load(column.beside + k) - Lanes::all(8);
            const Whole beside = limited(halves((sums << 6) + Lanes::all(4)) - usual, 15) >> 1;
            const Whole close = limited(halves(((w + n) << 1) + nw + ne), 7), nearest = few(w + n);
            const Whole level = Lanes::load(column.level + k);
            const Whole number = Lanes::least(Lanes::load(counting.data()) + Lanes::all(static_cast<int32_t>(k)),
                                              Lanes::all(numbered - 1)) << 2;
            put(0, i, (level << 6) + nearest);
            put(1, i, number + nearest);
            put(2, i, (((close << 5) + level) << 3) + beside);
            put(3, i, (level << 6) + nearest);
            put(4, i, level >> 1);
            put(5, i, few(w) | few(n) << 2 | few(nw) << 4 | few(ne) << 6 | few(ww) << 8 | few(nn) << 10);
            put(6, i, number);
            if constexpr (Kind::predicted) {
                const Whole was = few(Lanes::load(before.magnitudes.data() + k));
                const Whole was_beside = limited(halves(Lanes::load(before.sums.data() + k)), 15);
                const Whole was_around = limited(halves(Lanes::load(before.around.data() + k)), 7);
                put(7, i, (((level << 4) + was_beside) << 2) + was);
                put(8, i, (((level << 4) + (was << 2) + nearest) << 3) + was_around);
                put(9, i, Lanes::all(half_log(before.whole, 15) * 256) + (level >> 1));
                put(10, i, Lanes::least(number, Lanes::all((Kind::signed_alone - 1) * 4)) + was);
            }
        }
    }
    // `own` and `brief` are strengths beside what was expected, `related` is of two coefficients before.
    MIDSTREAM_INLINE void locate(size_t i, uint32_t own, uint32_t brief, uint32_t related,
                                 uint32_t (&out)[Kind::contexts]) const {
        constexpr uint32_t each = decisions;
        for (int c = 0; c < Kind::contexts; ++c) out[c] = at_[c][i];
        out[0] += own * (each * 4);
        out[3] += related * (each * 4);
        out[4] += (brief * 16 + own) * (each * 16);
        out[6] += own / 4 * each;
        if constexpr (Kind::predicted) out[9] += own * (each * 16);
    }

   private:
    using Whole = typename Lanes::Whole;

    MIDSTREAM_INLINE void put(int context, size_t i, const Whole& number) {
        const Whole slot = Lanes::all(static_cast<int32_t>(Layout<Kind>::context(context))) + number * Lanes::all(decisions);
        Lanes::store(slot, &at_[context][i]);
    }
    MIDSTREAM_INLINE static Whole limited(const Whole& x, int32_t most) {
        return Lanes::most(Lanes::least(x, Lanes::all(most)), Lanes::all(0));
    }
    MIDSTREAM_INLINE static Whole few(const Whole& magnitudes) { return Lanes::least(magnitudes, Lanes::all(3)); }
    // half_log; below 0 for 0.
    MIDSTREAM_INLINE static Whole halves(const Whole& x) { return (Lanes::bits(x) >> 22) - Lanes::all(253); }

    alignas(cache_line) uint32_t at_[Kind::contexts][band];
};

}  // namespace midstream::coefficients
