// Coders of coefficients: of frames that refer to others, and of those that stand alone.
#include <cmath>

#include "coefficients.hpp"
#include "paths.hpp"

namespace midstream {
namespace {

// Frames that are predicted from one another, of a model of all kinds.
struct Frames {
    CoefficientGrid grid{random_size(1, 60), random_size(1, 6), random_size(1, 6)};
    std::vector<int16_t> steps;
    std::vector<float> sizes;
    FrameModel model = made();
    std::vector<float> before;
    Bytes importance, modes;
    std::vector<int8_t> symbols;

    Frames() {
        for (const int16_t step : steps) sizes.push_back(static_cast<float>(std::exp2((step - 128) / 8.0)));
        before = random_values(20);
        for (size_t i = 0; i < before.size(); ++i) symbols.push_back(static_cast<int8_t>(chance(0.5) ? 0 : engine()));
        for (size_t i = 0; i < grid.cells(); ++i) {
            importance.push_back(static_cast<uint8_t>(random_size(0, steps.size() - 1)));
            modes.push_back(static_cast<uint8_t>(random_size(0, model.predictors().modes - 1)));
        }
        current = std::to_string(grid.coefficients) + " coefficients of " + std::to_string(grid.cells()) + " cells";
    }
    std::vector<float> random_values(double scale) const {
        std::vector<float> out(grid.coefficients * grid.cells());
        for (float& e : out) e = static_cast<float>(chance(0.3) ? 0 : scale * std::pow(random_real(-1, 1), 5));
        return out;
    }
    FrameReference reference() const { return {before.data(), symbols.data(), importance.data(), modes.data()}; }
    CoefficientSteps classes() const { return {steps.data(), sizes.data(), steps.size()}; }

   private:
    FrameModel made() {
        for (size_t m = random_size(1, 8), step = random_size(60, 160); m > 0; --m, step += 6)
            steps.push_back(static_cast<int16_t>(step));
        CoefficientStatistics alone;
        FramePredictors later{random_size(2, most_frame_modes), {}, {}};
        for (size_t k = 0; k < grid.coefficients; ++k) {
            alone.scales.push_back(static_cast<int16_t>(random_size(90, 150)));
            for (int i = 0; i < 2; ++i) alone.references.push_back(static_cast<uint16_t>(random_size(0, k)));
        }
        for (size_t i = 0; i < coefficient_levels * reconstruction_classes; ++i)
            alone.offsets.push_back(static_cast<int8_t>(random_size(0, 60)));
        alone.inputs = random_size(0, grid.coefficients), alone.outputs = random_size(0, grid.coefficients);
        for (size_t i = 0; i < 3 * alone.inputs * alone.outputs; ++i)
            alone.prediction.push_back(static_cast<float>(random_real(-0.1, 0.1)));
        alone.whole = chance(0.5);
        for (size_t i = 0; i < (later.modes - 1) * grid.coefficients; ++i) {
            later.gains.push_back(static_cast<float>(random_real(0, 1)));
            later.scales.push_back(static_cast<int16_t>(random_size(70, 150)));
        }
        return {CoefficientModel(alone), later};
    }
};

std::vector<uint32_t> begun() {
    std::vector<uint32_t> alone(coefficient_state_size()), state(frame_state_size());
    coefficient_state_reset(alone.data());
    frame_state_from(alone.data(), state.data());
    return state;
}

// What a decoder makes of a stream and has learnt of it; nothing where it refuses.
Bytes decoded(const Frames& frames, const Bytes& stream, bool known) {
    auto state = begun();
    Bytes importance = known ? frames.importance : Bytes(frames.grid.cells()), modes(frames.grid.cells());
    std::vector<float> values(frames.before.size());
    std::vector<int8_t> symbols(values.size());
    const CoefficientImage image{importance.data(), known, nullptr, values.data(), symbols.data()};
    if (!frames.model.decode(stream.data(), stream.size(), frames.grid, frames.classes(), state.data(), image,
                             frames.reference(), modes.data()))
        return {};
    return bytes_of(importance, modes, values, symbols, state);
}

}  // namespace

void test_frames() {
    const Frames frames;
    auto values = frames.random_values(chance(0.1) ? 1e6 : 20);
    for (size_t i = 0; i < values.size(); ++i)
        if (chance(0.5)) values[i] = frames.before[i];
    const bool known = chance(0.3), refresh = chance(0.3);
    Bytes stream, said, refreshed(frames.grid.cells());
    for (uint8_t& cell : refreshed) cell = chance(0.3);
    const auto encode = [&] {
        auto state = begun();
        Bytes importance = frames.importance, modes(frames.grid.cells());
        std::vector<int32_t> chosen(values.size());
        std::vector<float> out(values.size());
        std::vector<int8_t> symbols(values.size());
        const CoefficientImage image{importance.data(), known, chosen.data(), out.data(), symbols.data()};
        stream = frames.model.encode(values.data(), frames.grid, frames.classes(), state.data(), image,
                                     frames.reference(), modes.data(), refresh ? refreshed.data() : nullptr);
        said = bytes_of(importance, modes, out, symbols, state);
        return bytes_of(stream, said);
    };
    expect_as_reference("FrameModel::encode", encode);
    expect("FrameModel::decode", said, [&] { return decoded(frames, stream, known); });
    for (int i = 0; i < 2; ++i) {
        const Bytes other = damaged(stream);
        expect_as_reference("FrameModel::decode of a damaged stream", [&] { return decoded(frames, other, known); });
    }
}

// The same of frames that stand alone.
void test_coefficients() {
    const Frames frames;
    const CoefficientModel& model = frames.model.alone();
    const auto values = frames.random_values(chance(0.1) ? 1e6 : 20);
    const bool known = chance(0.3);
    Bytes stream, said;
    const auto encode = [&] {
        std::vector<uint32_t> state(coefficient_state_size());
        coefficient_state_reset(state.data());
        Bytes importance = frames.importance;
        std::vector<int32_t> chosen(values.size());
        std::vector<float> out(values.size());
        stream = model.encode(values.data(), frames.grid, frames.classes(), state.data(),
                              {importance.data(), known, chosen.data(), out.data(), nullptr});
        said = bytes_of(importance, out, state);
        return bytes_of(stream, said, chosen);
    };
    const auto decode = [&](const Bytes& data) {
        std::vector<uint32_t> state(coefficient_state_size());
        coefficient_state_reset(state.data());
        Bytes importance = known ? frames.importance : Bytes(frames.grid.cells());
        std::vector<float> out(values.size());
        return model.decode(data.data(), data.size(), frames.grid, frames.classes(), state.data(),
                            {importance.data(), known, nullptr, out.data(), nullptr})
                   ? bytes_of(importance, out, state)
                   : Bytes{};
    };
    expect_as_reference("CoefficientModel::encode", encode);
    expect("CoefficientModel::decode", said, [&] { return decode(stream); });
    const Bytes other = damaged(stream);
    expect_as_reference("CoefficientModel::decode of a damaged stream", [&] { return decode(other); });
}

}  // namespace midstream
