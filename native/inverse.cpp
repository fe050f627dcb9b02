#include "inverse.hpp"

#include <algorithm>
#include <stdexcept>

#include "buffer.hpp"
#include "multiply.hpp"
#include "panels.hpp"

namespace midstream {

Inverse::Inverse(std::vector<LastStage> levels, const float* basis, size_t coefficients, size_t dimensions, bool whole)
    : levels_(std::move(levels)), coefficients_(coefficients), dimensions_(dimensions) {
    size_t all = 0;
    for (const LastStage& level : levels_) all += level.dimensions();
    if (all != dimensions) throw std::invalid_argument("inverse: shapes");
    if (whole) {
        whole_.emplace_back(basis, coefficients, dimensions, false);
    } else {
        panels_.resize(panels_of(dimensions) * coefficients * panel_width);
        pack_panels(basis, coefficients, dimensions, panels_.data());
    }
}

int Inverse::restore(const float* cells, size_t count, const Place* places) const {
    // Of the panels that hold dimensions of what is wanted, the numbers that they begin and end with.
    static_assert(panel_width == pair_lanes);
    size_t first = dimensions_, last = 0, at = 0;
    for (size_t i = 0; i < levels_.size(); at += levels_[i++].dimensions())
        if (places[i].out) first = std::min(first, at), last = at + levels_[i].dimensions();
    first -= first % panel_width;
    last = std::min(panels_of(last) * panel_width, dimensions_);
    if (last <= first) first = last = 0;
    const size_t stride = last - first;
    const auto numbers = buffer<float>(count * stride);
    const bool finite = whole_.empty() ? multiply_sparse(cells, panels_.data() + first * coefficients_, numbers.get(), count,
                                                         coefficients_, stride)
                                       : whole_[0].multiply(cells, count, first, stride, numbers.get());
    if (!finite) return of_coefficients;
    at = 0;
    for (size_t i = 0; i < levels_.size(); at += levels_[i++].dimensions())
        if (places[i].out && !levels_[i].run(numbers.get() + at - first, stride, places[i])) return static_cast<int>(i);
    return nothing;
}

}  // namespace midstream
