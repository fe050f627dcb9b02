// Quantised transform coefficients: over the cells of a grid a map of whole numbers each.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "neighbours.hpp"
#include "whole_neighbours.hpp"

namespace midstream {

namespace entropy {
class Model;
}

constexpr int most_importance_classes = 8;
constexpr int most_frame_modes = 4;        // ways to predict a cell from the frame before, standing alone included
constexpr int coefficient_levels = 32;     // of expected magnitude
constexpr int reconstruction_classes = 3;  // magnitudes 1, 2 and all that are larger
constexpr float usual_bit_worth = 0.02f;
constexpr int32_t largest_coefficient = 1 << 20;

struct CoefficientGrid {
    size_t coefficients, height, width;
    size_t cells() const { return height * width; }
};

// What a profile knows of the coefficients of a group.
struct CoefficientStatistics {
    std::vector<int16_t> scales;       // [coefficients]: log2 of the standard deviation, in eighths, as steps are
    std::vector<uint16_t> references;  // [coefficients, 2]: how many coefficients back a related one lies; 0 for none
    std::vector<int8_t> offsets;       // [coefficient_levels, reconstruction_classes]: by how much, in 64ths of a step,
                                       // what became a magnitude is larger than it
    // What is expected of a cell from its neighbours to the west, north and north-east: [3, inputs, outputs]. The first
    // `inputs` coefficients of each say something of the first `outputs` of the cell.
    std::vector<float> prediction;
    size_t inputs, outputs;
    bool whole = false;  // whether that is in whole numbers, as in profiles of version 3
    // What codes frames that stand alone, from version 4 on; without it that is context mixing.
    std::shared_ptr<const entropy::Model> entropy = {};
};

// How finely one image is quantised.
struct CoefficientSteps {
    const int16_t* indices;  // [classes]: log2 of the step size of each importance class, in eighths
    const float* sizes;      // [classes]: the step sizes themselves
    size_t classes;
    float bit_worth = usual_bit_worth;  // of an encoder: squared error, in steps, for which it spends a bit
};

// An image's coefficients: where they are of which importance, and what they are, cell by cell.
struct CoefficientImage {
    uint8_t* importance;  // [cells], below the number of classes
    bool known;           // whether the decoder has the importance map from elsewhere, so that it is not coded
    int32_t* chosen;      // [cells, coefficients]: what each became; may be null
    float* decoded;       // [cells, coefficients]: what a decoder makes of it
    int8_t* symbols;      // [cells, coefficients]: the same as `chosen` within +-127; may be null
    // Of an encoder with an entropy model. Of how many of a cell's coefficients `decoded` tells, at least those that the
    // cells after it are predicted from; 0 for all. And how many parts (second_stage.hpp) there are of each cell, [cells]:
    // what is behind them is zero, whatever the values say. All of them, if that is null.
    size_t told = 0;
    const uint8_t* parts = nullptr;
    // What the first `outputs` of each cell are expected to be from other groups, [cells, outputs]: only what is left is
    // coded, and `decoded` is with it.
    const float* expected = nullptr;
    size_t outputs = 0;
};

// How cells are predicted from the frame before. In mode 0 a cell stands alone; in mode m > 0 each coefficient is
// expected to be what it was, times a gain, and what is left has deviations of its own.
struct FramePredictors {
    size_t modes;                 // mode 0 included
    std::vector<float> gains;     // [modes - 1, coefficients]
    std::vector<int16_t> scales;  // [modes - 1, coefficients]: as CoefficientStatistics has them
};

// What a decoder keeps of a frame, and what the next one is predicted from.
struct FrameReference {
    const float* values;        // [cells, coefficients]
    const int8_t* symbols;      // [cells, coefficients]
    const uint8_t* importance;  // [cells]
    const uint8_t* modes;       // [cells]
};

// Called with how many rows of a grid are decoded, for what comes next to begin with them.
using RowsDone = std::function<void(size_t)>;

// Everything that the coder has learnt: the states of its slots (mixing.hpp), the weights of its mixer, and how often
// each of the mixer's sets has learnt. A profile holds one to begin with.
size_t coefficient_slots();
size_t coefficient_sets();
size_t coefficient_state_size();
void coefficient_state_reset(uint32_t* state);
// Copies what coding so many coefficients looks at: many slots are of one coefficient each.
void coefficient_state_copy(const uint32_t* from, size_t coefficients, uint32_t* to);
// The same of predicted frames. What lies from `carried` on is handed on from frame to frame; what comes before it
// begins anew with each.
size_t frame_slots();
size_t frame_state_size();
size_t frame_state_carried();
// What predicted frames begin with where nobody has trained it: what frames that stand alone begin with, as far as it
// goes.
void frame_state_from(const uint32_t* alone, uint32_t* state);

// Codes with the statistics of one group. Never changes: any number of threads may use it at once.
class CoefficientModel {
   public:
    // Throws std::invalid_argument where sizes disagree or a reference leads to no coefficient.
    explicit CoefficientModel(CoefficientStatistics statistics);

