// The second stage of the transform: from the numbers of a cell, after the first stage, to its coefficients. An encoder
// chooses what it makes of them, so that this stage is in whole numbers, with an error below 2^-12 of what a cell holds
// altogether, and leaves out what would become nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "pages.hpp"
#include "pairs.hpp"
#include "tiles.hpp"

namespace midstream {

// Of one group. Never changes: any number of threads may use it at once.
class SecondStage {
   public:
    // A basis [coefficients, dimensions] and the coefficients' deviations, all above 0, or std::invalid_argument is thrown.
    SecondStage(const float* basis, const float* deviations, size_t coefficients, size_t dimensions);

    size_t coefficients() const { return deviations_.size(); }
    size_t dimensions() const { return dimensions_; }
    // Whole numbers that stand for those of a cell: so many that they are taken in pairs.
    size_t whole_size() const { return 2 * ((dimensions_ + 1) / 2); }
    // Parts of the coefficients that are made at a time.
    size_t parts() const { return largest_.size(); }
    static constexpr size_t part_width = pair_lanes;

    // Numbers [cells, dimensions] as whole numbers [cells, whole_size] of a unit [cells] each. Returns more than the
    // largest magnitude that a coefficient of these cells can have; not a finite number where one of theirs is none.
    float round(const float* numbers, size_t cells, int16_t* whole, float* units) const;

    // Goes on with the coefficients [cells, coefficients] of cells of which parts were `made` already: `least` parts, and
    // of what follows as much as may become something in a cell that is quantised with a step [cells]. A cell unlike those
    // of the profile, which hides something where they have next to nothing, is made until nothing is hidden. `ends` become
    // the parts that these steps need. Whether more is there in a cell, which was made for a finer step before.
    bool go_on(const int16_t* whole, const float* units, const float* steps, const uint8_t* least, size_t cells,
               uint8_t* made, uint8_t* ends, float* coefficients) const;

   private:
    template <class Take>
    void multiply(const int16_t* whole, const std::vector<size_t>& cells, size_t part, const Take& take) const;
    template <class Take>
    void multiply_tiles(const int16_t* whole, const std::vector<size_t>& cells, size_t part, TileRows& rows,
                        std::vector<size_t>& packed, const Take& take) const;
    bool needed(size_t part, float step, const float* coefficients) const;
    bool hides(size_t part, float step, float energy, const float* coefficients) const;

    size_t dimensions_;
    float unit_;                      // of the basis
    Table<int16_t> panels_;           // see pairs.hpp
    TileMatrix tiles_;                // the same
    std::vector<float> deviations_;   // [coefficients]
    std::vector<float> largest_;      // [parts]: the largest of them in a part
    std::vector<float> usual_left_;   // [parts]: energy that a cell has beyond the parts before, on average
    double longest_;                  // of the rows
};

// How many parts of each cell hold something that is expected, [cells, outputs], to be a quarter of a step or more: what is
// smaller is as good as nothing where nothing else is there.
void parts_expected(const float* expected, size_t outputs, const float* steps, size_t cells, uint8_t* parts);

}  // namespace midstream
