// Codes the coefficients of a grid by an entropy model: cell after cell which bands are not zero, then the magnitudes of
// those and their signs. docs/format.md is normative ("Entropy model").
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "coefficients.hpp"
#include "coefficients_contexts.hpp"
#include "entropy_inputs.hpp"
#include "entropy_model.hpp"
#include "shorts.hpp"

namespace midstream::entropy {

// Which distribution a value of a band has, [band]. `biases` are those of the band, see Model::biases.
MIDSTREAM_INLINE void distributions(const Statistics& by, const int16_t* biases, const ValueInputs& values,
                                    const std::array<int16_t, band_inputs>& of_band, std::array<uint8_t, band>& out) {
    const auto& network = by.values;
    using Shorts = ShortVectors<value_units>::Shorts;
    const auto weights_of = [&](size_t input) { return loaded<Shorts>(network.weights[input].data()); };
    Shorts common = weights_of(value_inputs) * ShortVectors<value_units>::all(of_band[0]);
    for (size_t i = 1; i < band_inputs; ++i)
        common = common + weights_of(value_inputs + i) * ShortVectors<value_units>::all(of_band[i]);
    std::array<int16_t, value_units> commons;
    stored(common, commons.data());
    std::array<int32_t, band> sums;
    sums.fill(network.offset);
    for (size_t unit = 0; unit < value_units; ++unit) {
        std::array<int16_t, band> units;
        for (size_t i = 0; i < band; ++i) units[i] = static_cast<int16_t>(biases[unit * band + i] + commons[unit]);
        for (size_t input = 0; input < value_inputs; ++input) {
            const int16_t weight = network.weights[input][unit];
            for (size_t i = 0; i < band; ++i) units[i] = static_cast<int16_t>(units[i] + weight * values[input][i]);
        }
        const int32_t weight = network.out[unit];
        for (size_t i = 0; i < band; ++i) sums[i] += weight * (std::max<int16_t>(units[i], 0) >> 4);
    }
    for (size_t i = 0; i < band; ++i)
        out[i] = static_cast<uint8_t>(std::clamp(sums[i] >> 16, 0, static_cast<int>(value_distributions) - 1));
}

MIDSTREAM_INLINE size_t distribution(const Network<flag_inputs, flag_units>& network, size_t b,
                                     const std::array<int16_t, flag_inputs>& inputs) {
    using Vectors = ShortVectors<flag_units>;
    using Shorts = Vectors::Shorts;
    Shorts sum = loaded<Shorts>(&network.bias[b * flag_units]);
    for (size_t i = 0; i < flag_inputs; ++i)
        sum = sum + loaded<Shorts>(network.weights[i].data()) * Vectors::all(inputs[i]);
    const Vectors::Longs parts =
        Vectors::wide(Vectors::positive(sum) >> 4) * loaded<Vectors::Longs>(network.out.data());
    int32_t row = network.offset;
    for (size_t unit = 0; unit < flag_units; ++unit) row += parts[unit];
    return static_cast<size_t>(std::clamp(row >> 16, 0, static_cast<int>(flag_distributions) - 1));
}

// The symbol of a magnitude.
MIDSTREAM_INLINE uint32_t symbol_of(int32_t magnitude) {
    if (magnitude < 10) return static_cast<uint32_t>(magnitude);
    uint32_t symbol = 10;
    while (symbol + 1 < value_symbols && magnitude >= symbol_base[symbol + 1]) ++symbol;
    return symbol;
}

template <class End, class Chooser>
class Coder {
   public:
    // `levels` [classes, coefficients], as the model of coefficients has them.
    Coder(End& end, const Model& model, const CoefficientModel& coefficients, const CoefficientGrid& grid,
          const CoefficientSteps& steps, const CoefficientImage& image, const std::vector<uint8_t>& levels)
        : end_(end), model_(model), by_(model.statistics()), coefficients_(coefficients), grid_(grid), steps_(steps),
          image_(image), levels_(levels), expected_(coefficients.statistics().scales.data(), levels, steps, grid.coefficients),
          cells_(model.bands(), grid.width), sums_(cells_.padded()),
          around_(coefficients.whole_neighbours(), image.decoded, grid.coefficients, grid.width),
          alone_(std::max(cells_.padded(), coefficients.whole_neighbours().predicted())), values_(cells_.padded()),
          magnitudes_(cells_.padded()), flags_(model.bands() + 1) {}

    // False when what is read is not valid.
    MIDSTREAM_INLINE bool run(Chooser& chooser, const RowsDone& done) {
        if (!image_.known && !code_importance()) return false;
        for (size_t y = 0; y < grid_.height; ++y) {
            for (size_t x = 0; x < grid_.width; ++x)
                if (!code_cell(y, x, chooser)) return false;
            if constexpr (!Chooser::decides) {
                add_expected(y);
                if (done) done(y + 1);
            }
        }
        return true;
    }

