// Range asymmetric numeral systems (Duda 2013, arXiv:1311.2540) with probabilities that are known when a symbol is
// coded: one state, or two in turn so that neither waits for the other (Giesen 2014, arXiv:1402.3392). Words of 16 bits
// come from one stream. docs/format.md is normative ("Entropy model").
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "dispatch.hpp"

namespace midstream::rans {

constexpr int precision = 14;              // log2 of what the frequencies of a row add up to
constexpr uint32_t whole = 1u << precision;
constexpr uint32_t least_state = 1u << 15;  // states are from here to below 2^31
constexpr size_t most_lanes = 2;

// Symbols of a row: symbol s has the places from starts[s] to below starts[s + 1] of `whole`.
template <size_t symbols>
using Row = std::array<uint16_t, symbols + 1>;

// Notes what is coded: a decoder reads it the other way round.
class Encoder {
   public:
    explicit Encoder(size_t lanes) : mask_(lanes - 1) {}

    template <size_t places>  // one more than symbols
    MIDSTREAM_INLINE void code(size_t lane, const std::array<uint16_t, places>& row, uint32_t& symbol) {
        const uint32_t start = row[symbol];
        noted_.push_back({static_cast<uint16_t>(start), static_cast<uint16_t>(row[symbol + 1] - start), lane, precision});
    }
    // A number of so many bits, at most `precision`, of which none is likelier than another.
    MIDSTREAM_INLINE void bits(size_t lane, int count, uint32_t& value) {
        noted_.push_back({static_cast<uint16_t>(value), 1, lane, count});
    }
    static bool overrun() { return false; }  // a writer never runs out

    std::vector<uint8_t> finish() const {
        std::array<uint32_t, most_lanes> states;
        states.fill(least_state);
        std::vector<uint16_t> words;
        words.reserve(noted_.size() / 4 + 2 * most_lanes);
        for (auto at = noted_.rbegin(); at != noted_.rend(); ++at) {
            uint32_t& x = states[at->lane & mask_];
            const uint64_t too_large = uint64_t{at->frequency} << (31 - at->precision);
            if (x >= too_large) words.push_back(static_cast<uint16_t>(x)), x >>= 16;
            x = (x / at->frequency << at->precision) + x % at->frequency + at->start;
        }
        for (size_t lane = mask_ + 1; lane-- > 0;)
            for (const int shift : {0, 16}) words.push_back(static_cast<uint16_t>(states[lane] >> shift));
        std::vector<uint8_t> out;
        out.reserve(2 * words.size());
        for (auto at = words.rbegin(); at != words.rend(); ++at)
            out.push_back(static_cast<uint8_t>(*at)), out.push_back(static_cast<uint8_t>(*at >> 8));
        return out;
    }

   private:
    struct Noted {
        uint16_t start, frequency;
        uint16_t lane;
        int16_t precision;
        Noted(uint16_t s, uint16_t f, size_t l, int p)
            : start(s), frequency(f), lane(static_cast<uint16_t>(l & 1)), precision(static_cast<int16_t>(p)) {}
    };
    size_t mask_;
    std::vector<Noted> noted_;
};

class Decoder {
   public:
    Decoder(const uint8_t* data, size_t bytes, size_t lanes) : data_(data), bytes_(bytes), mask_(lanes - 1) {
        for (size_t lane = 0; lane < lanes; ++lane) {
            const uint32_t high = next();
            states_[lane] = high << 16 | next();
        }
    }
    template <size_t places>  // one more than symbols
    MIDSTREAM_INLINE void code(size_t lane, const std::array<uint16_t, places>& row, uint32_t& symbol) {
        uint32_t& x = states_[lane & mask_];
        const uint32_t place = x & (whole - 1);
        symbol = 0;
        while (symbol + 2 < places && place >= row[symbol + 1]) ++symbol;
        const uint32_t start = row[symbol];
        x = (row[symbol + 1] - start) * (x >> precision) + place - start;
        renew(x);
    }
    MIDSTREAM_INLINE void bits(size_t lane, int count, uint32_t& value) {
        uint32_t& x = states_[lane & mask_];
        value = x & ((1u << count) - 1);
        x >>= count;
        renew(x);
    }
    bool overrun() const { return at_ > bytes_; }
    // Whether all of the data has been read, and nothing but what an encoder begins with is left.
    bool finished() const {
        for (size_t lane = 0; lane <= mask_; ++lane)
            if (states_[lane] != least_state) return false;
        return at_ == bytes_;
    }

   private:
    MIDSTREAM_INLINE void renew(uint32_t& x) {
        if (x < least_state) x = x << 16 | next();
    }
    MIDSTREAM_INLINE uint32_t next() {
        const size_t at = at_;
        at_ += 2;
        return at_ <= bytes_ ? data_[at] | uint32_t{data_[at + 1]} << 8 : 0;
    }
    const uint8_t* data_;
    size_t bytes_, at_ = 0, mask_;
    std::array<uint32_t, most_lanes> states_{};
};

}  // namespace midstream::rans
