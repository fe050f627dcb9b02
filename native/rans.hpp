// Range asymmetric numeral systems (Duda 2013, arXiv:1311.2540) with probabilities that are known when a symbol is
// coded: one state, or two in turn so that neither waits for the other (Giesen 2014, arXiv:1402.3392). Words of 16 bits
// come from one stream. docs/format.md is normative ("Entropy model").
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "buffer.hpp"
#include "dispatch.hpp"

namespace midstream::rans {

constexpr int precision = 14;              // log2 of what the frequencies of a row add up to
constexpr uint32_t whole = 1u << precision;
constexpr uint32_t least_state = 1u << 15;  // states are from here to below 2^31
constexpr size_t most_lanes = 2;

// Symbols of a row: symbol s has the places from starts[s] to below starts[s + 1] of `whole`.
template <size_t symbols>
using Row = std::array<uint16_t, symbols + 1>;

// Exact quotients of numbers below 2^31 by a frequency, 1 to `whole`: of a division by multiplication (Granlund and
// Montgomery 1994), with 2^(31 + s) / f rounded up, 2^s the power of two from f on.
inline int quotient_shift(uint32_t frequency) { return 31 + std::bit_width(frequency - 1); }
inline const auto quotient_factors = [] {
    std::vector<uint32_t> out(whole + 1);
    for (uint32_t f = 1; f <= whole; ++f)
        out[f] = static_cast<uint32_t>(((uint64_t{1} << quotient_shift(f)) + f - 1) / f);
    return out;
}();

// Notes what is coded: a decoder reads it the other way round.
class Encoder {
   public:
    explicit Encoder(size_t lanes) : mask_(lanes - 1), noted_(buffer<uint32_t>(room_)) {}

    // That so many more can be noted.
    MIDSTREAM_INLINE void reserve(size_t more) {
        if (room_ - count_ < more) grow(more);
    }
    template <size_t places>  // one more than symbols
    MIDSTREAM_INLINE void code(size_t lane, const std::array<uint16_t, places>& row, uint32_t symbol) {
        note(lane, row[symbol], uint32_t{row[symbol + 1]} - row[symbol]);
    }
    // A symbol with the places from `start` on, so many.
    MIDSTREAM_INLINE void note(size_t lane, uint32_t start, uint32_t frequency) {
        noted_[count_++] = start | (frequency - 1) << precision | static_cast<uint32_t>(lane & 1) << lane_bit;
    }
    // A number of so many bits, at most `precision`, of which none is likelier than another.
    MIDSTREAM_INLINE void bits(size_t lane, int count, uint32_t value) {
        const uint32_t plain = value | static_cast<uint32_t>(count) << precision;
        noted_[count_++] = plain | static_cast<uint32_t>(lane & 1) << lane_bit | 1u << bits_bit;
    }

    std::vector<uint8_t> finish() const {
        uint32_t states[most_lanes] = {least_state, least_state};
        const size_t most = count_ + 2 * most_lanes;  // no symbol needs more than a word
        const auto words = buffer<uint16_t>(most);
        uint16_t* at = words.get() + most;
        const uint32_t* factors = quotient_factors.data();
        for (size_t i = count_; i-- > 0;) {
            const uint32_t noted = noted_[i], start = noted & (whole - 1), number = noted >> precision & (whole - 1);
            uint32_t& state = states[noted >> lane_bit & mask_];
            const bool plain = noted >> bits_bit & 1;
            const uint32_t frequency = number + 1, limit = plain ? 1u << (31 - number) : frequency << (31 - precision);
            const bool full = state >= limit;
            at[-1] = static_cast<uint16_t>(state);
            at -= full;
            const uint32_t x = full ? state >> 16 : state;
            if (plain) {
                state = x << number | start;
                continue;
            }
            const auto quotient = static_cast<uint32_t>(uint64_t{x} * factors[frequency] >> quotient_shift(frequency));
            state = x + start + quotient * (whole - frequency);
        }
        for (size_t lane = mask_ + 1; lane-- > 0;)
            for (const int shift : {0, 16}) *--at = static_cast<uint16_t>(states[lane] >> shift);
        std::vector<uint8_t> out;
        out.reserve(2 * static_cast<size_t>(words.get() + most - at));
        for (; at < words.get() + most; ++at)
            out.push_back(static_cast<uint8_t>(*at)), out.push_back(static_cast<uint8_t>(*at >> 8));
        return out;
    }

