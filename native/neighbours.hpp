// What cells of coefficients are expected to be from the cells around them: sums in one order, on every machine.
// docs/format.md is normative.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "pages.hpp"

namespace midstream {

class NeighbourPrediction {
   public:
    // `weights` [3, inputs, outputs], all finite: what the first `inputs` coefficients of the cells to the west, north
    // and north-east say of the first `outputs` of a cell.
    NeighbourPrediction(const std::vector<float>& weights, size_t inputs, size_t outputs);

    // How many numbers `predict` writes: what is behind the outputs is zero.
    size_t predicted() const { return panels_ * panel; }
    // What is expected of the cell at row y and column x of `decoded` [height, width, coefficients].
    void predict(const float* decoded, size_t coefficients, size_t width, size_t y, size_t x, float* out) const;
    // Adds to every cell what is expected of it. Not to those that `apart` [height, width], if it is there, marks.
    void add(float* decoded, size_t coefficients, size_t height, size_t width, const uint8_t* apart) const;

   private:
    static constexpr size_t panel = 16;     // outputs that lie together
    static constexpr size_t most_sums = 4;  // panels times cells that are summed up at once

    // The cells that one is predicted from; what lies beyond a border is zero.
    struct Around {
        const float* cell[3];
    };
    Around around(const float* decoded, size_t coefficients, size_t width, size_t y, size_t x) const;
    template <size_t cells>
    void sum(const Around* around, float* const* out) const;
    template <size_t bytes, size_t cells>
    void sum_in_vectors(const Around* around, float* const* out) const;
    template <size_t cells>
    void sum_avx2(const Around* around, float* const* out) const;
    template <size_t cells>
    void sum_avx512(const Around* around, float* const* out) const;
    void sum_reference(const Around& around, float* out) const;

    size_t inputs_, outputs_, panels_;
    Table<float> packed_;  // [panels, 3, inputs, outputs of a panel]
    std::vector<float> nothing_;
};

}  // namespace midstream
