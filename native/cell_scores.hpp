// How much a network sees in the cells of a grid, by the probe of a profile: docs/method.md, "Importance map". What comes of
// each cell's elements is in first_whole.hpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "aligned.hpp"

namespace midstream {

// Never changes: any number of threads may use it at once.
class CellScores {
   public:
    struct Layer {
        const float *rows, *bias;  // [outputs, inputs], [outputs]
        size_t inputs, outputs;
    };
    // `mix` of the features of a cell, `around` of what that makes of 3x3 cells, row by row, and `out` [around.outputs + 1]
    // of that and a one. std::invalid_argument where they do not belong together.
    CellScores(const Layer& mix, const Layer& around, const float* out);

    size_t features() const { return mix_.inputs; }
    size_t mixed() const { return mix_.outputs; }
    // Numbers [cells, mixed()] of cells from their features [cells, features()].
    void mix(const float* features, size_t cells, float* mixed) const;
    // log2 of the scores of rows [top, bottom), from the numbers of all cells [height, width]; there is nothing beyond the
    // border.
    void octaves(const float* mixed, size_t height, size_t width, size_t top, size_t bottom, float* out) const;

   private:
    struct Packed {
        explicit Packed(const Layer& layer);
        // leaky(rows * input + bias), [outputs], of `panel_rows` inputs.
        template <class Take>
        void run(const float* const* from, const Take& take) const;
        size_t inputs, outputs;
        AlignedVector<float> panels;
        std::vector<float> bias;
    };
    Packed mix_, around_;
    std::vector<float> out_;
};

// Classes from log2 of scores: so many, one more for each `1 / by` octaves that a score is below `knee`.
struct ScoreClasses {
    float least, knee, by;  // a score below the least one is like it
    int count;
};
void classes_of(const ScoreClasses& classes, const float* octaves, size_t cells, uint8_t* out);

}  // namespace midstream
