// Products of matrices that come out the same on every machine.
#pragma once

#include <cstddef>

namespace midstream {

// out[n, p] = sum over d, in order, of a[n, d] * b[d, p]: every product and every sum rounded by itself. All row-major.
// T is float or double.
template <class T>
void multiply(const T* a, const T* b, T* out, size_t rows, size_t inner, size_t columns);

}  // namespace midstream
