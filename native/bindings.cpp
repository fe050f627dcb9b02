// Python bindings: shapes are checked here, the GIL is released while a kernel runs, errors of data become None.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <stdexcept>

#include "dispatch.hpp"
#include "kernels.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace midstream {
namespace {

template <typename T, typename... Shape>
using In = nb::ndarray<const T, Shape..., nb::c_contig, nb::device::cpu>;
template <typename T>
using Matrix = In<T, nb::ndim<2>>;
template <typename T>
using Vector = In<T, nb::ndim<1>>;
template <typename T>
using Out = nb::ndarray<nb::numpy, T>;

template <typename T>
Out<T> wrap(std::unique_ptr<T[]> data, std::initializer_list<size_t> shape) {
    T* raw = data.release();
    nb::capsule owner(raw, [](void* p) noexcept { delete[] static_cast<T*>(p); });
    return Out<T>(raw, shape, owner);
}

template <typename T>
std::unique_ptr<T[]> buffer(size_t count) {
    return std::unique_ptr<T[]>(new T[count]);
}

void require(bool ok, const char* what) {
    if (!ok) throw std::invalid_argument(what);
}

nb::bytes to_bytes(const std::vector<uint8_t>& data) {
    return nb::bytes(reinterpret_cast<const char*>(data.data()), data.size());
}

const uint8_t* bytes_of(const nb::bytes& data) { return static_cast<const uint8_t*>(data.data()); }

nb::tuple statistics(Matrix<float> x) {
    const size_t channels = x.shape(0);
    require(x.shape(1) > 0, "channel_statistics: empty channels");
    std::vector<ChannelStatistics> all(channels);
    auto mean = buffer<double>(channels), std = buffer<double>(channels);
    auto low = buffer<float>(channels), high = buffer<float>(channels);
    {
        nb::gil_scoped_release release;
        channel_statistics(x.data(), channels, x.shape(1), all.data());
        for (size_t c = 0; c < channels; ++c)
            mean[c] = all[c].mean, std[c] = all[c].std, low[c] = all[c].min, high[c] = all[c].max;
    }
    return nb::make_tuple(wrap(std::move(mean), {channels}), wrap(std::move(std), {channels}),
                          wrap(std::move(low), {channels}), wrap(std::move(high), {channels}));
}

Out<uint8_t> quantize_all(Matrix<float> x, Matrix<float> boundaries) {
    require(boundaries.shape(0) == x.shape(0) && boundaries.shape(1) < 256, "quantize: shape of the boundaries");
    auto symbols = buffer<uint8_t>(x.size());
    {
        nb::gil_scoped_release release;
        quantize(x.data(), x.shape(0), x.shape(1), boundaries.data(), boundaries.shape(1), symbols.get());
    }
    return wrap(std::move(symbols), {x.shape(0), x.shape(1)});
}

void require_symbols(const uint8_t* symbols, size_t count, size_t alphabet) {
    for (size_t i = 0; i < count; ++i) require(symbols[i] < alphabet, "a symbol is outside the alphabet");
}

nb::tuple sums_of(Matrix<float> x, Matrix<uint8_t> symbols, size_t alphabet) {
    require(symbols.shape(0) == x.shape(0) && symbols.shape(1) == x.shape(1), "symbol_sums: shapes differ");
    const size_t channels = x.shape(0);
    auto counts = buffer<int64_t>(channels * alphabet);
    auto sums = buffer<double>(channels * alphabet);
    {
        nb::gil_scoped_release release;
        require_symbols(symbols.data(), symbols.size(), alphabet);
        symbol_sums(x.data(), symbols.data(), channels, x.shape(1), alphabet, counts.get(), sums.get());
    }
    return nb::make_tuple(wrap(std::move(counts), {channels, alphabet}), wrap(std::move(sums), {channels, alphabet}));
}

std::optional<Out<float>> reconstruct_all(Matrix<uint8_t> symbols, Matrix<float> table) {
    require(table.shape(0) == symbols.shape(0), "reconstruct: shape of the table");
    auto out = buffer<float>(symbols.size());
    bool ok;
    {
        nb::gil_scoped_release release;
        ok = reconstruct(symbols.data(), symbols.shape(0), symbols.shape(1), table.data(), table.shape(1), out.get());
    }
    if (!ok) return std::nullopt;
    return wrap(std::move(out), {symbols.shape(0), symbols.shape(1)});
}

nb::bytes pack_all(Vector<uint8_t> symbols, unsigned width) {
    require(width >= 1 && width <= 8, "pack: width is 1 to 8");
    std::vector<uint8_t> out(packed_size(symbols.size(), width));
    {
        nb::gil_scoped_release release;
        require_symbols(symbols.data(), symbols.size(), size_t{1} << width);
        pack(symbols.data(), symbols.size(), width, out.data());
    }
    return to_bytes(out);
}

Out<uint8_t> unpack_all(nb::bytes data, size_t count, unsigned width) {
    require(width >= 1 && width <= 8 && data.size() == packed_size(count, width), "unpack: size of the data");
    auto symbols = buffer<uint8_t>(count);
    {
        nb::gil_scoped_release release;
        unpack(bytes_of(data), count, width, symbols.get());
    }
    return wrap(std::move(symbols), {count});
}

template <auto Encode, typename Table>
nb::bytes entropy_encode(Vector<uint8_t> symbols, Vector<Table> table) {
    std::vector<uint8_t> out;
    {
        nb::gil_scoped_release release;
        require_symbols(symbols.data(), symbols.size(), table.size());
        for (size_t i = 0; i < symbols.size(); ++i)
            require(table.data()[symbols.data()[i]] > 0, "a symbol that occurs has no code");
        out = Encode(symbols.data(), symbols.size(), table.data(), table.size());
    }
    return to_bytes(out);
}

template <auto Decode, typename Table>
std::optional<Out<uint8_t>> entropy_decode(nb::bytes data, Vector<Table> table, size_t count) {
    auto symbols = buffer<uint8_t>(count);
    bool ok;
    {
        nb::gil_scoped_release release;
        ok = Decode(bytes_of(data), data.size(), table.data(), table.size(), symbols.get(), count);
    }
    if (!ok) return std::nullopt;
    return wrap(std::move(symbols), {count});
}

using Cube = In<uint8_t, nb::ndim<3>>;

SymbolOrder order_of(const Vector<uint8_t>& order, size_t alphabet) {
    std::vector<bool> seen(alphabet, false);
    for (size_t i = 0; i < order.size(); ++i) {
        require(order.data()[i] < alphabet && !seen[order.data()[i]], "dense: the order is not one of symbols");
        seen[order.data()[i]] = true;
    }
    require(order.size() > 0, "dense: no symbols");
    return {order.data(), order.size()};
}

void require_references(const Vector<uint8_t>& references, size_t channels) {
    require(references.size() == channels, "dense: as many references as channels");
    for (size_t c = 0; c < channels; ++c) require(references.data()[c] <= c, "dense: a reference to no channel");
}

MapShape shape_of(const Cube& symbols) { return {symbols.shape(0), symbols.shape(1), symbols.shape(2)}; }

nb::bytes dense_encode_all(Cube symbols, size_t alphabet, Vector<uint8_t> order, Vector<uint8_t> references) {
    const SymbolOrder listed = order_of(order, alphabet);
    require_references(references, symbols.shape(0));
    std::vector<uint8_t> out;
    {
        nb::gil_scoped_release release;
        std::array<bool, 256> known{};
        for (size_t i = 0; i < listed.count; ++i) known[listed.symbols[i]] = true;
        for (size_t i = 0; i < symbols.size(); ++i) require(known[symbols.data()[i]], "a symbol is not in the order");
        out = dense_encode(symbols.data(), shape_of(symbols), alphabet, listed, references.data());
    }
    return to_bytes(out);
}

std::optional<Out<uint8_t>> dense_decode_all(nb::bytes data, size_t channels, size_t height, size_t width,
                                             size_t alphabet, Vector<uint8_t> order, Vector<uint8_t> references) {
    const SymbolOrder listed = order_of(order, alphabet);
    require_references(references, channels);
    const MapShape shape{channels, height, width};
    auto symbols = buffer<uint8_t>(shape.count());
    const uint8_t* bytes = bytes_of(data);
    const size_t size = data.size();
    bool ok;
    {
        nb::gil_scoped_release release;
        ok = dense_decode(bytes, size, shape, alphabet, listed, references.data(), symbols.get());
    }
    if (!ok) return std::nullopt;
    return wrap(std::move(symbols), {channels, height, width});
}

Out<uint8_t> dense_references_of(Cube symbols, size_t alphabet) {
    auto references = buffer<uint8_t>(symbols.shape(0));
    {
        nb::gil_scoped_release release;
        require_symbols(symbols.data(), symbols.size(), alphabet);
        dense_references(symbols.data(), shape_of(symbols), alphabet, references.get());
    }
    return wrap(std::move(references), {symbols.shape(0)});
}

nb::bytes rice_encode_all(Vector<uint64_t> values, unsigned k) {
    require(k <= max_rice, "rice: k is 0 to 61");
    std::vector<uint8_t> out;
    {
        nb::gil_scoped_release release;
        out = rice_encode(values.data(), values.size(), k);
    }
    return to_bytes(out);
}

std::optional<Out<uint64_t>> rice_decode_all(nb::bytes data, unsigned k, size_t count) {
    require(k <= max_rice, "rice: k is 0 to 61");
    auto values = buffer<uint64_t>(count);
    bool ok;
    {
        nb::gil_scoped_release release;
        ok = rice_decode(bytes_of(data), data.size(), k, values.get(), count);
    }
    if (!ok) return std::nullopt;
    return wrap(std::move(values), {count});
}

nb::tuple histogram(Matrix<float> x, Vector<double> mean, Vector<double> std, size_t bins) {
    require(mean.size() == x.shape(0) && std.size() == x.shape(0) && bins > 0, "histogram: shapes");
    auto counts = buffer<int64_t>(bins);
    auto sums = buffer<double>(bins);
    {
        nb::gil_scoped_release release;
        std::fill_n(counts.get(), bins, 0);
        std::fill_n(sums.get(), bins, 0.0);
        for (size_t c = 0; c < x.shape(0); ++c)
            normalized_histogram(x.data() + c * x.shape(1), x.shape(1), mean.data()[c], std.data()[c], bins,
                                 counts.get(), sums.get());
    }
    return nb::make_tuple(wrap(std::move(counts), {bins}), wrap(std::move(sums), {bins}));
}

std::vector<double> centroids_of(Vector<int64_t> counts, Vector<double> sums, size_t n) {
    require(counts.size() == sums.size() && n > 0, "optimal_centroids: shapes");
    nb::gil_scoped_release release;
    return optimal_centroids(counts.data(), sums.data(), counts.size(), n);
}

uint64_t rice_bits_of(Vector<uint64_t> values, unsigned k) {
    require(k <= max_rice, "rice: k is 0 to 61");
    nb::gil_scoped_release release;
    return rice_bits(values.data(), values.size(), k);
}

uint32_t crc32c_of(nb::bytes data) {
    const uint8_t* bytes = bytes_of(data);
    const size_t size = data.size();
    nb::gil_scoped_release release;
    return crc32c(bytes, size);
}

}  // namespace

