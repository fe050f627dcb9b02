// Boundaries of a channel's intervals, quantisation with the sums of each interval, reconstruction.
#include "channels.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "dispatch.hpp"
#include "kernels.hpp"

namespace midstream {
namespace channels {
namespace {

BlockStatistics statistics_reference(const float* x, size_t size) {
    double sum[statistics_lanes] = {}, square[statistics_lanes] = {};
    for (size_t i = 0; i < size; ++i) {
        const double d = static_cast<double>(x[i]) - static_cast<double>(x[0]);
        sum[i % statistics_lanes] += d;
        square[i % statistics_lanes] += d * d;
    }
    return merged(x[0], size, sum, square, *std::min_element(x, x + size), *std::max_element(x, x + size));
}

void quantize_reference(const float* x, size_t size, const float* boundaries, size_t count, float pivot,
                        uint8_t* symbols, uint32_t* reached, float (*lane)[sum_lanes]) {
    std::fill_n(reached, count, 0u);
    for (size_t j = 0; j < count; ++j) std::fill_n(lane[j], sum_lanes, 0.0f);
    for (size_t i = 0; i < size; ++i) {
        size_t symbol = 0;
        for (; symbol < count && x[i] >= boundaries[symbol]; ++symbol) {
            lane[symbol][i % sum_lanes] += x[i] - pivot;
            ++reached[symbol];
        }
        symbols[i] = static_cast<uint8_t>(symbol);
    }
}

void look_up_reference(const uint8_t* symbols, size_t size, const float* table, size_t entries, bool, float* out) {
    for (size_t i = 0; i < size; ++i) out[i] = table[std::min<size_t>(symbols[i], entries - 1)];
}

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

const Kernel reference_kernel = {statistics_reference, quantize_reference, look_up_reference};

const Kernel& kernel() {
    switch (current_path()) {
#ifdef MIDSTREAM_X86
        case Path::avx512: return avx512_kernel;
        case Path::avx2: return avx2_kernel;
#endif
#ifdef MIDSTREAM_NEON
        case Path::neon: return neon_kernel;
#endif
        default: return reference_kernel;
    }
}

}  // namespace channels

float threshold_boundary(const ChannelStatistics& channel, double threshold) {
    return channels::float_at_or_above(channel.mean + threshold * channel.std, threshold > 0);
}

float range_boundary(const ChannelStatistics& channel, size_t j, size_t alphabet) {
    const double low = channel.min, high = channel.max;
    const double place = (static_cast<double>(j) + 0.5) / static_cast<double>(alphabet - 1);
    return channels::float_at_or_above(low + place * (high - low), false);
}

float read_pass(const float* x, size_t count) {
    constexpr size_t together = 64;
    float sum[together] = {};
    const size_t whole = count / together * together;
    for (size_t at = 0; at < whole; at += together)
        for (size_t i = 0; i < together; ++i) sum[i] += x[at + i];
    for (size_t i = 1; i < together; ++i) sum[0] += sum[i];
    return sum[0];
}

void quantize(const float* x, size_t size, const Intervals& intervals, uint8_t* symbols, IntervalSums sums) {
    if (intervals.boundaries.empty()) {
        std::fill_n(symbols, size, uint8_t{0});
        sums.counts[0] = static_cast<int64_t>(size), sums.deviations[0] = intervals.total;
    } else if (intervals.boundaries.size() <= channels::most_compared) {
        channels::quantize_few(x, size, intervals, symbols, sums);
    } else {
        channels::quantize_many(x, size, intervals, symbols, sums);
    }
}

void reconstruct(const uint8_t* symbols, size_t size, const float* table, size_t alphabet, bool past_cache, float* out) {
    const bool few = alphabet <= channels::most_looked_up;
    (few ? channels::kernel().look_up : channels::look_up_reference)(symbols, size, table, alphabet, past_cache, out);
}

}  // namespace midstream
