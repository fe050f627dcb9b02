// What a coder with an entropy model ends in: each end codes the importance of a cell, the flags of its bands and the
// values of a band, with their signs. docs/format.md is normative ("Entropy model").
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstdlib>

#include "coefficients_contexts.hpp"
#include "entropy_flags.hpp"
#include "entropy_model.hpp"
#include "entropy_rows.hpp"
#include "rans.hpp"

namespace midstream::entropy {

constexpr int signs_together = 8;  // that are one number

// The symbol of a magnitude.
MIDSTREAM_INLINE uint32_t symbol_of(int32_t magnitude) {
    if (magnitude < 10) return static_cast<uint32_t>(magnitude);
    uint32_t symbol = 10;
    while (symbol + 1 < value_symbols && magnitude >= symbol_base[symbol + 1]) ++symbol;
    return symbol;
}

// Notes what is coded.
template <class Set>
class Writer {
   public:
    static constexpr bool reads = false;
    explicit Writer(size_t lanes) : rans_(lanes), rows_(value_rows()) {}

    static bool overrun() { return false; }
    template <class Row>
    uint8_t importance(size_t x, const Row& row, uint8_t importance) {
        rans_.reserve(1);
        rans_.code(x, row, importance);
        return importance;
    }

    // How many ones there are.
    MIDSTREAM_INLINE size_t flags(const FlagRows& rows, const Expected::Class& expected, const Neighbours&, size_t,
                                  const Model& model, const uint8_t* flags) {
        rans_.reserve(model.bands());
        size_t ones = 0, past = 0;
        for (size_t b = 0; b < model.bands(); ++b) {
            const uint32_t flag = flags[b], start = model.flag_start(rows.template row<Set>(expected, b, ones, past));
            rans_.note(b, flag ? start : 0, flag ? rans::whole - start : start);
            ones += flag, past = (2 * past + flag) % FlagRows::pasts;
        }
        return ones;
    }

    MIDSTREAM_INLINE bool values(const Model& model, const BandSight& sight, size_t count, const int32_t* values) {
        rans_.reserve(most_notes);
        uint8_t rows[band];
        rows_(model, sight, rows);
        uint32_t negative = 0;
        int signs = 0;
        for (size_t i = 0; i < count; ++i) {
            magnitude(i, model.value_starts(rows[i]), std::abs(values[i]));
            negative |= static_cast<uint32_t>(values[i] < 0) << signs;
            signs += values[i] != 0;
        }
        if (signs) rans_.bits(0, std::min(signs, signs_together), negative & ((1u << signs_together) - 1));
        if (signs > signs_together) rans_.bits(1, signs - signs_together, negative >> signs_together);
        return true;
    }

    std::vector<uint8_t> finish() const { return rans_.finish(); }

   private:
    static constexpr size_t most_notes = band * (8 + coefficients::longest_escape) + 2;

    MIDSTREAM_INLINE void magnitude(size_t lane, const uint16_t* starts, int32_t magnitude) {
        const uint32_t symbol = symbol_of(magnitude);
        rans_.note(lane, starts[symbol], uint32_t{starts[symbol + 1]} - starts[symbol]);
        if (symbol < 10) return;
        const auto more = static_cast<uint32_t>(magnitude - symbol_base[symbol]);
        if (symbol + 1 < value_symbols)
            rans_.bits(lane, symbol_bits[symbol], more);
        else
            escape(lane, more);
    }
    // Exponential Golomb code: how many bits more than `escape_order` there are, in unary, then these.
    void escape(size_t lane, uint32_t value) {
        const uint32_t above = value + (1u << escape_order);
        const int length = std::bit_width(above) - 1 - escape_order;
        for (int i = 0; i <= length; ++i) rans_.bits(lane, 1, i < length);
        for (int left = length + escape_order; left > 0;) {
            const int count = std::min(left, 8);
            left -= count;
            rans_.bits(lane, count, above >> left & ((1u << count) - 1));
        }
    }

    rans::Encoder rans_;
    ValueRows rows_;
};

// Of four bits, those of a mask from the lowest on become the lowest of some bits, [mask, bits].
inline constexpr auto spread_in_four = [] {
    std::array<std::array<uint8_t, 16>, 16> out{};
    for (unsigned mask = 0; mask < 16; ++mask)
        for (unsigned bits = 0; bits < 16; ++bits)
            for (unsigned i = 0, left = bits; i < 4; ++i)
                if (mask >> i & 1) out[mask][bits] = static_cast<uint8_t>(out[mask][bits] | (left & 1) << i), left >>= 1;
    return out;
}();
// Of 16.
MIDSTREAM_INLINE uint32_t spread(uint32_t bits, uint32_t mask) {
    uint32_t out = 0;
    for (int i = 0; i < 16; i += 4) {
        const uint32_t here = mask >> i & 15;
        out |= static_cast<uint32_t>(spread_in_four[here][bits & 15]) << i;
        bits >>= std::popcount(here);
    }
    return out;
}

// Reads, and trusts nothing.
template <class Set>
class Reader {
   public:
    static constexpr bool reads = true;
    Reader(const uint8_t* data, size_t bytes, size_t lanes) : rans_(data, bytes, lanes), rows_(value_rows()) {}

