// The `fast` coder on AVX2. Compiled for that instruction set; see CMakeLists.txt.
#if defined(__AVX2__)
#include "fast_x86.hpp"

namespace midstream::fast {
namespace {

// Where words go when the lanes of the bits of a mask take, or give, one each; a lane number in each byte.
struct Permutations {
    alignas(64) uint64_t take[256];  // lane -> how many lanes before it take a word
    alignas(64) uint64_t give[256];  // the lanes that give a word, at the end of the eight
    constexpr Permutations() : take(), give() {
        for (unsigned mask = 0; mask < 256; ++mask) {
            uint64_t taken = 0, count = 0;
            for (unsigned lane = 0; lane < 8; ++lane) {
                taken |= count << (8 * lane);
                count += mask >> lane & 1;
            }
            uint64_t given = 0, at = 8 - count;
            for (unsigned lane = 0; lane < 8; ++lane)
                if (mask >> lane & 1) given |= uint64_t{lane} << (8 * at++);
            take[mask] = taken, give[mask] = given;
        }
    }
};
constexpr Permutations permutations;

struct Avx2 : X86Bytes {
    static constexpr bool two_at_once = true;
    struct States {
        __m256i part[4];  // lanes 0 to 7, 8 to 15, ...
    };
    struct Table {
        __m256i low[3], high[3];
    };
    struct Mask {
        unsigned part[4];
    };
    // Unpacking to words, then to states, works on the halves of a register apart.
    static constexpr uint8_t place[lanes] = {0, 1, 2,  3,  16, 17, 18, 19, 4,  5,  6,  7,  20, 21, 22, 23,
                                             8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31};

    static MIDSTREAM_FLAT Mask first(size_t active) {
        const uint32_t all = active < 32 ? (1u << active) - 1 : ~0u;
        return {{all & 255, all >> 8 & 255, all >> 16 & 255, all >> 24}};
    }
    static MIDSTREAM_FLAT States load_states(const uint32_t* p) {
        States s;
        for (int i = 0; i < 4; ++i) s.part[i] = _mm256_loadu_si256((const __m256i*)(p + 8 * i));
        return s;
    }
    static MIDSTREAM_FLAT void store_states(uint32_t* p, const States& s) {
        for (int i = 0; i < 4; ++i) _mm256_storeu_si256((__m256i*)(p + 8 * i), s.part[i]);
    }
    static Table prepare(const Cumulative& from) {
        Table t;
        for (int i = 0; i < 3; ++i) {
            alignas(32) uint8_t low[32], high[32];
            for (size_t c = 0; c < 32; ++c) {
                low[c] = static_cast<uint8_t>(from.begin[i][c % contexts]);
                high[c] = static_cast<uint8_t>(from.begin[i][c % contexts] >> 8);
            }
            t.low[i] = load(low), t.high[i] = load(high);
        }
        return t;
    }

    // Words [low half, high half] of where digits 1, 2 and 3 begin.
    static MIDSTREAM_FLAT void look_up(const Table& t, Bytes context, __m256i (&begin)[3][2]) {
        for (int i = 0; i < 3; ++i) {
            const __m256i low = _mm256_shuffle_epi8(t.low[i], context), high = _mm256_shuffle_epi8(t.high[i], context);
            begin[i][0] = _mm256_unpacklo_epi8(low, high);
            begin[i][1] = _mm256_unpackhi_epi8(low, high);
        }
    }

