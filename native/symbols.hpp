// Maps of symbols, as the coders take them: [channels, height, width], row-major.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace midstream {

struct MapShape {
    size_t channels, height, width;
    size_t count() const { return channels * height * width; }
};

// Vectorised by any compiler, unlike a loop that stops at the first symbol.
inline bool all_below(const uint8_t* symbols, size_t count, size_t alphabet) {
    uint8_t largest = 0;
    for (size_t i = 0; i < count; ++i) largest = std::max(largest, symbols[i]);
    return count == 0 || largest < alphabet;
}

}  // namespace midstream