    bool overrun() const { return rans_.overrun(); }
    bool finished() const { return rans_.finished(); }
    template <class Row>
    uint32_t importance(size_t x, const Row& row, uint8_t) {
        return rans_.code(x, row);
    }

    // How many ones there are.
    MIDSTREAM_INLINE size_t flags(const FlagRows& rows, const Expected::Class& expected, const Neighbours&, size_t,
                                  const Model& model, uint8_t* flags) {
        size_t ones = 0, past = 0;
        auto open = rans_.open();
        const auto flag = [&](uint32_t& x, size_t b) {
            const uint32_t start = model.flag_start(rows.template row<Set>(expected, b, ones, past));
            const uint32_t place = x & (rans::whole - 1);
            past = 2 * past % FlagRows::pasts;
            if (place < start) {  // guessed well by the machine, which then goes on before it is known
                rans::Decoder::take(x, open.at, 0, start);
                flags[b] = 0;
            } else {
                rans::Decoder::take(x, open.at, start, rans::whole - start);
                flags[b] = 1;
                ++ones, past |= 1;
            }
        };
        in_turn(open, model.bands(), flag);
        rans_.close(open);
        return ones;
    }

    MIDSTREAM_INLINE bool values(const Model& model, const BandSight& sight, size_t count, int32_t* values) {
        uint8_t rows[band];
        rows_(model, sight, rows);
        int32_t magnitudes[band] = {};
        uint32_t used = 0, valid = 1;
        auto open = rans_.open();
        const auto one = [&](uint32_t& x, size_t i) {
            const uint16_t* starts = model.value_starts(rows[i]);
            const uint32_t symbol = Set::symbol(starts, x & (rans::whole - 1));
            rans::Decoder::take(x, open.at, starts[symbol], uint32_t{starts[symbol + 1]} - starts[symbol]);
            used |= static_cast<uint32_t>(symbol != 0) << i;
            magnitudes[i] = static_cast<int32_t>(symbol);
            if (symbol >= 10) valid &= large(x, open.at, symbol, magnitudes[i]);
        };
        in_turn(open, count, one);
        const uint32_t negative = spread(signs(open, std::popcount(used)), used);
        for (size_t i = 0; i < band; ++i) {
            const int32_t minus = -static_cast<int32_t>(negative >> i & 1);
            values[i] = (magnitudes[i] ^ minus) - minus;
        }
        rans_.close(open);
        return valid && !rans_.overrun();
    }

   private:
    // What a magnitude needs at most is far below what may be read unchecked.
    static_assert(band * (8 + coefficients::longest_escape) + 2 <= rans::Decoder::most_unchecked);

    // By the two states in turn, or by the one.
    template <class Work>
    MIDSTREAM_INLINE void in_turn(rans::Decoder::Open& open, size_t count, const Work& work) const {
        if (rans_.two()) {
            size_t i = 0;
            for (; i + 2 <= count; i += 2) work(open.first, i), work(open.second, i + 1);
            if (i < count) work(open.first, i);
        } else {
            for (size_t i = 0; i < count; ++i) work(open.first, i);
        }
    }

    MIDSTREAM_INLINE uint32_t signs(rans::Decoder::Open& open, int count) const {
        if (count == 0) return 0;
        const uint32_t low = rans::Decoder::bits(open.first, open.at, std::min(count, signs_together));
        if (count <= signs_together) return low;
        uint32_t& x = rans_.two() ? open.second : open.first;
        return low | rans::Decoder::bits(x, open.at, count - signs_together) << signs_together;
    }

    // A magnitude that is more than its symbol says. Whether it is valid.
    static bool large(uint32_t& x, const uint8_t*& at, uint32_t symbol, int32_t& magnitude) {
        uint32_t more = 0;
        if (symbol + 1 < value_symbols)
            more = rans::Decoder::bits(x, at, symbol_bits[symbol]);
        else if (!escape(x, at, more))
            return false;
        magnitude = symbol_base[symbol] + static_cast<int32_t>(more);
        return magnitude <= largest_coefficient;
    }
    static bool escape(uint32_t& x, const uint8_t*& at, uint32_t& value) {
        int length = 0;
        while (rans::Decoder::bits(x, at, 1))
            if (length++ == coefficients::longest_escape) return false;
        uint32_t read = 1;
        for (int left = length + escape_order; left > 0;) {
            const int count = std::min(left, 8);
            left -= count;
            read = read << count | rans::Decoder::bits(x, at, count);
        }
        value = read - (1u << escape_order);
        return true;
    }

    rans::Decoder rans_;
    ValueRows rows_;
};

}  // namespace midstream::entropy
