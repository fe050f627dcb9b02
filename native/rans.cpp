// Static order-0 rANS (Duda 2013, arXiv:1311.2540), one 32-bit state in [2^16, 2^32), renormalised by 16-bit words.
// Symbols are encoded last to first, so that they decode first to last. Stream: state (u32), then words, little-endian.
#include <algorithm>

#include "kernels.hpp"

namespace midstream {
namespace {

constexpr uint32_t scale = 1u << rans_scale_bits;
constexpr uint32_t lowest_state = 1u << 16;

}  // namespace

std::vector<uint8_t> rans_encode(const uint8_t* symbols, size_t count, const uint32_t* frequencies, size_t alphabet) {
    std::vector<uint32_t> starts(alphabet, 0);
    for (size_t s = 1; s < alphabet; ++s) starts[s] = starts[s - 1] + frequencies[s - 1];
    std::vector<uint8_t> out;
    uint32_t state = lowest_state;
    const auto put = [&out](uint32_t word) {  // reversed at the end
        out.push_back(static_cast<uint8_t>(word >> 8));
        out.push_back(static_cast<uint8_t>(word));
    };
    for (size_t i = count; i-- > 0;) {
        const uint32_t f = frequencies[symbols[i]];
        if (state >= (static_cast<uint64_t>(f) << (32 - rans_scale_bits))) {
            put(state & 0xFFFF);
            state >>= 16;
        }
        state = ((state / f) << rans_scale_bits) + state % f + starts[symbols[i]];
    }
    put(state >> 16);
    put(state & 0xFFFF);
    std::reverse(out.begin(), out.end());
    return out;
}

bool rans_decode(const uint8_t* data, size_t bytes, const uint32_t* frequencies, size_t alphabet, uint8_t* symbols,
                 size_t count) {
    struct Slot {
        uint16_t frequency, offset;  // a frequency of 2^14 still fits
        uint8_t symbol;
    };
    std::vector<Slot> slots;
    slots.reserve(scale);
    for (size_t s = 0; s < alphabet; ++s) {
        if (frequencies[s] > scale - slots.size()) return false;
        for (uint32_t i = 0; i < frequencies[s]; ++i)
            slots.push_back({static_cast<uint16_t>(frequencies[s]), static_cast<uint16_t>(i), static_cast<uint8_t>(s)});
    }
    if (slots.size() != scale || bytes < 4 || bytes % 2 != 0) return false;
    uint32_t state = data[0] | data[1] << 8 | data[2] << 16 | static_cast<uint32_t>(data[3]) << 24;
    if (state < lowest_state) return false;
    size_t at = 4;
    for (size_t i = 0; i < count; ++i) {
        const Slot slot = slots[state & (scale - 1)];
        state = slot.frequency * (state >> rans_scale_bits) + slot.offset;
        if (state < lowest_state) {
            if (at == bytes) return false;
            state = state << 16 | data[at] | static_cast<uint32_t>(data[at + 1]) << 8;
            at += 2;
        }
        symbols[i] = slot.symbol;
    }
    return at == bytes && state == lowest_state;
}

}  // namespace midstream
