// The `fast` decoder: one to three maps at a time, on every path of this machine.
#include "fast.hpp"

#include "input.hpp"

namespace midstream::fuzz {
namespace {

constexpr size_t most_maps = 3;  // two are decoded together, the third alone

struct Case {
    size_t alphabet;
    std::vector<MapShape> maps;
    std::vector<Bytes> streams;

    explicit Case(Input& input) : alphabet(alphabet_of(input.byte())) {
        const unsigned height = input.byte(), width = input.byte();
        const size_t count = 1 + input.byte() % most_maps;
        unsigned channels[most_maps];
        for (auto& c : channels) c = input.byte();
        for (size_t i = 0; i < count; ++i) maps.push_back(shape_of(channels[i], height, width));
    }
    void read_streams(Input& input) {
        for (size_t i = 0; i < maps.size(); ++i) {
            const size_t size = i + 1 < maps.size() ? input.word() : input.left();
            streams.push_back(input.take(size));
        }
    }
    size_t count() const {
        size_t all = 0;
        for (const MapShape& map : maps) all += map.count();
        return all;
    }
    std::vector<FastMap> in(uint8_t* symbols) const {
        std::vector<FastMap> out;
        for (const MapShape& map : maps) out.push_back({symbols, map}), symbols += map.count();
        return out;
    }
    Verdict decode() const {
        Verdict out{false, Bytes(count())};
        const auto into = in(out.symbols.data());
        std::vector<ByteView> views;
        for (const Bytes& stream : streams) views.push_back({stream.data(), stream.size()});
        out.valid = fast_decode(into.data(), into.size(), alphabet, views.data());
        return out;
    }
};

}  // namespace

Bytes encoded(Input input) {
    const Input whole = input;
    const Case shapes(input);
    const size_t head = whole.left() - input.left();
    if (input.left() == 0) return {};
    Bytes symbols = symbols_of(input.rest(), shapes.count(), shapes.alphabet), out = Input(whole).take(head);
    const auto from = shapes.in(symbols.data());
    std::vector<Buffer<uint8_t>> streams(from.size());
    fast_encode(from.data(), from.size(), shapes.alphabet, streams.data());
    for (size_t i = 0; i < streams.size(); ++i) {
        const size_t size = streams[i].get_deleter().count;
        if (i + 1 < streams.size()) out.push_back(size & 255), out.push_back(static_cast<uint8_t>(size >> 8));
        out.insert(out.end(), streams[i].get(), streams[i].get() + size);
    }
    return out;
}

}  // namespace midstream::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace midstream::fuzz;
    Input input(data, size);
    Case one(input);
    one.read_streams(input);
    const Verdict verdict = verdict_of_all(vector_paths(), [&] { return one.decode(); });
    check(!verdict.valid || midstream::all_below(verdict.symbols.data(), verdict.symbols.size(), one.alphabet),
          "a decoded symbol is outside the alphabet");
    return 0;
}
