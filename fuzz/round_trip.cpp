// Encoders: every path writes the reference's bytes, and every path reads them back. `dense` is with its decoder: it takes
// so long to set up that the others would hardly be run.
#include "fast.hpp"
#include "input.hpp"
#include "pack.hpp"
#include "prefix.hpp"
#include "prefix_lengths.hpp"
#include "rice.hpp"

namespace midstream::fuzz {
namespace {

void fast(Input& input) {
    const size_t alphabet = alphabet_of(input.byte());
    const unsigned channels = input.byte(), height = input.byte();
    const MapShape first = shape_of(channels, height, input.byte());
    MapShape second = first;
    second.channels = 1 + input.byte() % first.channels;
    Bytes symbols = symbols_of(input.rest(), first.count() + second.count(), alphabet);
    // Pairs are coded together; each stream is the one that its map gives alone, which the decoder is asked for.
    const auto encode = [&] {
        const FastMap maps[] = {{symbols.data(), first}, {symbols.data() + first.count(), second}};
        Buffer<uint8_t> streams[2];
        fast_encode(maps, 2, alphabet, streams);
        const size_t sizes[] = {streams[0].get_deleter().count, streams[1].get_deleter().count};
        Bytes out{static_cast<uint8_t>(sizes[0]), static_cast<uint8_t>(sizes[0] >> 8)};
        for (size_t i = 0; i < 2; ++i) out.insert(out.end(), streams[i].get(), streams[i].get() + sizes[i]);
        return out;
    };
    const auto decode = [&](const Bytes& data, uint8_t* out) {
        const size_t size = data[0] | size_t{data[1]} << 8;
        const FastMap maps[] = {{out, first}, {out + first.count(), second}};
        const ByteView streams[] = {{data.data() + 2, size}, {data.data() + 2 + size, data.size() - 2 - size}};
        return fast_decode(maps, 1, alphabet, streams) && fast_decode(maps + 1, 1, alphabet, streams + 1);
    };
    round_trip(vector_paths(), symbols, encode, decode);
}

void prefix(Input& input) {
    const size_t alphabet = std::max<size_t>(alphabet_of(input.byte()), 2), count = 1 + input.word() % most_symbols;
    const Bytes lengths = complete_lengths(alphabet, input.take(alphabet));
    const Bytes symbols = symbols_of(input.rest(), count, alphabet);
    const auto encode = [&] { return prefix_encode(symbols.data(), count, lengths.data(), alphabet); };
    const auto decode = [&](const Bytes& data, uint8_t* out) {
        return prefix_decode(data.data(), data.size(), lengths.data(), alphabet, out, count);
    };
    round_trip({}, symbols, encode, decode);
}

void packed(Input& input) {
    const unsigned width = 1 + input.byte() % 8;
    const size_t count = 1 + input.word() % most_symbols;
    const Bytes symbols = symbols_of(input.rest(), count, size_t{1} << width);
    const auto encode = [&] {
        Bytes out(packed_size(count, width));
        pack(symbols.data(), count, width, out.data());
        return out;
    };
    const auto decode = [&](const Bytes& data, uint8_t* out) {
        unpack(data.data(), count, width, out);
        return true;
    };
    round_trip(all_paths(), symbols, encode, decode);
}

void rice(Input& input) {
    const unsigned k = input.byte() % (max_rice + 1);
    std::vector<uint64_t> values;
    while (input.left() > 0) {  // of any number of bytes
        uint64_t value = 0;
        for (unsigned bytes = input.byte() % 9; bytes > 0; --bytes) value = value << 8 | input.byte();
        values.push_back(value);
    }
    const Bytes data = rice_encode(values.data(), values.size(), k);
    check((rice_bits(values.data(), values.size(), k) + 7) / 8 == data.size(), "numbers take other bits than announced");
    std::vector<uint64_t> back(values.size());
    check(rice_decode(data.data(), data.size(), k, back.data(), back.size()), "what was encoded is refused");
    check(back == values, "what was encoded decodes to something else");
}

}  // namespace
}  // namespace midstream::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace midstream::fuzz;
    Input input(data, size);
    switch (input.byte() % 8) {
        case 0: prefix(input); break;
        case 1: packed(input); break;
        case 2: rice(input); break;
        default: fast(input);  // most of the vector code
    }
    return 0;
}
