// Quantisation and reconstruction on AVX2. Compiled for that instruction set; see CMakeLists.txt.
#if defined(__AVX2__)
#include <immintrin.h>

#include "channels_kernel.hpp"

namespace midstream::channels {
namespace {

BlockStatistics statistics(const float* x, size_t size) {
    constexpr size_t parts = statistics_lanes / 4;
    const __m256d first = _mm256_set1_pd(static_cast<double>(x[0]));
    __m256d sum[parts], square[parts];
    for (size_t k = 0; k < parts; ++k) sum[k] = square[k] = _mm256_setzero_pd();
    __m256 low = _mm256_set1_ps(x[0]), high = low;
    const size_t whole = size / statistics_lanes * statistics_lanes;
    for (size_t at = 0; at < whole; at += statistics_lanes) {
        for (size_t k = 0; k < parts; k += 2) {
            const __m256 v = _mm256_loadu_ps(x + at + 4 * k);
            low = _mm256_min_ps(v, low), high = _mm256_max_ps(v, high);
        }
        for (size_t k = 0; k < parts; ++k) {
            const __m256d d = _mm256_sub_pd(_mm256_cvtps_pd(_mm_loadu_ps(x + at + 4 * k)), first);
            sum[k] = _mm256_add_pd(sum[k], d);
            square[k] = _mm256_add_pd(square[k], _mm256_mul_pd(d, d));
        }
    }
    double sums[statistics_lanes], squares[statistics_lanes];
    for (size_t k = 0; k < parts; ++k)
        _mm256_storeu_pd(sums + 4 * k, sum[k]), _mm256_storeu_pd(squares + 4 * k, square[k]);
    float lows[8], highs[8];
    _mm256_storeu_ps(lows, low), _mm256_storeu_ps(highs, high);
    for (size_t i = 1; i < 8; ++i) {
        lows[0] = lows[i] < lows[0] ? lows[i] : lows[0];
        highs[0] = highs[i] > highs[0] ? highs[i] : highs[0];
    }
    add_rest(x, whole, size, sums, squares, lows[0], highs[0]);
    return merged(x[0], size, sums, squares, lows[0], highs[0]);
}

// Boundaries j0 .. j0 + count - 1; the symbols go on from what earlier ones have made of them.
template <size_t count>
void compare(const float* x, size_t size, const float* boundaries, float pivot, bool go_on, uint8_t* symbols,
             uint32_t* reached, float (*lane)[sum_lanes]) {
    const __m256 center = _mm256_set1_ps(pivot);
    // Packing works on the halves of a register apart: this puts the dwords of four elements in order again.
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    __m256 sum[count][2];
    size_t reaching[count] = {};
    for (size_t j = 0; j < count; ++j) sum[j][0] = sum[j][1] = _mm256_setzero_ps();
    size_t at = 0;
    for (; at + 32 <= size; at += 32) {
        __m256i symbol = go_on ? _mm256_loadu_si256((const __m256i*)(symbols + at)) : _mm256_setzero_si256();
        __m256 v[4];
        for (size_t k = 0; k < 4; ++k) v[k] = _mm256_loadu_ps(x + at + 8 * k);
        for (size_t j = 0; j < count; ++j) {
            __m256i mask[4];
            for (size_t k = 0; k < 4; ++k) {
                const __m256 hit = _mm256_cmp_ps(v[k], _mm256_set1_ps(boundaries[j]), _CMP_GE_OQ);
                sum[j][k % 2] = _mm256_add_ps(sum[j][k % 2], _mm256_and_ps(hit, _mm256_sub_ps(v[k], center)));
                mask[k] = _mm256_castps_si256(hit);
            }
            const __m256i packed = _mm256_permutevar8x32_epi32(
                _mm256_packs_epi16(_mm256_packs_epi32(mask[0], mask[1]), _mm256_packs_epi32(mask[2], mask[3])), order);
            symbol = _mm256_sub_epi8(symbol, packed);
            reaching[j] += static_cast<size_t>(_mm_popcnt_u32(static_cast<unsigned>(_mm256_movemask_epi8(packed))));
        }
        _mm256_storeu_si256((__m256i*)(symbols + at), symbol);
    }
    for (size_t j = 0; j < count; ++j) _mm256_storeu_ps(lane[j], sum[j][0]), _mm256_storeu_ps(lane[j] + 8, sum[j][1]);
    for (; at < size; ++at) {
        if (!go_on) symbols[at] = 0;
        for (size_t j = 0; j < count; ++j) {
            if (!(x[at] >= boundaries[j])) continue;
            lane[j][at % sum_lanes] += x[at] - pivot;
            ++symbols[at], ++reaching[j];
        }
    }
    for (size_t j = 0; j < count; ++j) reached[j] = static_cast<uint32_t>(reaching[j]);
}

void quantize(const float* x, size_t size, const float* boundaries, size_t count, float pivot, uint8_t* symbols,
              uint32_t* reached, float (*lane)[sum_lanes]) {
    size_t j = 0;
    for (; j + 3 <= count; j += 3) compare<3>(x, size, boundaries + j, pivot, j > 0, symbols, reached + j, lane + j);
    for (; j < count; ++j) compare<1>(x, size, boundaries + j, pivot, j > 0, symbols, reached + j, lane + j);
}

void look_up(const uint8_t* symbols, size_t size, const float* table, size_t entries, bool past_cache, float* out) {
    alignas(32) float values[most_looked_up] = {};
    for (size_t i = 0; i < entries; ++i) values[i] = table[i];
    const __m256 low = _mm256_load_ps(values), high = _mm256_load_ps(values + 8);
    size_t at = 0;
    for (; at < size && reinterpret_cast<uintptr_t>(out + at) % 32 != 0; ++at) out[at] = values[symbols[at] % 16];
    for (; at + 8 <= size; at += 8) {
        const __m256i index = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)(symbols + at)));
        const __m256 upper = _mm256_castsi256_ps(_mm256_slli_epi32(index, 28));  // bit 3 as the sign
        const __m256 eight =
            _mm256_blendv_ps(_mm256_permutevar8x32_ps(low, index), _mm256_permutevar8x32_ps(high, index), upper);
        if (past_cache)
            _mm256_stream_ps(out + at, eight);
        else
            _mm256_store_ps(out + at, eight);
    }
    for (; at < size; ++at) out[at] = values[symbols[at] % 16];
    _mm_sfence();
}

}  // namespace

const Kernel avx2_kernel = {statistics, quantize, look_up};

}  // namespace midstream::channels
#endif
