// Bindings of the coders of symbols and of numbers: packed, prefix, `fast`, `dense`, Golomb-Rice.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/vector.h>

#include <array>
#include <optional>
#include <utility>
#include <vector>

#include "arrays.hpp"
#include "dense.hpp"
#include "fast.hpp"
#include "pack.hpp"
#include "prefix.hpp"
#include "rice.hpp"

namespace midstream {
namespace {

void require_symbols(const uint8_t* symbols, size_t count, size_t alphabet) {
    require(all_below(symbols, count, alphabet), "a symbol is outside the alphabet");
}

nb::bytes pack_all(const Vector<uint8_t>& symbols, unsigned width) {
    require(width >= 1 && width <= 8, "pack: width is 1 to 8");
    std::vector<uint8_t> out(packed_size(symbols.size(), width));
    without_gil([&] {
        require_symbols(symbols.data(), symbols.size(), size_t{1} << width);
        pack(symbols.data(), symbols.size(), width, out.data());
    });
    return to_bytes(out);
}

Out<uint8_t, 1> unpack_all(const Octets& data, size_t count, unsigned width) {
    require(width >= 1 && width <= 8 && data.size() == packed_size(count, width), "unpack: size of the data");
    auto symbols = buffer<uint8_t>(count);
    without_gil([&] { unpack(data.data(), count, width, symbols.get()); });
    return wrap(std::move(symbols), {count});
}

nb::bytes prefix_encode_all(const Vector<uint8_t>& symbols, const Vector<uint8_t>& lengths) {
    return to_bytes(without_gil([&] {
        require_symbols(symbols.data(), symbols.size(), lengths.size());
        for (size_t i = 0; i < symbols.size(); ++i)
            require(lengths.data()[symbols.data()[i]] > 0, "a symbol that occurs has no code");
        return prefix_encode(symbols.data(), symbols.size(), lengths.data(), lengths.size());
    }));
}

std::optional<Out<uint8_t, 1>> prefix_decode_all(const Octets& data, const Vector<uint8_t>& lengths, size_t count) {
    auto symbols = buffer<uint8_t>(count);
    const bool ok = without_gil([&] {
        return prefix_decode(data.data(), data.size(), lengths.data(), lengths.size(), symbols.get(), count);
    });
    if (!ok) return std::nullopt;
    return wrap(std::move(symbols), {count});
}

std::vector<Out<uint8_t, 1>> fast_encode_all(const std::vector<Cube<uint8_t>>& maps, size_t alphabet) {
    require(alphabet >= 1 && alphabet <= 256, "fast: an alphabet of 1 to 256 symbols");
    std::vector<FastMap> plain;
    for (const auto& map : maps) {
        require(map.size() > 0 && map.shape(1) == maps[0].shape(1) && map.shape(2) == maps[0].shape(2),
                "fast: maps that are empty or differ in height or width");
        plain.push_back({const_cast<uint8_t*>(map.data()), shape_of(map)});
    }
    std::vector<Buffer<uint8_t>> streams(maps.size());
    without_gil([&] {
        for (const auto& map : maps) require_symbols(map.data(), map.size(), alphabet);
        fast_encode(plain.data(), plain.size(), alphabet, streams.data());
    });
    std::vector<Out<uint8_t, 1>> out;
    for (auto& stream : streams) {
        const size_t size = stream.get_deleter().count;
        out.push_back(wrap(std::move(stream), {size}));
    }
    return out;
}

std::optional<Out<uint8_t, 3>> fast_decode_all(const std::vector<Octets>& streams, const std::vector<size_t>& channels,
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
    if (!without_gil([&] { return fast_decode(maps.data(), maps.size(), alphabet, views.data()); }))
        return std::nullopt;
    return wrap(std::move(symbols), {all, height, width});
}

std::optional<Out<float, 3>> fast_costs_of(const Octets& stream, const Cube<uint8_t>& symbols, size_t alphabet) {
    auto bits = buffer<float>(symbols.size());
    const bool ok = without_gil([&] {
        require_symbols(symbols.data(), symbols.size(), alphabet);
        return fast_costs({const_cast<uint8_t*>(symbols.data()), shape_of(symbols)}, alphabet,
                          {stream.data(), stream.size()}, bits.get());
    });
    if (!ok) return std::nullopt;
    return wrap(std::move(bits), {symbols.shape(0), symbols.shape(1), symbols.shape(2)});
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

void require_listed(const Cube<uint8_t>& symbols, const SymbolOrder& listed) {
    std::array<bool, 256> known{};
    for (size_t i = 0; i < listed.count; ++i) known[listed.symbols[i]] = true;
    for (size_t i = 0; i < symbols.size(); ++i) require(known[symbols.data()[i]], "a symbol is not in the order");
}

bool same_shape(const Cube<uint8_t>& a, const Cube<uint8_t>& b) {
    return a.shape(0) == b.shape(0) && a.shape(1) == b.shape(1) && a.shape(2) == b.shape(2);
}

// (symbols, past) of a frame before, checked; null for none.
using Before = std::optional<std::pair<Cube<uint8_t>, Cube<uint8_t>>>;
std::optional<DenseBefore> before_of(const Before& before, const MapShape& shape, size_t alphabet) {
    if (!before) return std::nullopt;
    const auto& [symbols, past] = *before;
    require(same_shape(symbols, past) && symbols.shape(0) == shape.channels && symbols.shape(1) == shape.height &&
                symbols.shape(2) == shape.width,
            "dense: the frame before has another shape");
    require_symbols(symbols.data(), symbols.size(), alphabet);
    require(all_below(past.data(), past.size(), largest_past + 1), "dense: the past of the frame before");
    return DenseBefore{symbols.data(), past.data()};
}

nb::bytes dense_encode_all(const Cube<uint8_t>& symbols, size_t alphabet, const Vector<uint8_t>& order,
                           const Vector<uint8_t>& references, const Before& before) {
    const SymbolOrder listed = order_of(order, alphabet);
    require_references(references, symbols.shape(0));
    return to_bytes(without_gil([&] {
        require_listed(symbols, listed);
        const auto known = before_of(before, shape_of(symbols), alphabet);
        return dense_encode(symbols.data(), shape_of(symbols), alphabet, listed, references.data(),
                            known ? &*known : nullptr);
    }));
}

std::optional<Out<uint8_t, 3>> dense_decode_all(const Octets& data, size_t channels, size_t height, size_t width,
                                                size_t alphabet, const Vector<uint8_t>& order,
                                                const Vector<uint8_t>& references, const Before& before) {
    const SymbolOrder listed = order_of(order, alphabet);
    require_references(references, channels);
    auto symbols = buffer<uint8_t>(product({channels, height, width}));
    const bool ok = without_gil([&] {
        const auto known = before_of(before, {channels, height, width}, alphabet);
        return dense_decode(data.data(), data.size(), {channels, height, width}, alphabet, listed, references.data(),
                            symbols.get(), known ? &*known : nullptr);
    });
    if (!ok) return std::nullopt;
    return wrap(std::move(symbols), {channels, height, width});
}

void dense_past_of(const Cube<uint8_t>& symbols, const Cube<uint8_t>& before, size_t alphabet,
                   const InOut<uint8_t, 3>& past) {
    require(same_shape(symbols, before) && symbols.size() == past.size(), "dense: the frame before has another shape");
    require(alphabet >= 1, "dense: no symbols");
    without_gil([&] { dense_past(symbols.data(), before.data(), symbols.size(), alphabet, past.data()); });
}

Out<uint8_t, 1> dense_references_of(const Cube<uint8_t>& symbols, size_t alphabet) {
    auto references = buffer<uint8_t>(symbols.shape(0));
    without_gil([&] {
        require_symbols(symbols.data(), symbols.size(), alphabet);
        dense_references(symbols.data(), shape_of(symbols), alphabet, references.get());
    });
    return wrap(std::move(references), {symbols.shape(0)});
}

Out<float, 3> dense_costs_of(const Cube<uint8_t>& symbols, size_t alphabet, const Vector<uint8_t>& order,
                             const Vector<uint8_t>& references, uint32_t used) {
    const SymbolOrder listed = order_of(order, alphabet);
    require_references(references, symbols.shape(0));
    auto bits = buffer<float>(symbols.size());
    without_gil([&] {
        require_listed(symbols, listed);
        dense_costs(symbols.data(), shape_of(symbols), alphabet, listed, references.data(), used, bits.get());
    });
    return wrap(std::move(bits), {symbols.shape(0), symbols.shape(1), symbols.shape(2)});
}

nb::bytes rice_encode_all(const Vector<uint64_t>& values, unsigned k) {
    require(k <= max_rice, "rice: k is 0 to 61");
    return to_bytes(without_gil([&] { return rice_encode(values.data(), values.size(), k); }));
}

std::optional<Out<uint64_t, 1>> rice_decode_all(const Octets& data, unsigned k, size_t count) {
    require(k <= max_rice, "rice: k is 0 to 61");
    auto values = buffer<uint64_t>(count);
    if (!without_gil([&] { return rice_decode(data.data(), data.size(), k, values.get(), count); }))
        return std::nullopt;
    return wrap(std::move(values), {count});
}

uint64_t rice_bits_of(const Vector<uint64_t>& values, unsigned k) {
    require(k <= max_rice, "rice: k is 0 to 61");
    return without_gil([&] { return rice_bits(values.data(), values.size(), k); });
}

}  // namespace

void bind_coders(nb::module_& m) {
    m.attr("MAX_CODE_LENGTH") = max_code_length;
    m.attr("MAX_RICE") = max_rice;
    m.attr("LARGEST_PAST") = static_cast<int>(largest_past);
    m.def("pack", &pack_all, "symbols"_a, "width"_a, "Symbols of `width` bits each, the first in the lowest bits.");
    m.def("unpack", &unpack_all, "data"_a, "count"_a, "width"_a);
    m.def("prefix_encode", &prefix_encode_all, "symbols"_a, "lengths"_a,
          "A canonical prefix code, given by each symbol's code length: 0 for one that does not occur.");
    m.def("prefix_decode", &prefix_decode_all, "data"_a, "lengths"_a, "count"_a, "None for what is not valid.");
    m.def("fast_encode", &fast_encode_all, "maps"_a, "alphabet"_a,
          "A stream for each of the maps [channels, height, width] of one height and width.");
    m.def("fast_decode", &fast_decode_all, "streams"_a, "channels"_a, "height"_a, "width"_a, "alphabet"_a,
          "The symbols of all streams, channel after channel; None for what is not valid.");
    m.def("fast_costs", &fast_costs_of, "stream"_a, "symbols"_a, "alphabet"_a,
          "Bits that each symbol takes in its stream; None for malformed tables.");
    m.def("dense_encode", &dense_encode_all, "symbols"_a, "alphabet"_a, "order"_a, "references"_a,
          "before"_a = nb::none(),
          "A stream of symbols [channels, height, width]. `order` lists those that occur, likeliest first; channel c\n"
          "looks at channel c - references[c], at none for 0. `before` is (symbols, past) of an earlier frame.");
    m.def("dense_decode", &dense_decode_all, "data"_a, "channels"_a, "height"_a, "width"_a, "alphabet"_a, "order"_a,
          "references"_a, "before"_a = nb::none(), "None for what is not valid.");
    m.def("dense_past", &dense_past_of, "symbols"_a, "before"_a, "alphabet"_a, "past"_a.noconvert(),
          "Bring `past`, of the frame before, to that of the frame with these symbols.");
    m.def("dense_references", &dense_references_of, "symbols"_a, "alphabet"_a,
          "For each channel the reference that tells most about it.");
    m.def("dense_costs", &dense_costs_of, "symbols"_a, "alphabet"_a, "order"_a, "references"_a, "used"_a = ~0u,
          "Bits that each symbol would take with the contexts of the bits of `used` only.");
    m.def("rice_encode", &rice_encode_all, "values"_a, "k"_a, "Golomb-Rice code of parameter k, at most MAX_RICE.");
    m.def("rice_decode", &rice_decode_all, "data"_a, "k"_a, "count"_a, "None for what is not valid.");
    m.def("rice_bits", &rice_bits_of, "values"_a, "k"_a, "Bits that `rice_encode` would write.");
}

}  // namespace midstream
