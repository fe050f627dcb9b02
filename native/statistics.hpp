// What the quantiser of the codec `paper` needs to know of a channel.
#pragma once

#include <cstddef>

namespace midstream {

struct ChannelStatistics {
    double mean;
    double std;  // population standard deviation
    float min;
    float max;
};

// Mean and std are NaN for a channel that holds a NaN or an infinity.
ChannelStatistics channel_statistics(const float* x, size_t size);

}  // namespace midstream
