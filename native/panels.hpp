// Products of matrices whose right side lies in panels of columns: the columns are lanes, so that a vector adds up in
// the same order as a single number does, and products are not fused with sums. A BLAS is quicker, but rounds by the
// machine and by the number of threads.
#pragma once

#include <cstddef>
#include <cstdint>

namespace midstream {

constexpr size_t panel_width = 64;  // columns
constexpr size_t panel_rows = 4;    // rows that are taken together

// Numbers of a matrix [inner, columns] in panels: [panels][inner][panel_width].
constexpr size_t panels_of(size_t columns) { return (columns + panel_width - 1) / panel_width; }
// Zeros follow the last column.
void pack_panels(const float* matrix, size_t inner, size_t columns, float* panels);

// sums[n, lane] = sum over d, in order, of a[n][d] * panel[d, lane], for 1 or `panel_rows` rows.
template <class T>
void panel_sums(const T* const* a, size_t rows, size_t inner, const T* panel, T* sums);

// Numbers of a row, or of `panel_rows` rows, and where they stand in it, by increasing `at`.
struct PanelTerms {
    const uint32_t* at;
    const float* values;  // [count, rows]
    size_t count;
};
// sums[n, lane] += the terms of a row n times the panel's row that they stand for, in order.
void add_panel_terms(const PanelTerms& terms, size_t rows, const float* panel, float* sums);

}  // namespace midstream
