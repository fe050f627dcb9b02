// What the bindings share: arrays in and out, and checks of what callers pass.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <initializer_list>
#include <new>
#include <stdexcept>
#include <vector>

#include "buffer.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace midstream {

template <typename T, typename... Shape>
using In = nb::ndarray<const T, Shape..., nb::c_contig, nb::device::cpu>;
template <typename T>
using Matrix = In<T, nb::ndim<2>>;
template <typename T>
using Vector = In<T, nb::ndim<1>>;
template <typename T>
using InOut = nb::ndarray<T, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
template <typename T>
using Span = nb::ndarray<T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <typename T>
using Out = nb::ndarray<nb::numpy, T>;

template <typename T>
Out<T> wrap(Buffer<T> data, std::initializer_list<size_t> shape) {
    T* raw = data.get();
    nb::capsule owner(new Buffer<T>(std::move(data)), [](void* p) noexcept { delete static_cast<Buffer<T>*>(p); });
    return Out<T>(raw, shape, owner);
}

// Throws where a product of sizes is too large for a size.
inline size_t product(std::initializer_list<size_t> sizes) {
    size_t out = 1;
    for (const size_t size : sizes) {
        if (size != 0 && out > SIZE_MAX / size) throw std::bad_alloc();
        out *= size;
    }
    return out;
}

inline void require(bool ok, const char* what) {
    if (!ok) throw std::invalid_argument(what);
}

inline nb::bytes to_bytes(const std::vector<uint8_t>& data) {
    return nb::bytes(reinterpret_cast<const char*>(data.data()), data.size());
}

// Anything with a buffer of bytes: bytes, a memoryview, an array.
using Octets = In<uint8_t, nb::ndim<1>>;

// bindings_components.cpp: adds the coder of components and the transform's product to the module.
void bind_components(nb::module_& m);

}  // namespace midstream
