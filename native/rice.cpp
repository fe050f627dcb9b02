// Golomb-Rice code: the quotient by 2^k in unary (ones, closed by a zero), then k bits. A quotient of `longest_unary` or
// more is escaped: that many ones, then the value in 64 bits.
#include "rice.hpp"

#include "bits.hpp"

namespace midstream {
namespace {

constexpr unsigned longest_unary = 24;

}  // namespace

std::vector<uint8_t> rice_encode(const uint64_t* values, size_t count, unsigned k) {
    std::vector<uint8_t> out;
    BitWriter writer(out);
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
    return out;
}

bool rice_decode(const uint8_t* data, size_t bytes, unsigned k, uint64_t* values, size_t count) {
    BitReader reader(data, bytes);
    for (size_t i = 0; i < count; ++i) {
        uint64_t quotient = 0;
        while (quotient < longest_unary && reader.get(1) != 0) ++quotient;
        const bool escaped = quotient == longest_unary;
        const uint64_t low = reader.get(escaped ? 64 : k);
        if (reader.overrun()) return false;
        if (escaped ? (low >> k) < longest_unary : quotient > UINT64_MAX >> k) return false;
        values[i] = escaped ? low : (quotient << k) + low;
    }
    return reader.finish() == bytes;
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
