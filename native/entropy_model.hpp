// How probable each value of a coefficient is: a small network, fitted in calibration, looks at what has been decoded
// around it and says which of a list of distributions it has. All of it is whole numbers that cannot overflow, so that
// every machine parses the same symbols. docs/format.md is normative ("Entropy model").
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "pages.hpp"
#include "rans.hpp"

namespace midstream::entropy {

constexpr size_t band = 16;  // coefficients that share a flag, which says whether any of them is not zero
constexpr int largest_input = 127;

// Of a value: its expected magnitude, the magnitudes to the west, north, north-west and north-east, and what surrounds
// those beside what is expected; then, of a band, see inputs_of_band.
constexpr size_t value_inputs = 6, band_inputs = 7, value_units = 16;
constexpr size_t value_distributions = 128, value_symbols = 16;
// Of a flag: see FlagInputs.
constexpr size_t flag_inputs = 10, flag_units = 8, flag_distributions = 64;

// Symbols of magnitudes: each stands for those from `symbol_base` on, told apart by so many bits. What the last one
// stands for is escaped.
inline constexpr std::array<int32_t, value_symbols> symbol_base = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 16, 24, 40, 72};
inline constexpr std::array<int, value_symbols - 1> symbol_bits = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5};
constexpr int escape_order = 6;  // of the exponential Golomb code of what is left above the last base

// A network of one hidden layer: units are what is positive of bias + sum of weights * inputs, and the output is
// offset + sum of out * (unit >> 4).
template <size_t inputs_, size_t units_>
struct Network {
    static constexpr size_t inputs = inputs_, units = units_;
    std::vector<int16_t> bias;                               // [items, units]
    std::array<std::array<int16_t, units>, inputs> weights;  // transposed
    std::array<int32_t, units> out;
    int32_t offset;
};

struct Statistics {
    Network<value_inputs + band_inputs, value_units> values;  // an item a coefficient
    Network<flag_inputs, flag_units> flags;                   // an item a band
    std::vector<rans::Row<value_symbols>> value_rows;         // [value_distributions]
    std::vector<rans::Row<2>> flag_rows;                      // [flag_distributions]
    std::vector<rans::Row<8>> importance_rows;                // [64]: by the classes to the west and north
};

// Never changes: any number of threads may use it at once.
class Model {
   public:
    // Throws std::invalid_argument where sizes disagree, a sum could overflow, or a row gives a symbol no place.
    explicit Model(Statistics statistics);

    size_t coefficients() const { return coefficients_; }
    size_t bands() const { return bands_; }
    const Statistics& statistics() const { return statistics_; }
    // [bands, value_units, band]: of the coefficients of a band side by side.
    const int16_t* biases(size_t b) const { return &laid_out_[b * value_units * band]; }
    // Where the symbols of a row of `values` begin, and `whole`: a line of a cache.
    const uint16_t* value_starts(size_t row) const { return &value_starts_[row * places_room]; }
    // Where a one begins in a row of `flags`.
    uint32_t flag_start(size_t row) const { return statistics_.flag_rows[row][1]; }

    // The network of values in pairs of numbers of 16 bits, the first one below: inputs of a value, for each unit; inputs of
    // a band, for all units side by side; what is put out of two units, in two parts, of which the higher counts 256.
    struct Pairs {
        static constexpr size_t of_value = value_inputs / 2, of_band = (band_inputs + 1) / 2;
        std::array<std::array<int32_t, of_value>, value_units> weights;
        std::array<std::array<int32_t, value_units>, of_band> common;
        std::array<int32_t, value_units / 2> out_high, out_low;
    };
    const Pairs& pairs() const { return pairs_; }

   private:
    static constexpr size_t places_room = cache_line / sizeof(uint16_t);

    Statistics statistics_;
    size_t coefficients_, bands_;
    std::vector<int16_t> laid_out_;
    Table<uint16_t> value_starts_;
    Pairs pairs_;
};

}  // namespace midstream::entropy