    static MIDSTREAM_FLAT Bytes decode(States& s, const Table& t, Bytes context, const uint16_t*& in, Mask active) {
        const __m256i zero = _mm256_setzero_si256(), all = _mm256_set1_epi16(1 << scale_bits);
        const __m256i low_bits = _mm256_set1_epi32((1 << scale_bits) - 1);
        __m256i begin[3][2], digit[2];
        look_up(t, context, begin);
        for (int h = 0; h < 2; ++h) {
            const __m256i slot = _mm256_packus_epi32(_mm256_and_si256(s.part[2 * h], low_bits),
                                                     _mm256_and_si256(s.part[2 * h + 1], low_bits));
            __m256i from = begin[2][h], to = all, count = _mm256_set1_epi16(3);
            for (int i = 2; i >= 0; --i) {  // is digit i + 1 not reached?
                const __m256i below = _mm256_cmpgt_epi16(begin[i][h], slot);
                from = _mm256_blendv_epi8(from, i > 0 ? begin[i - 1][h] : zero, below);
                to = _mm256_blendv_epi8(to, begin[i][h], below);
                count = _mm256_add_epi16(count, below);
            }
            digit[h] = count;
            const __m256i frequency = _mm256_sub_epi16(to, from), rest = _mm256_sub_epi16(slot, from);
            advance(s.part[2 * h], _mm256_unpacklo_epi16(frequency, zero), _mm256_unpacklo_epi16(rest, zero));
            advance(s.part[2 * h + 1], _mm256_unpackhi_epi16(frequency, zero), _mm256_unpackhi_epi16(rest, zero));
        }
        for (int i = 0; i < 4; ++i) refill(s.part[i], in, active.part[i]);
        return _mm256_packus_epi16(digit[0], digit[1]);
    }
    static MIDSTREAM_FLAT void advance(__m256i& x, __m256i frequency, __m256i rest) {
        x = _mm256_add_epi32(_mm256_mullo_epi32(_mm256_srli_epi32(x, scale_bits), frequency), rest);
    }
    static MIDSTREAM_FLAT void refill(__m256i& x, const uint16_t*& in, unsigned active) {
        const __m256i low = _mm256_cmpgt_epi32(_mm256_set1_epi32(lower_bound), x);
        const unsigned mask = static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(low))) & active;
        const __m256i words = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i*)in));
        const __m256i taken = _mm256_permutevar8x32_epi32(words, order(permutations.take[mask]));
        x = _mm256_blendv_epi8(x, _mm256_or_si256(_mm256_slli_epi32(x, 16), taken), low);
        in += _mm_popcnt_u32(mask);
    }
    static MIDSTREAM_FLAT __m256i order(uint64_t bytes) {
        return _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(static_cast<long long>(bytes)));
    }

    static MIDSTREAM_FLAT void encode(States& s, const Table& t, Bytes context, Bytes digit, uint16_t*& out,
                                      Mask active) {
        const __m256i zero = _mm256_setzero_si256(), all = _mm256_set1_epi16(1 << scale_bits);
        __m256i begin[3][2];
        look_up(t, context, begin);
        for (int h = 1; h >= 0; --h) {
            const __m256i d = h ? _mm256_unpackhi_epi8(digit, zero) : _mm256_unpacklo_epi8(digit, zero);
            __m256i from = zero, to = begin[0][h];
            for (short i = 0; i < 3; ++i) {
                const __m256i reached = _mm256_cmpgt_epi16(d, _mm256_set1_epi16(i));
                from = _mm256_blendv_epi8(from, begin[i][h], reached);
                to = _mm256_blendv_epi8(to, i < 2 ? begin[i + 1][h] : all, reached);
            }
            const __m256i frequency = _mm256_sub_epi16(to, from);
            push(s.part[2 * h + 1], _mm256_unpackhi_epi16(frequency, zero), _mm256_unpackhi_epi16(from, zero), out,
                 active.part[2 * h + 1]);
            push(s.part[2 * h], _mm256_unpacklo_epi16(frequency, zero), _mm256_unpacklo_epi16(from, zero), out,
                 active.part[2 * h]);
        }
    }
    static MIDSTREAM_FLAT void push(__m256i& x, __m256i frequency, __m256i from, uint16_t*& out, unsigned active) {
        const __m256i fits = _mm256_cmpgt_epi32(frequency, _mm256_srli_epi32(x, state_bits - scale_bits));
        const unsigned mask = ~static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(fits))) & active;
        const __m256i given = _mm256_permutevar8x32_epi32(_mm256_blend_epi16(x, _mm256_setzero_si256(), 0xAA),
                                                          order(permutations.give[mask]));
        const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(given, given), 0x08);
        _mm_storeu_si128((__m128i*)(out - 8), _mm256_castsi256_si128(packed));
        out -= _mm_popcnt_u32(mask);
        x = _mm256_blendv_epi8(_mm256_srli_epi32(x, 16), x, fits);
        // The quotient of floats, a little lowered, is right or one too small: x / frequency is below 2^19.
        const __m256 ratio = _mm256_div_ps(_mm256_cvtepi32_ps(x), _mm256_cvtepi32_ps(frequency));
        const __m256i quotient = _mm256_cvttps_epi32(_mm256_mul_ps(ratio, _mm256_set1_ps(1 - 0x1p-22f)));
        const __m256i rest = _mm256_sub_epi32(x, _mm256_mullo_epi32(quotient, frequency));
        const __m256i right = _mm256_cmpgt_epi32(frequency, rest);
        const __m256i more = _mm256_andnot_si256(right, _mm256_sub_epi32(_mm256_set1_epi32(1 << scale_bits), frequency));
        x = _mm256_add_epi32(_mm256_add_epi32(_mm256_slli_epi32(quotient, scale_bits), rest),
                             _mm256_add_epi32(from, more));
    }
};

}  // namespace

const Kernel avx2_kernel = Coder<Avx2>::kernel;

}  // namespace midstream::fast
#endif
