#include "whole_neighbours.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "dispatch.hpp"
#include "whole.hpp"

namespace midstream {
namespace {

constexpr float most_weight = 1 << 14;
constexpr int64_t most_square = int64_t{1} << 31;  // with that of a cell's numbers, no sum is beyond 2^31
constexpr size_t sides = 3;
constexpr size_t noted_nothing = static_cast<size_t>(-1);  // in place of a cell beyond a border

// What `pair_lanes` sums stand for, in place of `out` or added to it.
MIDSTREAM_INLINE void take_in_lanes(const int32_t* __restrict sums, float unit, bool more, float* __restrict out) {
    for (size_t lane = 0; lane < pair_lanes; ++lane) {
        const float said = static_cast<float>(sums[lane]) * unit;
        out[lane] = more ? out[lane] + said : said;
    }
}
#ifdef MIDSTREAM_X86
MIDSTREAM_AVX2 void take_avx2(const int32_t* sums, float unit, bool more, float* out) {
    take_in_lanes(sums, unit, more, out);
}
#endif
void take(const int32_t* sums, float unit, bool more, float* out) {
    switch (current_path()) {
#ifdef MIDSTREAM_X86
        case Path::avx512:
        case Path::avx2: return take_avx2(sums, unit, more, out);
#endif
        default: take_in_lanes(sums, unit, more, out);
    }
}

}  // namespace

WholeNeighbours::WholeNeighbours(const std::vector<float>& weights, size_t inputs, size_t outputs)
    : inputs_(inputs), pairs_((inputs + 1) / 2), panels_((outputs + pair_lanes - 1) / pair_lanes),
      exponent_(whole_exponent(weights.data(), weights.size())) {
    if (!std::all_of(weights.begin(), weights.end(), [](float x) { return std::fabs(x) <= most_weight; }))
        throw std::invalid_argument("coefficients: weights of neighbours are too large");
    std::vector<int16_t> numbers(weights.size());
    const auto fill = [&] {
        const float scale = std::ldexp(1.0f, exponent_);
        std::transform(weights.begin(), weights.end(), numbers.begin(),
                       [&](float weight) { return static_cast<int16_t>(rounded(weight * scale)); });
        std::vector<int64_t> squares(sides * outputs);
        for (size_t row = 0; row < sides * inputs; ++row)
            for (size_t o = 0; o < outputs; ++o) {
                const int64_t weight = numbers[row * outputs + o];
                squares[row / inputs * outputs + o] += weight * weight;
            }
        return std::all_of(squares.begin(), squares.end(), [](int64_t square) { return square <= most_square; });
    };
    while (!fill()) --exponent_;
    packed_.resize(sides * panels_ * pairs_ * 2 * pair_lanes);
    for (size_t side = 0; side < sides; ++side)
        for (size_t i = 0; i < inputs; ++i)
            for (size_t o = 0; o < outputs; ++o) {
                const size_t row = (side * panels_ + o / pair_lanes) * pairs_ + i / 2;
                packed_[(row * pair_lanes + o % pair_lanes) * 2 + i % 2] = numbers[(side * inputs + i) * outputs + o];
            }
}

WholeNeighbours::Pass::Pass(const WholeNeighbours& by, const float* decoded, size_t coefficients, size_t width)
    : by_(by), decoded_(decoded), coefficients_(coefficients), width_(width),
      whole_((2 * width + 1) * 2 * by.pairs_), units_(2 * width), north_(pair_rows * by.predicted()) {}

void WholeNeighbours::Pass::predict(size_t y, size_t x, float* out) {
    if (by_.pairs_ == 0 || by_.panels_ == 0) {
        std::fill_n(out, by_.predicted(), 0.0f);
        return;
    }
    note(y * width_ + x);
    if (y > 0) {
        if (y != north_y_ || x < north_x_ || x - north_x_ >= pair_rows) look_north(y, x);
        std::copy_n(&north_[(x - north_x_) * by_.predicted()], by_.predicted(), out);
    } else {
        std::fill_n(out, by_.predicted(), 0.0f);
    }
    if (x > 0) sum<1>(west, {y * width_ + x - 1}, out, true);
}

// Makes whole numbers of the cells before `end`. One that is not finite, which no stream is valid with, says nothing.
void WholeNeighbours::Pass::note(size_t end) {
    for (; noted_ < end; ++noted_) {
        int16_t* whole = &whole_[at(noted_) * 2 * by_.pairs_];
        const int exponent = to_whole(decoded_ + noted_ * coefficients_, by_.inputs_, whole);
        if (exponent == not_finite) std::fill_n(whole, by_.inputs_, int16_t{0});
        units_[at(noted_)] = exponent == not_finite ? 0 : std::ldexp(1.0f, -exponent - by_.exponent_);
    }
}

// What the row above says of `pair_rows` cells from x on.
void WholeNeighbours::Pass::look_north(size_t y, size_t x) {
    north_y_ = y, north_x_ = x;
    size_t above[pair_rows], beside[pair_rows];
    for (size_t n = 0; n < pair_rows; ++n) {
        above[n] = (y - 1) * width_ + std::min(x + n, width_ - 1);
        beside[n] = x + n + 1 < width_ ? above[n] + 1 : noted_nothing;
    }
    sum(north, above, north_.data(), false);
    sum(north_east, beside, north_.data(), true);
}

// What cells say of those on a side of them, in place of `out` [rows, predicted()] or added to it.
template <size_t rows>
void WholeNeighbours::Pass::sum(size_t side, const size_t (&from)[rows], float* out, bool more) {
    const int16_t* numbers[rows];
    float units[rows];
    for (size_t n = 0; n < rows; ++n) {
        const bool there = from[n] != noted_nothing;
        numbers[n] = &whole_[(there ? at(from[n]) : 2 * width_) * 2 * by_.pairs_];
        units[n] = there ? units_[at(from[n])] : 0;
    }
    alignas(cache_line) int32_t sums[rows * pair_lanes];
    for (size_t p = 0; p < by_.panels_; ++p) {
        pair_sums(numbers, rows, by_.pairs_, by_.panel(side, p), sums);
        for (size_t n = 0; n < rows; ++n)
            take(sums + n * pair_lanes, units[n], more, out + n * by_.predicted() + p * pair_lanes);
    }
}

}  // namespace midstream
