// Checks what a profile says of an entropy model.
#include "entropy_model.hpp"

#include <algorithm>
#include <cstdlib>
#include <stdexcept>
#include <utility>

namespace midstream::entropy {

namespace {

// With more, 256 times the magnitudes of a cell, each up to 255, could overflow.
constexpr size_t most_coefficients = 1 << 14;
constexpr int32_t largest_short = 32767, largest_outs = 1 << 19, largest_offset = 1 << 29;

void require(bool ok, const char* what) {
    if (!ok) throw std::invalid_argument(what);
}

// Units are below 2^15, whatever the inputs are; a sixteenth of them, times weights of 2^19 in all, is below 2^30.
template <class Network>
void check_network(const Network& network, size_t items) {
    require(network.bias.size() == items * Network::units, "entropy model: biases");
    int32_t outs = 0;
    for (size_t unit = 0; unit < Network::units; ++unit) {
        int32_t most = 0, reach = 0;
        for (size_t item = 0; item < items; ++item)
            most = std::max(most, std::abs(int32_t{network.bias[item * Network::units + unit]}));
        for (const auto& weights : network.weights) reach += std::abs(int32_t{weights[unit]});
        require(most + reach * largest_input <= largest_short, "entropy model: a unit could overflow");
        require(network.out[unit] >= -largest_outs && network.out[unit] <= largest_outs, "entropy model: an output could overflow");
        outs += std::abs(network.out[unit]);
    }
    require(outs <= largest_outs && network.offset >= -largest_offset && network.offset <= largest_offset, "entropy model: an output could overflow");
}

template <class Row>
void check_rows(const std::vector<Row>& rows, size_t count) {
    require(rows.size() == count, "entropy model: rows");
    for (const auto& row : rows) {
        require(row.front() == 0 && row.back() == rans::whole, "entropy model: a row that does not add up");
        for (size_t symbol = 0; symbol + 1 < row.size(); ++symbol)
            require(row[symbol] < row[symbol + 1], "entropy model: a symbol without a place");
    }
}

int32_t pair(int32_t first, int32_t second) {
    return static_cast<int32_t>(static_cast<uint16_t>(first) | uint32_t{static_cast<uint16_t>(second)} << 16);
}

Model::Pairs pairs_of(const decltype(Statistics::values)& network) {
    Model::Pairs out;
    const auto weight = [&](size_t input, size_t unit) {
        return input < network.inputs ? network.weights[input][unit] : 0;
    };
    for (size_t unit = 0; unit < value_units; ++unit) {
        for (size_t p = 0; p < Model::Pairs::of_value; ++p)
            out.weights[unit][p] = pair(weight(2 * p, unit), weight(2 * p + 1, unit));
        for (size_t p = 0; p < Model::Pairs::of_band; ++p) {
            const size_t input = value_inputs + 2 * p;
            out.common[p][unit] = pair(weight(input, unit), weight(input + 1, unit));
        }
    }
    for (size_t unit = 0; unit < value_units; unit += 2) {
        const int32_t first = network.out[unit], second = network.out[unit + 1];
        out.out_high[unit / 2] = pair(first >> 8, second >> 8), out.out_low[unit / 2] = pair(first & 255, second & 255);
    }
    return out;
}

}  // namespace

Model::Model(Statistics statistics) : statistics_(std::move(statistics)) {
    coefficients_ = statistics_.values.bias.size() / value_units;
    bands_ = (coefficients_ + band - 1) / band;
    require(coefficients_ > 0, "entropy model: no coefficients");
    require(coefficients_ <= most_coefficients, "entropy model: more than 16384 coefficients");
    check_network(statistics_.values, coefficients_);
    check_network(statistics_.flags, bands_);
    check_rows(statistics_.value_rows, value_distributions);
    check_rows(statistics_.flag_rows, flag_distributions);
    check_rows(statistics_.importance_rows, 64);
    laid_out_.assign(bands_ * value_units * band, 0);
    for (size_t k = 0; k < coefficients_; ++k)
        for (size_t unit = 0; unit < value_units; ++unit)
            laid_out_[(k / band * value_units + unit) * band + k % band] = statistics_.values.bias[k * value_units + unit];
    value_starts_.assign(value_distributions * places_room, 0);
    for (size_t row = 0; row < value_distributions; ++row)
        std::copy(statistics_.value_rows[row].begin(), statistics_.value_rows[row].end(), &value_starts_[row * places_room]);
    pairs_ = pairs_of(statistics_.values);
}

}  // namespace midstream::entropy
