// The `fast` coder on AVX-512 (F, BW, VL, DQ). Compiled for that instruction set; see CMakeLists.txt.
#if defined(__AVX512BW__)
#include "fast_x86.hpp"

namespace midstream::fast {
namespace {

struct Avx512 : X86Bytes {
    static constexpr bool two_at_once = true;
    struct States {
        __m512i part[2];  // lanes 0 to 15, 16 to 31
    };
    struct Table {
        __m512i begin[3];
    };
    using Mask = __mmask32;
    static constexpr uint8_t place[lanes] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                                             16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31};

    static MIDSTREAM_FLAT Mask first(size_t active) { return active < 32 ? (1u << active) - 1 : ~0u; }
    static MIDSTREAM_FLAT States load_states(const uint32_t* p) {
        return {{_mm512_loadu_si512(p), _mm512_loadu_si512(p + 16)}};
    }
    static MIDSTREAM_FLAT void store_states(uint32_t* p, const States& s) {
        _mm512_storeu_si512(p, s.part[0]), _mm512_storeu_si512(p + 16, s.part[1]);
    }
    static Table prepare(const Cumulative& from) {
        Table t;
        for (int i = 0; i < 3; ++i)
            t.begin[i] = _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i*)from.begin[i]));
        return t;
    }
    static MIDSTREAM_FLAT void look_up(const Table& t, Bytes context, __m512i (&begin)[3]) {
        const __m512i index = _mm512_cvtepu8_epi16(context);
        for (int i = 0; i < 3; ++i) begin[i] = _mm512_permutexvar_epi16(index, t.begin[i]);
    }

    static MIDSTREAM_FLAT Bytes decode(States& s, const Table& t, Bytes context, const uint16_t*& in, Mask active) {
        const __m512i low_bits = _mm512_set1_epi32((1 << scale_bits) - 1);
        __m512i begin[3];
        look_up(t, context, begin);
        const __m512i slot = _mm512_inserti64x4(
            _mm512_castsi256_si512(_mm512_cvtepi32_epi16(_mm512_and_si512(s.part[0], low_bits))),
            _mm512_cvtepi32_epi16(_mm512_and_si512(s.part[1], low_bits)), 1);
        const __mmask32 first = _mm512_cmpge_epu16_mask(slot, begin[0]);
        const __mmask32 second = _mm512_cmpge_epu16_mask(slot, begin[1]);
        const __mmask32 third = _mm512_cmpge_epu16_mask(slot, begin[2]);
        __m512i from = _mm512_maskz_mov_epi16(first, begin[0]);
        from = _mm512_mask_mov_epi16(from, second, begin[1]);
        from = _mm512_mask_mov_epi16(from, third, begin[2]);
        __m512i to = _mm512_mask_mov_epi16(begin[0], first, begin[1]);
        to = _mm512_mask_mov_epi16(to, second, begin[2]);
        to = _mm512_mask_mov_epi16(to, third, _mm512_set1_epi16(1 << scale_bits));
        __m256i digit = _mm256_maskz_mov_epi8(first, _mm256_set1_epi8(1));
        digit = _mm256_mask_mov_epi8(digit, second, _mm256_set1_epi8(2));
        digit = _mm256_mask_mov_epi8(digit, third, _mm256_set1_epi8(3));
        const __m512i frequency = _mm512_sub_epi16(to, from), rest = _mm512_sub_epi16(slot, from);
        advance(s.part[0], _mm512_castsi512_si256(frequency), _mm512_castsi512_si256(rest));
        advance(s.part[1], _mm512_extracti64x4_epi64(frequency, 1), _mm512_extracti64x4_epi64(rest, 1));
        refill(s.part[0], in, static_cast<__mmask16>(active));
        refill(s.part[1], in, static_cast<__mmask16>(active >> 16));
        return digit;
    }
    static MIDSTREAM_FLAT void advance(__m512i& x, __m256i frequency, __m256i rest) {
        x = _mm512_add_epi32(_mm512_mullo_epi32(_mm512_srli_epi32(x, scale_bits), _mm512_cvtepu16_epi32(frequency)),
                             _mm512_cvtepu16_epi32(rest));
    }
    static MIDSTREAM_FLAT void refill(__m512i& x, const uint16_t*& in, __mmask16 active) {
        const __mmask16 low = _mm512_mask_cmplt_epu32_mask(active, x, _mm512_set1_epi32(lower_bound));
        const __m512i words = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)in));
        const __m512i taken = _mm512_maskz_expand_epi32(low, words);
        x = _mm512_mask_or_epi32(x, low, _mm512_slli_epi32(x, 16), taken);
        in += _mm_popcnt_u32(low);
    }

    static MIDSTREAM_FLAT void encode(States& s, const Table& t, Bytes context, Bytes digit, uint16_t*& out,
                                      Mask active) {
        __m512i begin[3];
        look_up(t, context, begin);
        const __mmask32 first = _mm256_cmpgt_epi8_mask(digit, _mm256_setzero_si256());
        const __mmask32 second = _mm256_cmpgt_epi8_mask(digit, _mm256_set1_epi8(1));
        const __mmask32 third = _mm256_cmpgt_epi8_mask(digit, _mm256_set1_epi8(2));
        __m512i from = _mm512_maskz_mov_epi16(first, begin[0]);
        from = _mm512_mask_mov_epi16(from, second, begin[1]);
        from = _mm512_mask_mov_epi16(from, third, begin[2]);
        __m512i to = _mm512_mask_mov_epi16(begin[0], first, begin[1]);
        to = _mm512_mask_mov_epi16(to, second, begin[2]);
        to = _mm512_mask_mov_epi16(to, third, _mm512_set1_epi16(1 << scale_bits));
        const __m512i frequency = _mm512_sub_epi16(to, from);
        push(s.part[1], _mm512_extracti64x4_epi64(frequency, 1), _mm512_extracti64x4_epi64(from, 1), out,
             static_cast<__mmask16>(active >> 16));
        push(s.part[0], _mm512_castsi512_si256(frequency), _mm512_castsi512_si256(from), out,
             static_cast<__mmask16>(active));
    }
    static MIDSTREAM_FLAT void push(__m512i& x, __m256i narrow_frequency, __m256i narrow_from, uint16_t*& out,
                                    __mmask16 active) {
        const __m512i frequency = _mm512_cvtepu16_epi32(narrow_frequency), from = _mm512_cvtepu16_epi32(narrow_from);
        const __mmask16 full =
            _mm512_mask_cmpge_epu32_mask(active, _mm512_srli_epi32(x, state_bits - scale_bits), frequency);
        const unsigned count = _mm_popcnt_u32(full);
        // To the end of the register, so that a whole one can be stored: what lies before is written over later.
        const __m512i places = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        const __m512i moved = _mm512_add_epi32(places, _mm512_set1_epi32(static_cast<int>(count)));
        const __m512i given = _mm512_permutexvar_epi32(moved, _mm512_maskz_compress_epi32(full, x));
        _mm256_storeu_si256((__m256i*)(out - 16), _mm512_cvtepi32_epi16(given));
        out -= count;
        x = _mm512_mask_srli_epi32(x, full, x, 16);
        // The quotient of floats, a little lowered, is right or one too small: x / frequency is below 2^19.
        const __m512 divisor = _mm512_cvtepi32_ps(frequency), rough = _mm512_rcp14_ps(divisor);
        const __m512 inverse = _mm512_mul_ps(rough, _mm512_fnmadd_ps(divisor, rough, _mm512_set1_ps(2 - 0x1p-21f)));
        const __m512i quotient = _mm512_cvttps_epi32(_mm512_mul_ps(_mm512_cvtepi32_ps(x), inverse));
        const __m512i rest = _mm512_sub_epi32(x, _mm512_mullo_epi32(quotient, frequency));
        const __mmask16 short_by_one = _mm512_cmpge_epi32_mask(rest, frequency);
        x = _mm512_add_epi32(_mm512_add_epi32(_mm512_slli_epi32(quotient, scale_bits), rest), from);
        x = _mm512_mask_add_epi32(x, short_by_one, x, _mm512_sub_epi32(_mm512_set1_epi32(1 << scale_bits), frequency));
    }
};

}  // namespace

const Kernel avx512_kernel = Coder<Avx512>::kernel;

}  // namespace midstream::fast
#endif
