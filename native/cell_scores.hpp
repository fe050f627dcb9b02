// How much a network sees in the cells of a grid, by the probe of a profile: docs/method.md, "Importance map". What comes of
// each cell's elements is in first_whole.hpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "pages.hpp"

namespace midstream {

// A layer of the probe: rows [outputs, inputs] and a bias [outputs]. Never changes.
class ScoreLayer {
   public:
    ScoreLayer(const float* rows, const float* bias, size_t inputs, size_t outputs);

    size_t inputs() const { return inputs_; }
    size_t outputs() const { return bias_.size(); }
    // rows * input + bias, as take(n, o, value), of `panel_rows` inputs.
    template <class Take>
    void run(const float* const* from, const Take& take) const;

   private:
    size_t inputs_;
    Table<float> panels_;
    std::vector<float> bias_;
};

// What the features of a cell come to: numbers, to which those of other groups are added.
class CellMix {
   public:
    explicit CellMix(ScoreLayer layer) : layer_(std::move(layer)) {}

    size_t features() const { return layer_.inputs(); }
    size_t mixed() const { return layer_.outputs(); }
    // Numbers [cells, mixed()] of cells from their features [cells, features()].
    void mix(const float* features, size_t cells, float* mixed) const;

   private:
    ScoreLayer layer_;
};

// Scores from these numbers. Never changes: any number of threads may use it at once.
class CellScores {
   public:
    // `around` of 3x3 cells, row by row, and for each map `out` [around.outputs() + 1] of that and a one.
    // std::invalid_argument where they do not belong together.
    CellScores(ScoreLayer around, size_t mixed, const float* out, size_t maps);

    size_t mixed() const { return mixed_; }
    size_t maps() const { return maps_; }
    // log2 of the scores of rows [top, bottom) of each map, `stride` apart, from the numbers of all cells [height, width];
    // there is nothing beyond the border.
    void octaves(const float* mixed, size_t height, size_t width, size_t top, size_t bottom, float* out, size_t stride) const;

   private:
    ScoreLayer around_;
    size_t mixed_, maps_;
    std::vector<float> out_;
};

// Classes from log2 of scores: so many, one more for each `1 / by` octaves that a score is below `knee`.
struct ScoreClasses {
    float least, knee, by;  // a score below the least one is like it
    int count;
};
void classes_of(const ScoreClasses& classes, const float* octaves, size_t cells, uint8_t* out);

}  // namespace midstream
