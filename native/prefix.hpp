// A canonical prefix code, given by its code lengths (0: the symbol does not occur).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace midstream {

constexpr unsigned max_code_length = 15;
std::vector<uint8_t> prefix_encode(const uint8_t* symbols, size_t count, const uint8_t* lengths, size_t alphabet);
// False when the data is not exactly `count` symbols and zero padding.
bool prefix_decode(const uint8_t* data, size_t bytes, const uint8_t* lengths, size_t alphabet, uint8_t* symbols,
                   size_t count);

}  // namespace midstream
