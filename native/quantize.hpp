// The elements of a channel to symbols, and back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "statistics.hpp"

namespace midstream {

// Where the intervals of one channel's elements begin, ascending; sums count from the pivot.
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

}  // namespace midstream
