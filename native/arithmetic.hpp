// 32-bit carryless binary arithmetic coder; p is the probability of a one in units of 2^-16. docs/format.md is
// normative.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "dispatch.hpp"

namespace midstream {

class ArithmeticEncoder {
   public:
    MIDSTREAM_INLINE void code(int& bit, uint32_t p) {
        const uint32_t middle = low_ + static_cast<uint32_t>((static_cast<uint64_t>(high_ - low_) * p) >> 16);
        (bit ? high_ : low_) = bit ? middle : middle + 1;
        for (; (low_ ^ high_) >> 24 == 0; low_ <<= 8, high_ = high_ << 8 | 255)
            out_.push_back(static_cast<uint8_t>(high_ >> 24));
    }
    static bool overrun() { return false; }  // a writer never runs out
    static void end_symbol() {}
    static constexpr uint32_t used() { return ~0u; }
    std::vector<uint8_t> finish() {
        for (int shift = 24; shift >= 0; shift -= 8) out_.push_back(static_cast<uint8_t>(low_ >> shift));
        return std::move(out_);
    }

   private:
    uint32_t low_ = 0, high_ = 0xFFFFFFFFu;
    std::vector<uint8_t> out_;
};

class ArithmeticDecoder {
   public:
    ArithmeticDecoder(const uint8_t* data, size_t bytes) : data_(data), bytes_(bytes) {
        for (int i = 0; i < 4; ++i) value_ = value_ << 8 | next();
    }
    MIDSTREAM_INLINE void code(int& bit, uint32_t p) {
        const uint32_t middle = low_ + static_cast<uint32_t>((static_cast<uint64_t>(high_ - low_) * p) >> 16);
        bit = value_ <= middle;
        (bit ? high_ : low_) = bit ? middle : middle + 1;
        for (; (low_ ^ high_) >> 24 == 0; low_ <<= 8, high_ = high_ << 8 | 255) value_ = value_ << 8 | next();
    }
    bool overrun() const { return at_ > bytes_; }
    static void end_symbol() {}
    static constexpr uint32_t used() { return ~0u; }
    bool finished() const { return at_ == bytes_ && value_ == low_; }

   private:
    uint32_t next() { return at_++ < bytes_ ? data_[at_ - 1] : 0; }
    const uint8_t* data_;
    size_t bytes_, at_ = 0;
    uint32_t low_ = 0, high_ = 0xFFFFFFFFu, value_ = 0;
};

}  // namespace midstream
