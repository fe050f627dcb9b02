// 32-bit carryless binary arithmetic coder; p is the probability of a one in units of 2^-16. docs/format.md is
// normative.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "dispatch.hpp"

namespace midstream {

// What is left to a code: from low to high.
struct ArithmeticRange {
    uint32_t low = 0, high = 0xFFFFFFFFu;

    MIDSTREAM_INLINE uint32_t middle(uint32_t p) const {
        return low + static_cast<uint32_t>((static_cast<uint64_t>(high - low) * p) >> 16);
    }
    // What a bit leaves, without a branch: bits are hard to foresee.
    MIDSTREAM_INLINE void narrow(uint32_t middle, int bit) {
        const uint32_t one = 0u - static_cast<uint32_t>(bit);
        high = (middle & one) | (high & ~one);
        low = (low & one) | ((middle + 1) & ~one);
    }
    bool settled() const { return (low ^ high) >> 24 == 0; }  // the first byte
    void shift() { low <<= 8, high = high << 8 | 255; }
};

class ArithmeticEncoder {
   public:
    MIDSTREAM_INLINE void code(int& bit, uint32_t p) {
        range_.narrow(range_.middle(p), bit);
        for (; range_.settled(); range_.shift()) out_.push_back(static_cast<uint8_t>(range_.high >> 24));
    }
    static bool overrun() { return false; }  // a writer never runs out
    static void end_symbol() {}
    static constexpr uint32_t used() { return ~0u; }
    std::vector<uint8_t> finish() {
        for (int shift = 24; shift >= 0; shift -= 8) out_.push_back(static_cast<uint8_t>(range_.low >> shift));
        return std::move(out_);
    }

   private:
    ArithmeticRange range_;
    std::vector<uint8_t> out_;
};

class ArithmeticDecoder {
   public:
    ArithmeticDecoder(const uint8_t* data, size_t bytes) : data_(data), bytes_(bytes) {
        for (int i = 0; i < 4; ++i) value_ = value_ << 8 | next();
    }
    MIDSTREAM_INLINE void code(int& bit, uint32_t p) {
        const uint32_t middle = range_.middle(p);
        bit = value_ <= middle;
        range_.narrow(middle, bit);
        for (; range_.settled(); range_.shift()) value_ = value_ << 8 | next();
    }
    bool overrun() const { return at_ > bytes_; }
    static void end_symbol() {}
    static constexpr uint32_t used() { return ~0u; }
    bool finished() const { return at_ == bytes_ && value_ == range_.low; }

   private:
    uint32_t next() { return at_++ < bytes_ ? data_[at_ - 1] : 0; }
    const uint8_t* data_;
    size_t bytes_, at_ = 0;
    ArithmeticRange range_;
    uint32_t value_ = 0;
};

}  // namespace midstream
