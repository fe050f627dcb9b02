// Products of matrices that come out the same on every machine.
#pragma once

#include <cstddef>

namespace midstream {

// out[n, p] = sum over d, in order, of a[n, d] * b[d, p]: every product and every sum rounded by itself. All row-major.
// T is float or double.
template <class T>
void multiply(const T* a, const T* b, T* out, size_t rows, size_t inner, size_t columns);

// The same for a `b` in panels (panels.hpp), all of whose numbers are finite. Zeros of `a` are left out, which gives the
// same bits: a sum that begins with 0 is never -0. False, and `out` is not written, where `a` is not finite.
bool multiply_sparse(const float* a, const float* panels, float* out, size_t rows, size_t inner, size_t columns);

}  // namespace midstream