    size_t coefficients() const { return statistics_.scales.size(); }
    // The level of expected magnitude of each coefficient in each importance class, [classes, coefficients].
    void levels(const CoefficientSteps& steps, uint8_t* levels) const;
    // Quantises and codes `values` [cells, coefficients] (coefficients_chooser.hpp). Writes image.chosen and image.decoded.
    // `state` is what the coder begins with and becomes what it has learnt.
    std::vector<uint8_t> encode(const float* values, const CoefficientGrid& grid, const CoefficientSteps& steps,
                                uint32_t* state, const CoefficientImage& image) const;
    // False when the data is not valid. Writes image.chosen, if it is there, image.decoded, and image.importance unless
    // that is known. Where cells are predicted in whole numbers, `done` is called for each row, with an expectation one row
    // late and never for the last.
    bool decode(const uint8_t* data, size_t bytes, const CoefficientGrid& grid, const CoefficientSteps& steps,
                uint32_t* state, const CoefficientImage& image, const RowsDone& done = {}) const;

    const CoefficientStatistics& statistics() const { return statistics_; }
    // What a magnitude, 1 or more, stands for, in steps.
    float reconstruction(uint32_t level, int32_t magnitude) const {
        const int32_t c = std::min(magnitude, reconstruction_classes) - 1;
        const int8_t offset = statistics_.offsets[level * reconstruction_classes + static_cast<uint32_t>(c)];
        return static_cast<float>(magnitude) + static_cast<float>(offset) / 64;
    }
    // Of these two, one is used.
    bool whole() const { return statistics_.whole; }
    const NeighbourPrediction& neighbours() const { return neighbours_; }
    const WholeNeighbours& whole_neighbours() const { return whole_neighbours_; }

   private:
    CoefficientStatistics statistics_;
    NeighbourPrediction neighbours_;
    WholeNeighbours whole_neighbours_;
};

// Codes frames that are predicted from the one before. Never changes, either.
class FrameModel {
   public:
    // Throws std::invalid_argument where sizes disagree.
    FrameModel(CoefficientModel alone, FramePredictors predictors);

    const CoefficientModel& alone() const { return alone_; }
    const FramePredictors& predictors() const { return predictors_; }
    // As CoefficientModel's, [modes * classes, coefficients].
    void levels(const CoefficientSteps& steps, uint8_t* levels) const;
    // As CoefficientModel's; `modes` [cells] becomes how each cell is predicted. Cells that `refreshed` [cells] names, if it
    // is there, stand alone.
    std::vector<uint8_t> encode(const float* values, const CoefficientGrid& grid, const CoefficientSteps& steps,
                                uint32_t* state, const CoefficientImage& image,
                                const FrameReference& reference, uint8_t* modes,
                                const uint8_t* refreshed = nullptr) const;
    bool decode(const uint8_t* data, size_t bytes, const CoefficientGrid& grid, const CoefficientSteps& steps,
                uint32_t* state, const CoefficientImage& image, const FrameReference& reference, uint8_t* modes) const;

   private:
    CoefficientModel alone_;
    FramePredictors predictors_;
};

}  // namespace midstream
