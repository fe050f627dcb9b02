// The `dense` coder: context mixing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "symbols.hpp"

namespace midstream {

struct SymbolOrder {  // the symbols that occur, likeliest first
    const uint8_t* symbols;
    size_t count;
};
// An earlier frame's map of the same shape, and what happened to its symbols until then: the class of the last symbol
// that was another one there, and from bit 2 on whether the last three frames changed it, the last one lowest.
struct DenseBefore {
    const uint8_t *symbols, *past;
};
inline constexpr uint8_t largest_past = 31;

// Channel c may look at the earlier channel c - references[c]; at none for 0. `before` of a predicted frame.
std::vector<uint8_t> dense_encode(const uint8_t* symbols, const MapShape& shape, size_t alphabet,
                                  const SymbolOrder& order, const uint8_t* references,
                                  const DenseBefore* before = nullptr);
// False when the data is not valid.
bool dense_decode(const uint8_t* data, size_t bytes, const MapShape& shape, size_t alphabet, const SymbolOrder& order,
                  const uint8_t* references, uint8_t* symbols, const DenseBefore* before = nullptr);
// What the past of `before` becomes with the next frame's symbols.
void dense_past(const uint8_t* symbols, const uint8_t* before, size_t count, size_t alphabet, uint8_t* past);
// For each channel the reference that tells most about it; any choice decodes.
void dense_references(const uint8_t* symbols, const MapShape& shape, size_t alphabet, uint8_t* references);
// Bits that each symbol of a map takes; with the contexts of the bits of `used` only.
void dense_costs(const uint8_t* symbols, const MapShape& shape, size_t alphabet, const SymbolOrder& order,
                 const uint8_t* references, uint32_t used, float* bits);

}  // namespace midstream
