// transform.cpp: products of matrices that come out the same on every machine.
#pragma once

#include <cstddef>

namespace midstream {

// out[n, p] = sum over d, in order, of a[n, d] * b[d, p]: every product and every sum rounded by itself. All row-major.
void multiply(const float* a, const float* b, float* out, size_t rows, size_t inner, size_t columns);

}  // namespace midstream
