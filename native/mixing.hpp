// Context mixing: probabilities of binary decisions that several contexts give are mixed in the logistic domain, with
// weights that learn (Mahoney 2005, "Adaptive weighing of context models for lossless data compression"). All arithmetic
// is on integers: two machines decode the same symbols. docs/format.md is normative, and docs/method.md ("Constants")
// says where the numbers come from.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "dispatch.hpp"
#include "lanes.hpp"

namespace midstream {

// round(65536 / (1 + exp(-i / 2))), i = -16 .. 16
inline constexpr std::array<int32_t, 33> logistic = {
    22,    36,    60,    98,    162,   267,   439,   720,   1179,  1921,  3108,  4971,  7812,  11955, 17625, 24743, 32768,
    40793, 47911, 53581, 57724, 60565, 62428, 63615, 64357, 64816, 65097, 65269, 65374, 65438, 65476, 65500, 65514};

// Log odds d in units of 1/256 (limited to +-2047) to a probability in units of 2^-16.
constexpr int32_t squash(int32_t d) {
    d = std::clamp(d, -2047, 2047) + 2048;
    const int32_t i = d >> 7, part = d & 127;
    return (logistic[i] * (128 - part) + logistic[i + 1] * part + 64) >> 7;
}

// The other way, from a probability in units of 2^-12: the smallest d that squash maps to it or above.
inline constexpr auto stretch = [] {
    std::array<int16_t, 4096> table{};
    int32_t d = -2047;
    for (int32_t p = 0; p < 4096; ++p) {
        while (d < 2047 && squash(d) < p * 16 + 8) ++d;
        table[p] = static_cast<int16_t>(d);
    }
    return table;
}();

inline constexpr int count_limit = 255;  // observations after which a probability stops slowing down
inline constexpr int confident = 32;     // observations from which on a slot counts in full
inline constexpr int32_t least_chance = 32;                       // of either bit, in units of 2^-16
inline constexpr int32_t own_weight = 12000, seen_weight = 6000;  // that a context begins with; 65536 is 1
inline constexpr int32_t most_weight = 1 << 19;
inline constexpr int32_t first_step = 1024, last_step = 3;  // of learning weights
inline constexpr uint16_t settled = 4096;                   // updates that are counted

// What squash gives, limited to what the arithmetic coder can say.
inline constexpr auto chances = [] {
    std::array<uint16_t, 4096> table{};
    for (int32_t d = -2048; d < 2048; ++d)
        table[d + 2048] = static_cast<uint16_t>(std::clamp(squash(d), least_chance, 65536 - least_chance));
    return table;
}();

// By how much weights move: less and less as a set of weights settles.
inline constexpr auto weight_steps = [] {
    std::array<uint8_t, first_step - 32 + 2> table{};  // from the last one on it stays
    for (int32_t n = 0; n < static_cast<int32_t>(table.size()); ++n)
        table[n] = static_cast<uint8_t>(last_step + first_step / (32 + n));
    return table;
}();

inline constexpr auto rate = [] {  // 2^16 / (count + 1.5)
    std::array<int32_t, count_limit + 1> table{};
    for (int32_t n = 0; n <= count_limit; ++n) table[n] = 131072 / (2 * n + 3);
    return table;
}();

// A probability of a one in the upper 22 bits, how often it was updated in the lower 10.
struct Slot {
    uint32_t state = 1u << 31;

    int32_t probability() const { return static_cast<int32_t>(state >> 20); }  // in units of 2^-12
    int32_t chance() const {  // as the arithmetic coder takes it
        return std::clamp(probability() * 16, least_chance, 65536 - least_chance);
    }
    MIDSTREAM_INLINE void update(int bit) {
        const auto n = static_cast<int32_t>(state & 1023), p = static_cast<int32_t>(state >> 10);
        const int32_t target = bit ? (1 << 22) - 1 : 0;
        const int32_t moved = p + static_cast<int32_t>((static_cast<int64_t>(target - p) * rate[n]) >> 16);
        state = static_cast<uint32_t>(moved) << 10 | static_cast<uint32_t>(n < count_limit ? n + 1 : n);
    }
};

// Weighs what `contexts` slots say, two inputs a slot, by weights that learn: a set of weights for each situation.
template <int contexts, class Lanes = VectorLanes>
class Mixer {
    using Whole = typename Lanes::Whole;
    static constexpr int blocks = contexts / lane_count + 1;  // a lane a context, and at least one for the constant

   public:
    static constexpr int inputs = 2 * contexts + 2;  // as weights are stored: two a context, the constant, one unused

    // What the slots of a decision say, and what is made of it.
    struct Look {
        Whole states[blocks], plain[blocks], seen[blocks];  // log odds; the same as far as they have been observed
        size_t set;
        int32_t chance;  // of a one, in units of 2^-16
    };

