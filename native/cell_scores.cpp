#include "cell_scores.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "panels.hpp"

namespace midstream {
namespace {

constexpr size_t side = 3, window = side * side;  // of cells
float leaky(float value) { return std::max(value, 0.125f * value); }

}  // namespace

ScoreLayer::ScoreLayer(const float* rows, const float* bias, size_t inputs, size_t outputs)
    : inputs_(inputs), panels_(panels_of(outputs) * inputs * panel_width), bias_(bias, bias + outputs) {
    std::vector<float> columns(inputs * outputs);
    for (size_t o = 0; o < outputs; ++o)
        for (size_t i = 0; i < inputs; ++i) columns[i * outputs + o] = rows[o * inputs + i];
    pack_panels(columns.data(), inputs, outputs, panels_.data());
}

template <class Take>
void ScoreLayer::run(const float* const* from, const Take& take) const {
    alignas(cache_line) float sums[panel_rows * panel_width];
    for (size_t p = 0; p < outputs(); p += panel_width) {
        panel_sums(from, panel_rows, inputs_, &panels_[p * inputs_], sums);
        for (size_t n = 0; n < panel_rows; ++n)
            for (size_t o = p; o < std::min(p + panel_width, outputs()); ++o)
                take(n, o, sums[n * panel_width + o - p] + bias_[o]);
    }
}

void CellMix::mix(const float* features, size_t cells, float* mixed) const {
    for (size_t cell = 0; cell < cells; cell += panel_rows) {
        const size_t count = std::min(panel_rows, cells - cell);
        const float* from[panel_rows];
        for (size_t n = 0; n < panel_rows; ++n) from[n] = features + (cell + std::min(n, count - 1)) * layer_.inputs();
        layer_.run(from, [&](size_t n, size_t o, float value) {
            if (n < count) mixed[(cell + n) * layer_.outputs() + o] = value;
        });
    }
}

CellScores::CellScores(ScoreLayer around, size_t mixed, const float* out, size_t maps)
    : around_(std::move(around)), mixed_(mixed), maps_(maps), out_(out, out + maps * (around_.outputs() + 1)) {
    if (around_.inputs() != window * mixed) throw std::invalid_argument("cell scores: shapes");
}

void CellScores::octaves(const float* mixed, size_t height, size_t width, size_t top, size_t bottom, float* out,
                         size_t stride) const {
    const size_t first = top * width, cells = bottom * width;
    std::vector<float> inputs(panel_rows * around_.inputs()), sums(panel_rows * maps_);
    for (size_t cell = first; cell < cells; cell += panel_rows) {
        const size_t there = std::min(panel_rows, cells - cell);
        const float* from[panel_rows];
        for (size_t n = 0; n < panel_rows; ++n) {
            float* to = &inputs[n * around_.inputs()];
            from[n] = to;
            const size_t y = (cell + std::min(n, there - 1)) / width, x = (cell + std::min(n, there - 1)) % width;
            for (size_t i = 0; i < window; ++i, to += mixed_) {
                const size_t row = y + i / side, column = x + i % side;  // one more than where it is
                const bool inside = row > 0 && row <= height && column > 0 && column <= width;
                const float* cell_of = inside ? mixed + ((row - 1) * width + column - 1) * mixed_ : nullptr;
                for (size_t m = 0; m < mixed_; ++m) to[m] = inside ? leaky(cell_of[m]) : 0.0f;
            }
        }
        std::fill(sums.begin(), sums.end(), 0.0f);
        around_.run(from, [&](size_t n, size_t o, float value) {
            for (size_t map = 0; map < maps_; ++map)
                sums[n * maps_ + map] += out_[map * (around_.outputs() + 1) + o] * leaky(value);
        });
        for (size_t n = 0; n < there; ++n)
            for (size_t map = 0; map < maps_; ++map)
                out[map * stride + cell + n - first] =
                    sums[n * maps_ + map] + out_[map * (around_.outputs() + 1) + around_.outputs()];
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
