// Coefficients coded by an entropy model, as CoefficientModel codes those of profiles that have one.
#pragma once

#include <cstdint>
#include <vector>

#include "coefficients.hpp"
#include "entropy_model.hpp"

namespace midstream::entropy {

std::vector<uint8_t> encode(const CoefficientModel& coefficients, const float* values, const CoefficientGrid& grid,
                            const CoefficientSteps& steps, const CoefficientImage& image);
bool decode(const CoefficientModel& coefficients, const uint8_t* data, size_t bytes, const CoefficientGrid& grid,
            const CoefficientSteps& steps, const CoefficientImage& image, const RowsDone& done);

// What a network is fitted to: what it looks at, and what came of it.
struct Record {
    static constexpr size_t inputs = value_inputs + band_inputs;
    std::vector<int8_t> value_inputs_of;   // [values, inputs]: of the values of bands that are not zero
    std::vector<uint16_t> coefficients;    // [values]
    std::vector<uint8_t> symbols;          // [values]
    std::vector<int8_t> flag_inputs_of;    // [flags, flag_inputs]
    std::vector<uint16_t> bands;           // [flags]
    std::vector<uint8_t> flags;            // [flags]
};
// Of coefficients [cells, coefficients] that became what they are; of one in `every` bands, by turns from `first` on.
Record record(const CoefficientModel& coefficients, const int32_t* chosen, uint8_t* importance, const CoefficientGrid& grid,
              const CoefficientSteps& steps, size_t every, size_t first);

}  // namespace midstream::entropy
