// Bindings of the products and eigenvectors that come out the same on every machine.
#include <nanobind/stl/tuple.h>

#include <tuple>
#include <vector>

#include "arrays.hpp"
#include "eigen.hpp"
#include "multiply.hpp"

namespace midstream {
namespace {

template <class T>
void multiply_into(const Matrix<T>& a, const Matrix<T>& b, const InOut<T, 2>& out) {
    require(a.shape(1) == b.shape(0) && out.shape(0) == a.shape(0) && out.shape(1) == b.shape(1), "multiply: shapes");
    without_gil([&] { multiply(a.data(), b.data(), out.data(), a.shape(0), a.shape(1), b.shape(1)); });
}

std::tuple<Out<double, 1>, Out<double, 2>> eigen_of(const Matrix<double>& a) {
    const size_t n = a.shape(0);
    require(a.shape(1) == n, "eigen: a square matrix");
    auto values = buffer<double>(n);
    auto rows = buffer<double>(product({n, n}));
    without_gil([&] {
        std::vector<double> work(a.data(), a.data() + n * n);
        require(eigen(work.data(), n, values.get(), rows.get()), "eigen: numbers that are not finite");
    });
    return {wrap(std::move(values), {n}), wrap(std::move(rows), {n, n})};
}

}  // namespace

void bind_matrices(nb::module_& m) {
    m.def("multiply", &multiply_into<float>, "a"_a, "b"_a, "out"_a.noconvert(),
          "out = a @ b, every sum in the order of the inner dimension.");
    m.def("multiply", &multiply_into<double>, "a"_a, "b"_a, "out"_a.noconvert());
    m.def("eigen", &eigen_of, "a"_a,
          "Eigenvalues of a symmetric matrix, least first, and their eigenvectors as rows. Raises ValueError for numbers\n"
          "that are not finite.");
}

}  // namespace midstream
