#include "cell_scores.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "panels.hpp"

namespace midstream {
namespace {

constexpr size_t side = 3, window = side * side;  // of cells
constexpr float leak = 0.125f;                     // what is left of a number below zero

}  // namespace

CellScores::Packed::Packed(const Layer& layer)
    : inputs(layer.inputs), outputs(layer.outputs), panels(panels_of(outputs) * inputs * panel_width),
      bias(layer.bias, layer.bias + outputs) {
    std::vector<float> columns(inputs * outputs);
    for (size_t o = 0; o < outputs; ++o)
        for (size_t i = 0; i < inputs; ++i) columns[i * outputs + o] = layer.rows[o * inputs + i];
    pack_panels(columns.data(), inputs, outputs, panels.data());
}

template <class Take>
void CellScores::Packed::run(const float* const* from, const Take& take) const {
    alignas(cache_line) float sums[panel_rows * panel_width];
    for (size_t p = 0; p < outputs; p += panel_width) {
        panel_sums(from, panel_rows, inputs, &panels[p * inputs], sums);
        for (size_t n = 0; n < panel_rows; ++n)
            for (size_t o = p; o < std::min(p + panel_width, outputs); ++o) {
                const float value = sums[n * panel_width + o - p] + bias[o];
                take(n, o, std::max(value, leak * value));
            }
    }
}

CellScores::CellScores(const Layer& mix, const Layer& around, const float* out)
    : mix_(mix), around_(around), out_(out, out + around.outputs + 1) {
    if (around.inputs != window * mix.outputs) throw std::invalid_argument("cell scores: shapes");
}

void CellScores::mix(const float* features, size_t cells, float* mixed) const {
    for (size_t cell = 0; cell < cells; cell += panel_rows) {
        const size_t count = std::min(panel_rows, cells - cell);
        const float* from[panel_rows];
        for (size_t n = 0; n < panel_rows; ++n) from[n] = features + (cell + std::min(n, count - 1)) * mix_.inputs;
        mix_.run(from, [&](size_t n, size_t o, float value) {
            if (n < count) mixed[(cell + n) * mix_.outputs + o] = value;
        });
    }
}

void CellScores::octaves(const float* mixed, size_t height, size_t width, size_t top, size_t bottom, float* out) const {
    const size_t first = top * width, cells = bottom * width, count = mix_.outputs;
    std::vector<float> inputs(panel_rows * around_.inputs);
    for (size_t cell = first; cell < cells; cell += panel_rows) {
        const size_t there = std::min(panel_rows, cells - cell);
        const float* from[panel_rows];
        for (size_t n = 0; n < panel_rows; ++n) {
            float* to = &inputs[n * around_.inputs];
            from[n] = to;
            const size_t y = (cell + std::min(n, there - 1)) / width, x = (cell + std::min(n, there - 1)) % width;
            for (size_t i = 0; i < window; ++i, to += count) {
                const size_t row = y + i / side, column = x + i % side;  // one more than where it is
                const bool inside = row > 0 && row <= height && column > 0 && column <= width;
                if (inside) std::copy_n(mixed + ((row - 1) * width + column - 1) * count, count, to);
                else std::fill_n(to, count, 0.0f);
            }
        }
        float sums[panel_rows] = {};
        around_.run(from, [&](size_t n, size_t o, float value) { sums[n] += out_[o] * value; });
        for (size_t n = 0; n < there; ++n) out[cell + n - first] = sums[n] + out_.back();
    }
}

void classes_of(const ScoreClasses& classes, const float* octaves, size_t cells, uint8_t* out) {
    const auto last = static_cast<float>(classes.count - 1);
    for (size_t cell = 0; cell < cells; ++cell) {
        const float score = octaves[cell] > classes.least ? octaves[cell] : classes.least;
        const float steps = std::nearbyint((classes.knee - score) * classes.by);  // ties to even
        out[cell] = static_cast<uint8_t>(std::min(steps > 0 ? steps : 0.0f, last));
    }
}

}  // namespace midstream
