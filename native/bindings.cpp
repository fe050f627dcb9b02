// Python bindings: shapes are checked here, the GIL is released while a kernel runs, errors of data become None.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <optional>
#include <stdexcept>

#include "bindings.hpp"
#include "crc32c.hpp"
#include "dense.hpp"
#include "dispatch.hpp"
#include "fast.hpp"
#include "lloyd.hpp"
#include "pack.hpp"
#include "prefix.hpp"
#include "quantize.hpp"
#include "read_pass.hpp"
#include "rice.hpp"
#include "statistics.hpp"

namespace midstream {
namespace {

nb::tuple statistics(Matrix<float> x) {
    const size_t channels = x.shape(0), size = x.shape(1);
    require(size > 0, "channel_statistics: empty channels");
    auto mean = buffer<double>(channels), deviation = buffer<double>(channels);
    auto low = buffer<float>(channels), high = buffer<float>(channels);
    {
        nb::gil_scoped_release release;
        for (size_t c = 0; c < channels; ++c) {
            const ChannelStatistics one = channel_statistics(x.data() + c * size, size);
            mean[c] = one.mean, deviation[c] = one.std, low[c] = one.min, high[c] = one.max;
        }
    }
    return nb::make_tuple(wrap(std::move(mean), {channels}), wrap(std::move(deviation), {channels}),
                          wrap(std::move(low), {channels}), wrap(std::move(high), {channels}));
}

Intervals intervals_of(const ChannelStatistics& channel, size_t size, const std::vector<double>& thresholds,
                       size_t alphabet) {
    Intervals out{{}, static_cast<float>(channel.mean), 0};
    out.total = static_cast<double>(size) * (channel.mean - static_cast<double>(out.pivot));
    for (const double threshold : thresholds) out.boundaries.push_back(threshold_boundary(channel, threshold));
    if (thresholds.empty())
        for (size_t j = 0; j + 1 < alphabet; ++j) out.boundaries.push_back(range_boundary(channel, j, alphabet));
    return out;
}

// Statistics of all channels; symbols, counts and sums of those that are finite and not constant. Each channel is read
// from memory once: it is quantised while it is in cache.
nb::tuple quantize_all(Matrix<float> x, std::vector<double> thresholds, size_t alphabet) {
    const size_t channels = x.shape(0), size = x.shape(1);
    require(size > 0 && alphabet >= 1 && alphabet <= 256, "quantize: an empty channel or alphabet");
    require(thresholds.empty() || thresholds.size() + 1 == alphabet, "quantize: one threshold less than symbols");
    auto mean = buffer<double>(channels), deviation = buffer<double>(channels);
    auto low = buffer<float>(channels), high = buffer<float>(channels);
    auto symbols = buffer<uint8_t>(channels * size);
    auto counts = buffer<int64_t>(channels * alphabet);
    auto sums = buffer<double>(channels * alphabet);
    size_t active = 0;
    {
        nb::gil_scoped_release release;
        for (size_t c = 0; c < channels; ++c) {
            const float* values = x.data() + c * size;
            const ChannelStatistics one = channel_statistics(values, size);
            mean[c] = one.mean, deviation[c] = one.std, low[c] = one.min, high[c] = one.max;
            if (!std::isfinite(one.mean) || one.min == one.max) continue;
            const Intervals intervals = intervals_of(one, size, thresholds, alphabet);
            int64_t* count = &counts[active * alphabet];
            double* sum = &sums[active * alphabet];
            quantize(values, size, intervals, &symbols[active++ * size], {count, sum});
            for (size_t s = 0; s < alphabet; ++s)
                sum[s] += static_cast<double>(count[s]) * static_cast<double>(intervals.pivot);
        }
    }
    return nb::make_tuple(wrap(std::move(mean), {channels}), wrap(std::move(deviation), {channels}),
                          wrap(std::move(low), {channels}), wrap(std::move(high), {channels}),
                          wrap(std::move(symbols), {active, size}), wrap(std::move(counts), {active, alphabet}),
                          wrap(std::move(sums), {active, alphabet}));
}

void require_symbols(const uint8_t* symbols, size_t count, size_t alphabet) {
    require(all_below(symbols, count, alphabet), "a symbol is outside the alphabet");
}

// Fills the given rows of `out`: element = table[row][symbol].
void reconstruct_all(Matrix<uint8_t> symbols, Matrix<float> table, InOut<float> out, Vector<int64_t> rows) {
    const size_t channels = symbols.shape(0), size = symbols.shape(1), alphabet = table.shape(1);
    require(table.shape(0) == channels && alphabet > 0 && rows.size() == channels && out.shape(1) == size,
            "reconstruct: shapes");
    for (size_t c = 0; c < channels; ++c)
        require(rows.data()[c] >= 0 && static_cast<size_t>(rows.data()[c]) < out.shape(0), "reconstruct: rows");
    nb::gil_scoped_release release;
    const bool past_cache = out.size() * sizeof(float) > (size_t{16} << 20);
    for (size_t c = 0; c < channels; ++c)
        reconstruct(symbols.data() + c * size, size, table.data() + c * alphabet, alphabet, past_cache,
                    out.data() + static_cast<size_t>(rows.data()[c]) * size);
}

float read_pass_of(Matrix<float> x) {
    nb::gil_scoped_release release;
    return read_pass(x.data(), x.size());
}

Out<float> empty_floats(size_t rows, size_t columns) { return wrap(buffer<float>(product({rows, columns})), {rows, columns}); }

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

Out<uint8_t> unpack_all(const Octets& data, size_t count, unsigned width) {
    require(width >= 1 && width <= 8 && data.size() == packed_size(count, width), "unpack: size of the data");
    auto symbols = buffer<uint8_t>(count);
    {
        nb::gil_scoped_release release;
        unpack(data.data(), count, width, symbols.get());
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
std::optional<Out<uint8_t>> entropy_decode(const Octets& data, Vector<Table> table, size_t count) {
    auto symbols = buffer<uint8_t>(count);
    bool ok;
    {
        nb::gil_scoped_release release;
        ok = Decode(data.data(), data.size(), table.data(), table.size(), symbols.get(), count);
    }
    if (!ok) return std::nullopt;
    return wrap(std::move(symbols), {count});
}

using Cube = In<uint8_t, nb::ndim<3>>;

MapShape shape_of(const Cube& symbols) { return {symbols.shape(0), symbols.shape(1), symbols.shape(2)}; }

nb::list fast_encode_all(const std::vector<Cube>& maps, size_t alphabet) {
    require(alphabet >= 1 && alphabet <= 256, "fast: an alphabet of 1 to 256 symbols");
    std::vector<FastMap> plain;
    for (const Cube& map : maps) {
        require(map.size() > 0 && map.shape(1) == maps[0].shape(1) && map.shape(2) == maps[0].shape(2),
                "fast: maps that are empty or differ in height or width");
        plain.push_back({const_cast<uint8_t*>(map.data()), shape_of(map)});
    }
    std::vector<Buffer<uint8_t>> streams(maps.size());
    {
        nb::gil_scoped_release release;
        for (const Cube& map : maps) require_symbols(map.data(), map.size(), alphabet);
        fast_encode(plain.data(), plain.size(), alphabet, streams.data());
    }
    nb::list out;
    for (auto& stream : streams) {
        const size_t size = stream.get_deleter().count;
        out.append(wrap(std::move(stream), {size}));
    }
    return out;
}

// Symbols [sum of channels, height, width] of several streams, or None.
std::optional<Out<uint8_t>> fast_decode_all(const std::vector<Octets>& streams, const std::vector<size_t>& channels,
                                            size_t height, size_t width, size_t alphabet) {
    require(alphabet >= 1 && alphabet <= 256, "fast: an alphabet of 1 to 256 symbols");
    require(streams.size() == channels.size() && height * width > 0, "fast: as many streams as maps, none empty");
    size_t all = 0;
    for (const size_t count : channels) all += count;
    auto symbols = buffer<uint8_t>(product({all, height, width}));
    std::vector<FastMap> maps;
    std::vector<ByteView> views;
    size_t at = 0;
    for (size_t i = 0; i < streams.size(); at += channels[i++] * height * width) {
        require(channels[i] > 0, "fast: an empty map");
        maps.push_back({symbols.get() + at, {channels[i], height, width}});
        views.push_back({streams[i].data(), streams[i].size()});
    }
    bool ok;
    {
        nb::gil_scoped_release release;
        ok = fast_decode(maps.data(), maps.size(), alphabet, views.data());
    }
    if (!ok) return std::nullopt;
    return wrap(std::move(symbols), {all, height, width});
}

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

void require_listed(const Cube& symbols, const SymbolOrder& listed) {
    std::array<bool, 256> known{};
    for (size_t i = 0; i < listed.count; ++i) known[listed.symbols[i]] = true;
    for (size_t i = 0; i < symbols.size(); ++i) require(known[symbols.data()[i]], "a symbol is not in the order");
}

nb::bytes dense_encode_all(Cube symbols, size_t alphabet, Vector<uint8_t> order, Vector<uint8_t> references) {
    const SymbolOrder listed = order_of(order, alphabet);
    require_references(references, symbols.shape(0));
    std::vector<uint8_t> out;
    {
        nb::gil_scoped_release release;
        require_listed(symbols, listed);
        out = dense_encode(symbols.data(), shape_of(symbols), alphabet, listed, references.data());
    }
    return to_bytes(out);
}

std::optional<Out<uint8_t>> dense_decode_all(const Octets& data, size_t channels, size_t height, size_t width,
                                             size_t alphabet, Vector<uint8_t> order, Vector<uint8_t> references) {
    const SymbolOrder listed = order_of(order, alphabet);
    require_references(references, channels);
    const MapShape shape{channels, height, width};
    auto symbols = buffer<uint8_t>(product({channels, height, width}));
    const uint8_t* bytes = data.data();
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

std::optional<Out<float>> fast_costs_of(const Octets& stream, Cube symbols, size_t alphabet) {
    auto bits = buffer<float>(symbols.size());
    bool ok;
    {
        nb::gil_scoped_release release;
        require_symbols(symbols.data(), symbols.size(), alphabet);
        ok = fast_costs({const_cast<uint8_t*>(symbols.data()), shape_of(symbols)}, alphabet,
                        {stream.data(), stream.size()}, bits.get());
    }
    if (!ok) return std::nullopt;
    return wrap(std::move(bits), {symbols.shape(0), symbols.shape(1), symbols.shape(2)});
}

Out<float> dense_costs_of(Cube symbols, size_t alphabet, Vector<uint8_t> order, Vector<uint8_t> references,
                          uint32_t used) {
    const SymbolOrder listed = order_of(order, alphabet);
    require_references(references, symbols.shape(0));
    auto bits = buffer<float>(symbols.size());
    {
        nb::gil_scoped_release release;
        require_listed(symbols, listed);
        dense_costs(symbols.data(), shape_of(symbols), alphabet, listed, references.data(), used, bits.get());
    }
    return wrap(std::move(bits), {symbols.shape(0), symbols.shape(1), symbols.shape(2)});
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

std::optional<Out<uint64_t>> rice_decode_all(const Octets& data, unsigned k, size_t count) {
    require(k <= max_rice, "rice: k is 0 to 61");
    auto values = buffer<uint64_t>(count);
    bool ok;
    {
        nb::gil_scoped_release release;
        ok = rice_decode(data.data(), data.size(), k, values.get(), count);
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

uint32_t crc32c_of(const Octets& data, uint32_t before) {
    nb::gil_scoped_release release;
    return crc32c(data.data(), data.size(), before);
}

}  // namespace

NB_MODULE(_native, m) {
    m.doc() = "The native kernels of midstream; native/*.hpp say what each one does.";
    m.attr("MAX_CODE_LENGTH") = max_code_length;
    m.attr("MAX_RICE") = max_rice;
    m.def("simd_paths", &available_paths);
    m.def("simd_path", &path_name);
    m.def("set_simd_path", &set_path, "name"_a);
    m.def("channel_statistics", &statistics, "x"_a);
    m.def("quantize", &quantize_all, "x"_a, "thresholds"_a, "alphabet"_a);
    m.def("reconstruct", &reconstruct_all, "symbols"_a, "table"_a, "out"_a, "rows"_a);
    m.def("read_pass", &read_pass_of, "x"_a);
    m.def("empty_floats", &empty_floats, "rows"_a, "columns"_a);
    m.def("pack", &pack_all, "symbols"_a, "width"_a);
    m.def("unpack", &unpack_all, "data"_a, "count"_a, "width"_a);
    m.def("prefix_encode", &entropy_encode<prefix_encode, uint8_t>, "symbols"_a, "lengths"_a);
    m.def("prefix_decode", &entropy_decode<prefix_decode, uint8_t>, "data"_a, "lengths"_a, "count"_a);
    m.def("fast_encode", &fast_encode_all, "maps"_a, "alphabet"_a);
    m.def("fast_decode", &fast_decode_all, "streams"_a, "channels"_a, "height"_a, "width"_a, "alphabet"_a);
    m.def("fast_costs", &fast_costs_of, "stream"_a, "symbols"_a, "alphabet"_a);
    m.def("dense_costs", &dense_costs_of, "symbols"_a, "alphabet"_a, "order"_a, "references"_a,
          "used"_a = ~0u);
    m.def("dense_encode", &dense_encode_all, "symbols"_a, "alphabet"_a, "order"_a, "references"_a);
    m.def("dense_decode", &dense_decode_all, "data"_a, "channels"_a, "height"_a, "width"_a, "alphabet"_a, "order"_a,
          "references"_a);
    m.def("dense_references", &dense_references_of, "symbols"_a, "alphabet"_a);
    bind_components(m);
    m.def("rice_encode", &rice_encode_all, "values"_a, "k"_a);
    m.def("rice_decode", &rice_decode_all, "data"_a, "k"_a, "count"_a);
    m.def("rice_bits", &rice_bits_of, "values"_a, "k"_a);
    m.def("normalized_histogram", &histogram, "x"_a, "mean"_a, "std"_a, "bins"_a);
    m.def("optimal_centroids", &centroids_of, "counts"_a, "sums"_a, "n"_a);
    m.def("crc32c", &crc32c_of, "data"_a, "before"_a = 0);
}

}  // namespace midstream
