#include "first_whole.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "dispatch.hpp"
#include "round_pairs.hpp"
#include "whole.hpp"

namespace midstream {
namespace {

constexpr size_t lanes = pair_lanes;
// Rows of these lengths, with elements below 2^14.5, have products below 2^30.
constexpr double most_row = 32700;
// What is left of a number below zero, and the magnitude that features are limited to, so that no sum of what follows
// overflows (calibrated/profile_file.py).
constexpr float leak = 0.125f, most_feature = 1152921504606846976.0f;  // 2^60

// What becomes of the elements [channels, lanes] of a chunk: pairs of whole numbers [pairs, lanes, 2] of a unit [lanes].
// False where one is not finite. An element's length is that of what its channels weigh, without their mean.
MIDSTREAM_INLINE bool to_pairs_in(float* __restrict panel, const float* mean, const float* weight, size_t channels,
                                  int32_t* __restrict pairs, float* __restrict units) {
    float squares[lanes] = {}, scales[lanes];
    for (size_t c = 0; c < channels; ++c) {
        float* values = panel + c * lanes;
        for (size_t i = 0; i < lanes; ++i) {
            const float value = (values[i] - mean[c]) * weight[c];
            values[i] = value;
            squares[i] += value * value;
        }
    }
    int32_t largest = 0;
    for (size_t i = 0; i < lanes; ++i) {
        const int32_t bits = std::bit_cast<int32_t>(squares[i]);  // never below zero, except for a NaN
        largest = std::max(largest, bits & 0x7FFFFFFF);
        const int32_t octaves = ((bits & 0x7FFFFFFF) >> 23) - 127;      // the square is below 2^(octaves + 1)
        const int32_t exponent = std::min(14 - ((octaves + 1) >> 1), 100);  // so that the length is below 2^14.5
        scales[i] = std::bit_cast<float>((127 + exponent) << 23);
        units[i] = std::bit_cast<float>((127 - exponent) << 23);
    }
    round_pairs(panel, channels, scales, pairs);
    return largest < 0x7F800000;
}

// Sums of a row as numbers.
MIDSTREAM_INLINE void to_numbers_in(const int32_t* __restrict sums, const float* __restrict units, float unit,
                                    float* __restrict out) {
    for (size_t i = 0; i < lanes; ++i) out[i] = static_cast<float>(sums[i]) * units[i] * unit;
}

// Of a cell's elements, by halves.
template <size_t count, class Join>
MIDSTREAM_INLINE float joined(const float* values, const Join& join) {
    if constexpr (count == 1) {
        return values[0];
    } else {
        float half[count / 2];
        for (size_t i = 0; i < count / 2; ++i) half[i] = join(values[i], values[i + count / 2]);
        return joined<count / 2>(half, join);
    }
}
struct Largest {
    float operator()(float a, float b) const { return a > b ? a : b; }
};
struct Total {
    float operator()(float a, float b) const { return a + b; }
};

MIDSTREAM_INLINE void to_features_in(const float* __restrict values, float bias, float* __restrict out) {
    for (size_t i = 0; i < lanes; ++i) {
        const float sum = values[i] + bias, above = sum > -most_feature ? sum : -most_feature;
        out[i] = above < most_feature ? above : most_feature;
    }
    for (size_t i = 0; i < lanes; ++i) {  // on its own, so that nothing here is decided by jumps
        const float value = out[i], small = leak * value;
        out[i] = value > small ? value : small;
    }
}

// On an instruction set.
struct Kernels {
    bool (*to_pairs)(float* panel, const float* mean, const float* weight, size_t channels, int32_t* pairs, float* units);
    void (*to_numbers)(const int32_t* sums, const float* units, float unit, float* out);
    void (*to_features)(const float* values, float bias, float* out);
};
#ifdef MIDSTREAM_X86
MIDSTREAM_AVX2 bool to_pairs_avx2(float* panel, const float* mean, const float* weight, size_t channels, int32_t* pairs,
                                  float* units) {
    return to_pairs_in(panel, mean, weight, channels, pairs, units);
}
MIDSTREAM_AVX2 void to_numbers_avx2(const int32_t* sums, const float* units, float unit, float* out) {
    to_numbers_in(sums, units, unit, out);
}
MIDSTREAM_AVX2 void to_features_avx2(const float* values, float bias, float* out) { to_features_in(values, bias, out); }
#endif

Kernels kernels() {
    switch (current_path()) {
#ifdef MIDSTREAM_X86
        case Path::avx512:
        case Path::avx2: return {to_pairs_avx2, to_numbers_avx2, to_features_avx2};
#endif
        default: return {to_pairs_in, to_numbers_in, to_features_in};
    }
}

}  // namespace

FirstWhole::FirstWhole(const Level& level, const Sight& sight)
    : channels_(level.channels), ratio_(level.ratio), count_(level.count), weight_(level.weight, level.weight + channels_),
      mean_(level.mean, level.mean + channels_), bias_(sight.bias, sight.bias + sight.features) {
    const size_t pairs = (channels_ + 1) / 2;
    std::vector<double> row(channels_);
    const auto add = [&] {
        double square = 0;
        for (const double x : row) square += x * x;
        int exponent = 0;
        if (square > 0) std::frexp(most_row / std::sqrt(square), &exponent), exponent = std::clamp(exponent - 1, -100, 100);
        const size_t at = rows_.size();
        rows_.resize(at + 2 * pairs);
        for (size_t c = 0; c < channels_; ++c)
            rows_[at + c] = static_cast<int16_t>(rounded(std::clamp(static_cast<float>(std::ldexp(row[c], exponent)), -32767.0f, 32767.0f)));
        units_.push_back(static_cast<float>(std::ldexp(1.0, -exponent)));
    };
    for (size_t j = 0; j < count_; ++j) {
        std::copy_n(level.basis + j * channels_, channels_, row.begin());
        add();
    }
    for (size_t f = 0; f < sight.features; ++f) {
        std::fill(row.begin(), row.end(), 0.0);
        for (size_t j = 0; j < count_; ++j)
            for (size_t c = 0; c < channels_; ++c)
                row[c] += double{sight.rows[f * count_ + j]} * level.basis[j * channels_ + c];
        add();
    }
}

bool FirstWhole::run(const float* level, size_t height, size_t width, const CellBlock& block, size_t first, size_t last,
                     float* out, size_t stride, float* seen, size_t seen_stride) const {
    const size_t area = ratio_ * ratio_, pairs = (channels_ + 1) / 2, together = CellLanes::together(ratio_);
    AlignedVector<float> panel(channels_ * lanes), values(lanes), made(lanes), units(lanes);
    AlignedVector<int32_t> whole(pairs * lanes), sums(pair_rows * lanes);
    const LevelGrid grid{channels_, height, width, ratio_};
    const Kernels on = kernels();
    CellLanes chunk;
    for (size_t cell = first; cell < last; cell += together) {
        const size_t now = std::min(together, last - cell);
        for (size_t begin = 0; begin < area; begin += chunk.elements) {
            chunk.set(grid, block, cell, now, begin);
            gather(level, grid, chunk, panel.data());
            if (!on.to_pairs(panel.data(), mean_.data(), weight_.data(), channels_, whole.data(), units.data())) return false;
            for (size_t row = 0; row < rows(); row += pair_rows) {
                const int16_t* from[pair_rows];
                for (size_t n = 0; n < pair_rows; ++n) from[n] = &rows_[std::min(row + n, rows() - 1) * 2 * pairs];
                pair_sums(from, pair_rows, pairs, reinterpret_cast<const int16_t*>(whole.data()), sums.data());
                for (size_t n = row; n < std::min(row + pair_rows, rows()); ++n) {
                    on.to_numbers(&sums[(n - row) * lanes], units.data(), units_[n], values.data());
                    if (n < count_) put(chunk, n, values.data(), out, stride);
                    else {
                        on.to_features(values.data(), bias_[n - count_], made.data());
                        pool(chunk, n - count_, made.data(), seen, seen_stride);
                    }
                }
            }
        }
        out += together * stride, seen += together * seen_stride;
    }
    return true;
}

// The elements of a chunk, [channels, lanes]; what is beyond them is zero.
void FirstWhole::gather(const float* level, const LevelGrid& grid, const CellLanes& chunk, float* panel) const {
    const size_t used = chunk.used();
    with_ratio(ratio_, [&](auto ratio) {
        for (size_t c = 0; c < channels_; ++c, level += grid.height * grid.width, panel += lanes) {
            if (chunk.count == 0)
                for (size_t i = 0; i < used; ++i) panel[i] = level[chunk.at[i]];
            for (const CellLanes::Row* row = chunk.rows; row < chunk.rows + chunk.count; ++row)
                copy_row(*row, grid.width, ratio, [&](size_t at, size_t lane, auto count) {
                    std::memcpy(panel + lane, level + at, count * sizeof(float));
                });
            std::fill(panel + used, panel + lanes, 0.0f);
        }
    });
}

// What a row of the basis makes of a chunk's elements.
void FirstWhole::put(const CellLanes& chunk, size_t row, const float* values, float* out, size_t stride) const {
    const size_t area = ratio_ * ratio_, count = chunk.elements;
    out += row * area + chunk.begin;
    for (size_t i = 0; i < chunk.cells; ++i, out += stride, values += count) {
        if (count == 16) std::memcpy(out, values, 16 * sizeof(float));
        else if (count == 4) std::memcpy(out, values, 4 * sizeof(float));
        else if (count == 1) *out = *values;
        else std::copy_n(values, count, out);
    }
}

// What a feature has of a chunk's elements.
void FirstWhole::pool(const CellLanes& chunk, size_t feature, const float* from, float* seen, size_t stride) const {
    const size_t area = ratio_ * ratio_;
    for (size_t i = 0; i < chunk.cells; ++i, from += chunk.elements, seen += stride) {
        float &largest = seen[feature], most = from[0], total = from[0];
        if (area == 16) most = joined<16>(from, Largest{}), total = joined<16>(from, Total{});
        else if (area == 4) most = joined<4>(from, Largest{}), total = joined<4>(from, Total{});
        else
            for (size_t e = 1; e < chunk.elements; ++e) most = std::max(most, from[e]), total += from[e];
        const bool whole = chunk.begin == 0;
        largest = whole ? most : std::max(largest, most);
        if (area == 1) continue;
        float& mean = seen[bias_.size() + feature];
        mean = whole ? total : mean + total;
        if (chunk.begin + chunk.elements == area) mean *= 1.0f / static_cast<float>(area);
    }
}

}  // namespace midstream
