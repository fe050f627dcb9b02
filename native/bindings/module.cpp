// The Python module: shapes are checked in its bindings, the GIL is released while a kernel runs, errors of data become
// None. What belongs to no codec is bound here.
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "arrays.hpp"
#include "crc32c.hpp"
#include "dispatch.hpp"
#include "read_pass.hpp"

namespace midstream {
namespace {

Out<float, 2> empty_floats(size_t rows, size_t columns) {
    return wrap(buffer<float>(product({rows, columns})), {rows, columns});
}

float read_pass_of(const Matrix<float>& x) {
    return without_gil([&] { return read_pass(x.data(), x.size()); });
}

uint32_t crc32c_of(const Octets& data, uint32_t before) {
    return without_gil([&] { return crc32c(data.data(), data.size(), before); });
}

}  // namespace

NB_MODULE(_native, m) {
    m.doc() = "The native kernels of midstream. Arguments of wrong shapes or ranges raise a ValueError or a TypeError.";
    nb::set_leak_warnings(false);  // what lives until Python ends is no leak
    m.def("simd_paths", &available_paths, "The instruction sets that this machine can run, slowest first.");
    m.def("simd_path", &path_name, "The instruction set in use.");
    m.def("set_simd_path", &set_path, "name"_a, "Choose the instruction set. Raises ValueError for an unknown one.");
    bind_quantize(m);
    bind_coders(m);
    bind_coefficients(m);
    bind_entropy(m);
    bind_matrices(m);
    bind_transform(m);
    bind_forward(m);
    m.def("crc32c", &crc32c_of, "data"_a, "before"_a = 0, "CRC-32C of data behind data whose own is `before`.");
    m.def("empty_floats", &empty_floats, "rows"_a, "columns"_a, "Uninitialised, of memory that is used again.");
    m.def("read_pass", &read_pass_of, "x"_a, "Read all elements once: what speeds of memory are measured by.");
}

}  // namespace midstream
