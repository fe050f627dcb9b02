// What the targets of the coder of coefficients begin an input with: a grid, a model, steps.
#pragma once

#include <cstdint>
#include <vector>

#include "coefficients.hpp"
#include "input.hpp"

namespace midstream::fuzz {

constexpr size_t most_coefficients = 600;  // of all cells; each takes a part of a microsecond

struct CoefficientCase {
    CoefficientGrid grid;
    std::vector<int16_t> steps;
    std::vector<float> sizes;
    CoefficientModel model;

    explicit CoefficientCase(Input& input)
        : grid(grid_of(input)), model(statistics_of(input, grid.coefficients, steps, sizes)) {}
    CoefficientSteps classes() const { return {steps.data(), sizes.data(), steps.size()}; }
    size_t count() const { return grid.coefficients * grid.cells(); }

   private:
    static CoefficientGrid grid_of(Input& input) {
        const unsigned coefficients = input.byte(), height = input.byte();
        const MapShape shape = shape_of(coefficients, height, input.byte() % 16, most_coefficients);
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
        out.whole = (out.inputs + out.outputs) % 2 != 0;
        for (size_t i = 0; i < 3 * out.inputs * out.outputs; ++i)
            out.prediction.push_back(0.01f * static_cast<float>(i % 17) - 0.08f);
        for (size_t i = 0; i < coefficient_levels * reconstruction_classes; ++i)
            out.offsets.push_back(static_cast<int8_t>(static_cast<int>(i * 7 % 64) - 32));
        return out;
    }
};

void append(Bytes& out, const auto& part) {
    const auto* data = reinterpret_cast<const uint8_t*>(part.data());
    out.insert(out.end(), data, data + part.size() * sizeof part[0]);
}

}  // namespace midstream::fuzz
