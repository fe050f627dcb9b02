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
__attribute__((target("sse4.2"))) uint32_t by_instruction(const uint8_t* data, size_t bytes, uint32_t crc) {
    uint64_t wide = crc;
    for (; bytes >= 8; bytes -= 8, data += 8) {
        uint64_t eight;
        std::memcpy(&eight, data, 8);
        wide = __builtin_ia32_crc32di(wide, eight);
    }
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