   private:
    bool code_importance() {
        for (size_t y = 0; y < grid_.height; ++y)
            for (size_t x = 0; x < grid_.width; ++x) {
                uint8_t* at = image_.importance + y * grid_.width + x;
                const size_t west = x ? at[-1] : y ? at[-static_cast<ptrdiff_t>(grid_.width)] : 0;
                const size_t north = y ? at[-static_cast<ptrdiff_t>(grid_.width)] : west;
                uint32_t importance = *at;
                end_.code(x, by_.importance_rows[west * most_importance_classes + north], importance);
                if (importance >= steps_.classes || end_.overrun()) return false;
                *at = static_cast<uint8_t>(importance);
            }
        return true;
    }

    // To the cells of a row, of which the differences to what is expected were read.
    void add_expected(size_t y) {
        const size_t predicted = std::min(grid_.coefficients, coefficients_.whole_neighbours().predicted());
        for (size_t x = 0; x < grid_.width; ++x) {
            around_.predict(y, x, alone_.data());
            float* decoded = image_.decoded + (y * grid_.width + x) * grid_.coefficients;
            for (size_t k = 0; k < predicted; ++k) decoded[k] = alone_[k] + decoded[k];
        }
    }

    MIDSTREAM_INLINE bool code_cell(size_t y, size_t x, Chooser& chooser) {
        const size_t cell = y * grid_.width + x, importance = image_.importance[cell], at = cell * grid_.coefficients;
        const uint8_t* levels = &levels_[importance * grid_.coefficients];
        const Neighbours near = cells_.around(y, x);
        if constexpr (Chooser::decides) {
            around_.predict(y, x, alone_.data());
            std::copy_n(alone_.data(), grid_.coefficients, image_.decoded + at);
            for (size_t b = 0; b < model_.bands(); ++b)
                flags_[b] = chooser.choose(cell, importance, levels, b * band, alone_.data(), &values_[b * band]);
        } else {
            std::fill_n(image_.decoded + at, grid_.coefficients, 0.0f);
        }
        if (image_.symbols) std::fill_n(image_.symbols + at, grid_.coefficients, int8_t{0});
        const Expected::Class expected = expected_.of(importance);
        const int32_t used = code_flags(expected, near, importance);
        if (end_.overrun()) return false;
        if (!code_values(expected, near, cell, importance, levels, used)) return false;
        if (used)
            sums_.write(magnitudes_.data(), cells_.padded(), near.here.sums);
        else
            std::fill_n(near.here.sums, cells_.padded(), uint16_t{0});
        return true;
    }

    MIDSTREAM_INLINE int32_t code_flags(const Expected::Class& expected, const Neighbours& near, size_t importance) {
        Flags flags;
        for (size_t b = 0; b < model_.bands(); ++b) {
            std::array<int16_t, flag_inputs> inputs;
            flags.inputs(expected, near, importance, b, inputs);
            uint32_t flag = flags_[b];
            if constexpr (End::records)
                end_.record_flag(b, inputs, flag);
            else
                end_.code(b, by_.flag_rows[distribution(by_.flags, b, inputs)], flag);
            flags_[b] = static_cast<uint8_t>(flag);
            flags.add(flag);
        }
        return flags.used;
    }

    MIDSTREAM_INLINE bool code_values(const Expected::Class& expected, const Neighbours& near, size_t cell,
                                      size_t importance, const uint8_t* levels, int32_t used) {
        Strength strength;
        int32_t left = used;
        for (size_t b = 0; b < model_.bands(); ++b) {
            const size_t from = b * band;
            int32_t sum = 0;
            if (flags_[b]) {
                std::array<int16_t, band_inputs> of_band;
                strength.inputs(expected, importance, b, flags_[b + 1] != 0, used, left--, of_band);
                ValueInputs inputs;
                inputs_of_values(expected, near, from, inputs);
                if (!code_band(inputs, of_band, from)) return false;
                sum = keep(cell, importance, levels, from, near.here);
            } else {
                std::fill_n(near.here.magnitudes + from, band, uint8_t{0});
                std::fill_n(&magnitudes_[from], band, uint8_t{0});
            }
            near.here.bands[b] = static_cast<uint8_t>(limited(eighths(sum)));
            strength.add(sum);
        }
        return true;
    }

