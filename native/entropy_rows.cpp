#include "entropy_rows.hpp"

#include <algorithm>

#include "dispatch.hpp"
#include "shorts.hpp"

#ifdef MIDSTREAM_X86
#include <immintrin.h>
#define MIDSTREAM_VNNI __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,bmi2")))
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wuninitialized"  // GCC 12 takes the undefined parts of its own intrinsics for a mistake
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#endif

namespace midstream::entropy {
namespace {

// What the others must equal.
MIDSTREAM_INLINE void rows_in(const Model& model, const BandSight& sight, uint8_t* rows) {
    const auto& network = model.statistics().values;
    const int16_t* biases = model.biases(sight.from / band);
    ValueInputs values;
    inputs_of_values(sight.expected, sight.near, sight.from, values);
    using Vectors = ShortVectors<value_units>;
    using Shorts = Vectors::Shorts;
    const auto weights_of = [&](size_t input) { return loaded<Shorts>(network.weights[input].data()); };
    Shorts common = weights_of(value_inputs) * Vectors::all(sight.of_band[0]);
    for (size_t i = 1; i < band_inputs; ++i)
        common = common + weights_of(value_inputs + i) * Vectors::all(sight.of_band[i]);
    std::array<int16_t, value_units> commons;
    stored(common, commons.data());
    std::array<int32_t, band> sums;
    sums.fill(network.offset);
    for (size_t unit = 0; unit < value_units; ++unit) {
        std::array<int16_t, band> units;
        for (size_t i = 0; i < band; ++i) units[i] = static_cast<int16_t>(biases[unit * band + i] + commons[unit]);
        for (size_t input = 0; input < value_inputs; ++input) {
            const int16_t weight = network.weights[input][unit];
            for (size_t i = 0; i < band; ++i) units[i] = static_cast<int16_t>(units[i] + weight * values[input][i]);
        }
        const int32_t weight = network.out[unit];
        for (size_t i = 0; i < band; ++i) sums[i] += weight * (std::max<int16_t>(units[i], 0) >> 4);
    }
    for (size_t i = 0; i < band; ++i)
        rows[i] = static_cast<uint8_t>(std::clamp(sums[i] >> 16, 0, static_cast<int>(value_distributions) - 1));
}

void portable_rows(const Model& model, const BandSight& sight, uint8_t* rows) { rows_in(model, sight, rows); }

#ifdef MIDSTREAM_X86
MIDSTREAM_AVX2 void avx2_rows(const Model& model, const BandSight& sight, uint8_t* rows) { rows_in(model, sight, rows); }

MIDSTREAM_VNNI MIDSTREAM_INLINE __m512i bytes_at(const uint8_t* from) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
}
MIDSTREAM_VNNI MIDSTREAM_INLINE __m512i shorts_at(const uint16_t* from) {
    return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
}
MIDSTREAM_VNNI MIDSTREAM_INLINE __m512i signed_at(const int16_t* from) {
    return _mm512_cvtepi16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
}
MIDSTREAM_VNNI MIDSTREAM_INLINE __m512i in_pairs(__m512i low, __m512i high) {
    return _mm512_or_si512(low, _mm512_slli_epi32(high, 16));
}

// The last of the inputs of values: log2 of what surrounds them beside what is expected.
MIDSTREAM_VNNI MIDSTREAM_INLINE __m512i around(const BandSight& sight) {
    const auto& near = sight.near;
    const size_t k = sight.from;
    const __m512i sides = _mm512_add_epi32(shorts_at(near.w.sums + k), shorts_at(near.n.sums + k));
    const __m512i corners = _mm512_add_epi32(shorts_at(near.nw.sums + k), shorts_at(near.ne.sums + k));
    const __m512i sum = _mm512_add_epi32(_mm512_slli_epi32(sides, 6), _mm512_slli_epi32(corners, 5));
    const __m512 number = _mm512_cvtepi32_ps(_mm512_add_epi32(sum, _mm512_set1_epi32(1)));
    const __m512i octaves = _mm512_srai_epi32(_mm512_castps_si512(number), 20);
    const __m512i expected = _mm512_add_epi32(signed_at(sight.expected.around + k), _mm512_set1_epi32(127 << 3));
    const __m512i above = _mm512_sub_epi32(octaves, expected);
    return _mm512_max_epi32(_mm512_min_epi32(above, _mm512_set1_epi32(largest_input)), _mm512_set1_epi32(-largest_input));
}

// Inputs in pairs, of 16 values side by side.
MIDSTREAM_VNNI void vnni_rows(const Model& model, const BandSight& sight, uint8_t* rows) {
    const Model::Pairs& pairs = model.pairs();
    const auto& near = sight.near;
    const size_t k = sight.from;
    const __m512i scales = _mm512_and_si512(signed_at(sight.expected.scale + k), _mm512_set1_epi32(0xFFFF));
    const __m512i values[Model::Pairs::of_value] = {
        in_pairs(scales, bytes_at(near.w.magnitudes + k)),
        in_pairs(bytes_at(near.n.magnitudes + k), bytes_at(near.nw.magnitudes + k)),
        in_pairs(bytes_at(near.ne.magnitudes + k), around(sight))};
    __m512i common = _mm512_setzero_si512();
    for (size_t p = 0; p < Model::Pairs::of_band; ++p) {
        const size_t i = 2 * p;
        const auto low = static_cast<uint16_t>(sight.of_band[i]);
        const auto high = static_cast<uint16_t>(i + 1 < band_inputs ? sight.of_band[i + 1] : 0);
        const __m512i both = _mm512_set1_epi32(static_cast<int32_t>(low | uint32_t{high} << 16));
        common = _mm512_dpwssd_epi32(common, both, _mm512_loadu_si512(pairs.common[p].data()));
    }
    alignas(64) int32_t commons[value_units];
    _mm512_store_si512(commons, common);
    const int16_t* biases = model.biases(k / band);
    const auto unit = [&](size_t u) MIDSTREAM_VNNI {
        __m512i sum = _mm512_add_epi32(signed_at(biases + u * band), _mm512_set1_epi32(commons[u]));
        for (size_t p = 0; p < Model::Pairs::of_value; ++p)
            sum = _mm512_dpwssd_epi32(sum, values[p], _mm512_set1_epi32(pairs.weights[u][p]));
        return _mm512_max_epi32(sum, _mm512_setzero_si512());
    };
    __m512i high = _mm512_setzero_si512(), low = _mm512_set1_epi32(model.statistics().values.offset);
    for (size_t u = 0; u < value_units; u += 2) {
        const __m512i upper = _mm512_and_si512(_mm512_slli_epi32(unit(u + 1), 12), _mm512_set1_epi32(~0xFFFF));
        const __m512i both = _mm512_or_si512(_mm512_srli_epi32(unit(u), 4), upper);
        high = _mm512_dpwssd_epi32(high, both, _mm512_set1_epi32(pairs.out_high[u / 2]));
        low = _mm512_dpwssd_epi32(low, both, _mm512_set1_epi32(pairs.out_low[u / 2]));
    }
    const __m512i row = _mm512_srai_epi32(_mm512_add_epi32(_mm512_slli_epi32(high, 8), low), 16);
    const __m512i limited = _mm512_min_epi32(_mm512_max_epi32(row, _mm512_setzero_si512()),
                                             _mm512_set1_epi32(static_cast<int>(value_distributions) - 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(rows), _mm512_cvtepi32_epi8(limited));
}
#endif

}  // namespace

ValueRows value_rows() {
    switch (current_path()) {
#ifdef MIDSTREAM_X86
        case Path::avx512: return __builtin_cpu_supports("avx512vnni") ? vnni_rows : avx2_rows;
        case Path::avx2: return avx2_rows;
#endif
        default: return portable_rows;
    }
}

}  // namespace midstream::entropy
