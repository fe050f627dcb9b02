// Codes the coefficients of a grid by an entropy model: cell after cell which bands are not zero, then the magnitudes of
// those and their signs. docs/format.md is normative ("Entropy model").
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "coefficients.hpp"
#include "coefficients_contexts.hpp"
#include "entropy_ends.hpp"
#include "entropy_flags.hpp"
#include "entropy_inputs.hpp"
#include "entropy_magnitudes.hpp"
#include "entropy_model.hpp"
#include "entropy_rows.hpp"

namespace midstream::entropy {

// An `End` is what reads, writes or records (entropy_ends.hpp), a `Source` what says what values become, or nothing where
// they are read.
template <class End, class Source>
class Coder {
   public:
    // `levels` [classes, coefficients], as the model of coefficients has them.
    Coder(End& end, const Model& model, const CoefficientModel& coefficients, const CoefficientGrid& grid,
          const CoefficientSteps& steps, const CoefficientImage& image, const std::vector<uint8_t>& levels)
        : end_(end), model_(model), grid_(grid), steps_(steps), image_(image), magnitudes_(coefficients, steps, levels),
          expected_(coefficients.statistics().scales.data(), levels, steps, grid.coefficients),
          cells_(model.bands(), grid.width), flag_rows_(model, expected_, steps.classes), sums_(cells_.padded()),
          predicted_(std::min(grid.coefficients, coefficients.whole_neighbours().predicted())),
          told_(image.told ? image.told : grid.coefficients),
          around_(coefficients.whole_neighbours(), image.decoded, told_, grid.width),
          alone_(std::max(cells_.padded(), coefficients.whole_neighbours().predicted())), values_(cells_.padded()),
          kept_(cells_.padded()), flags_(model.bands() + 1) {}

    // False when what is read is not valid.
    MIDSTREAM_INLINE bool run(const Source& source, const RowsDone& done) {
        if (!image_.known && !code_importance()) return false;
        for (size_t y = 0; y < grid_.height; ++y) {
            for (size_t x = 0; x < grid_.width; ++x)
                if (!code_cell(y, x, source)) return false;
            if constexpr (End::reads) {
                add_expected(y);
                if (done) done(y + 1);
            }
        }
        return true;
    }

   private:
    bool code_importance() {
        const auto& rows = model_.statistics().importance_rows;
        for (size_t y = 0; y < grid_.height; ++y)
            for (size_t x = 0; x < grid_.width; ++x) {
                uint8_t* at = image_.importance + y * grid_.width + x;
                const size_t west = x ? at[-1] : y ? at[-static_cast<ptrdiff_t>(grid_.width)] : 0;
                const size_t north = y ? at[-static_cast<ptrdiff_t>(grid_.width)] : west;
                const auto importance = end_.importance(x, rows[west * most_importance_classes + north], *at);
                if (importance >= steps_.classes || end_.overrun()) return false;
                *at = static_cast<uint8_t>(importance);
            }
        return true;
    }

    // To the cells of a row, of which the differences to what is expected were read.
    void add_expected(size_t y) {
        for (size_t x = 0; x < grid_.width; ++x) {
            around_.predict(y, x, alone_.data());
            float* decoded = image_.decoded + (y * grid_.width + x) * grid_.coefficients;
            for (size_t k = 0; k < predicted_; ++k) decoded[k] = alone_[k] + decoded[k];
        }
    }

    MIDSTREAM_INLINE bool code_cell(size_t y, size_t x, const Source& source) {
        const size_t cell = y * grid_.width + x, importance = image_.importance[cell];
        float* decoded = image_.decoded + cell * told_;
        const Neighbours near = cells_.around(y, x);
        if constexpr (End::reads) {
            std::fill_n(decoded, told_, 0.0f);
        } else {
            around_.predict(y, x, alone_.data());
            std::copy_n(alone_.data(), told_, decoded);
            for (size_t b = 0; b < model_.bands(); ++b)
                flags_[b] = source.choose(cell, importance, b * band, alone_.data(), &values_[b * band]);
        }
        if (image_.symbols) std::fill_n(image_.symbols + cell * grid_.coefficients, grid_.coefficients, int8_t{0});
        const Expected::Class expected = expected_.of(importance);
        flag_rows_.begin(near, importance);
        const size_t used = end_.flags(flag_rows_, expected, near, importance, model_, flags_.data());
        if (end_.overrun() || !code_values(expected, near, cell, importance, used)) return false;
        if (used)
            sums_.write(kept_.data(), cells_.padded(), near.here.sums);
        else
            std::fill_n(near.here.sums, cells_.padded(), uint16_t{0});
        return true;
    }

