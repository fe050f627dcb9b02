#include "second_stage_back.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <vector>

#include "dispatch.hpp"
#include "whole.hpp"

namespace midstream {
namespace {

constexpr float most_basis = 1 << 14;

// The pairs of `pair_rows` cells that are not all zero.
struct Listed {
    size_t first, count;  // of the list
    float units[pair_rows];
};

// What `pair_rows` rows of sums stand for, `there` of each.
MIDSTREAM_INLINE void take_in_lanes(const int32_t* __restrict sums, const float* units, size_t rows, size_t there,
                                    size_t stride, float* __restrict out) {
    for (size_t n = 0; n < rows; ++n)
        for (size_t lane = 0; lane < there; ++lane)
            out[n * stride + lane] = static_cast<float>(sums[n * pair_lanes + lane]) * units[n];
}
#ifdef MIDSTREAM_X86
MIDSTREAM_AVX2 void take_avx2(const int32_t* sums, const float* units, size_t rows, size_t there, size_t stride,
                              float* out) {
    take_in_lanes(sums, units, rows, there, stride, out);
}
#endif
void take(const int32_t* sums, const float* units, size_t rows, size_t there, size_t stride, float* out) {
    switch (current_path()) {
#ifdef MIDSTREAM_X86
        case Path::avx512:
        case Path::avx2: return take_avx2(sums, units, rows, there, stride, out);
#endif
        default: take_in_lanes(sums, units, rows, there, stride, out);
    }
}

}  // namespace

SecondStageBack::SecondStageBack(const float* basis, size_t coefficients, size_t dimensions)
    : coefficients_(coefficients), dimensions_(dimensions), pairs_((coefficients + 1) / 2) {
    if (!std::all_of(basis, basis + coefficients * dimensions, [](float x) { return std::fabs(x) <= most_basis; }))
        throw std::invalid_argument("second stage: the basis is too large");
    exponent_ = whole_exponent(basis, coefficients * dimensions);
    const float scale = std::ldexp(1.0f, exponent_);
    const size_t panels = (dimensions + pair_lanes - 1) / pair_lanes;
    panels_.resize(panels * pairs_ * 2 * pair_lanes);
    for (size_t k = 0; k < coefficients; ++k)
        for (size_t d = 0; d < dimensions; ++d) {
            const size_t at = ((d / pair_lanes * pairs_ + k / 2) * pair_lanes + d % pair_lanes) * 2 + k % 2;
            panels_[at] = static_cast<int16_t>(rounded(basis[k * dimensions + d] * scale));
        }
}

bool SecondStageBack::multiply(const float* coefficients, size_t cells, size_t first, size_t count, float* out) const {
    const size_t most = (cells + pair_rows - 1) / pair_rows * pairs_;
    std::vector<Listed> lists;
    std::unique_ptr<uint32_t[]> at(new uint32_t[most]);                      // the pairs of all lists
    std::unique_ptr<int16_t[]> numbers(new int16_t[pair_rows * 2 * most]);  // [pair_rows, most, 2]: what cells have there
    std::vector<int16_t> whole(pair_rows * 2 * pairs_);
    size_t end = 0;
    for (size_t cell = 0; cell < cells; cell += pair_rows) {
        Listed list{end, 0, {}};
        size_t there[pair_rows] = {}, most_there = 0;
        for (size_t n = 0; n < std::min(pair_rows, cells - cell); ++n) {
            const float* own = coefficients + (cell + n) * coefficients_;
            there[n] = used(own, coefficients_), most_there = std::max(most_there, there[n]);
            const int exponent = to_whole(own, there[n], &whole[n * 2 * pairs_]);
            if (exponent == not_finite) return false;
            list.units[n] = std::ldexp(1.0f, -exponent - exponent_);
        }
        const size_t pairs = (most_there + 1) / 2;
        for (size_t n = 0; n < pair_rows; ++n) {
            int16_t* own = &whole[n * 2 * pairs_];
            std::fill(own + there[n], own + 2 * pairs, int16_t{0});
        }
        for (size_t i = 0; i < pairs; ++i) {
            uint32_t any = 0;
            for (size_t n = 0; n < pair_rows; ++n) {
                uint32_t pair;
                std::memcpy(&pair, &whole[(n * pairs_ + i) * 2], sizeof pair);
                std::memcpy(&numbers[(n * most + end) * 2], &pair, sizeof pair);
                any |= pair;
            }
            at[end] = static_cast<uint32_t>(i);
            end += any != 0;
        }
        list.count = end - list.first;
        lists.push_back(list);
    }
    AlignedVector<int32_t> sums(pair_rows * pair_lanes);
    for (size_t d = 0; d < count; d += pair_lanes) {
        const int16_t* panel = &panels_[(first + d) * 2 * pairs_];
        const size_t there = std::min(pair_lanes, count - d);
        for (size_t i = 0; i < lists.size(); ++i) {
            const int16_t* rows[pair_rows];
            for (size_t n = 0; n < pair_rows; ++n) rows[n] = &numbers[(n * most + lists[i].first) * 2];
            pair_sums(rows, pair_rows, lists[i].count, panel, sums.data(), at.get() + lists[i].first);
            take(sums.data(), lists[i].units, std::min(pair_rows, cells - i * pair_rows), there, count,
                 out + i * pair_rows * count + d);
        }
    }
    return true;
}

}  // namespace midstream
