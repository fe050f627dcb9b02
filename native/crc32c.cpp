#include "crc32c.hpp"

#include <array>
#include <cstring>

#include "dispatch.hpp"

namespace midstream {
namespace {

// Eight tables: eight bytes a step (Kounavis and Berry, "slicing-by-8").
constexpr auto tables = [] {
    std::array<std::array<uint32_t, 256>, 8> t{};
    for (uint32_t i = 0; i < 256; ++i) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc & 1 ? 0x82F63B78u : 0);
        t[0][i] = crc;
    }
    for (uint32_t i = 0; i < 256; ++i)
        for (size_t k = 1; k < 8; ++k) t[k][i] = (t[k - 1][i] >> 8) ^ t[0][t[k - 1][i] & 0xFF];
    return t;
}();

uint32_t by_tables(const uint8_t* data, size_t bytes, uint32_t crc) {
    for (; bytes >= 8; bytes -= 8, data += 8) {
        uint32_t next = 0;
        for (unsigned i = 0; i < 4; ++i) next ^= tables[7 - i][(data[i] ^ (crc >> (8 * i))) & 0xFF];
        for (unsigned i = 4; i < 8; ++i) next ^= tables[7 - i][data[i]];
        crc = next;
    }
    for (; bytes > 0; --bytes, ++data) crc = (crc >> 8) ^ tables[0][(crc ^ *data) & 0xFF];
    return crc;
}

#ifdef MIDSTREAM_X86
constexpr size_t block = 256;  // of 512 on, memory is read ahead much less well

// What a block of zeros makes of a checksum, byte by byte of it.
const auto behind_block = [] {
    static constexpr uint8_t zeros[block] = {};
    std::array<std::array<uint32_t, 256>, 4> t{};
    for (size_t k = 0; k < 4; ++k)
        for (unsigned bit = 0; bit < 8; ++bit) {
            const uint32_t alone = by_tables(zeros, block, uint32_t{1} << (8 * k + bit));
            for (uint32_t i = 0; i < 256; ++i)
                if (i >> bit & 1) t[k][i] ^= alone;
        }
    return t;
}();
uint32_t moved(uint32_t crc) {
    uint32_t out = 0;
    for (unsigned k = 0; k < 4; ++k) out ^= behind_block[k][crc >> (8 * k) & 0xFF];
    return out;
}

// The instruction's result is there after three cycles, but one can begin in each: three blocks at a time.
__attribute__((target("sse4.2"))) uint32_t by_instruction(const uint8_t* data, size_t bytes, uint32_t crc) {
    const auto eight = [](const uint8_t* from) {
        uint64_t out;
        std::memcpy(&out, from, 8);
        return out;
    };
    for (; bytes >= 3 * block; bytes -= 3 * block, data += 3 * block) {
        uint64_t first = crc, second = 0, third = 0;
        for (size_t i = 0; i < block; i += 8) {
            first = __builtin_ia32_crc32di(first, eight(data + i));
            second = __builtin_ia32_crc32di(second, eight(data + block + i));
            third = __builtin_ia32_crc32di(third, eight(data + 2 * block + i));
        }
        crc = moved(moved(static_cast<uint32_t>(first)) ^ static_cast<uint32_t>(second)) ^ static_cast<uint32_t>(third);
    }
    uint64_t wide = crc;
    for (; bytes >= 8; bytes -= 8, data += 8) wide = __builtin_ia32_crc32di(wide, eight(data));
    return by_tables(data, bytes, static_cast<uint32_t>(wide));
}
#endif

}  // namespace

uint32_t crc32c(const uint8_t* data, size_t bytes, uint32_t before) {
#ifdef MIDSTREAM_X86
    const bool instruction = current_path() == Path::avx2 || current_path() == Path::avx512;  // both imply SSE4.2
    return ~(instruction ? by_instruction : by_tables)(data, bytes, ~before);
#else
    return ~by_tables(data, bytes, ~before);
#endif
}

}  // namespace midstream
