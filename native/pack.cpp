// Fixed-width symbols. Eight symbols of w bits are exactly w bytes, which is what PEXT and PDEP do in one instruction.
#include "pack.hpp"

#include <algorithm>
#include <cstring>

#include "dispatch.hpp"

#ifdef MIDSTREAM_X86
#include <immintrin.h>
#endif

namespace midstream {
namespace {

void pack_reference(const uint8_t* symbols, size_t count, unsigned width, uint8_t* out) {
    std::fill_n(out, packed_size(count, width), uint8_t{0});
    for (size_t bit = 0; bit < count * width; ++bit)
        out[bit / 8] |= static_cast<uint8_t>(((symbols[bit / width] >> (bit % width)) & 1u) << (bit % 8));
}

void unpack_reference(const uint8_t* data, size_t count, unsigned width, uint8_t* symbols) {
    std::fill_n(symbols, count, uint8_t{0});
    for (size_t bit = 0; bit < count * width; ++bit)
        symbols[bit / width] |= static_cast<uint8_t>(((data[bit / 8] >> (bit % 8)) & 1u) << (bit % width));
}

void pack_portable(const uint8_t* symbols, size_t count, unsigned width, uint8_t* out) {
    for (; count >= 8; count -= 8, symbols += 8, out += width) {
        uint64_t group = 0;
        for (unsigned i = 0; i < 8; ++i) group |= static_cast<uint64_t>(symbols[i]) << (i * width);
        for (unsigned i = 0; i < width; ++i) out[i] = static_cast<uint8_t>(group >> (8 * i));
    }
    pack_reference(symbols, count, width, out);
}

void unpack_portable(const uint8_t* data, size_t count, unsigned width, uint8_t* symbols) {
    const uint64_t mask = (1u << width) - 1;
    for (; count >= 8; count -= 8, symbols += 8, data += width) {
        uint64_t group = 0;
        for (unsigned i = 0; i < width; ++i) group |= static_cast<uint64_t>(data[i]) << (8 * i);
        for (unsigned i = 0; i < 8; ++i) symbols[i] = static_cast<uint8_t>((group >> (i * width)) & mask);
    }
    unpack_reference(data, count, width, symbols);
}

#ifdef MIDSTREAM_X86
MIDSTREAM_AVX2 void pack_bmi2(const uint8_t* symbols, size_t count, unsigned width, uint8_t* out) {
    const uint64_t mask = 0x0101010101010101u * ((1u << width) - 1);
    for (; count >= 8; count -= 8, symbols += 8, out += width) {
        uint64_t group;
        std::memcpy(&group, symbols, 8);
        group = _pext_u64(group, mask);
        std::memcpy(out, &group, width);
    }
    pack_reference(symbols, count, width, out);
}

MIDSTREAM_AVX2 void unpack_bmi2(const uint8_t* data, size_t count, unsigned width, uint8_t* symbols) {
    const uint64_t mask = 0x0101010101010101u * ((1u << width) - 1);
    for (; count >= 8; count -= 8, symbols += 8, data += width) {
        uint64_t group = 0;
        std::memcpy(&group, data, width);
        group = _pdep_u64(group, mask);
        std::memcpy(symbols, &group, 8);
    }
    unpack_reference(data, count, width, symbols);
}
#endif

}  // namespace

size_t packed_size(size_t count, unsigned width) { return count / 8 * width + (count % 8 * width + 7) / 8; }

void pack(const uint8_t* symbols, size_t count, unsigned width, uint8_t* out) {
    const Path path = current_path();
#ifdef MIDSTREAM_X86
    if (path >= Path::avx2) return pack_bmi2(symbols, count, width, out);
#endif
    (path == Path::reference ? pack_reference : pack_portable)(symbols, count, width, out);
}

void unpack(const uint8_t* data, size_t count, unsigned width, uint8_t* symbols) {
    const Path path = current_path();
#ifdef MIDSTREAM_X86
    if (path >= Path::avx2) return unpack_bmi2(data, count, width, symbols);
#endif
    (path == Path::reference ? unpack_reference : unpack_portable)(data, count, width, symbols);
}

}  // namespace midstream
