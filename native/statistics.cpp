// Mean and population standard deviation of each channel in one pass over memory.
//
// Blocks of 4096 elements are read twice while in cache (mean, then squared deviations from it) and merged by the update
// of Chan, Golub and LeVeque (1979), all in double: no cancellation however large the mean, no loss over any count. The
// order of every addition is part of the definition: sixteen lanes (element i of a block goes to lane i mod 16), folded
// by halves.
#include <algorithm>
#include <cfloat>
#include <cmath>
#include <limits>

#include "dispatch.hpp"
#include "kernels.hpp"

namespace midstream {
namespace {

static_assert(FLT_EVAL_METHOD == 0, "sums in extended precision would give other bytes: build for SSE2 or later");

constexpr size_t lanes = 16;
constexpr size_t block_size = 4096;

MIDSTREAM_INLINE double fold(double (&lane)[lanes]) {
    for (size_t half = lanes / 2; half > 0; half /= 2)
        for (size_t i = 0; i < half; ++i) lane[i] += lane[i + half];
    return lane[0];
}

struct BlockSums {
    double mean, m2;
    float min, max;
};

MIDSTREAM_INLINE BlockSums block_vector(const float* x, size_t size) {
    double sum[lanes] = {}, square[lanes] = {};
    float low[lanes], high[lanes];
    for (size_t i = 0; i < lanes; ++i) low[i] = high[i] = x[0];
    const size_t whole = size / lanes * lanes;
    for (size_t at = 0; at < whole; at += lanes)
        for (size_t i = 0; i < lanes; ++i) {
            const float v = x[at + i];
            sum[i] += static_cast<double>(v);
            low[i] = v < low[i] ? v : low[i];
            high[i] = v > high[i] ? v : high[i];
        }
    for (size_t i = 0; i < size - whole; ++i) {
        const float v = x[whole + i];
        sum[i] += static_cast<double>(v);
        low[i] = v < low[i] ? v : low[i];
        high[i] = v > high[i] ? v : high[i];
    }
    const double mean = fold(sum) / static_cast<double>(size);
    for (size_t at = 0; at < whole; at += lanes)
        for (size_t i = 0; i < lanes; ++i) {
            const double d = static_cast<double>(x[at + i]) - mean;
            square[i] += d * d;
        }
    for (size_t i = 0; i < size - whole; ++i) {
        const double d = static_cast<double>(x[whole + i]) - mean;
        square[i] += d * d;
    }
    return {mean, fold(square), *std::min_element(low, low + lanes), *std::max_element(high, high + lanes)};
}

BlockSums block_reference(const float* x, size_t size) {
    double sum[lanes] = {}, square[lanes] = {};
    for (size_t i = 0; i < size; ++i) sum[i % lanes] += static_cast<double>(x[i]);
    const double mean = fold(sum) / static_cast<double>(size);
    for (size_t i = 0; i < size; ++i) {
        const double d = static_cast<double>(x[i]) - mean;
        square[i % lanes] += d * d;
    }
    return {mean, fold(square), *std::min_element(x, x + size), *std::max_element(x, x + size)};
}

template <BlockSums (*Block)(const float*, size_t)>
MIDSTREAM_INLINE void statistics_with(const float* x, size_t channels, size_t size, ChannelStatistics* out) {
    for (size_t c = 0; c < channels; ++c, x += size) {
        double mean = 0, m2 = 0;
        float low = x[0], high = x[0];
        for (size_t done = 0; done < size; done += block_size) {
            const size_t n = std::min(block_size, size - done);
            const BlockSums b = Block(x + done, n);
            const double total = static_cast<double>(done + n), delta = b.mean - mean;
            mean += delta * (static_cast<double>(n) / total);
            m2 += b.m2 + delta * delta * (static_cast<double>(done) * static_cast<double>(n) / total);
            low = std::min(low, b.min);
            high = std::max(high, b.max);
        }
        // + 0: of two zeros of different sign, which one was seen first depends on the lanes.
        out[c] = {mean, std::sqrt(m2 / static_cast<double>(size)), low + 0.0f, high + 0.0f};
        if (!std::isfinite(mean)) out[c].mean = out[c].std = std::numeric_limits<double>::quiet_NaN();
    }
}

BlockSums block_portable(const float* x, size_t size) { return block_vector(x, size); }
#ifdef MIDSTREAM_X86
MIDSTREAM_AVX2 BlockSums block_avx2(const float* x, size_t size) { return block_vector(x, size); }
MIDSTREAM_AVX512 BlockSums block_avx512(const float* x, size_t size) { return block_vector(x, size); }
#endif

}  // namespace

void channel_statistics(const float* x, size_t channels, size_t size, ChannelStatistics* out) {
    switch (current_path()) {
#ifdef MIDSTREAM_X86
        case Path::avx512: return statistics_with<block_avx512>(x, channels, size, out);
        case Path::avx2: return statistics_with<block_avx2>(x, channels, size, out);
#endif
        case Path::reference: return statistics_with<block_reference>(x, channels, size, out);
        default: return statistics_with<block_portable>(x, channels, size, out);
    }
}

}  // namespace midstream
