// Symbols of `width` (1 to 8) bits each, the first symbol in the lowest bits of the first byte.
#pragma once

#include <cstddef>
#include <cstdint>

namespace midstream {

size_t packed_size(size_t count, unsigned width);
void pack(const uint8_t* symbols, size_t count, unsigned width, uint8_t* out);
void unpack(const uint8_t* data, size_t count, unsigned width, uint8_t* symbols);

}  // namespace midstream