   private:
    // Of what is noted: the start, or the value; above it the frequency less one, or the number of bits; lane; which.
    static constexpr int lane_bit = 2 * precision, bits_bit = lane_bit + 1;

    void grow(size_t more) {
        const size_t room = std::max(2 * room_, count_ + more);
        auto larger = buffer<uint32_t>(room);
        std::copy_n(noted_.get(), count_, larger.get());
        noted_ = std::move(larger), room_ = room;
    }

    size_t mask_, count_ = 0, room_ = size_t{1} << 15;
    Buffer<uint32_t> noted_;
};

class Decoder {
   public:
    Decoder(const uint8_t* data, size_t bytes, size_t lanes)
        : data_(bytes + pad), end_(data_.data() + bytes), two_(lanes == 2) {
        std::copy_n(data, bytes, data_.data());
        at_ = data_.data();
        for (size_t lane = 0; lane < lanes; ++lane) {
            const uint32_t high = next(at_);
            states_[lane] = high << 16 | next(at_);
        }
    }
    // Words behind the end that may be read, all zero, before it is asked whether there were any: a check for each would
    // take longer than reading it.
    static constexpr size_t most_unchecked = 2048;

    // States and place, for a caller to have in registers and to give back.
    struct Open {
        uint32_t first, second;  // the same one is used for both, if there is but one
        const uint8_t* at;
    };
    bool two() const { return two_; }
    MIDSTREAM_INLINE Open open() const { return {states_[0], states_[1], at_}; }
    MIDSTREAM_INLINE void close(const Open& open) { states_ = {open.first, open.second}, at_ = open.at; }

    // Takes a symbol, with the places from `start` on, so many, off a state.
    MIDSTREAM_INLINE static void take(uint32_t& x, const uint8_t*& at, uint32_t start, uint32_t frequency) {
        x = frequency * (x >> precision) + (x & (whole - 1)) - start;
        renew(x, at);
    }
    MIDSTREAM_INLINE static uint32_t bits(uint32_t& x, const uint8_t*& at, int count) {
        const uint32_t value = x & ((1u << count) - 1);
        x >>= count;
        renew(x, at);
        return value;
    }
    template <size_t places>  // one more than symbols
    uint32_t code(size_t lane, const std::array<uint16_t, places>& row) {
        uint32_t& x = states_[two_ ? lane & 1 : 0];
        const uint32_t place = x & (whole - 1);
        uint32_t symbol = 0;
        while (symbol + 2 < places && place >= row[symbol + 1]) ++symbol;
        take(x, at_, row[symbol], uint32_t{row[symbol + 1]} - row[symbol]);
        return symbol;
    }
    bool overrun() const { return at_ > end_; }
    // Whether all of the data has been read, and nothing but what an encoder begins with is left.
    bool finished() const { return states_[0] == least_state && (!two_ || states_[1] == least_state) && at_ == end_; }

   private:
    static constexpr size_t pad = 2 * most_unchecked + 2;
    MIDSTREAM_INLINE static void renew(uint32_t& x, const uint8_t*& at) {
        if (x < least_state) x = x << 16 | next(at);
    }
    MIDSTREAM_INLINE static uint32_t next(const uint8_t*& at) {
        const uint32_t word = at[0] | uint32_t{at[1]} << 8;
        at += 2;
        return word;
    }
    std::vector<uint8_t> data_;
    const uint8_t *end_, *at_;
    bool two_;
    std::array<uint32_t, most_lanes> states_{};
};

}  // namespace midstream::rans
