// Golomb-Rice code: the quotient by 2^k in unary (ones, closed by a zero), then k bits. A quotient of `longest_unary` or
// more is escaped: that many ones, then the value in 64 bits. Bits fill bytes from the lowest bit up.
#include <utility>

#include "kernels.hpp"

namespace midstream {
namespace {

constexpr unsigned longest_unary = 24;

class BitWriter {
   public:
    void put(uint64_t bits, unsigned count) {
        for (unsigned i = 0; i < count; ++i, ++used_) {
            if (used_ % 8 == 0) out_.push_back(0);
            out_.back() |= static_cast<uint8_t>(((bits >> i) & 1u) << (used_ % 8));
        }
    }
    std::vector<uint8_t> take() { return std::move(out_); }

   private:
    std::vector<uint8_t> out_;
    size_t used_ = 0;
};

class BitReader {
   public:
    BitReader(const uint8_t* data, size_t bytes) : data_(data), left_(bytes * 8) {}
    bool get(unsigned count, uint64_t& bits) {
        if (count > left_) return false;
        bits = 0;
        for (unsigned i = 0; i < count; ++i, ++at_) bits |= static_cast<uint64_t>((data_[at_ / 8] >> (at_ % 8)) & 1) << i;
        left_ -= count;
        return true;
    }
    bool ended() {  // less than a byte is left, and it is zero
        uint64_t rest = 0;
        return left_ < 8 && get(static_cast<unsigned>(left_), rest) && rest == 0;
    }

   private:
    const uint8_t* data_;
    size_t left_, at_ = 0;
};

}  // namespace

std::vector<uint8_t> rice_encode(const uint64_t* values, size_t count, unsigned k) {
    BitWriter writer;
    for (size_t i = 0; i < count; ++i) {
        const uint64_t quotient = values[i] >> k;
        if (quotient >= longest_unary) {
            writer.put((1u << longest_unary) - 1, longest_unary);
            writer.put(values[i], 64);
        } else {
            writer.put((1u << quotient) - 1, static_cast<unsigned>(quotient) + 1);
            writer.put(values[i], k);
        }
    }
    return writer.take();
}

bool rice_decode(const uint8_t* data, size_t bytes, unsigned k, uint64_t* values, size_t count) {
    BitReader reader(data, bytes);
    for (size_t i = 0; i < count; ++i) {
        uint64_t quotient = 0, bit = 1, low = 0;
        while (quotient < longest_unary) {
            if (!reader.get(1, bit)) return false;
            if (bit == 0) break;
            ++quotient;
        }
        const bool escaped = quotient == longest_unary;
        if (!reader.get(escaped ? 64 : k, low)) return false;
        if (escaped ? (low >> k) < longest_unary : quotient > UINT64_MAX >> k) return false;
        values[i] = escaped ? low : (quotient << k) + low;
    }
    return reader.ended();
}

uint64_t rice_bits(const uint64_t* values, size_t count, unsigned k) {
    uint64_t bits = 0;
    for (size_t i = 0; i < count; ++i) {
        const uint64_t quotient = values[i] >> k;
        bits += quotient >= longest_unary ? longest_unary + 64 : quotient + 1 + k;
    }
    return bits;
}

}  // namespace midstream
