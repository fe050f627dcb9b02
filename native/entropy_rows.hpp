// Which rows the values of a band have, as the network of an entropy model says: a kernel of its own, because it is most
// of what coding takes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "entropy_inputs.hpp"
#include "entropy_model.hpp"

namespace midstream::entropy {

// What is known of a band: what is expected of its coefficients from `from` on, the cells around, and of all of them.
struct BandSight {
    const Expected::Class& expected;
    const Neighbours& near;
    size_t from;
    const std::array<int16_t, band_inputs>& of_band;
};

// The row of each value, [band].
using ValueRows = void (*)(const Model& model, const BandSight& sight, uint8_t* rows);

// That of the path in force. All of them give the same.
ValueRows value_rows();

}  // namespace midstream::entropy
