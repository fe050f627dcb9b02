// The coder of coefficients that are predicted from the frame before: whatever it is given, decoding ends, stays within
// its buffers and comes out the same on all paths; what the encoder writes decodes to what it says is decoded; and what
// a frame leaves can be what the next one is predicted from.
#include "coefficient_case.hpp"

namespace midstream::fuzz {
namespace {

constexpr unsigned kinds = 4, kind_encode = 0;  // of the first byte: what is done with the others

// One frame, as the next one is predicted from it.
struct Frame {
    bool valid = true;
    Bytes importance, modes;
    std::vector<int8_t> symbols;
    std::vector<float> values;
    std::vector<uint32_t> state;

    explicit Frame(const CoefficientCase& one)
        : importance(one.grid.cells()), modes(one.grid.cells()), symbols(one.count()), values(one.count()),
          state(frame_state_size()) {
        std::vector<uint32_t> alone(coefficient_state_size());
        coefficient_state_reset(alone.data());
        frame_state_from(alone.data(), state.data());
    }
    FrameReference reference() const { return {values.data(), symbols.data(), importance.data(), modes.data()}; }
    CoefficientImage image(bool known, int32_t* chosen = nullptr) {
        return {importance.data(), known, chosen, values.data(), symbols.data()};
    }
    Bytes bytes() const {
        Bytes out{valid};
        if (valid) append(out, importance), append(out, modes), append(out, symbols), append(out, values);
        if (valid) append(out, state);
        return out;
    }
};

struct Case : CoefficientCase {
    bool known;
    FrameModel predicted;
    Frame before;

    explicit Case(Input& input)
        : CoefficientCase(input), known(input.byte() % 4 == 0), predicted(model, predictors(input)), before(*this) {
        const Bytes bytes = input.take(1 + input.byte() % 32);
        const auto at = [&](size_t i) { return bytes.empty() ? 0u : unsigned{bytes[i % bytes.size()]}; };
        for (size_t i = 0; i < count(); ++i) {
            before.symbols[i] = static_cast<int8_t>(at(i) % 255 - 127);
            before.values[i] = 0.1f * static_cast<float>(before.symbols[i]);
        }
        for (size_t i = 0; i < grid.cells(); ++i) {
            before.importance[i] = static_cast<uint8_t>(at(i) % steps.size());
            before.modes[i] = static_cast<uint8_t>(at(i) / 8 % predicted.predictors().modes);
        }
    }

   private:
    FramePredictors predictors(Input& input) const {
        FramePredictors out{2 + input.byte() % (most_frame_modes - 1), {}, {}};
        const unsigned gain = input.byte(), lower = input.byte() % 40;
        for (size_t i = 0; i < (out.modes - 1) * grid.coefficients; ++i) {
            out.gains.push_back(static_cast<float>((gain + 7 * i) % 256) / 255);
            out.scales.push_back(static_cast<int16_t>(120 - lower - i % 50));
        }
        return out;
    }
};

// What a decoder makes of a stream; later ones begin with what earlier ones have learnt.
Frame decode(const Case& one, const Frame& before, const Bytes& stream) {
    Frame out(one);
    out.state = before.state;
    if (one.known) out.importance = one.before.importance;
    out.valid = one.predicted.decode(stream.data(), stream.size(), one.grid, one.classes(), out.state.data(),
                                     out.image(one.known), before.reference(), out.modes.data());
    return out;
}

Frame on_all_paths(const Case& one, const Frame& before, const Bytes& stream) {
    set_path("reference");
    const Frame out = decode(one, before, stream);
    for (const std::string& path : fastest_path()) {
        set_path(path);
        check(decode(one, before, stream).bytes() == out.bytes(), "the paths decode differently");
    }
    return out;
}

// Two frames one after another.
void encode_bytes(const Case& one, const Bytes& bytes) {
    Frame before = one.before;
    for (size_t frame = 0; frame < 2; ++frame) {
        std::vector<float> values(one.count());
        for (size_t i = 0; i < values.size() && !bytes.empty(); ++i)
            values[i] = 0.05f * static_cast<float>(bytes[(i + frame) % bytes.size()] - 128) + before.values[i];
        Frame said(one);
        said.state = before.state, said.importance = one.before.importance;
        std::vector<int32_t> chosen(one.count());
        const Bytes stream =
            one.predicted.encode(values.data(), one.grid, one.classes(), said.state.data(),
                                 said.image(one.known, chosen.data()), before.reference(), said.modes.data());
        check(on_all_paths(one, before, stream).bytes() == said.bytes(),
              "a stream does not decode to what its encoder says");
        before = said;
    }
}

}  // namespace
}  // namespace midstream::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace midstream::fuzz;
    Input input(data, size);
    const bool encode = input.byte() % kinds == kind_encode;
    const Case one(input);
    if (encode) {
        encode_bytes(one, input.rest());
        return 0;
    }
    const Frame first = on_all_paths(one, one.before, input.take(input.byte()));
    on_all_paths(one, first.valid ? first : one.before, input.rest());
    return 0;
}
