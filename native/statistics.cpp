// Mean and population standard deviation of each channel in one pass over memory.
//
// Blocks of 1024 elements are summed as distances from their first element, and merged by the update of Chan, Golub and
// LeVeque (1979), all in double: no cancellation however large the mean, no loss over any count.
#include "statistics.hpp"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <limits>

#include "channels_kernel.hpp"

namespace midstream {

static_assert(FLT_EVAL_METHOD == 0, "sums in extended precision would give other bytes: build for SSE2 or later");

ChannelStatistics channel_statistics(const float* x, size_t size) {
    const auto block = channels::kernel().statistics;
    double mean = 0, m2 = 0;
    float low = x[0], high = x[0];
    for (size_t done = 0; done < size; done += channels::block_size) {
        const size_t n = std::min(channels::block_size, size - done);
        const channels::BlockStatistics b = block(x + done, n);
        const double total = static_cast<double>(done + n), delta = b.mean - mean;
        mean += delta * (static_cast<double>(n) / total);
        m2 += b.m2 + delta * delta * (static_cast<double>(done) * static_cast<double>(n) / total);
        low = std::min(low, b.min);
        high = std::max(high, b.max);
    }
    // + 0: of two zeros of different sign, which one was seen first depends on the lanes.
    ChannelStatistics out{mean, std::sqrt(m2 / static_cast<double>(size)), low + 0.0f, high + 0.0f};
    if (!std::isfinite(mean)) out.mean = out.std = std::numeric_limits<double>::quiet_NaN();
    return out;
}

}  // namespace midstream
