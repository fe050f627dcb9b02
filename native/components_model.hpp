// Quantised transform components by prediction and context mixing (mixing.hpp), cell after cell, in a cell the strongest
// component first. What a component is expected to be: a linear function of the cells around that are decoded already.
// How far off it is likely to be: how strong the component is beside the step, how strong the components before it were
// in this cell beside what was expected of them, the neighbours' components around it, and two related components.
// docs/format.md is normative, and docs/method.md ("Constants") says where the numbers come from.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "components.hpp"
#include "mixing.hpp"

namespace midstream::components {

constexpr int contexts = 7;
constexpr int decisions = 6;        // zero or not, then magnitudes 1, 2, 3-4, 5-8, 9 and more
constexpr int unary_limit = 20;     // magnitudes above it are escaped
constexpr int longest_escape = 21;  // bits
constexpr size_t numbered = 1024;   // components from here on share their contexts
constexpr size_t band = 16;         // components that are zero together cost one decision
constexpr size_t window = 8;        // components before and behind that a neighbour's strength is summed over
constexpr int slow_fade = 4, quick_fade = 2;  // log2 of how many components strengths remember
constexpr size_t sets = decisions * 4;
using Mix = Mixer<contexts>;

inline constexpr std::array<size_t, contexts> sizes = {32 * 16 * 4, numbered * 4, 8 * 32 * 8, 32 * 64, 16 * 16 * 16, 4096,
                                                numbered * 4};
inline constexpr size_t context_slots = [] {
    size_t sum = 0;
    for (const size_t size : sizes) sum += size * decisions;
    return sum;
}();
constexpr size_t sign_slots = numbered * 9, band_slots = component_levels * 4 * 3 * 2;
constexpr size_t place_slots = most_classes * most_classes * most_classes, escape_slots = 32;
constexpr size_t all_slots = context_slots + sign_slots + band_slots + place_slots + escape_slots;

// Mean magnitude in 1/256 at each level: of a Laplacian of standard deviation 2^((level - 20) / 4) steps, whose values
// become the whole number above from a fraction of 0.6 on.
inline constexpr std::array<int32_t, component_levels> expected = {
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
// of all components before each one (modulo 2^16, of which the difference over a window is right), and which bands are
// not zero. Behind the borders all is zero.
struct Cell {
    uint8_t* magnitudes;
    uint8_t* signs;
    uint16_t* sums;
    uint8_t* bands;
    int32_t sum(size_t from, size_t to) const { return static_cast<uint16_t>(sums[to] - sums[from]); }
};

class Cells {
   public:
    Cells(const ComponentGrid& grid)
        : components_(grid.components), bands_((grid.components + band - 1) / band), width_(grid.width + 3),
          rows_(std::min<size_t>(grid.height, 3)), magnitudes_(places() * components_), signs_(places() * components_),
          sums_(places() * (components_ + 1)), used_(places() * bands_) {}
    // Three rows are enough: cells reach two rows up. Above the first row is a place of its own.
    Cell at(ptrdiff_t y, ptrdiff_t x) {
        return of(y < 0 ? rows_ * width_ : static_cast<size_t>(y) % rows_ * width_ + static_cast<size_t>(x + 2));
    }
    void clear(ptrdiff_t y) {
        const Cell first = of(static_cast<size_t>(y) % rows_ * width_);
        std::fill_n(first.magnitudes, width_ * components_, uint8_t{0});
        std::fill_n(first.signs, width_ * components_, uint8_t{0});
        std::fill_n(first.sums, width_ * (components_ + 1), uint16_t{0});
        std::fill_n(first.bands, width_ * bands_, uint8_t{0});
    }

   private:
    size_t places() const { return rows_ * width_ + 1; }
    Cell of(size_t place) {
        return {&magnitudes_[place * components_], &signs_[place * components_], &sums_[place * (components_ + 1)],
                &used_[place * bands_]};
    }

    size_t components_, bands_, width_, rows_;
    std::vector<uint8_t> magnitudes_, signs_;
    std::vector<uint16_t> sums_;
    std::vector<uint8_t> used_;
};

struct Neighbours {
    Cell here, w, n, nw, ne, ww, nn;
};

// What the contexts of a value are made of.
struct Around {
    uint32_t level, component, near, nearest, own, brief, beside, related, pattern;
};

// How strong a cell's components have been so far, beside what was expected.
struct Strength {
    int32_t slow = 0, quick = 0, wanted_slow = 0, wanted_quick = 0;
    void add(int32_t magnitude, int32_t wanted) {
        slow += 256 * magnitude - (slow >> slow_fade), quick += 256 * magnitude - (quick >> quick_fade);
        wanted_slow += wanted - (wanted_slow >> slow_fade), wanted_quick += wanted - (wanted_quick >> quick_fade);
    }
};

template <class Coder>
class Model {
   public:
    Model(Coder& coder, const ComponentGrid& grid, const ComponentStatistics& statistics, const ComponentSteps& steps,
          uint32_t* state, const ComponentPicture& picture)
        : coder_(coder), grid_(grid), statistics_(statistics), steps_(steps), picture_(picture), state_(state),
          mixer_(sets), levels_(grid.components * steps.classes), wanted_(steps.classes * (grid.components + 1)),
          cells_(grid), predicted_(grid.components), chosen_(picture.chosen ? 0 : grid.components) {
        components_levels(grid.components, statistics.scales, steps.steps, steps.classes, levels_.data());
        for (size_t m = 0; m < steps.classes; ++m)
            for (size_t k = 0; k < grid.components; ++k)
                wanted_[m * (grid.components + 1) + k + 1] =
                    wanted_[m * (grid.components + 1) + k] + expected[levels_[k * steps.classes + m]];
        const auto* weights = reinterpret_cast<const int32_t*>(state + all_slots);
        std::copy_n(weights, sets * Mix::inputs, mixer_.weights().begin());
        const uint32_t* learnt = state + all_slots + sets * Mix::inputs;
        for (size_t i = 0; i < sets; ++i) mixer_.learnt()[i] = static_cast<uint16_t>(learnt[i]);
        Slot* at = reinterpret_cast<Slot*>(state);
        for (size_t i = 0; i < contexts; ++i) slots_[i] = at, at += sizes[i] * decisions;
        signs_ = at, bands_ = signs_ + sign_slots, places_ = bands_ + band_slots, escape_ = places_ + place_slots;
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
        Mix::Inputs in;
        const int decision = decision_of(magnitude);
        uint32_t at[contexts];
        locate(around, at);
        for (int c = 0; c < contexts; ++c) Mix::put(in, c, slots_[c][at[c] * decisions + static_cast<uint32_t>(decision)]);
        Mix::put_constant(in);
        const int32_t p = mixer_.mix(set_of(decision, around), in);
        return bits_of(larger ? p : 65536 - p);
    }

   private:
#ifdef MIDSTREAM_X86
    template <class Quantiser>
    MIDSTREAM_AVX2 bool run_avx2(Quantiser& quantiser) { return code_all(quantiser); }
#endif

    template <class Quantiser>
    MIDSTREAM_INLINE bool code_all(Quantiser& quantiser) {
        if (!picture_.known && !code_places()) return false;
        for (ptrdiff_t y = 0; y < static_cast<ptrdiff_t>(grid_.height); ++y) {
            cells_.clear(y);
            for (ptrdiff_t x = 0; x < static_cast<ptrdiff_t>(grid_.width); ++x) {
                predict(y, x);
                if (!code_cell(y, x, quantiser)) return false;
            }
        }
        auto* words = reinterpret_cast<uint32_t*>(state_) + all_slots;
        std::memcpy(words, mixer_.weights().data(), sets * Mix::inputs * sizeof(int32_t));
        for (size_t i = 0; i < sets; ++i) words[sets * Mix::inputs + i] = mixer_.learnt()[i];
        return true;
    }

    bool code_places() {
        for (size_t y = 0; y < grid_.height; ++y)
            for (size_t x = 0; x < grid_.width; ++x) {
                uint8_t* at = picture_.places + y * grid_.width + x;
                const ptrdiff_t up = -static_cast<ptrdiff_t>(grid_.width);
                const size_t west = x ? at[-1] : y ? at[up] : 0;
                const size_t north = y ? at[up] : west;
                Slot* slots = places_ + (west * most_classes + north) * most_classes;
                size_t place = 0;
                for (; place + 1 < steps_.classes; ++place) {
                    int more = *at > place;
                    code_bit(slots[place], more);
                    if (!more) break;
                }
                if (coder_.overrun()) return false;
                *at = static_cast<uint8_t>(place);
            }
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
        const size_t cell = static_cast<size_t>(y) * grid_.width + static_cast<size_t>(x), outputs = statistics_.outputs;
        const float* decoded = picture_.decoded + cell * grid_.components;
        const float* row = statistics_.prediction + side * statistics_.inputs * outputs;
        float* out = predicted_.data();
        for (size_t i = 0; i < statistics_.inputs; ++i, row += outputs) {
            const float value = decoded[i];
            if (value == 0) continue;
            for (size_t o = 0; o < outputs; ++o) out[o] += value * row[o];
        }
    }

    template <class Quantiser>
    MIDSTREAM_INLINE bool code_cell(ptrdiff_t y, ptrdiff_t x, Quantiser& quantiser) {
        const size_t cell = static_cast<size_t>(y) * grid_.width + static_cast<size_t>(x), count = grid_.components;
        const size_t place = picture_.places[cell];
        const Neighbours near = {cells_.at(y, x),         cells_.at(y, x - 1),     cells_.at(y - 1, x),
                                 cells_.at(y - 1, x - 1), cells_.at(y - 1, x + 1), cells_.at(y, x - 2),
                                 cells_.at(y - 2, x)};
        int32_t* chosen = picture_.chosen ? picture_.chosen + cell * count : chosen_.data();
        Strength strength;
        int before = 1;
        for (size_t b = 0; b * band < count; ++b) {
            const size_t from = b * band, to = std::min(from + band, count);
            const uint32_t level = levels_[from * steps_.classes + place];
            const auto own = static_cast<uint32_t>(ratio(strength.slow, strength.wanted_slow)) / 4;
            Slot& slot = bands_[((level * 4 + own) * 3 + near.w.bands[b] + near.n.bands[b]) * 2 + static_cast<size_t>(before)];
            int used = quantiser.used(*this, cell, place, near, strength, from, to, predicted_.data());
            code_bit(slot, used);
            near.here.bands[b] = static_cast<uint8_t>(used);
            before = used;
            if (coder_.overrun()) return false;
            for (size_t k = from; k < to; ++k) {
                int32_t value = 0;
                if (used) {
                    const Around around = look(k, place, near, strength, chosen);
                    value = quantiser.value(*this, cell, place, around, k, predicted_[k]);
                    if (!code_value(around, k, near, value)) return false;
                }
                chosen[k] = value;
                keep(cell, place, k, value, near.here, strength);
            }
        }
        return true;
    }

    MIDSTREAM_INLINE void keep(size_t cell, size_t place, size_t k, int32_t value, const Cell& here, Strength& strength) {
        const size_t at = cell * grid_.components + k;
        const uint32_t level = levels_[k * steps_.classes + place];
        const int32_t size = std::min(std::abs(value), 255);
        picture_.decoded[at] = predicted_[k];
        if (value != 0) {
            const float magnitude = reconstruction(level, std::abs(value)) * steps_.widths[place];
            picture_.decoded[at] += value < 0 ? -magnitude : magnitude;
        }
        here.magnitudes[k] = static_cast<uint8_t>(size);
        here.signs[k] = static_cast<uint8_t>(value > 0 ? 1 : value < 0 ? 2 : 0);
        here.sums[k + 1] = static_cast<uint16_t>(here.sums[k] + size);
        strength.add(size, expected[level]);
    }

   public:
    float reconstruction(uint32_t level, int32_t magnitude) const {
        const int32_t c = std::min(magnitude, reconstruction_classes) - 1;
        const int8_t offset = statistics_.offsets[level * reconstruction_classes + static_cast<uint32_t>(c)];
        return static_cast<float>(magnitude) + static_cast<float>(offset) / 64;
    }

    MIDSTREAM_INLINE Around look(size_t k, size_t place, const Neighbours& near, const Strength& strength,
                                 const int32_t* chosen) const {
        const uint32_t w = near.w.magnitudes[k], n = near.n.magnitudes[k], nw = near.nw.magnitudes[k];
        const uint32_t ne = near.ne.magnitudes[k], ww = near.ww.magnitudes[k], nn = near.nn.magnitudes[k];
        const size_t low = k < window ? 0 : k - window, high = std::min(k + window, grid_.components);
        const auto sum = [&](const Cell& c) { return c.sum(low, high); };
        const int32_t beside = 2 * sum(near.w) + 2 * sum(near.n) + sum(near.nw) + sum(near.ne);
        const int32_t* wanted = &wanted_[place * (grid_.components + 1)];
        const uint16_t* back = statistics_.references + 2 * k;
        const auto few = [](uint32_t v, uint32_t most) { return std::min(v, most); };
        const auto there = [&](uint16_t distance) {
            return distance ? few(static_cast<uint32_t>(std::abs(chosen[k - distance])), 3) : 0;
        };
        Around out;
        out.level = levels_[k * steps_.classes + place];
        out.component = static_cast<uint32_t>(std::min(k, numbered - 1));
        out.near = static_cast<uint32_t>(half_log(2 * w + 2 * n + nw + ne, 7));
        out.nearest = few(w + n, 3);
        out.own = static_cast<uint32_t>(ratio(strength.slow, strength.wanted_slow));
        out.brief = static_cast<uint32_t>(ratio(strength.quick, strength.wanted_quick));
        out.beside = static_cast<uint32_t>(ratio(64 * beside, (wanted[high] - wanted[low]) * 3 / 2)) / 2;
        out.related = there(back[0]) * 4 + there(back[1]);
        out.pattern = few(w, 3) | few(n, 3) << 2 | few(nw, 3) << 4 | few(ne, 3) << 6 | few(ww, 3) << 8 | few(nn, 3) << 10;
        return out;
    }

   private:
    MIDSTREAM_INLINE static void locate(const Around& a, uint32_t (&at)[contexts]) {
        at[0] = (a.level * 16 + a.own) * 4 + a.nearest;
        at[1] = a.component * 4 + a.nearest;
        at[2] = (a.near * 32 + a.level) * 8 + a.beside;
        at[3] = a.level * 64 + a.related * 4 + a.nearest;
        at[4] = (a.brief * 16 + a.own) * 16 + a.level / 2;
        at[5] = a.pattern;
        at[6] = a.component * 4 + a.own / 4;
    }

    MIDSTREAM_INLINE static size_t set_of(int decision, const Around& around) {
        return static_cast<size_t>(decision) * 4 + around.level / 8;
    }

    MIDSTREAM_INLINE bool code_value(const Around& around, size_t k, const Neighbours& near, int32_t& value) {
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
        if (magnitude)
            code_bit(signs_[std::min(k, numbered - 1) * 9 + near.w.signs[k] * size_t{3} + near.n.signs[k]], negative);
        value = negative ? -magnitude : magnitude;
        return !coder_.overrun();
    }

    MIDSTREAM_INLINE void code_decision(const Around& around, const uint32_t (&at)[contexts], int decision, int& bit) {
        Slot* slot[contexts];
        Mix::Inputs in;
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
        return magnitude <= largest_component;
    }

    MIDSTREAM_INLINE void code_bit(Slot& slot, int& bit) {
        coder_.code(bit, static_cast<uint32_t>(std::clamp(slot.probability() * 16, least_chance, 65536 - least_chance)));
        slot.update(bit);
    }

    Coder& coder_;
    ComponentGrid grid_;
    ComponentStatistics statistics_;
    ComponentSteps steps_;
    ComponentPicture picture_;
    uint32_t* state_;
    Mix mixer_;
    std::vector<uint8_t> levels_;
    std::vector<int32_t> wanted_;  // [classes, components + 1]: sums of what is expected
    Cells cells_;
    std::vector<float> predicted_;
    std::vector<int32_t> chosen_;  // of a cell, where the caller does not want them of all
    Slot *slots_[contexts], *signs_, *bands_, *places_, *escape_;
};

}  // namespace midstream::components
