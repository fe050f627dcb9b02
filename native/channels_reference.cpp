// Quantisation and reconstruction in scalar code, which defines the result, and the choice of a kernel.
#include <algorithm>

#include "channels_kernel.hpp"
#include "dispatch.hpp"

namespace midstream::channels {
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

}  // namespace midstream::channels
