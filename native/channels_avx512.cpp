// Quantisation and reconstruction on AVX-512 (F, BW, VL, DQ). Compiled for that instruction set; see CMakeLists.txt.
#if defined(__AVX512BW__)
#include <immintrin.h>

#include "channels_kernel.hpp"

namespace midstream::channels {
namespace {

inline __mmask16 first(size_t count) { return static_cast<__mmask16>(count < 16 ? (1u << count) - 1 : 0xFFFFu); }

BlockStatistics statistics(const float* x, size_t size) {
    constexpr size_t parts = statistics_lanes / 8;
    const __m512d first = _mm512_set1_pd(static_cast<double>(x[0]));
    __m512d sum[parts], square[parts];
    for (size_t k = 0; k < parts; ++k) sum[k] = square[k] = _mm512_setzero_pd();
    __m512 low = _mm512_set1_ps(x[0]), high = low;
    const size_t whole = size / statistics_lanes * statistics_lanes;
    for (size_t at = 0; at < whole; at += statistics_lanes) {
        for (size_t k = 0; k < parts; k += 2) {
            const __m512 v = _mm512_loadu_ps(x + at + 8 * k);
            low = _mm512_min_ps(v, low), high = _mm512_max_ps(v, high);
        }
        for (size_t k = 0; k < parts; ++k) {
            const __m512d d = _mm512_sub_pd(_mm512_cvtps_pd(_mm256_loadu_ps(x + at + 8 * k)), first);
            sum[k] = _mm512_add_pd(sum[k], d);
            square[k] = _mm512_add_pd(square[k], _mm512_mul_pd(d, d));
        }
    }
    double sums[statistics_lanes], squares[statistics_lanes];
    for (size_t k = 0; k < parts; ++k)
        _mm512_storeu_pd(sums + 8 * k, sum[k]), _mm512_storeu_pd(squares + 8 * k, square[k]);
    float smallest = _mm512_reduce_min_ps(low), largest = _mm512_reduce_max_ps(high);
    add_rest(x, whole, size, sums, squares, smallest, largest);
    return merged(x[0], size, sums, squares, smallest, largest);
}

// Boundaries j0 .. j0 + count - 1; the symbols go on from what earlier ones have made of them.
template <size_t count>
void compare(const float* x, size_t size, const float* boundaries, float pivot, bool go_on, uint8_t* symbols,
             uint32_t* reached, float (*lane)[sum_lanes]) {
    const __m512 center = _mm512_set1_ps(pivot);
    const __m512i one = _mm512_set1_epi8(1);
    __m512 boundary[count], sum[count];
    size_t reaching[count] = {};
    for (size_t j = 0; j < count; ++j) boundary[j] = _mm512_set1_ps(boundaries[j]), sum[j] = _mm512_setzero_ps();
    size_t at = 0;
    for (; at + 64 <= size; at += 64) {
        __m512 v[4], distance[4];
        for (size_t k = 0; k < 4; ++k) v[k] = _mm512_loadu_ps(x + at + 16 * k), distance[k] = _mm512_sub_ps(v[k], center);
        __m512i symbol = go_on ? _mm512_loadu_si512(symbols + at) : _mm512_setzero_si512();
        for (size_t j = 0; j < count; ++j) {
            __mmask16 mask[4];
            for (size_t k = 0; k < 4; ++k) {
                mask[k] = _mm512_cmp_ps_mask(v[k], boundary[j], _CMP_GE_OQ);
                sum[j] = _mm512_mask_add_ps(sum[j], mask[k], sum[j], distance[k]);
            }
            const __mmask64 all = _mm512_kunpackd(_mm512_kunpackw(mask[3], mask[2]), _mm512_kunpackw(mask[1], mask[0]));
            symbol = _mm512_mask_add_epi8(symbol, all, symbol, one);
            reaching[j] += static_cast<size_t>(_mm_popcnt_u64(_cvtmask64_u64(all)));
        }
        _mm512_storeu_si512(symbols + at, symbol);
    }
    for (; at < size; at += 16) {
        const __mmask16 there = first(size - at);
        const __m512 v = _mm512_maskz_loadu_ps(there, x + at);
        __m128i symbol = go_on ? _mm_maskz_loadu_epi8(there, symbols + at) : _mm_setzero_si128();
        for (size_t j = 0; j < count; ++j) {
            const __mmask16 mask = _mm512_mask_cmp_ps_mask(there, v, boundary[j], _CMP_GE_OQ);
            sum[j] = _mm512_mask_add_ps(sum[j], mask, sum[j], _mm512_sub_ps(v, center));
            symbol = _mm_mask_add_epi8(symbol, mask, symbol, _mm_set1_epi8(1));
            reaching[j] += static_cast<size_t>(_mm_popcnt_u32(mask));
        }
        _mm_mask_storeu_epi8(symbols + at, there, symbol);
    }
    for (size_t j = 0; j < count; ++j) {
        _mm512_storeu_ps(lane[j], sum[j]);
        reached[j] = static_cast<uint32_t>(reaching[j]);
    }
}

void quantize(const float* x, size_t size, const float* boundaries, size_t count, float pivot, uint8_t* symbols,
              uint32_t* reached, float (*lane)[sum_lanes]) {
    size_t j = 0;
    for (; j + 3 <= count; j += 3) compare<3>(x, size, boundaries + j, pivot, j > 0, symbols, reached + j, lane + j);
    for (; j < count; ++j) compare<1>(x, size, boundaries + j, pivot, j > 0, symbols, reached + j, lane + j);
}

void look_up(const uint8_t* symbols, size_t size, const float* table, size_t entries, bool past_cache, float* out) {
    const __m512 values = _mm512_maskz_loadu_ps(first(entries), table);
    const auto some = [&](size_t at, size_t count) {
        const __m512i index = _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(first(count), symbols + at));
        _mm512_mask_storeu_ps(out + at, first(count), _mm512_permutexvar_ps(index, values));
    };
    const size_t beside = reinterpret_cast<uintptr_t>(out) % 64 / sizeof *out;
    size_t at = beside == 0 ? 0 : size < 16 - beside ? size : 16 - beside;
    if (at > 0) some(0, at);
    for (; at + 16 <= size; at += 16) {
        const __m512i index = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i*)(symbols + at)));
        const __m512 sixteen = _mm512_permutexvar_ps(index, values);
        if (past_cache)
            _mm512_stream_ps(out + at, sixteen);
        else
            _mm512_store_ps(out + at, sixteen);
    }
    if (at < size) some(at, size - at);
    _mm_sfence();
}

}  // namespace

const Kernel avx512_kernel = {statistics, quantize, look_up};

}  // namespace midstream::channels
#endif
