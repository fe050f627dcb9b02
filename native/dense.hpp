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
// Channel c may look at the earlier channel c - references[c]; at none for 0.
std::vector<uint8_t> dense_encode(const uint8_t* symbols, const MapShape& shape, size_t alphabet,
                                  const SymbolOrder& order, const uint8_t* references);
// False when the data is not valid.
bool dense_decode(const uint8_t* data, size_t bytes, const MapShape& shape, size_t alphabet, const SymbolOrder& order,
                  const uint8_t* references, uint8_t* symbols);
// For each channel the reference that tells most about it; any choice decodes.
void dense_references(const uint8_t* symbols, const MapShape& shape, size_t alphabet, uint8_t* references);
// Bits that each symbol of a map takes; with the contexts of the bits of `used` only.
void dense_costs(const uint8_t* symbols, const MapShape& shape, size_t alphabet, const SymbolOrder& order,
                 const uint8_t* references, uint32_t used, float* bits);

}  // namespace midstream
