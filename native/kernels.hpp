// The kernels behind the Python API. Shapes are [channels, size] row-major, size = height * width. Kernels never
// throw on data: what can be wrong with a payload is reported by their result.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace midstream {

struct ChannelStatistics {
    double mean;
    double std;  // population standard deviation
    float min;
    float max;
};

// statistics.cpp: one result a channel; mean and std are NaN for a channel that holds a NaN or an infinity.
void channel_statistics(const float* x, size_t channels, size_t size, ChannelStatistics* out);

// quantize.cpp: symbol = how many of the channel's ascending boundaries [channels, boundary_count] are <= x.
void quantize(const float* x, size_t channels, size_t size, const float* boundaries, size_t boundary_count,
              uint8_t* symbols);
// Occurrences [channels, alphabet] of each symbol and the sum of the elements that it stands for.
void symbol_sums(const float* x, const uint8_t* symbols, size_t channels, size_t size, size_t alphabet,
                 int64_t* counts, double* sums);
// Element = table[channel][symbol]. False when a symbol is not below `alphabet`.
bool reconstruct(const uint8_t* symbols, size_t channels, size_t size, const float* table, size_t alphabet,
                 float* out);

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

// rans.cpp: static order-0 range asymmetric numeral system; frequencies sum to 2^rans_scale_bits.
constexpr unsigned rans_scale_bits = 14;
std::vector<uint8_t> rans_encode(const uint8_t* symbols, size_t count, const uint32_t* frequencies, size_t alphabet);
bool rans_decode(const uint8_t* data, size_t bytes, const uint32_t* frequencies, size_t alphabet, uint8_t* symbols,
                 size_t count);

// dense.cpp: context mixing.
struct MapShape {
    size_t channels, height, width;
    size_t count() const { return channels * height * width; }
};
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

// crc32c.cpp: Castagnoli polynomial, as in RFC 3720 appendix B.4.
uint32_t crc32c(const uint8_t* data, size_t bytes);

}  // namespace midstream
