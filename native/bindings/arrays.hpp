// What the bindings share: arrays in and out, and checks of what callers pass.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <new>
#include <stdexcept>
#include <utility>
#include <vector>

#include "buffer.hpp"
#include "stages.hpp"
#include "symbols.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace midstream {

template <typename T, typename Shape>
using In = nb::ndarray<const T, Shape, nb::c_contig, nb::device::cpu>;
template <typename T>
using Vector = In<T, nb::ndim<1>>;
template <typename T>
using Matrix = In<T, nb::ndim<2>>;
template <typename T>
using Cube = In<T, nb::ndim<3>>;
// These take `.noconvert()`: what is written into a converted copy is lost.
template <typename T, size_t rank>
using InOut = nb::ndarray<T, nb::ndim<rank>, nb::c_contig, nb::device::cpu>;
template <typename T, size_t rank>
using Out = nb::ndarray<nb::numpy, T, nb::ndim<rank>>;

// Anything with a buffer of bytes.
struct Octets {
    Vector<uint8_t> bytes;
    const uint8_t* data() const { return bytes.data(); }
    size_t size() const { return bytes.size(); }
};

template <typename T, size_t rank>
Out<T, rank> wrap(Buffer<T> data, const size_t (&shape)[rank]) {
    T* raw = data.get();
    nb::capsule owner(new Buffer<T>(std::move(data)), [](void* p) noexcept { delete static_cast<Buffer<T>*>(p); });
    return Out<T, rank>(raw, rank, shape, owner);
}

inline nb::bytes to_bytes(const std::vector<uint8_t>& data) {
    return nb::bytes(reinterpret_cast<const char*>(data.data()), data.size());
}

inline MapShape shape_of(const Cube<uint8_t>& symbols) {
    return {symbols.shape(0), symbols.shape(1), symbols.shape(2)};
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

// [top, bottom, left, right]
inline CellBlock block_of(const std::array<size_t, 4>& sides) {
    const CellBlock block{sides[0], sides[1], sides[2], sides[3]};
    constexpr size_t most = size_t{1} << 31;  // no product of a side and a ratio of a level wraps around
    require(block.top < block.bottom && block.left < block.right && block.bottom <= most && block.right <= most,
            "stages: an empty block");
    return block;
}

template <class Work>
auto without_gil(const Work& work) {
    nb::gil_scoped_release release;
    return work();
}

// Each adds to the module what its file binds.
void bind_coders(nb::module_& m);
void bind_coefficients(nb::module_& m);
void bind_forward(nb::module_& m);
void bind_entropy(nb::module_& m);
void bind_matrices(nb::module_& m);
void bind_quantize(nb::module_& m);
void bind_transform(nb::module_& m);

}  // namespace midstream

template <>
struct nanobind::detail::type_caster<midstream::Octets> {
    NB_TYPE_CASTER(midstream::Octets, const_name("bytes | memoryview | numpy.typing.NDArray[numpy.uint8]"))

    template <typename Flags>
    bool from_python(handle source, Flags flags, cleanup_list* cleanup) noexcept {
        make_caster<midstream::Vector<uint8_t>> bytes;
        if (!bytes.from_python(source, flags, cleanup)) return false;
        value.bytes = bytes.value;
        return true;
    }
};
