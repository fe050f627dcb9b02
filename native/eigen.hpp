// Eigenvectors of symmetric matrices that come out the same on every machine.
#pragma once

#include <cstddef>

namespace midstream {

// Eigenvalues [n] of the symmetric `a` [n, n], least first, and their eigenvectors as rows [n, n]; `a` is overwritten.
// False when the iteration does not end, as with numbers that are not finite.
bool eigen(double* a, size_t n, double* values, double* rows);

}  // namespace midstream
