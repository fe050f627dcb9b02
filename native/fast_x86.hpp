// What the x86 kernels of the `fast` coder have in common: a byte of each of 32 lanes in one AVX register.
#pragma once

#include <immintrin.h>

#include "fast_loops.hpp"

namespace midstream::fast {
namespace {

struct X86Bytes {
    using Bytes = __m256i;

    static MIDSTREAM_FLAT Bytes load(const uint8_t* p) { return _mm256_loadu_si256((const __m256i*)p); }
    static MIDSTREAM_FLAT void store(uint8_t* p, Bytes a) { _mm256_storeu_si256((__m256i*)p, a); }
    static MIDSTREAM_FLAT Bytes halves(const uint8_t* low, const uint8_t* high) {
        return _mm256_loadu2_m128i((const __m128i*)high, (const __m128i*)low);
    }
    static MIDSTREAM_FLAT void store_low(uint8_t* p, Bytes a) { _mm_storeu_si128((__m128i*)p, _mm256_castsi256_si128(a)); }
    static MIDSTREAM_FLAT void store_high(uint8_t* p, Bytes a) {
        _mm_storeu_si128((__m128i*)p, _mm256_extracti128_si256(a, 1));
    }
    static MIDSTREAM_FLAT void zip(Bytes a, Bytes b, Bytes& low, Bytes& high) {
        low = _mm256_unpacklo_epi8(a, b), high = _mm256_unpackhi_epi8(a, b);
    }

    static MIDSTREAM_FLAT Bytes zero() { return _mm256_setzero_si256(); }
    static MIDSTREAM_FLAT Bytes shift_right(Bytes a, unsigned n) {
        const auto kept = _mm256_set1_epi8(static_cast<char>(0xFF >> n));
        return _mm256_and_si256(_mm256_srl_epi16(a, _mm_cvtsi32_si128(static_cast<int>(n))), kept);
    }
    static MIDSTREAM_FLAT Bytes shift_left(Bytes a, unsigned n) {
        const auto kept = _mm256_set1_epi8(static_cast<char>(0xFF << n));
        return _mm256_and_si256(_mm256_sll_epi16(a, _mm_cvtsi32_si128(static_cast<int>(n))), kept);
    }
    static MIDSTREAM_FLAT Bytes add(Bytes a, Bytes b) { return _mm256_add_epi8(a, b); }
    static MIDSTREAM_FLAT Bytes subtract(Bytes a, Bytes b) { return _mm256_sub_epi8(a, b); }
    static MIDSTREAM_FLAT Bytes subtract_saturated(Bytes a, Bytes b) { return _mm256_subs_epu8(a, b); }
    static MIDSTREAM_FLAT Bytes at_most_3(Bytes a) { return _mm256_min_epu8(a, _mm256_set1_epi8(3)); }
    static MIDSTREAM_FLAT Bytes low_digit(Bytes a) { return _mm256_and_si256(a, _mm256_set1_epi8(3)); }
    static MIDSTREAM_FLAT Bytes average(Bytes a, Bytes b) { return _mm256_avg_epu8(a, b); }
    // a + 4 b, for a and b up to 3
    static MIDSTREAM_FLAT Bytes join(Bytes a, Bytes b) { return _mm256_or_si256(a, _mm256_slli_epi16(b, 2)); }
};

}  // namespace
}  // namespace midstream::fast
