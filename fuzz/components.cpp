// The coder of components: whatever it is given, decoding ends, stays within its buffers and comes out the same on all
// paths; and what the encoder writes decodes to what it says is decoded.
#include "components.hpp"

#include "input.hpp"

namespace midstream::fuzz {
namespace {

constexpr unsigned kinds = 4, kind_encode = 0;  // of the first byte: what is done with the others
constexpr size_t most = 600;                     // components of all cells; each takes a part of a microsecond

struct Case {
    ComponentGrid grid;
    std::vector<int16_t> scales, steps;
    std::vector<uint16_t> references;
    std::vector<int8_t> offsets;
    std::vector<float> prediction, widths;
    size_t inputs, outputs;

    explicit Case(Input& input) {
        const unsigned components = input.byte(), height = input.byte();
        const MapShape shape = shape_of(components, height, input.byte() % 16, most);
        grid = {shape.channels, shape.height, shape.width};
        const int first = static_cast<int>(input.byte()), fall = static_cast<int>(input.byte() % 8);
        const size_t classes = 1 + input.byte() % most_classes, reference = input.byte();
        for (size_t k = 0; k < grid.components; ++k) {
            scales.push_back(static_cast<int16_t>(first - fall * static_cast<int>(k)));
            for (size_t i = 1; i <= 2; ++i) references.push_back(static_cast<uint16_t>(reference * i % (k + 1)));
        }
        for (size_t m = 0; m < classes; ++m) {
            steps.push_back(static_cast<int16_t>(100 + 6 * m));
            widths.push_back(0.1f * static_cast<float>(m + 1));
        }
        inputs = input.byte() % (grid.components + 1), outputs = input.byte() % (grid.components + 1);
        for (size_t i = 0; i < 3 * inputs * outputs; ++i) prediction.push_back(0.01f * static_cast<float>(i % 17) - 0.08f);
        for (size_t i = 0; i < component_levels * reconstruction_classes; ++i)
            offsets.push_back(static_cast<int8_t>(static_cast<int>(i * 7 % 64) - 32));
    }
    ComponentStatistics statistics() const {
        return {scales.data(), references.data(), offsets.data(), prediction.data(), inputs, outputs};
    }
    ComponentSteps classes() const { return {steps.data(), widths.data(), steps.size()}; }
    size_t count() const { return grid.components * grid.cells(); }
};

struct Decoded {
    bool valid;
    Bytes places;
    std::vector<int32_t> chosen;
    std::vector<float> values;

    Bytes bytes() const {
        Bytes out{valid};
        if (!valid) return out;
        out.insert(out.end(), places.begin(), places.end());
        const auto append = [&](const auto& part) {
            const auto* data = reinterpret_cast<const uint8_t*>(part.data());
            out.insert(out.end(), data, data + part.size() * sizeof part[0]);
        };
        append(chosen), append(values);
        return out;
    }
};

std::vector<uint32_t> fresh_state() {
    std::vector<uint32_t> state(component_state_size());
    component_state_reset(state.data());
    return state;
}

Decoded decode(const Case& one, const Bytes& stream) {
    Decoded out{false, Bytes(one.grid.cells()), std::vector<int32_t>(one.count()), std::vector<float>(one.count())};
    auto state = fresh_state();
    out.valid = components_decode(stream.data(), stream.size(), one.grid, one.statistics(), one.classes(), state.data(),
                                  {out.places.data(), false, out.chosen.data(), out.values.data()});
    return out;
}

Decoded on_all_paths(const Case& one, const Bytes& stream) {
    set_path("reference");
    const Decoded out = decode(one, stream);
    for (const std::string& path : fastest_path()) {
        set_path(path);
        check(decode(one, stream).bytes() == out.bytes(), "the paths decode differently");
    }
    return out;
}

void encode_bytes(const Case& one, const Bytes& bytes) {
    std::vector<float> values(one.count());
    for (size_t i = 0; i < values.size(); ++i)
        values[i] = bytes.empty() ? 0 : 0.05f * static_cast<float>(bytes[i % bytes.size()] - 128);
    Decoded said{true, Bytes(one.grid.cells()), std::vector<int32_t>(one.count()), std::vector<float>(one.count())};
    for (size_t i = 0; i < said.places.size(); ++i)
        said.places[i] = static_cast<uint8_t>((bytes.empty() ? 0 : bytes[i % bytes.size()]) % one.steps.size());
    auto state = fresh_state();
    const Bytes stream = components_encode(values.data(), one.grid, one.statistics(), one.classes(), 0.14f, state.data(),
                                           {said.places.data(), false, said.chosen.data(), said.values.data()});
    check(on_all_paths(one, stream).bytes() == said.bytes(), "a stream does not decode to what its encoder says");
}

}  // namespace
}  // namespace midstream::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace midstream::fuzz;
    Input input(data, size);
    const bool encode = input.byte() % kinds == kind_encode;
    const Case one(input);
    if (encode)
        encode_bytes(one, input.rest());
    else
        on_all_paths(one, input.rest());
    return 0;
}
