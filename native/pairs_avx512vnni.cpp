// Products of pairs on AVX-512 with VNNI, which multiplies and adds in one instruction. Compiled for that instruction set;
// see CMakeLists.txt.
#if defined(__AVX512VNNI__)
#include <immintrin.h>

#include "pairs_kernel.hpp"

namespace midstream::pairs {
namespace {

struct Avx512Vnni {
    using Vector = __m512i;
    static constexpr size_t wide = 4;
    static Vector zero() { return _mm512_setzero_si512(); }
    static Vector load(const int16_t* from) { return _mm512_loadu_si512(from); }
    static void store(int32_t* to, Vector v) { _mm512_storeu_si512(to, v); }
    static Vector repeat(int32_t pair) { return _mm512_set1_epi32(pair); }
    static Vector add_products(Vector sum, Vector a, Vector b) { return _mm512_dpwssd_epi32(sum, a, b); }
};

}  // namespace

const Sums avx512vnni_sums = sums_of<Avx512Vnni>;

}  // namespace midstream::pairs
#endif
