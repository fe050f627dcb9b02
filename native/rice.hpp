// Golomb-Rice code of parameter k with an escape, for the side information.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace midstream {

constexpr unsigned max_rice = 61;  // the largest k
std::vector<uint8_t> rice_encode(const uint64_t* values, size_t count, unsigned k);
// False when the data is not exactly `count` numbers and zero padding.
bool rice_decode(const uint8_t* data, size_t bytes, unsigned k, uint64_t* values, size_t count);
uint64_t rice_bits(const uint64_t* values, size_t count, unsigned k);

}  // namespace midstream
