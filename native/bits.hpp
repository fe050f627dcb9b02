// Bits that fill bytes from the lowest bit up; those that remain in the last byte are zero.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace midstream {

class BitWriter {
   public:
    explicit BitWriter(std::vector<uint8_t>& out) : out_(out) {}
    void put(uint64_t bits, unsigned count) {
        for (unsigned i = 0; i < count; ++i, ++used_) {
            if (used_ % 8 == 0) out_.push_back(0);
            out_.back() |= static_cast<uint8_t>(((bits >> i) & 1u) << (used_ % 8));
        }
    }

   private:
    std::vector<uint8_t>& out_;
    size_t used_ = 0;
};

// Bits beyond the end are zero, and make `finish` say no.
class BitReader {
   public:
    BitReader(const uint8_t* data, size_t bytes) : data_(data), bits_(bytes * 8) {}
    uint64_t get(unsigned count) {
        uint64_t bits = 0;
        for (unsigned i = 0; i < count; ++i, ++at_)
            if (at_ < bits_) bits |= static_cast<uint64_t>((data_[at_ / 8] >> (at_ % 8)) & 1) << i;
        return bits;
    }
    bool overrun() const { return at_ > bits_; }
    // How many bytes were begun; 0 after an overrun or if a bit is set behind the last one.
    size_t finish() const {
        if (overrun() || (at_ % 8 != 0 && data_[at_ / 8] >> (at_ % 8) != 0)) return 0;
        return (at_ + 7) / 8;
    }

   private:
    const uint8_t* data_;
    size_t bits_, at_ = 0;
};

}  // namespace midstream
