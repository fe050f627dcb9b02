// The steps of a coder with an entropy model that take vectors of their own: in plain words, which define the result, and
// as every machine of the x86 kind has them.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "dispatch.hpp"
#include "entropy_model.hpp"
#ifdef MIDSTREAM_X86
#include <emmintrin.h>
#endif

namespace midstream::entropy {

// What the flags before a flag, and what is known of its band, add to each unit, and what units put out, in two parts, of
// which the higher one counts 256. [flag_units] each.
struct FlagUnits {
    const int16_t *known, *past, *of_count, *out_high, *out_low;
    int16_t count;
};

struct Plain {
    // The symbol that has a place, in a row of `value_symbols`.
    MIDSTREAM_INLINE static uint32_t symbol(const uint16_t* starts, uint32_t place) {
        uint32_t symbol = 0;
        for (size_t s = 1; s < value_symbols; ++s) symbol += place >= starts[s];
        return symbol;
    }
    // What the network of flags puts out.
    MIDSTREAM_INLINE static int32_t out(const FlagUnits& of) {
        int32_t high = 0, low = 0;
        for (size_t i = 0; i < flag_units; ++i) {
            const auto unit = static_cast<int16_t>(of.known[i] + of.past[i] + of.of_count[i] * of.count);
            const int32_t positive = std::max<int16_t>(unit, 0) >> 4;
            high += positive * of.out_high[i], low += positive * of.out_low[i];
        }
        return high * 256 + low;
    }
};

#ifdef MIDSTREAM_X86
struct Sse2 {
    MIDSTREAM_INLINE static __m128i at(const void* from) { return _mm_loadu_si128(static_cast<const __m128i*>(from)); }
    MIDSTREAM_INLINE static uint32_t symbol(const uint16_t* starts, uint32_t place) {
        static_assert(value_symbols == 16);
        const __m128i all = _mm_set1_epi16(static_cast<int16_t>(place));
        const __m128i beyond = _mm_packs_epi16(_mm_cmpgt_epi16(at(starts), all), _mm_cmpgt_epi16(at(starts + 8), all));
        const auto until = static_cast<uint16_t>(~_mm_movemask_epi8(beyond));
        return static_cast<uint32_t>(std::bit_width(until)) - 1;
    }
    MIDSTREAM_INLINE static int32_t out(const FlagUnits& of) {
        static_assert(flag_units == 8);
        const __m128i counted = _mm_mullo_epi16(at(of.of_count), _mm_set1_epi16(of.count));
        const __m128i unit = _mm_add_epi16(_mm_add_epi16(at(of.known), at(of.past)), counted);
        const __m128i positive = _mm_srli_epi16(_mm_max_epi16(unit, _mm_setzero_si128()), 4);
        const __m128i high = _mm_madd_epi16(positive, at(of.out_high)), low = _mm_madd_epi16(positive, at(of.out_low));
        __m128i sum = _mm_add_epi32(_mm_slli_epi32(high, 8), low);
        sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, _MM_SHUFFLE(1, 0, 3, 2)));
        sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, _MM_SHUFFLE(2, 3, 0, 1)));
        return _mm_cvtsi128_si32(sum);
    }
};
using Usual = Sse2;
#else
using Usual = Plain;
#endif

}  // namespace midstream::entropy
