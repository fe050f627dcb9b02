// From the coefficients of cells back to the levels of their group.
#pragma once

#include <cstddef>
#include <vector>

#include "last_stage.hpp"
#include "pages.hpp"
#include "whole_product.hpp"

namespace midstream {

// Never changes: any number of threads may use it at once.
class Inverse {
   public:
    // A basis [coefficients, dimensions], which is multiplied with in whole numbers or, every sum in order, in binary32.
    // std::invalid_argument where levels and basis do not belong together.
    Inverse(std::vector<LastStage> levels, const float* basis, size_t coefficients, size_t dimensions, bool whole);

    const std::vector<LastStage>& levels() const { return levels_; }
    size_t coefficients() const { return coefficients_; }

    // What a level is put into; nothing where its `out` is null.
    using Place = LastStage::Place;
    // Puts cells [cells, coefficients] into each level's block of so many cells. What is not finite: nothing, the
    // coefficients, or the number of a level.
    static constexpr int nothing = -1, of_coefficients = -2;
    int restore(const float* cells, size_t count, const Place* places) const;

   private:
    std::vector<LastStage> levels_;
    size_t coefficients_, dimensions_;
    std::vector<WholeProduct> whole_;  // one, or none
    Table<float> panels_;              // see panels.hpp
};

}  // namespace midstream