    explicit Mixer(size_t sets) : sets_(sets) {
        std::array<int32_t, inputs> first{};
        for (int i = 0; i < 2 * contexts; ++i) first[static_cast<size_t>(i)] = i % 2 == 0 ? own_weight : seen_weight;
        for (size_t set = 0; set < sets; ++set) put_weights(set, first.data(), 0);
    }
    // What has been learnt, to be kept and to begin with; how often comes last.
    void put_weights(size_t set, const int32_t* weights, uint16_t learnt) {
        Set& to = sets_[set];
        for (int b = 0; b < blocks; ++b) {
            to.plain[b] = Lanes::each([&](int i) { return stored(b, i) ? weights[2 * (b * lane_count + i)] : 0; });
            to.seen[b] = Lanes::each([&](int i) { return stored(b, i) ? weights[2 * (b * lane_count + i) + 1] : 0; });
        }
        to.learnt = learnt;
    }
    uint16_t take_weights(size_t set, int32_t* weights) const {
        const Set& from = sets_[set];
        for (int i = 0; i <= contexts; ++i) {
            weights[2 * i] = from.plain[i / lane_count][i % lane_count];
            weights[2 * i + 1] = from.seen[i / lane_count][i % lane_count];
        }
        return from.learnt;
    }

    // The slots are at `slots + at[c] + offset`.
    MIDSTREAM_INLINE void look(size_t set, const Slot* slots, const uint32_t (&at)[contexts], uint32_t offset,
                               Look& out) const {
        const Set& by = sets_[set];
        const Slot* first = slots + offset;
        Whole sum = Lanes::all(0);
        for (int b = 0; b < blocks; ++b) {
            const auto state = [&](int i) {
                const int c = b * lane_count + i;
                return c < contexts ? first[at[c]].state : 0;
            };
            out.states[b] = Lanes::each([&](int i) { return static_cast<int32_t>(state(i)); });
            out.plain[b] = Lanes::each([&](int i) {
                const int c = b * lane_count + i;
                return c < contexts ? int32_t{stretch[state(i) >> 20]} : c == contexts ? 256 : 0;
            });
            const Whole counts = out.states[b] & Lanes::all(1023);
            out.seen[b] = (out.plain[b] * Lanes::least(counts, Lanes::all(confident))) >> 5;
            sum = sum + ((out.plain[b] * by.plain[b]) >> 8) + ((out.seen[b] * by.seen[b]) >> 8);
        }
        out.set = set;
        out.chance = chances[static_cast<size_t>(std::clamp(Lanes::sum(sum) >> 8, -2047, 2047) + 2048)];
    }

    // After the decision: moves the weights and the slots that were looked at.
    MIDSTREAM_INLINE void learn(const Look& look, Slot* slots, const uint32_t (&at)[contexts], uint32_t offset, int bit) {
        Set& set = sets_[look.set];
        const int32_t step = weight_steps[std::min<size_t>(set.learnt, weight_steps.size() - 1)];
        if (set.learnt < settled) ++set.learnt;
        const Whole error = Lanes::all((((bit << 16) - look.chance) * step) >> 4);
        Slot* first = slots + offset;
        const Whole target = Lanes::all(bit ? (1 << 22) - 1 : 0);
        for (int b = 0; b < blocks; ++b) {
            move(set.plain[b], look.plain[b] * error);
            move(set.seen[b], look.seen[b] * error);
            const Whole moved = updated(look.states[b], target);
            for (int i = 0; i < lane_count && b * lane_count + i < contexts; ++i)
                first[at[b * lane_count + i]].state = static_cast<uint32_t>(moved[i]);
        }
    }

   private:
    struct alignas(64) Set {
        Whole plain[blocks], seen[blocks];
        uint16_t learnt;
    };

    static constexpr bool stored(int block, int lane) { return block * lane_count + lane <= contexts; }
    MIDSTREAM_INLINE static void move(Whole& weights, const Whole& by) {
        const Whole moved = weights + ((by + Lanes::all(1 << 13)) >> 14);
        weights = Lanes::most(Lanes::least(moved, Lanes::all(most_weight)), Lanes::all(-most_weight));
    }
    // Slot::update in lanes. A quotient in binary32 is right for every count; the product, which takes 39 bits, is of
    // two halves.
    MIDSTREAM_INLINE static Whole updated(const Whole& states, const Whole& target) {
        const Whole n = states & Lanes::all(1023), p = (states >> 10) & Lanes::all((1 << 22) - 1), away = target - p;
        const Whole rates = Lanes::quotient(131072, n + n + Lanes::all(3));
        const Whole low = ((away & Lanes::all(2047)) * rates) >> 11, moved = p + ((((away >> 11) * rates) + low) >> 5);
        return (moved << 10) | Lanes::least(n + Lanes::all(1), Lanes::all(count_limit));
    }

    std::vector<Set> sets_;
};

}  // namespace midstream
