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
    const int16_t* scales;      // [components]: log2 of the standard deviation, in eighths, as steps are
    const uint16_t* references;  // [components, 2]: how many components back a related one lies; 0 for none
};

// How finely one picture is quantised: log2 of the step of each class of places, in eighths.
struct ComponentSteps {
    const int16_t* steps;  // [classes]
    size_t classes;
};

// Everything that the coder has learnt: the states of its slots (mixing.hpp), the weights of its mixer, and how often
// each of the mixer's sets has learnt. A profile holds one to begin with.
size_t component_slots();
size_t component_sets();
size_t component_state_size();
void component_state_reset(uint32_t* state);

// Quantises and codes. `values` [components, cells] are in steps; what is chosen for each, the one of least squared
// error plus `lambda` times the bits that the coder takes for it, is left in `chosen`. `places` [cells] are below
// steps.classes. `offsets` [component_levels, reconstruction_classes], in 64ths of a step, are added to a magnitude by
// the decoder. `state` is what the coder begins with and becomes what it has learnt.
std::vector<uint8_t> components_encode(const float* values, const uint8_t* places, const ComponentGrid& grid,
                                       const ComponentStatistics& statistics, const ComponentSteps& steps,
                                       const int8_t* offsets, float lambda, uint32_t* state, int32_t* chosen);
// False when the data is not valid.
bool components_decode(const uint8_t* data, size_t bytes, const ComponentGrid& grid,
                       const ComponentStatistics& statistics, const ComponentSteps& steps, uint32_t* state,
                       uint8_t* places, int32_t* chosen);
// The level of expected magnitude of each component in each class of places, [components, classes].
void components_levels(size_t components, const ComponentStatistics& statistics, const ComponentSteps& steps,
                       uint8_t* levels);

}  // namespace midstream
