#include "pairs.hpp"

#include "dispatch.hpp"
#include "pairs_kernel.hpp"
#ifdef MIDSTREAM_X86
#include <emmintrin.h>
#endif

namespace midstream {
namespace pairs {
namespace {

// What the others must equal.
void reference_sums(const int16_t* const* a, size_t rows, size_t pairs, const int16_t* panel, int32_t* sums,
                    const uint32_t* at) {
    for (size_t n = 0; n < rows; ++n)
        for (size_t lane = 0; lane < pair_lanes; ++lane) {
            uint32_t sum = 0;
            for (size_t i = 0; i < pairs; ++i) {
                const int16_t* b = panel + 2 * ((at ? at[i] : i) * pair_lanes + lane);
                sum += static_cast<uint32_t>(a[n][2 * i] * b[0]) + static_cast<uint32_t>(a[n][2 * i + 1] * b[1]);
            }
            sums[n * pair_lanes + lane] = static_cast<int32_t>(sum);
        }
}

#ifdef MIDSTREAM_X86
struct Sse2 {
    using Vector = __m128i;
    static constexpr size_t wide = 2;
    static Vector zero() { return _mm_setzero_si128(); }
    static Vector load(const int16_t* from) { return _mm_loadu_si128(reinterpret_cast<const Vector*>(from)); }
    static void store(int32_t* to, Vector v) { _mm_storeu_si128(reinterpret_cast<Vector*>(to), v); }
    static Vector repeat(int32_t pair) { return _mm_set1_epi32(pair); }
    static Vector add_products(Vector sum, Vector a, Vector b) { return _mm_add_epi32(sum, _mm_madd_epi16(a, b)); }
};
constexpr Sums portable_sums = sums_of<Sse2>;
// Not a path of its own: no other kernel differs.
Sums best_avx512_sums() { return __builtin_cpu_supports("avx512vnni") ? avx512vnni_sums : avx512_sums; }
#else
constexpr Sums portable_sums = reference_sums;
#endif

}  // namespace
}  // namespace pairs

void pair_sums(const int16_t* const* a, size_t rows, size_t pairs, const int16_t* panel, int32_t* sums,
               const uint32_t* at) {
    switch (current_path()) {
        case Path::reference: return pairs::reference_sums(a, rows, pairs, panel, sums, at);
#ifdef MIDSTREAM_X86
        case Path::avx2: return pairs::avx2_sums(a, rows, pairs, panel, sums, at);
        case Path::avx512: {
            static const pairs::Sums best = pairs::best_avx512_sums();
            return best(a, rows, pairs, panel, sums, at);
        }
#endif
#ifdef MIDSTREAM_NEON
        case Path::neon: return pairs::neon_sums(a, rows, pairs, panel, sums, at);
#endif
        default: return pairs::portable_sums(a, rows, pairs, panel, sums, at);
    }
}

}  // namespace midstream