    // Into `values_`, what they are.
    MIDSTREAM_INLINE bool code_band(const ValueInputs& inputs, const std::array<int16_t, band_inputs>& of_band, size_t from) {
        const size_t count = std::min(band, grid_.coefficients - from);
        if constexpr (End::records) {
            end_.record_band(from, count, inputs, of_band, &values_[from]);
            return true;
        }
        std::array<uint8_t, band> by;
        distributions(by_, model_.biases(from / band), inputs, of_band, by);
        uint32_t negative = 0;
        int signs = 0;
        for (size_t i = 0; i < count; ++i) {
            int32_t& value = values_[from + i];
            int32_t magnitude = std::abs(value);
            if (!code_magnitude(i, by_.value_rows[by[i]], magnitude)) return false;
            if constexpr (Chooser::decides)
                if (value) negative |= static_cast<uint32_t>(value < 0) << signs;
            if constexpr (!Chooser::decides) value = magnitude;
            signs += magnitude != 0;
        }
        code_signs(signs, negative);
        if constexpr (!Chooser::decides) put_signs(from, count, negative);
        return !end_.overrun();
    }
    MIDSTREAM_INLINE void code_signs(int signs, uint32_t& negative) {
        constexpr int most = 8;
        if (signs == 0) return;
        uint32_t low = negative & ((1u << most) - 1), high = negative >> most;
        end_.bits(0, std::min(signs, most), low);
        if (signs > most)
            end_.bits(1, signs - most, high);
        else
            high = 0;
        negative = low | high << most;
    }
    MIDSTREAM_INLINE void put_signs(size_t from, size_t count, uint32_t negative) {
        for (size_t i = 0; i < count; ++i) {
            int32_t& value = values_[from + i];
            const int32_t some = value != 0, minus = -static_cast<int32_t>(negative & static_cast<uint32_t>(some));
            value = (value ^ minus) - minus;
            negative >>= some;
        }
    }

    MIDSTREAM_INLINE bool code_magnitude(size_t lane, const rans::Row<value_symbols>& row, int32_t& magnitude) {
        uint32_t symbol = Chooser::decides ? symbol_of(magnitude) : 0;
        end_.code(lane, row, symbol);
        if (symbol < 10) {
            magnitude = static_cast<int32_t>(symbol);
            return true;
        }
        uint32_t more = static_cast<uint32_t>(magnitude - symbol_base[symbol]);
        if (symbol + 1 < value_symbols)
            end_.bits(lane, symbol_bits[symbol], more);
        else if (!code_escape(lane, more))
            return false;
        magnitude = symbol_base[symbol] + static_cast<int32_t>(more);
        return magnitude <= largest_coefficient;
    }
    // Exponential Golomb code: how many bits more than `escape_order` there are, in unary, then these.
    bool code_escape(size_t lane, uint32_t& value) {
        const uint32_t above = value + (1u << escape_order);
        const int wanted = std::bit_width(above) - 1 - escape_order;
        int length = 0;
        for (;; ++length) {
            uint32_t longer = wanted > length;
            end_.bits(lane, 1, longer);
            if (!longer) break;
            if (length == coefficients::longest_escape) return false;
        }
        uint32_t read = 1;
        for (int left = length + escape_order; left > 0;) {
            const int count = std::min(left, 8);
            left -= count;
            uint32_t part = above >> left & ((1u << count) - 1);
            end_.bits(lane, count, part);
            read = read << count | part;
        }
        value = read - (1u << escape_order);
        return true;
    }

    // The values of a band, as they are now known; the sum of their magnitudes.
    MIDSTREAM_INLINE int32_t keep(size_t cell, size_t importance, const uint8_t* levels, size_t from, const Cell& here) {
        const size_t count = std::min(band, grid_.coefficients - from), at = cell * grid_.coefficients + from;
        int32_t sum = 0;
        for (size_t i = 0; i < band; ++i) {
            const int32_t value = i < count ? values_[from + i] : 0, magnitude = std::min(std::abs(value), 255);
            magnitudes_[from + i] = static_cast<uint8_t>(magnitude);
            here.magnitudes[from + i] = static_cast<uint8_t>(eighths(magnitude));
            sum += magnitude;
        }
        for (size_t i = 0; i < count; ++i) {
            const int32_t value = values_[from + i];
            if (!value) continue;
            const float size = coefficients_.reconstruction(levels[from + i], std::abs(value)) * steps_.sizes[importance];
            image_.decoded[at + i] += value < 0 ? -size : size;
            if (image_.chosen) image_.chosen[at + i] = value;
            if (image_.symbols) image_.symbols[at + i] = static_cast<int8_t>(std::clamp(value, -127, 127));
        }
        return sum;
    }

    End& end_;
    const Model& model_;
    const Statistics& by_;
    const CoefficientModel& coefficients_;
    CoefficientGrid grid_;
    CoefficientSteps steps_;
    CoefficientImage image_;
    const std::vector<uint8_t>& levels_;
    Expected expected_;
    Cells cells_;
    coefficients::WindowSums sums_;
    WholeNeighbours::Pass around_;
    std::vector<float> alone_;          // what the cell is expected to be
    std::vector<int32_t> values_;       // of the cell, and their magnitudes up to 255
    std::vector<uint8_t> magnitudes_;
    std::vector<uint8_t> flags_;        // of the cell's bands, and none behind the last
};

}  // namespace midstream::entropy
