// components.cpp: quantised transform components, each a map of whole numbers over the cells of a grid.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace midstream {

constexpr int most_classes = 8;            // of places
constexpr int component_levels = 32;       // of expected magnitude
constexpr int reconstruction_classes = 3;  // magnitudes 1, 2 and all that are larger
constexpr int32_t largest_component = 1 << 20;

struct ComponentGrid {
    size_t components, height, width;
    size_t cells() const { return height * width; }
};

// What a profile knows of the components of a group.
struct ComponentStatistics {
    const int16_t* scales;       // [components]: log2 of the standard deviation, in eighths, as steps are
    const uint16_t* references;  // [components, 2]: how many components back a related one lies; 0 for none
    const int8_t* offsets;       // [component_levels, reconstruction_classes]: by how much, in 64ths of a step, what
                                 // became a magnitude is larger than it
    // What is expected of a cell from its neighbours to the west, north and north-east: [3, inputs, outputs]. The first
    // `inputs` components of each say something of the first `outputs` of the cell.
    const float* prediction;
    size_t inputs, outputs;
};

// How finely one picture is quantised.
struct ComponentSteps {
    const int16_t* steps;  // [classes]: log2 of the step of each class of places, in eighths
    const float* widths;   // [classes]: the steps themselves
    size_t classes;
};

// Everything that the coder has learnt: the states of its slots (mixing.hpp), the weights of its mixer, and how often
// each of the mixer's sets has learnt. A profile holds one to begin with.
size_t component_slots();
size_t component_sets();
size_t component_state_size();
void component_state_reset(uint32_t* state);

// A picture's components: where they are of which class, and what they are, cell by cell.
struct ComponentPicture {
    uint8_t* places;    // [cells], below steps.classes
    bool known;         // whether the decoder has the places from elsewhere, so that they are not coded
    int32_t* chosen;    // [cells, components]: what each became; may be null for a decoder
    float* decoded;     // [cells, components]: what a decoder makes of it
};

// Quantises and codes `values` [cells, components]; each becomes what costs least: squared error, in steps, plus `lambda`
// times the bits that the coder takes for it. Writes picture.chosen and picture.decoded. `state` is what the coder begins
// with and becomes what it has learnt.
std::vector<uint8_t> components_encode(const float* values, const ComponentGrid& grid,
                                       const ComponentStatistics& statistics, const ComponentSteps& steps, float lambda,
                                       uint32_t* state, const ComponentPicture& picture);
// False when the data is not valid. Writes picture.chosen, if it is there, picture.decoded, and the places unless they are known.
bool components_decode(const uint8_t* data, size_t bytes, const ComponentGrid& grid,
                       const ComponentStatistics& statistics, const ComponentSteps& steps, uint32_t* state,
                       const ComponentPicture& picture);
// The level of expected magnitude of each component in each class of places, [components, classes].
void components_levels(size_t components, const int16_t* scales, const int16_t* steps, size_t classes, uint8_t* levels);

}  // namespace midstream
