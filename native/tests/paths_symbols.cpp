// Coders of symbols: plain and dense.
#include <algorithm>
#include <cmath>
#include <utility>

#include "dense.hpp"
#include "fast.hpp"
#include "paths.hpp"

namespace midstream {
namespace {

// Maps of one height and width, which are coded together.
struct Maps {
    size_t alphabet, height, width;
    std::vector<size_t> channels;
    std::vector<Bytes> symbols;

    std::vector<FastMap> views() {
        std::vector<FastMap> out;
        for (size_t i = 0; i < symbols.size(); ++i) out.push_back({symbols[i].data(), {channels[i], height, width}});
        return out;
    }
};

// Neighbours alike and low symbols more often, more or less so: probabilities of all kinds.
Bytes random_symbols(size_t count, size_t width, size_t alphabet) {
    const double alike = random_real(0, 1.2), skew = random_real(0.5, 8);
    Bytes out(count);
    for (size_t i = 0; i < count; ++i)
        out[i] = i > 0 && chance(alike) ? out[i >= width && chance(0.5) ? i - width : i - 1]
                                        : static_cast<uint8_t>(std::pow(random_real(0, 1), skew) * double(alphabet));
    return out;
}

Maps random_maps() {
    Maps maps{random_size(2, chance(0.5) ? 9 : 256), random_size(1, 40), random_size(1, 40), {}, {}};
    if (chance(0.1)) maps.height = random_size(1, 3), maps.width = random_size(500, 600);  // a band is a row then
    current = std::to_string(maps.alphabet) + " symbols";
    current += ", " + std::to_string(maps.height) + " x " + std::to_string(maps.width) + " of channels";
    for (size_t n = random_size(1, 4); n > 0; --n) {
        const size_t channels = random_size(1, 70);
        maps.channels.push_back(channels), current += " " + std::to_string(channels);
        maps.symbols.push_back(random_symbols(channels * maps.height * maps.width, maps.width, maps.alphabet));
    }
    return maps;
}

std::vector<Bytes> encoded(Maps& maps) {
    std::vector<Buffer<uint8_t>> streams(maps.symbols.size());
    fast_encode(maps.views().data(), streams.size(), maps.alphabet, streams.data());
    std::vector<Bytes> out;
    for (const auto& stream : streams) out.emplace_back(stream.get(), stream.get() + stream.get_deleter().count);
    return out;
}

// The symbols; nothing where the verdict is bad.
Bytes decoded(Maps maps, const std::vector<Bytes>& streams) {
    for (auto& symbols : maps.symbols) std::fill(symbols.begin(), symbols.end(), uint8_t{0xEE});
    std::vector<ByteView> views;
    for (const auto& stream : streams) views.push_back({stream.data(), stream.size()});
    return fast_decode(maps.views().data(), views.size(), maps.alphabet, views.data()) ? joined(maps.symbols) : Bytes{};
}

}  // namespace

void test_coder() {
    Maps maps = random_maps();
    expect_as_reference("fast_encode", [&] { return joined(encoded(maps)); });
    auto streams = encoded(maps);
    expect("fast_decode", joined(maps.symbols), [&] { return decoded(maps, streams); });
    for (int i = 0; i < 4; ++i) {
        auto& one = one_of(streams);
        const Bytes whole = std::exchange(one, damaged(one));
        expect_as_reference("fast_decode of a damaged stream", [&] { return decoded(maps, streams); });
        one = whole;
    }
}

void test_dense() {
    Maps maps = random_maps();
    const MapShape shape{std::min<size_t>(maps.channels[0], 8), maps.height, maps.width};
    maps.symbols[0].resize(shape.count());
    Bytes order(maps.alphabet), references(shape.channels), before = random_symbols(shape.count(), 1, maps.alphabet);
    for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<uint8_t>(i);
    for (size_t c = 0; c < references.size(); ++c) references[c] = static_cast<uint8_t>(random_size(0, c));
    for (size_t i = 0; i < before.size(); ++i)
        if (chance(0.7)) before[i] = maps.symbols[0][i];
    const Bytes past(shape.count(), static_cast<uint8_t>(random_size(0, largest_past)));
    const DenseBefore then{before.data(), past.data()}, *earlier = chance(0.5) ? &then : nullptr;
    const SymbolOrder all{order.data(), order.size()};
    Bytes stream;
    expect_as_reference("dense_encode", [&] {
        stream = dense_encode(maps.symbols[0].data(), shape, maps.alphabet, all, references.data(), earlier);
        return stream;
    });
    expect("dense_decode", maps.symbols[0], [&] {
        Bytes out(shape.count());
        const bool ok = dense_decode(stream.data(), stream.size(), shape, maps.alphabet, all, references.data(), out.data(),
                                     earlier);
        return ok ? out : Bytes{};
    });
}

}  // namespace midstream