    MIDSTREAM_INLINE bool code_values(const Expected::Class& expected, const Neighbours& near, size_t cell,
                                      size_t importance, size_t used) {
        Strength strength;
        size_t left = used;
        for (size_t b = 0; b < model_.bands(); ++b) {
            const size_t from = b * band, count = std::min(band, grid_.coefficients - from);
            int32_t sum = 0;
            if (flags_[b]) {
                std::array<int16_t, band_inputs> of_band;
                strength.inputs(expected, importance, b, flags_[b + 1] != 0, static_cast<int32_t>(used),
                                static_cast<int32_t>(left--), of_band);
                if (!end_.values(model_, {expected, near, from, of_band}, count, &values_[from])) return false;
                sum = keep(from, near.here);
                put(cell, importance, from, count);
            } else {
                std::fill_n(near.here.magnitudes + from, band, uint8_t{0});
                std::fill_n(&kept_[from], band, uint8_t{0});
            }
            near.here.bands[b] = limited(eighths(sum));
            strength.add(sum);
        }
        return true;
    }

    // The values of a band, for the cells and bands to come; the sum of their magnitudes.
    MIDSTREAM_INLINE int32_t keep(size_t from, const Cell& here) {
        int32_t kept[band], octaves[band], sum = 0;
        for (size_t i = 0; i < band; ++i) {
            kept[i] = std::min(std::abs(values_[from + i]), 255);
            octaves[i] = eighths(kept[i]);
            sum += kept[i];
        }
        for (size_t i = 0; i < band; ++i) kept_[from + i] = static_cast<uint8_t>(kept[i]);
        for (size_t i = 0; i < band; ++i) here.magnitudes[from + i] = static_cast<uint8_t>(octaves[i]);
        return sum;
    }

    // What the values of a band stand for.
    MIDSTREAM_INLINE void put(size_t cell, size_t importance, size_t from, size_t count) {
        const size_t at = cell * grid_.coefficients + from;
        const int32_t* values = &values_[from];
        float made[band];
        magnitudes_.sizes(importance, from, values, made);
        for (size_t i = 0; i < band; ++i) {
            const float before = End::reads ? 0.0f : alone_[from + i], after = before + made[i];
            made[i] = chosen_by(mask_of(values[i] != 0), after, before);
        }
        float* decoded = image_.decoded + cell * told_ + from;
        if (from + band <= told_)
            std::memcpy(decoded, made, sizeof made);
        else if (from < told_)
            std::memcpy(decoded, made, (told_ - from) * sizeof(float));
        if (image_.chosen) std::copy_n(values, count, image_.chosen + at);
        if (image_.symbols)
            std::transform(values, values + count, image_.symbols + at,
                           [](int32_t value) { return static_cast<int8_t>(std::clamp(value, -127, 127)); });
    }

    End& end_;
    const Model& model_;
    CoefficientGrid grid_;
    CoefficientSteps steps_;
    CoefficientImage image_;
    Magnitudes magnitudes_;
    Expected expected_;
    Cells cells_;
    FlagRows flag_rows_;
    coefficients::WindowSums sums_;
    size_t predicted_, told_;  // coefficients of a cell
    WholeNeighbours::Pass around_;
    std::vector<float> alone_;     // what the cell is expected to be
    std::vector<int32_t> values_;  // of the cell, and their magnitudes up to 255
    std::vector<uint8_t> kept_;
    std::vector<uint8_t> flags_;   // of the cell's bands, and none behind the last
};

}  // namespace midstream::entropy
