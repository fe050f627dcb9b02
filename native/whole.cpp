#include "whole.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "dispatch.hpp"

namespace midstream {
namespace {

constexpr int largest_exponent = 15;
constexpr int64_t most_square = int64_t{1} << 30;  // of a cell's length

// The sum of the squares of what values times 2^exponent become: exact in doubles, whatever the order.
MIDSTREAM_INLINE int64_t multiplied(const float* __restrict values, size_t count, int exponent, int16_t* __restrict whole) {
    constexpr size_t lanes = 16;
    const float scale = std::ldexp(1.0f, exponent);
    double squares[lanes] = {};
    const auto number_of = [&](size_t k) {
        const int32_t number = rounded(values[k] * scale), above = number > -32767 ? number : -32767;
        return above < 32767 ? above : 32767;
    };
    size_t k = 0;
    for (; k + lanes <= count; k += lanes)
        for (size_t i = 0; i < lanes; ++i) {
            const int32_t number = number_of(k + i);
            whole[k + i] = static_cast<int16_t>(number);
            squares[i] += static_cast<double>(number) * number;
        }
    for (; k < count; ++k) {
        const int32_t number = number_of(k);
        whole[k] = static_cast<int16_t>(number), squares[0] += static_cast<double>(number) * number;
    }
    double square = 0;
    for (const double each : squares) square += each;
    return static_cast<int64_t>(square);
}
// Of magnitudes the bits are in order, those of an infinity after all numbers and those of a NaN after it.
MIDSTREAM_INLINE uint32_t largest_bits(const float* values, size_t count) {
    uint32_t largest = 0;
    for (size_t k = 0; k < count; ++k) largest = std::max(largest, std::bit_cast<uint32_t>(values[k]) & 0x7FFFFFFF);
    return largest;
}
MIDSTREAM_INLINE int to_whole_in_lanes(const float* values, size_t count, int16_t* whole) {
    const uint32_t largest = largest_bits(values, count);
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
MIDSTREAM_INLINE size_t used_in_lanes(const float* values, size_t count) {
    constexpr size_t chunk = 64;
    for (; count % chunk != 0; --count)
        if (values[count - 1] != 0) return count;
    for (; count > 0; count -= chunk) {
        uint32_t any = 0;
        for (size_t k = count - chunk; k < count; ++k) any |= std::bit_cast<uint32_t>(values[k]) << 1;
        if (any != 0) return count;
    }
    return 0;
}
#ifdef MIDSTREAM_X86
MIDSTREAM_AVX2 size_t used_avx2(const float* values, size_t count) { return used_in_lanes(values, count); }
MIDSTREAM_AVX2 int to_whole_avx2(const float* values, size_t count, int16_t* whole) {
    return to_whole_in_lanes(values, count, whole);
}
MIDSTREAM_AVX2 uint32_t largest_avx2(const float* values, size_t count) { return largest_bits(values, count); }
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

size_t used(const float* values, size_t count) {
    switch (current_path()) {
#ifdef MIDSTREAM_X86
        case Path::avx512:
        case Path::avx2: return used_avx2(values, count);
#endif
        default: return used_in_lanes(values, count);
    }
}

float largest(const float* values, size_t count) {
    switch (current_path()) {
#ifdef MIDSTREAM_X86
        case Path::avx512:
        case Path::avx2: return std::bit_cast<float>(largest_avx2(values, count));
#endif
        default: return std::bit_cast<float>(largest_bits(values, count));
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
