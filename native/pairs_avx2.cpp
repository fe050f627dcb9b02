// Products of pairs on AVX2. Compiled for that instruction set; see CMakeLists.txt.
#if defined(__AVX2__)
#include <immintrin.h>

#include "pairs_kernel.hpp"

namespace midstream::pairs {
namespace {

struct Avx2 {
    using Vector = __m256i;
    static constexpr size_t wide = 2;
    static Vector zero() { return _mm256_setzero_si256(); }
    static Vector load(const int16_t* from) { return _mm256_loadu_si256(reinterpret_cast<const Vector*>(from)); }
    static void store(int32_t* to, Vector v) { _mm256_storeu_si256(reinterpret_cast<Vector*>(to), v); }
    static Vector repeat(int32_t pair) { return _mm256_set1_epi32(pair); }
    static Vector add_products(Vector sum, Vector a, Vector b) {
        return _mm256_add_epi32(sum, _mm256_madd_epi16(a, b));
    }
};

}  // namespace

const Sums avx2_sums = sums_of<Avx2>;

}  // namespace midstream::pairs
#endif
