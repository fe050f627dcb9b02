// Elements to symbols and back. A symbol is the number of boundaries that an element reaches, so a list of float32
// boundaries says exactly which elements fall where, whatever the instruction set.
#include <algorithm>

#include "dispatch.hpp"
#include "kernels.hpp"

namespace midstream {
namespace {

// Up to here comparing with every boundary, many elements at once, beats a binary search.
constexpr size_t most_compared = 15;

MIDSTREAM_INLINE void compare_all(const float* x, size_t size, const float* boundaries, size_t count, uint8_t* out) {
    constexpr size_t tile = 256;
    for (size_t at = 0; at < size; at += tile) {
        const size_t n = std::min(tile, size - at);
        uint8_t reached[tile] = {};
        for (size_t j = 0; j < count; ++j) {
            const float boundary = boundaries[j];
            for (size_t i = 0; i < n; ++i) reached[i] = static_cast<uint8_t>(reached[i] + (x[at + i] >= boundary));
        }
        std::copy_n(reached, n, out + at);
    }
}

void compare_portable(const float* x, size_t n, const float* b, size_t k, uint8_t* out) { compare_all(x, n, b, k, out); }
#ifdef MIDSTREAM_X86
MIDSTREAM_AVX2 void compare_avx2(const float* x, size_t n, const float* b, size_t k, uint8_t* out) {
    compare_all(x, n, b, k, out);
}
MIDSTREAM_AVX512 void compare_avx512(const float* x, size_t n, const float* b, size_t k, uint8_t* out) {
    compare_all(x, n, b, k, out);
}
#endif

void search(const float* x, size_t size, const float* boundaries, size_t count, uint8_t* out) {
    for (size_t i = 0; i < size; ++i)
        out[i] = static_cast<uint8_t>(std::upper_bound(boundaries, boundaries + count, x[i]) - boundaries);
}

void reference(const float* x, size_t size, const float* boundaries, size_t count, uint8_t* out) {
    for (size_t i = 0; i < size; ++i) {
        size_t symbol = 0;
        while (symbol < count && x[i] >= boundaries[symbol]) ++symbol;
        out[i] = static_cast<uint8_t>(symbol);
    }
}

}  // namespace

void quantize(const float* x, size_t channels, size_t size, const float* boundaries, size_t boundary_count,
              uint8_t* symbols) {
    auto kernel = boundary_count > most_compared ? search : compare_portable;
    const Path path = current_path();
    if (path == Path::reference) kernel = reference;
#ifdef MIDSTREAM_X86
    if (boundary_count <= most_compared && path == Path::avx2) kernel = compare_avx2;
    if (boundary_count <= most_compared && path == Path::avx512) kernel = compare_avx512;
#endif
    for (size_t c = 0; c < channels; ++c)
        kernel(x + c * size, size, boundaries + c * boundary_count, boundary_count, symbols + c * size);
}

void symbol_sums(const float* x, const uint8_t* symbols, size_t channels, size_t size, size_t alphabet,
                 int64_t* counts, double* sums) {
    for (size_t c = 0; c < channels; ++c, counts += alphabet, sums += alphabet) {
        std::fill_n(counts, alphabet, 0);
        std::fill_n(sums, alphabet, 0.0);
        for (size_t i = 0; i < size; ++i, ++x, ++symbols) {
            ++counts[*symbols];
            sums[*symbols] += static_cast<double>(*x);
        }
    }
}

bool reconstruct(const uint8_t* symbols, size_t channels, size_t size, const float* table, size_t alphabet,
                 float* out) {
    for (size_t c = 0; c < channels; ++c, table += alphabet) {
        for (size_t i = 0; i < size; ++i) {
            if (symbols[i] >= alphabet) return false;
            out[i] = table[symbols[i]];
        }
        symbols += size;
        out += size;
    }
    return true;
}

}  // namespace midstream
