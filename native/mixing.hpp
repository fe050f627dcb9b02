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
inline constexpr int32_t first_step = 1024, last_step = 3;        // of learning weights
inline constexpr uint16_t settled = 4096;                         // updates that are counted

inline constexpr auto rate = [] {  // 2^16 / (count + 1.5)
    std::array<int32_t, count_limit + 1> table{};
    for (int32_t n = 0; n <= count_limit; ++n) table[n] = 131072 / (2 * n + 3);
    return table;
}();

// A probability of a one in the upper 22 bits, how often it was updated in the lower 10.
struct Slot {
    uint32_t state = 1u << 31;

    int32_t probability() const { return static_cast<int32_t>(state >> 20); }  // in units of 2^-12
    int32_t count() const { return static_cast<int32_t>(state & 1023); }
    MIDSTREAM_INLINE void update(int bit) {
        const int32_t n = count(), p = static_cast<int32_t>(state >> 10), target = bit ? (1 << 22) - 1 : 0;
        const int32_t moved = p + static_cast<int32_t>((static_cast<int64_t>(target - p) * rate[n]) >> 16);
        state = static_cast<uint32_t>(moved) << 10 | static_cast<uint32_t>(n < count_limit ? n + 1 : n);
    }
};

// Weighs what `contexts` slots say, two inputs a slot, by weights that learn: a set of weights for each situation.
template <int contexts>
class Mixer {
   public:
    static constexpr int inputs = 2 * contexts + 2;  // two a context, a constant, and one to fill a register
    using Inputs = int32_t[inputs];

    explicit Mixer(size_t sets) : weights_(sets * inputs), learnt_(sets, 0) {
        for (size_t i = 0; i < weights_.size(); ++i) {
            const size_t input = i % inputs;
            weights_[i] = input >= 2 * contexts ? 0 : input % 2 == 0 ? own_weight : seen_weight;
        }
    }
    // What has been learnt, to be kept and to begin with.
    std::vector<int32_t>& weights() { return weights_; }
    std::vector<uint16_t>& learnt() { return learnt_; }

    // Log odds of a slot, and the same as far as it has been observed.
    MIDSTREAM_INLINE static void put(Inputs& in, int context, const Slot& slot) {
        const int32_t st = stretch[static_cast<size_t>(slot.probability())];
        in[2 * context] = st;
        in[2 * context + 1] = (st * std::min(slot.count(), confident)) >> 5;
    }
    MIDSTREAM_INLINE static void put_constant(Inputs& in) { in[2 * contexts] = 256, in[2 * contexts + 1] = 0; }
    MIDSTREAM_INLINE int32_t mix(size_t set, const Inputs& in) {
        const int32_t* w = &weights_[set * inputs];
        int32_t sum = 0;
        for (int i = 0; i < inputs; ++i) sum += (in[i] * w[i]) >> 8;
        return std::clamp(squash(sum >> 8), least_chance, 65536 - least_chance);
    }
    MIDSTREAM_INLINE void learn(size_t set, const Inputs& in, int32_t p, int bit) {
        int32_t* w = &weights_[set * inputs];
        uint16_t& times = learnt_[set];
        const int32_t step = last_step + first_step / (32 + times);  // steps shrink as a set of weights settles
        if (times < settled) ++times;
        const int32_t error = (((bit << 16) - p) * step) >> 4;
        for (int i = 0; i < inputs; ++i)
            w[i] = std::clamp(w[i] + ((in[i] * error + (1 << 13)) >> 14), -(1 << 19), 1 << 19);
    }

   private:
    std::vector<int32_t> weights_;
    std::vector<uint16_t> learnt_;
};

}  // namespace midstream