NB_MODULE(_native, m) {
    m.doc() = "The native kernels of midstream; what each one does is said in native/kernels.hpp.";
    m.attr("MAX_CODE_LENGTH") = max_code_length;
    m.attr("MAX_RICE") = max_rice;
    m.attr("RANS_SCALE_BITS") = rans_scale_bits;
    m.def("simd_paths", &available_paths);
    m.def("simd_path", &path_name);
    m.def("set_simd_path", &set_path, "name"_a);
    m.def("channel_statistics", &statistics, "x"_a);
    m.def("quantize", &quantize_all, "x"_a, "boundaries"_a);
    m.def("symbol_sums", &sums_of, "x"_a, "symbols"_a, "alphabet"_a);
    m.def("reconstruct", &reconstruct_all, "symbols"_a, "table"_a);
    m.def("pack", &pack_all, "symbols"_a, "width"_a);
    m.def("unpack", &unpack_all, "data"_a, "count"_a, "width"_a);
    m.def("prefix_encode", &entropy_encode<prefix_encode, uint8_t>, "symbols"_a, "lengths"_a);
    m.def("prefix_decode", &entropy_decode<prefix_decode, uint8_t>, "data"_a, "lengths"_a, "count"_a);
    m.def("rans_encode", &entropy_encode<rans_encode, uint32_t>, "symbols"_a, "frequencies"_a);
    m.def("rans_decode", &entropy_decode<rans_decode, uint32_t>, "data"_a, "frequencies"_a, "count"_a);
    m.def("dense_encode", &dense_encode_all, "symbols"_a, "alphabet"_a, "order"_a, "references"_a);
    m.def("dense_decode", &dense_decode_all, "data"_a, "channels"_a, "height"_a, "width"_a, "alphabet"_a, "order"_a,
          "references"_a);
    m.def("dense_references", &dense_references_of, "symbols"_a, "alphabet"_a);
    m.def("rice_encode", &rice_encode_all, "values"_a, "k"_a);
    m.def("rice_decode", &rice_decode_all, "data"_a, "k"_a, "count"_a);
    m.def("rice_bits", &rice_bits_of, "values"_a, "k"_a);
    m.def("normalized_histogram", &histogram, "x"_a, "mean"_a, "std"_a, "bins"_a);
    m.def("optimal_centroids", &centroids_of, "counts"_a, "sums"_a, "n"_a);
    m.def("crc32c", &crc32c_of, "data"_a);
}

}  // namespace midstream
