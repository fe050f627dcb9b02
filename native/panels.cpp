#include "panels.hpp"

#include <algorithm>

#include "dispatch.hpp"

namespace midstream {

void pack_panels(const float* matrix, size_t inner, size_t columns, float* panels) {
    for (size_t p = 0; p < columns; p += panel_width) {
        const size_t there = std::min(panel_width, columns - p);
        for (size_t d = 0; d < inner; ++d, panels += panel_width) {
            std::copy_n(matrix + d * columns + p, there, panels);
            std::fill(panels + there, panels + panel_width, 0.0f);
        }
    }
}

namespace {

// What rows are made of: all their numbers, or terms.
template <class T>
struct Whole {
    const T* const* a;
    size_t count;
    static constexpr bool begins = true;
    MIDSTREAM_INLINE size_t at(size_t i) const { return i; }
    MIDSTREAM_INLINE T value(size_t, size_t i, size_t n) const { return a[n][i]; }
};
struct Listed {
    PanelTerms terms;
    size_t count = terms.count;
    static constexpr bool begins = false;
    MIDSTREAM_INLINE size_t at(size_t i) const { return terms.at[i]; }
    MIDSTREAM_INLINE float value(size_t rows, size_t i, size_t n) const { return terms.values[i * rows + n]; }
};

#if defined(__GNUC__) || defined(__clang__)
template <size_t bytes, class T>
struct Lanes {
    typedef T type __attribute__((vector_size(bytes), aligned(sizeof(T)), may_alias));
};

// In vectors of so many bytes, as many of them side by side as registers hold.
template <size_t bytes, size_t rows, class T, class Source>
MIDSTREAM_INLINE void sums_of(const Source& source, const T* panel, T* sums) {
    using Vector = typename Lanes<bytes, T>::type;
    constexpr size_t width = bytes / sizeof(T);
    constexpr size_t wide = std::min(panel_width / width, (bytes == 64 ? 16 : 8) / rows);
    for (size_t p = 0; p < panel_width; p += width * wide) {
        Vector sum[rows][wide] = {};
        if constexpr (!Source::begins)
            for (size_t n = 0; n < rows; ++n)
                for (size_t v = 0; v < wide; ++v)
                    sum[n][v] = *reinterpret_cast<const Vector*>(sums + n * panel_width + p + v * width);
        for (size_t i = 0; i < source.count; ++i) {
            const T* row = panel + source.at(i) * panel_width + p;
            Vector b[wide];
            for (size_t v = 0; v < wide; ++v) b[v] = *reinterpret_cast<const Vector*>(row + v * width);
            for (size_t n = 0; n < rows; ++n)
                for (size_t v = 0; v < wide; ++v) sum[n][v] += source.value(rows, i, n) * b[v];
        }
        for (size_t n = 0; n < rows; ++n)
            for (size_t v = 0; v < wide; ++v)
                *reinterpret_cast<Vector*>(sums + n * panel_width + p + v * width) = sum[n][v];
    }
}
#endif

// What the others must equal.
template <size_t rows, class T, class Source>
void sums_reference(const Source& source, const T* panel, T* sums) {
    for (size_t n = 0; n < rows; ++n)
        for (size_t p = 0; p < panel_width; ++p) {
            T sum = Source::begins ? T{0} : sums[n * panel_width + p];
            for (size_t i = 0; i < source.count; ++i)
                sum += source.value(rows, i, n) * panel[source.at(i) * panel_width + p];
            sums[n * panel_width + p] = sum;
        }
}

template <size_t rows, class T, class Source>
void sums_portable(const Source& source, const T* panel, T* sums) {
#if defined(__GNUC__) || defined(__clang__)
    sums_of<16, rows>(source, panel, sums);
#else
    sums_reference<rows>(source, panel, sums);
#endif
}
#ifdef MIDSTREAM_X86
template <size_t rows, class T, class Source>
MIDSTREAM_AVX2 void sums_avx2(const Source& source, const T* panel, T* sums) {
    sums_of<32, rows>(source, panel, sums);
}
template <size_t rows, class T, class Source>
MIDSTREAM_AVX512 void sums_avx512(const Source& source, const T* panel, T* sums) {
    sums_of<64, rows>(source, panel, sums);
}
#endif

template <size_t rows, class T, class Source>
void sums_on_path(const Source& source, const T* panel, T* sums) {
    switch (current_path()) {
        case Path::reference: return sums_reference<rows>(source, panel, sums);
#ifdef MIDSTREAM_X86
        case Path::avx2: return sums_avx2<rows>(source, panel, sums);
        case Path::avx512: return sums_avx512<rows>(source, panel, sums);
#endif
        default: return sums_portable<rows>(source, panel, sums);
    }
}

template <class T, class Source>
void sums_of_rows(const Source& source, size_t rows, const T* panel, T* sums) {
    if (rows == 1) return sums_on_path<1>(source, panel, sums);
    sums_on_path<panel_rows>(source, panel, sums);
}

}  // namespace

template <class T>
void panel_sums(const T* const* a, size_t rows, size_t inner, const T* panel, T* sums) {
    sums_of_rows(Whole<T>{a, inner}, rows, panel, sums);
}
template void panel_sums(const float* const*, size_t, size_t, const float*, float*);
template void panel_sums(const double* const*, size_t, size_t, const double*, double*);

void add_panel_terms(const PanelTerms& terms, size_t rows, const float* panel, float* sums) {
    sums_of_rows(Listed{terms}, rows, panel, sums);
}

}  // namespace midstream
