// The `dense` coder, as plain C++ and as the fastest path compiles it: what the decoder accepts is what the encoder
// writes, and what the encoder writes decodes to what went in; of maps alone, and of such as follow one before.
#include "dense.hpp"

#include "input.hpp"

namespace midstream::fuzz {
namespace {

constexpr unsigned kinds = 4, kind_encode = 0;  // of the first byte: what is done with the others
constexpr unsigned after_another = 128;         // its highest bit: there is a map before
constexpr size_t most = 600;                     // symbols; each takes a microsecond and more

struct Case {
    size_t alphabet;
    MapShape shape;
    Bytes listed, references, symbols_before, past;

    Case(Input& input, bool follows) : alphabet(alphabet_of(input.byte())) {
        const unsigned channels = input.byte(), height = input.byte();
        shape = shape_of(channels, height, input.byte(), most);
        const size_t first = input.byte(), occurring = 1 + input.byte() % alphabet, reference = input.byte();
        for (size_t i = 0; i < occurring; ++i) listed.push_back(static_cast<uint8_t>((first + i) % alphabet));
        for (size_t c = 0; c < shape.channels; ++c)
            references.push_back(static_cast<uint8_t>(reference * c % (std::min<size_t>(c, 255) + 1)));
        if (!follows) return;
        uint32_t drawn = input.byte();  // of all symbols, listed or not
        const unsigned alike = input.byte();
        for (size_t i = 0; i < shape.count(); ++i) {
            drawn = drawn * 1664525 + 1013904223;
            const bool repeated = i > 0 && (drawn >> 24) < alike;
            symbols_before.push_back(repeated ? symbols_before.back() : static_cast<uint8_t>((drawn >> 8) % alphabet));
            past.push_back(static_cast<uint8_t>((drawn >> 16) % (largest_past + 1u)));
        }
    }
    SymbolOrder order() const { return {listed.data(), listed.size()}; }
    Bytes encode(const Bytes& symbols) const {
        const DenseBefore before = {symbols_before.data(), past.data()};
        return dense_encode(symbols.data(), shape, alphabet, order(), references.data(),
                            past.empty() ? nullptr : &before);
    }
    bool decode(const Bytes& stream, uint8_t* symbols) const {
        const DenseBefore before = {symbols_before.data(), past.data()};
        return dense_decode(stream.data(), stream.size(), shape, alphabet, order(), references.data(), symbols,
                            past.empty() ? nullptr : &before);
    }
    // Of listed symbols.
    Bytes symbols(const Bytes& bytes) const {
        Bytes out = symbols_of(bytes, shape.count(), listed.size());
        for (uint8_t& symbol : out) symbol = listed[symbol];
        return out;
    }
};

void decode_bytes(const Case& one, const Bytes& stream) {
    const Verdict verdict = verdict_of_all(fastest_path(), [&] {
        Verdict out{false, Bytes(one.shape.count())};
        out.valid = one.decode(stream, out.symbols.data());
        return out;
    });
    check(!verdict.valid || one.encode(verdict.symbols) == stream, "a stream decodes that the encoder does not write");
}

void encode_bytes(Case& one, const Bytes& bytes) {
    const Bytes symbols = one.symbols(bytes);
    const auto references = [&] {
        Verdict out{true, Bytes(one.shape.channels)};
        dense_references(symbols.data(), one.shape, one.alphabet, out.symbols.data());
        return out;
    };
    one.references = verdict_of_all(fastest_path(), references).symbols;
    round_trip(
        fastest_path(), symbols, [&] { return one.encode(symbols); },
        [&](const Bytes& stream, uint8_t* out) { return one.decode(stream, out); });
}

}  // namespace

Bytes encoded(Input input) {
    const Input whole = input;
    const unsigned first = input.byte();
    if (first % kinds == kind_encode) return {};
    const Case shapes(input, first >= after_another);
    if (input.left() == 0) return {};
    Bytes out = Input(whole).take(whole.left() - input.left());
    const Bytes stream = shapes.encode(shapes.symbols(input.rest()));
    out.insert(out.end(), stream.begin(), stream.end());
    return out;
}

}  // namespace midstream::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace midstream::fuzz;
    Input input(data, size);
    const unsigned first = input.byte();
    const bool encode = first % kinds == kind_encode;
    Case one(input, first >= after_another);
    (encode ? encode_bytes(one, input.rest()) : decode_bytes(one, input.rest()));
    return 0;
}
