// Boundaries of a channel's intervals, quantisation with the sums of each interval, reconstruction.
#include "quantize.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "channels_kernel.hpp"

namespace midstream {
namespace {

using namespace channels;

double folded_in_double(const float (&lane)[sum_lanes]) {
    double sums[sum_lanes];
    std::copy_n(lane, sum_lanes, sums);
    return fold(sums, sum_lanes);
}

// For elements so large that a sum of them leaves float32.
void sum_in_double(const float* x, const uint8_t* symbols, size_t size, const Intervals& intervals, double* sums) {
    std::fill_n(sums, intervals.boundaries.size(), 0.0);
    for (size_t i = 0; i < size; ++i)
        for (size_t j = 0; j < symbols[i]; ++j) sums[j] += static_cast<double>(x[i]) - static_cast<double>(intervals.pivot);
}

// Few intervals: what reaches boundary j, less what reaches the next one, is interval j + 1.
void quantize_few(const float* x, size_t size, const Intervals& intervals, uint8_t* symbols, IntervalSums& sums) {
    const size_t count = intervals.boundaries.size();
    double deviations[most_compared + 1] = {};
    uint64_t reaching[most_compared + 1] = {};
    for (size_t at = 0; at < size; at += block_size) {
        uint32_t reached[most_compared];
        float lane[most_compared][sum_lanes];
        kernel().quantize(x + at, std::min(block_size, size - at), intervals.boundaries.data(), count, intervals.pivot,
                          symbols + at, reached, lane);
        double folded[most_compared];
        bool finite = true;
        for (size_t j = 0; j < count; ++j) folded[j] = folded_in_double(lane[j]), finite = finite && std::isfinite(folded[j]);
        if (!finite) sum_in_double(x + at, symbols + at, std::min(block_size, size - at), intervals, folded);
        for (size_t j = 0; j < count; ++j) deviations[j] += folded[j], reaching[j] += reached[j];
    }
    sums.counts[0] = static_cast<int64_t>(size - reaching[0]);
    sums.deviations[0] = intervals.total - deviations[0];
    for (size_t j = 0; j < count; ++j) {
        sums.counts[j + 1] = static_cast<int64_t>(reaching[j] - reaching[j + 1]);
        sums.deviations[j + 1] = deviations[j] - deviations[j + 1];
    }
}

void quantize_many(const float* x, size_t size, const Intervals& intervals, uint8_t* symbols, IntervalSums& sums) {
    const float *begin = intervals.boundaries.data(), *end = begin + intervals.boundaries.size();
    std::fill(sums.counts, sums.counts + intervals.boundaries.size() + 1, int64_t{0});
    std::fill(sums.deviations, sums.deviations + intervals.boundaries.size() + 1, 0.0);
    for (size_t i = 0; i < size; ++i) {
        symbols[i] = static_cast<uint8_t>(std::upper_bound(begin, end, x[i]) - begin);
        ++sums.counts[symbols[i]];
        sums.deviations[symbols[i]] += static_cast<double>(x[i]) - static_cast<double>(intervals.pivot);
    }
}

// The smallest float32 that is at or above the bound, above it where `strictly`.
float float_at_or_above(double bound, bool strictly) {
    const float near = static_cast<float>(bound);  // beyond float32: an infinity, which no element reaches or all do
    const double back = static_cast<double>(near);
    return back < bound || (strictly && back == bound) ? std::nextafter(near, std::numeric_limits<float>::infinity())
                                                       : near;
}

}  // namespace

float threshold_boundary(const ChannelStatistics& channel, double threshold) {
    return float_at_or_above(channel.mean + threshold * channel.std, threshold > 0);
}

float range_boundary(const ChannelStatistics& channel, size_t j, size_t alphabet) {
    const double low = channel.min, high = channel.max;
    const double place = (static_cast<double>(j) + 0.5) / static_cast<double>(alphabet - 1);
    return float_at_or_above(low + place * (high - low), false);
}

void quantize(const float* x, size_t size, const Intervals& intervals, uint8_t* symbols, IntervalSums sums) {
    if (intervals.boundaries.empty()) {
        std::fill_n(symbols, size, uint8_t{0});
        sums.counts[0] = static_cast<int64_t>(size), sums.deviations[0] = intervals.total;
    } else if (intervals.boundaries.size() <= most_compared) {
        quantize_few(x, size, intervals, symbols, sums);
    } else {
        quantize_many(x, size, intervals, symbols, sums);
    }
}

void reconstruct(const uint8_t* symbols, size_t size, const float* table, size_t alphabet, bool past_cache, float* out) {
    const Kernel& chosen = alphabet <= most_looked_up ? kernel() : reference_kernel;
    chosen.look_up(symbols, size, table, alphabet, past_cache, out);
}

}  // namespace midstream
