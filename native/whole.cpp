#include "whole.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "dispatch.hpp"

namespace midstream {
namespace {

constexpr int largest_exponent = 15, most_exponent = 100;
constexpr int64_t most_square = int64_t{1} << 30;  // of a cell's length

// The sum of the squares of what values times 2^exponent become.
MIDSTREAM_INLINE int64_t multiplied(const float* values, size_t count, int exponent, int16_t* whole) {
    const float scale = std::ldexp(1.0f, exponent);
    int64_t square = 0;
    for (size_t k = 0; k < count; ++k) {
        const int32_t number = std::clamp(rounded(values[k] * scale), -32767, 32767);
        whole[k] = static_cast<int16_t>(number), square += number * number;
    }
    return square;
}
MIDSTREAM_INLINE int to_whole_in_lanes(const float* values, size_t count, int16_t* whole) {
    uint32_t largest = 0;
    for (size_t k = 0; k < count; ++k) largest = std::max(largest, std::bit_cast<uint32_t>(values[k]) & 0x7FFFFFFF);
    if (largest >= 0x7F800000) return not_finite;  // an infinity, or beyond
    if (largest == 0) {
        std::fill_n(whole, count, int16_t{0});
        return 0;
    }
    int exponent = std::min(14 - std::ilogb(std::bit_cast<float>(largest)), most_exponent);
    int64_t square = multiplied(values, count, exponent, whole);
    if (square <= most_square) return exponent;
    for (; square > most_square; square >>= 2) --exponent;
    multiplied(values, count, exponent, whole);
    return exponent;
}
#ifdef MIDSTREAM_X86
MIDSTREAM_AVX2 int to_whole_avx2(const float* values, size_t count, int16_t* whole) {
    return to_whole_in_lanes(values, count, whole);
}
#endif

}  // namespace

int to_whole(const float* values, size_t count, int16_t* whole) {
    switch (current_path()) {
#ifdef MIDSTREAM_X86
        case Path::avx512:
        case Path::avx2: return to_whole_avx2(values, count, whole);
#endif
        default: return to_whole_in_lanes(values, count, whole);
    }
}

int whole_exponent(const float* values, size_t count) {
    float largest = 0;
    for (size_t i = 0; i < count; ++i) largest = std::max(largest, std::fabs(values[i]));
    int exponent = largest_exponent;
    while (std::ldexp(largest, exponent) > 32767) --exponent;
    return exponent;
}

}  // namespace midstream
