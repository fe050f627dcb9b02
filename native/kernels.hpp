// The kernels behind the Python API. Shapes are [channels, size] row-major, size = height * width. Kernels never
// throw on data: what can be wrong with a payload is reported by their result.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "recycle.hpp"

namespace midstream {

struct ChannelStatistics {
    double mean;
    double std;  // population standard deviation
    float min;
    float max;
};

// statistics.cpp: mean and std are NaN for a channel that holds a NaN or an infinity.
ChannelStatistics channel_statistics(const float* x, size_t size);

// channels.cpp: where the intervals of one channel's elements begin, ascending; sums count from the pivot.
struct Intervals {
    std::vector<float> boundaries;  // one less than there are symbols
    float pivot;
    double total;  // of all elements' distances from the pivot
};
struct IntervalSums {  // for each symbol how many elements it stands for, and the sum of their distances from the pivot
    int64_t* counts;
    double* deviations;
};
// The boundary of a threshold in standard deviations from the mean: elements at or above it belong to the interval
// above, those on it to the interval nearer zero. Boundary j of `alphabet` equal steps of the channel's range.
float threshold_boundary(const ChannelStatistics& channel, double threshold);
float range_boundary(const ChannelStatistics& channel, size_t j, size_t alphabet);
void quantize(const float* x, size_t size, const Intervals& intervals, uint8_t* symbols, IntervalSums sums);
// Element = table[symbol]; any value for a symbol that is not below `alphabet`. `past_cache`: all that is reconstructed
// together is more than a cache holds.
void reconstruct(const uint8_t* symbols, size_t size, const float* table, size_t alphabet, bool past_cache, float* out);

// Reads all elements once and adds most of them up: what speeds of memory are measured by.
float read_pass(const float* x, size_t count);

// pack.cpp: `width` (1 to 8) bits a symbol, first symbol in the lowest bits of the first byte.
size_t packed_size(size_t count, unsigned width);
void pack(const uint8_t* symbols, size_t count, unsigned width, uint8_t* out);
void unpack(const uint8_t* data, size_t count, unsigned width, uint8_t* symbols);

// huffman.cpp: canonical prefix code, given by its code lengths (0: the symbol does not occur; at most 15).
constexpr unsigned max_code_length = 15;
std::vector<uint8_t> prefix_encode(const uint8_t* symbols, size_t count, const uint8_t* lengths, size_t alphabet);
// False when the data is not exactly `count` symbols and zero padding.
bool prefix_decode(const uint8_t* data, size_t bytes, const uint8_t* lengths, size_t alphabet, uint8_t* symbols,
                   size_t count);

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

// fast.cpp: static contexts, interleaved rANS. A stream holds its tables.
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

// dense.cpp: context mixing.
struct SymbolOrder {  // the symbols that occur, likeliest first
    const uint8_t* symbols;
    size_t count;
};
// Channel c may look at the earlier channel c - references[c]; at none for 0.
std::vector<uint8_t> dense_encode(const uint8_t* symbols, const MapShape& shape, size_t alphabet,
                                  const SymbolOrder& order, const uint8_t* references);
bool dense_decode(const uint8_t* data, size_t bytes, const MapShape& shape, size_t alphabet, const SymbolOrder& order,
                  const uint8_t* references, uint8_t* symbols);
// For each channel the reference that tells most about it; any choice decodes.
void dense_references(const uint8_t* symbols, const MapShape& shape, size_t alphabet, uint8_t* references);

// Bits that each symbol of a map takes; with the contexts of the bits of `used` only.
void dense_costs(const uint8_t* symbols, const MapShape& shape, size_t alphabet, const SymbolOrder& order,
                 const uint8_t* references, uint32_t used, float* bits);

// rice.cpp: Golomb-Rice code of parameter k (0 to 61) with an escape, for the side information.
constexpr unsigned max_rice = 61;
std::vector<uint8_t> rice_encode(const uint64_t* values, size_t count, unsigned k);
bool rice_decode(const uint8_t* data, size_t bytes, unsigned k, uint64_t* values, size_t count);
uint64_t rice_bits(const uint64_t* values, size_t count, unsigned k);

// lloyd.cpp
constexpr double histogram_limit = 8.0;  // the histogram spans [-limit, limit); its end bins take what lies outside
void normalized_histogram(const float* x, size_t size, double mean, double std, size_t bins, int64_t* counts,
                          double* sums);
// Cuts the bins into at most n runs of least squared error; returns their centroids, ascending.
std::vector<double> optimal_centroids(const int64_t* counts, const double* sums, size_t bins, size_t n);

// crc32c.cpp: Castagnoli polynomial, as in RFC 3720 appendix B.4. `before`: of what precedes the data.
uint32_t crc32c(const uint8_t* data, size_t bytes, uint32_t before);

}  // namespace midstream
