// A product of matrices in which columns are lanes, so that a vector adds up in the same order as a single number does;
// products are not fused with sums. A BLAS is quicker, but rounds by the machine and by the number of threads.
#include "multiply.hpp"

#include <algorithm>
#include <vector>

#include "dispatch.hpp"

namespace midstream {
namespace {

constexpr size_t panel = 64;  // columns
constexpr size_t block = 4;   // rows

#if defined(__GNUC__) || defined(__clang__)
template <size_t bytes, class T>
struct Lanes {
    typedef T type __attribute__((vector_size(bytes), aligned(sizeof(T)), may_alias));
};

// `count` rows of a panel, in vectors of so many bytes.
template <size_t bytes, size_t count, class T>
MIDSTREAM_INLINE void rows_of(const T* a, size_t inner, const T* packed, T* out) {
    using Vector = typename Lanes<bytes, T>::type;
    constexpr size_t width = bytes / sizeof(T);
    constexpr size_t wide = bytes == 64 ? 4 : 2;  // vectors side by side, as many as registers hold
    for (size_t p = 0; p < panel; p += width * wide) {
        Vector sum[count][wide] = {};
        for (size_t d = 0; d < inner; ++d) {
            Vector b[wide];
            for (size_t v = 0; v < wide; ++v)
                b[v] = *reinterpret_cast<const Vector*>(packed + d * panel + p + v * width);
            for (size_t n = 0; n < count; ++n)
                for (size_t v = 0; v < wide; ++v) sum[n][v] += a[n * inner + d] * b[v];
        }
        for (size_t n = 0; n < count; ++n)
            for (size_t v = 0; v < wide; ++v)
                *reinterpret_cast<Vector*>(out + n * panel + p + v * width) = sum[n][v];
    }
}
#else
template <size_t bytes, size_t count, class T>
void rows_of(const T* a, size_t inner, const T* packed, T* out) {
    for (size_t n = 0; n < count; ++n) {
        T sum[panel] = {};
        for (size_t d = 0; d < inner; ++d)
            for (size_t p = 0; p < panel; ++p) sum[p] += a[n * inner + d] * packed[d * panel + p];
        std::copy(sum, sum + panel, out + n * panel);
    }
}
#endif

template <size_t bytes, class T>
MIDSTREAM_INLINE void multiply_all(const T* a, const T* b, T* out, size_t rows, size_t inner, size_t columns) {
    std::vector<T> packed(inner * panel), sums(block * panel);
    for (size_t p = 0; p < columns; p += panel) {
        const size_t there = std::min(panel, columns - p);
        for (size_t d = 0; d < inner; ++d) std::copy_n(b + d * columns + p, there, &packed[d * panel]);
        for (size_t n = 0; n < rows;) {
            const size_t count = n + block <= rows ? block : 1;
            if (count == block) {
                rows_of<bytes, block>(a + n * inner, inner, packed.data(), sums.data());
            } else {
                rows_of<bytes, 1>(a + n * inner, inner, packed.data(), sums.data());
            }
            for (size_t i = 0; i < count; ++i) std::copy_n(&sums[i * panel], there, out + (n + i) * columns + p);
            n += count;
        }
    }
}

template <class T>
void multiply_portable(const T* a, const T* b, T* out, size_t rows, size_t inner, size_t columns) {
    multiply_all<16>(a, b, out, rows, inner, columns);
}
#ifdef MIDSTREAM_X86
template <class T>
MIDSTREAM_AVX2 void multiply_avx2(const T* a, const T* b, T* out, size_t rows, size_t inner, size_t columns) {
    multiply_all<32>(a, b, out, rows, inner, columns);
}
template <class T>
MIDSTREAM_AVX512 void multiply_avx512(const T* a, const T* b, T* out, size_t rows, size_t inner, size_t columns) {
    multiply_all<64>(a, b, out, rows, inner, columns);
}
#endif

// What the others must equal.
template <class T>
void multiply_reference(const T* a, const T* b, T* out, size_t rows, size_t inner, size_t columns) {
    for (size_t n = 0; n < rows; ++n)
        for (size_t p = 0; p < columns; ++p) {
            T sum = 0;
            for (size_t d = 0; d < inner; ++d) sum += a[n * inner + d] * b[d * columns + p];
            out[n * columns + p] = sum;
        }
}

}  // namespace

template <class T>
void multiply(const T* a, const T* b, T* out, size_t rows, size_t inner, size_t columns) {
    switch (current_path()) {
        case Path::reference: return multiply_reference(a, b, out, rows, inner, columns);
#ifdef MIDSTREAM_X86
        case Path::avx2: return multiply_avx2(a, b, out, rows, inner, columns);
        case Path::avx512: return multiply_avx512(a, b, out, rows, inner, columns);
#endif
        default: return multiply_portable(a, b, out, rows, inner, columns);
    }
}
template void multiply(const float*, const float*, float*, size_t, size_t, size_t);
template void multiply(const double*, const double*, double*, size_t, size_t, size_t);

}  // namespace midstream
