// What cells of coefficients are expected to be from the cells around them, in whole numbers: sums are exact, whatever their
// order, and quicker than those of floats (neighbours.hpp). docs/format.md is normative ("In whole numbers").
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "aligned.hpp"
#include "pages.hpp"
#include "pairs.hpp"

namespace midstream {

class WholeNeighbours {
   public:
    // As NeighbourPrediction has them, within +-2^14, or std::invalid_argument is thrown.
    WholeNeighbours(const std::vector<float>& weights, size_t inputs, size_t outputs);

    // How many numbers of a cell are looked at.
    size_t inputs() const { return inputs_; }
    // How many numbers are predicted: what is behind the outputs is zero.
    size_t predicted() const { return panels_ * pair_lanes; }

    // From the first to the last cell of a grid, row by row.
    class Pass {
       public:
        // Of `decoded` [height, width, coefficients].
        Pass(const WholeNeighbours& by, const float* decoded, size_t coefficients, size_t width);
        // What is expected of the cell at row y and column x, [predicted()]. Those before it are what they are going to be.
        void predict(size_t y, size_t x, float* out);

       private:
        size_t at(size_t cell) const { return cell % units_.size(); }  // where a cell is among those that are noted
        void note(size_t end);
        void look_north(size_t y, size_t x);
        template <size_t rows>
        void sum(size_t side, const size_t (&from)[rows], float* out, bool more);

        const WholeNeighbours& by_;
        const float* decoded_;
        size_t coefficients_, width_;
        size_t noted_ = 0;                // cells
        AlignedVector<int16_t> whole_;    // [two rows and nothing, pairs, 2]
        std::vector<float> units_;        // [two rows]
        size_t north_y_ = 0, north_x_ = 0;  // of the first of `pair_rows` cells that `north_` is of
        std::vector<float> north_;        // [pair_rows, predicted()]: from the row above
    };

   private:
    static constexpr size_t west = 0, north = 1, north_east = 2;
    const int16_t* panel(size_t side, size_t number) const {
        return &packed_[(side * panels_ + number) * pairs_ * 2 * pair_lanes];
    }

    size_t inputs_, pairs_, panels_;
    int exponent_;           // of two, that weights are multiplied with
    Table<int16_t> packed_;  // [sides][panels][pairs][pair_lanes][2], see pairs.hpp
};

}  // namespace midstream
