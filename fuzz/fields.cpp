// The small decoders: prefix code, packed symbols, Golomb-Rice code. What they accept is what their encoders write.
#include "input.hpp"
#include "pack.hpp"
#include "prefix.hpp"
#include "prefix_lengths.hpp"
#include "rice.hpp"

namespace midstream::fuzz {
namespace {

enum Kind { prefix, packed, rice };

size_t count_of(Input& input) { return input.word() % most_symbols + 1; }

struct Prefix {
    size_t count;
    Bytes lengths;

    explicit Prefix(Input& input) : count(count_of(input)), lengths(input.take(alphabet_of(input.byte()))) {}
    void decode(const Bytes& data) const {
        Bytes symbols(count);
        if (!prefix_decode(data.data(), data.size(), lengths.data(), lengths.size(), symbols.data(), count)) return;
        check(prefix_encode(symbols.data(), count, lengths.data(), lengths.size()) == data,
              "a prefix code decodes that the encoder does not write");
    }
};

void decode_packed(Input& input) {
    const size_t count = count_of(input);
    const unsigned width = 1 + input.byte() % 8;
    Bytes data = input.rest();
    data.resize(packed_size(count, width));
    if (const size_t used = count * width % 8; used > 0) data.back() &= static_cast<uint8_t>((1u << used) - 1);
    verdict_of_all(all_paths(), [&] {
        Verdict out{true, Bytes(count)};
        unpack(data.data(), count, width, out.symbols.data());
        Bytes again(data.size());
        pack(out.symbols.data(), count, width, again.data());
        check(again == data, "what was unpacked packs to other bytes");
        return out;
    });
}

void decode_rice(Input& input) {
    std::vector<uint64_t> values(count_of(input));
    const unsigned k = input.byte() % (max_rice + 1);
    const Bytes data = input.rest();
    if (!rice_decode(data.data(), data.size(), k, values.data(), values.size())) return;
    check(rice_encode(values.data(), values.size(), k) == data, "numbers decode that the encoder does not write");
    check((rice_bits(values.data(), values.size(), k) + 7) / 8 == data.size(), "numbers take other bits than announced");
}

Bytes encoded_prefix(Input input, Bytes out) {
    const size_t count = count_of(input), alphabet = alphabet_of(input.byte());
    out.insert(out.end(), {static_cast<uint8_t>(count - 1), static_cast<uint8_t>((count - 1) >> 8)});
    if (alphabet < 2) return {};
    const Bytes lengths = complete_lengths(alphabet, input.take(alphabet));
    const Bytes symbols = symbols_of(input.rest(), count, alphabet);
    const Bytes stream = prefix_encode(symbols.data(), count, lengths.data(), alphabet);
    out.push_back(static_cast<uint8_t>(alphabet < 8 ? alphabet - 1 : 223 + alphabet / 8));
    out.insert(out.end(), lengths.begin(), lengths.end());
    out.insert(out.end(), stream.begin(), stream.end());
    return out;
}

// Numbers of all magnitudes: each byte is one, shifted by its upper half.
Bytes encoded_rice(Input input, Bytes out) {
    count_of(input);
    const unsigned k = input.byte() % (max_rice + 1);
    const Bytes bytes = input.take(most_symbols);
    if (bytes.empty()) return {};
    std::vector<uint64_t> values;
    for (const uint8_t byte : bytes) values.push_back(uint64_t{byte % 16u} << (byte / 16 * 4));
    const Bytes stream = rice_encode(values.data(), values.size(), k);
    const size_t count = values.size() - 1;
    out.insert(out.end(), {static_cast<uint8_t>(count), static_cast<uint8_t>(count >> 8), static_cast<uint8_t>(k)});
    out.insert(out.end(), stream.begin(), stream.end());
    return out;
}

}  // namespace

Bytes encoded(Input input) {
    const unsigned kind = input.byte();
    const Bytes head{static_cast<uint8_t>(kind)};
    switch (kind % 3) {
        case prefix: return encoded_prefix(input, head);
        case rice: return encoded_rice(input, head);
        default: return {};  // any bytes are packed symbols
    }
}

}  // namespace midstream::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace midstream::fuzz;
    Input input(data, size);
    switch (input.byte() % 3) {
        case prefix: {
            const Prefix one(input);
            one.decode(input.rest());
            break;
        }
        case packed: decode_packed(input); break;
        default: decode_rice(input);
    }
    return 0;
}
