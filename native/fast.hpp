// The `fast` coder: static contexts, interleaved rANS. A stream holds its tables.
#pragma once

#include <cstddef>
#include <cstdint>

#include "buffer.hpp"
#include "symbols.hpp"

namespace midstream {

struct FastMap {
    uint8_t* symbols;  // [channels, height, width]
    MapShape shape;
};
struct ByteView {
    const uint8_t* data;
    size_t size;
};
// Several maps of the same height and width, each to a stream of its own; two at a time, which is faster.
void fast_encode(const FastMap* maps, size_t count, size_t alphabet, Buffer<uint8_t>* streams);
// False when a stream is not valid.
bool fast_decode(const FastMap* maps, size_t count, size_t alphabet, const ByteView* streams);
// Bits that each symbol of a map takes in its stream. False when the stream's tables are malformed.
bool fast_costs(const FastMap& map, size_t alphabet, const ByteView& stream, float* bits);

}  // namespace midstream
