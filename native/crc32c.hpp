#pragma once

#include <cstddef>
#include <cstdint>

namespace midstream {

// Castagnoli polynomial, as in RFC 3720 appendix B.4. `before`: of what precedes the data.
uint32_t crc32c(const uint8_t* data, size_t bytes, uint32_t before);

}  // namespace midstream
