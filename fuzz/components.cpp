// The coder of coefficients: whatever it is given, decoding ends, stays within its buffers and comes out the same on all
// paths; and what the encoder writes decodes to what it says is decoded.
#include "coefficients.hpp"

#include "input.hpp"

namespace midstream::fuzz {
namespace {

constexpr unsigned kinds = 4, kind_encode = 0;  // of the first byte: what is done with the others
constexpr size_t most = 600;                     // coefficients of all cells; each takes a part of a microsecond

struct Case {
    CoefficientGrid grid;
    std::vector<int16_t> steps;
    std::vector<float> sizes;
    CoefficientModel model;

    explicit Case(Input& input) : grid(grid_of(input)), model(statistics_of(input, grid.coefficients, steps, sizes)) {}
    CoefficientSteps classes() const { return {steps.data(), sizes.data(), steps.size()}; }
    size_t count() const { return grid.coefficients * grid.cells(); }

   private:
    static CoefficientGrid grid_of(Input& input) {
        const unsigned coefficients = input.byte(), height = input.byte();
        const MapShape shape = shape_of(coefficients, height, input.byte() % 16, most);
        return {shape.channels, shape.height, shape.width};
    }
    static CoefficientStatistics statistics_of(Input& input, size_t coefficients, std::vector<int16_t>& steps,
                                               std::vector<float>& sizes) {
        const int first = static_cast<int>(input.byte()), fall = static_cast<int>(input.byte() % 8);
        const size_t classes = 1 + input.byte() % most_importance_classes, reference = input.byte();
        CoefficientStatistics out;
        for (size_t k = 0; k < coefficients; ++k) {
            out.scales.push_back(static_cast<int16_t>(first - fall * static_cast<int>(k)));
            for (size_t i = 1; i <= 2; ++i) out.references.push_back(static_cast<uint16_t>(reference * i % (k + 1)));
        }
        for (size_t m = 0; m < classes; ++m) {
            steps.push_back(static_cast<int16_t>(100 + 6 * m));
            sizes.push_back(0.1f * static_cast<float>(m + 1));
        }
        out.inputs = input.byte() % (coefficients + 1), out.outputs = input.byte() % (coefficients + 1);
        for (size_t i = 0; i < 3 * out.inputs * out.outputs; ++i)
            out.prediction.push_back(0.01f * static_cast<float>(i % 17) - 0.08f);
        for (size_t i = 0; i < coefficient_levels * reconstruction_classes; ++i)
            out.offsets.push_back(static_cast<int8_t>(static_cast<int>(i * 7 % 64) - 32));
        return out;
    }
};

struct Decoded {
    bool valid;
    Bytes importance;
    std::vector<int32_t> chosen;
    std::vector<float> values;

    Bytes bytes() const {
        Bytes out{valid};
        if (!valid) return out;
        out.insert(out.end(), importance.begin(), importance.end());
        const auto append = [&](const auto& part) {
            const auto* data = reinterpret_cast<const uint8_t*>(part.data());
            out.insert(out.end(), data, data + part.size() * sizeof part[0]);
        };
        append(chosen), append(values);
        return out;
    }
};

std::vector<uint32_t> fresh_state() {
    std::vector<uint32_t> state(coefficient_state_size());
    coefficient_state_reset(state.data());
    return state;
}

Decoded decode(const Case& one, const Bytes& stream) {
    Decoded out{false, Bytes(one.grid.cells()), std::vector<int32_t>(one.count()), std::vector<float>(one.count())};
    auto state = fresh_state();
    out.valid = one.model.decode(stream.data(), stream.size(), one.grid, one.classes(), state.data(),
                                 {out.importance.data(), false, out.chosen.data(), out.values.data()});
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
    for (size_t i = 0; i < said.importance.size(); ++i)
        said.importance[i] = static_cast<uint8_t>((bytes.empty() ? 0 : bytes[i % bytes.size()]) % one.steps.size());
    auto state = fresh_state();
    const Bytes stream = one.model.encode(values.data(), one.grid, one.classes(), 0.14f, state.data(),
                                          {said.importance.data(), false, said.chosen.data(), said.values.data()});
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
