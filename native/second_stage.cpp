#include "second_stage.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <optional>
#include <stdexcept>

#include "dispatch.hpp"

namespace midstream {
namespace {

// A part of a cell may become something where a coefficient's deviation, by how much more or less there was in the part
// before than usual, is at least so many steps: what is left out below it is below 0.1 % of the bytes (docs/method.md).
constexpr float least_deviation = 0.15f;
// A cell with so many times the energy that is usual beyond what is made of it is gone on with, if that is enough for a
// coefficient that is not zero; and any that might have one of four steps. So nothing that the calibration has not seen
// is left out unseen, except in the share of a cell's energy that the basis itself leaves out (calibrate/transform.py).
constexpr float unusual = 16, least_square = 0.25f, most_square = 16, left_out = 0.01f;
// What is expected of a coefficient counts for nothing below so many steps.
constexpr float least_expected = 0.25f;
// Vectors of these lengths or less have products below 2^31.
constexpr double most_whole = 32700;

// The largest power of two that a length may be multiplied with.
double scale_for(double length) {
    if (!(length > 0)) return 1;
    int exponent;
    std::frexp(most_whole / length, &exponent);
    return std::ldexp(1.0, std::clamp(exponent - 1, -100, 100));
}

// Rounds to nearest, ties to even; below 2^22.
int16_t rounded(float value) {
    constexpr float shift = 12582912;  // 1.5 * 2^23, beyond which there are no fractions
    return static_cast<int16_t>(std::bit_cast<int32_t>(value + shift) - std::bit_cast<int32_t>(shift));
}

// Adds up in lanes, so that the sum is the same with any vectors.
template <class Value>
MIDSTREAM_INLINE float sum_of_squares(size_t count, const Value& value) {
    constexpr size_t lanes = 16;
    float sum[lanes] = {};
    for (size_t i = 0; i + lanes <= count; i += lanes)
        for (size_t lane = 0; lane < lanes; ++lane) sum[lane] += value(i + lane) * value(i + lane);
    for (size_t i = count / lanes * lanes; i < count; ++i) sum[i % lanes] += value(i) * value(i);
    for (size_t half = lanes / 2; half > 0; half /= 2)
        for (size_t lane = 0; lane < half; ++lane) sum[lane] += sum[lane + half];
    return sum[0];
}

MIDSTREAM_INLINE float square_in(const float* values, size_t count) {
    return sum_of_squares(count, [&](size_t i) { return values[i]; });
}
MIDSTREAM_INLINE void round_in(const float* __restrict values, size_t count, float scale, int16_t* __restrict out) {
    for (size_t i = 0; i < count; ++i) out[i] = rounded(values[i] * scale);
}
MIDSTREAM_INLINE void take_in(const int32_t* __restrict sums, size_t count, float unit, float* __restrict out) {
    for (size_t k = 0; k < count; ++k) out[k] = static_cast<float>(sums[k]) * unit;
}
#ifdef MIDSTREAM_X86
MIDSTREAM_AVX2 void take_avx2(const int32_t* sums, size_t count, float unit, float* out) { take_in(sums, count, unit, out); }
MIDSTREAM_AVX2 float square_avx2(const float* values, size_t count) { return square_in(values, count); }
MIDSTREAM_AVX2 void round_avx2(const float* values, size_t count, float scale, int16_t* out) {
    round_in(values, count, scale, out);
}
#endif
bool has_avx2() { return current_path() == Path::avx2 || current_path() == Path::avx512; }
float square_of(const float* values, size_t count) {
#ifdef MIDSTREAM_X86
    if (has_avx2()) return square_avx2(values, count);
#endif
    return square_in(values, count);
}
void take_all(const int32_t* sums, size_t count, float unit, float* out) {
#ifdef MIDSTREAM_X86
    if (has_avx2()) return take_avx2(sums, count, unit, out);
#endif
    take_in(sums, count, unit, out);
}
void round_all(const float* values, size_t count, float scale, int16_t* out) {
#ifdef MIDSTREAM_X86
    if (has_avx2()) return round_avx2(values, count, scale, out);
#endif
    round_in(values, count, scale, out);
}

}  // namespace

SecondStage::SecondStage(const float* basis, const float* deviations, size_t coefficients, size_t dimensions)
    : dimensions_(dimensions), deviations_(deviations, deviations + coefficients), longest_(0) {
    for (size_t k = 0; k < coefficients; ++k) {
        double square = 0;
        for (size_t d = 0; d < dimensions; ++d) square += double{basis[k * dimensions + d]} * basis[k * dimensions + d];
        longest_ = std::max(longest_, std::sqrt(square));
        if (!(deviations[k] > 0)) throw std::invalid_argument("second stage: deviations");
    }
    const size_t parts = (coefficients + pair_lanes - 1) / pair_lanes;
    usual_left_.assign(parts, 0);
    for (size_t k = coefficients; k-- > 0;)
        for (size_t part = 0; part <= k / pair_lanes; ++part) usual_left_[part] += deviations[k] * deviations[k];
    const double scale = scale_for(longest_);
    unit_ = static_cast<float>(1 / scale);
    panels_.reserve((coefficients + pair_lanes - 1) / pair_lanes * pair_lanes * whole_size());
    for (size_t from = 0; from < coefficients; from += pair_lanes) {
        const size_t to = std::min(from + pair_lanes, coefficients);
        largest_.push_back(*std::max_element(deviations + from, deviations + to));
        for (size_t i = 0; i < whole_size() / 2; ++i)
            for (size_t k = from; k < from + pair_lanes; ++k)
                for (size_t d = 2 * i; d < 2 * i + 2; ++d)
                    panels_.push_back(k < to && d < dimensions
                                          ? rounded(static_cast<float>(basis[k * dimensions + d] * scale))
                                          : int16_t{0});
    }
    tiles_ = TileMatrix(panels_.data(), parts, whole_size() / 2);
}

float SecondStage::round(const float* numbers, size_t cells, int16_t* whole, float* units) const {
    double longest = 0;
    for (size_t cell = 0; cell < cells; ++cell, numbers += dimensions_, whole += whole_size()) {
        const double length = std::sqrt(double{square_of(numbers, dimensions_)});
        if (!(length < HUGE_VAL)) return HUGE_VALF;
        longest = std::max(longest, length);
        const auto scale = static_cast<float>(scale_for(length));
        round_all(numbers, dimensions_, scale, whole);
        std::fill(whole + dimensions_, whole + whole_size(), int16_t{0});
        units[cell] = unit_ / scale;
    }
    return static_cast<float>(1.001 * longest * longest_);
}

// Whether anything of a part may become something; what there is in the part before is known.
bool SecondStage::needed(size_t part, float step, const float* coefficients) const {
    const size_t from = (part - 1) * pair_lanes;
    const float* before = coefficients + from;
    const float* usual = &deviations_[from];
    const float there = sum_of_squares(pair_lanes, [&](size_t i) { return before[i] / usual[i]; });
    return std::sqrt(there / pair_lanes) * largest_[part] >= least_deviation * step;
}

// Whether a cell of so much energy has more beyond what is made of it than cells have.
bool SecondStage::hides(size_t part, float step, float energy, const float* coefficients) const {
    const float made = sum_of_squares(part * pair_lanes, [&](size_t k) { return coefficients[k]; });
    const float square = step * step;
    return energy * (1 - left_out) - made >
           std::max(least_square * square, std::min(unusual * usual_left_[part], most_square * square));
}

// A part of the coefficients of some cells, in their order.
template <class Take>
void SecondStage::multiply(const int16_t* whole, const std::vector<size_t>& cells, size_t part, const Take& take) const {
    const int16_t* panel = &panels_[part * pair_lanes * whole_size()];
    alignas(cache_line) int32_t sums[pair_rows * pair_lanes];
    for (size_t i = 0; i < cells.size(); i += pair_rows) {
        const int16_t* rows[pair_rows];
        for (size_t n = 0; n < pair_rows; ++n) rows[n] = whole + cells[std::min(i + n, cells.size() - 1)] * whole_size();
        pair_sums(rows, pair_rows, whole_size() / 2, panel, sums);
        for (size_t n = 0; n < std::min(pair_rows, cells.size() - i); ++n) take(cells[i + n], sums + n * pair_lanes);
    }
}

// The same by tiles. `rows` are those of the cells that are `packed`. They become those of `cells` if some of these are not
// among them, or too few are.
template <class Take>
void SecondStage::multiply_tiles(const int16_t* whole, const std::vector<size_t>& cells, size_t part, TileRows& rows,
                                 std::vector<size_t>& packed, const Take& take) const {
    std::vector<uint8_t> wanted(std::max(packed.empty() ? 0 : packed.back(), cells.empty() ? 0 : cells.back()) + 1);
    for (const size_t cell : cells) wanted[cell] = 1;
    const auto count_in = [&](size_t i) {
        size_t count = 0;
        for (size_t n = i; n < std::min(i + tile_rows, packed.size()); ++n) count += wanted[packed[n]];
        return count;
    };
    size_t blocks = 0, found = 0;
    for (size_t i = 0; i < packed.size(); i += tile_rows) blocks += count_in(i) > 0, found += count_in(i);
    if (found < cells.size() || 2 * blocks * tile_rows > 3 * (cells.size() + tile_rows)) {
        packed = cells;
        for (size_t i = 0; i < cells.size(); i += tile_rows) {
            const size_t there = std::min(tile_rows, cells.size() - i);
            const int16_t* from[tile_rows];
            for (size_t n = 0; n < there; ++n) from[n] = whole + cells[i + n] * whole_size();
            rows.pack(i / tile_rows, from, there, whole_size());
        }
    }
    alignas(cache_line) int32_t sums[tile_rows * pair_lanes];
    for (size_t i = 0; i < packed.size(); i += tile_rows) {
        if (count_in(i) == 0) continue;
        tiles_.multiply(rows, i / tile_rows, part, sums);
        for (size_t n = 0; n < std::min(tile_rows, packed.size() - i); ++n)
            if (wanted[packed[i + n]]) take(packed[i + n], sums + n * pair_lanes);
    }
}

bool SecondStage::go_on(const int16_t* whole, const float* units, const float* steps, const uint8_t* least, size_t cells,
                        uint8_t* made, uint8_t* ends, float* coefficients) const {
    const size_t count = deviations_.size();
    std::fill_n(ends, cells, static_cast<uint8_t>(largest_.size()));
    std::vector<size_t> now, packed;
    std::optional<TileRows> rows;
    if (use_tiles()) rows.emplace(cells, whole_size());
    std::vector<float> energies(cells, -1);
    const auto energy_of = [&](size_t cell) {
        if (energies[cell] < 0) {
            const int16_t* numbers = whole + cell * whole_size();
            const float size = units[cell] / unit_;
            energies[cell] = sum_of_squares(dimensions_, [&](size_t d) { return static_cast<float>(numbers[d]) * size; });
        }
        return energies[cell];
    };
    for (size_t part = 0; part < largest_.size(); ++part) {
        now.clear();
        for (size_t cell = 0; cell < cells; ++cell) {
            if (ends[cell] < part) continue;  // needs nothing more
            const float* values = coefficients + cell * count;
            if (part < least[cell] || part == 0 || needed(part, steps[cell], values) ||
                hides(part, steps[cell], energy_of(cell), values)) {
                if (part >= made[cell]) now.push_back(cell);
            } else {
                ends[cell] = static_cast<uint8_t>(part);
            }
        }
        const size_t from = part * pair_lanes, there = std::min(pair_lanes, count - from);
        const auto take = [&](size_t cell, const int32_t* sums) {
            take_all(sums, there, units[cell], coefficients + cell * count + from);
            made[cell] = static_cast<uint8_t>(part + 1);
        };
        if (rows)
            multiply_tiles(whole, now, part, *rows, packed, take);
        else
            multiply(whole, now, part, take);
    }
    return !std::equal(made, made + cells, ends);
}

void parts_expected(const float* expected, size_t outputs, const float* steps, size_t cells, uint8_t* parts) {
    constexpr size_t width = SecondStage::part_width;
    for (size_t cell = 0; cell < cells; ++cell, expected += outputs) {
        const float enough = least_expected * steps[cell];
        size_t part = (outputs + width - 1) / width;
        const auto nothing_in = [&](size_t from, size_t to) {
            int32_t large = 0;
            for (size_t k = from; k < to; ++k) large |= std::fabs(expected[k]) < enough ? 0 : 1;  // a NaN is large
            return large == 0;
        };
        while (part > 0 && nothing_in((part - 1) * width, std::min(part * width, outputs))) --part;
        parts[cell] = static_cast<uint8_t>(part);
    }
}

}  // namespace midstream
