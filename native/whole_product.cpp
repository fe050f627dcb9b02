#include "whole_product.hpp"

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

constexpr float most_number = 1 << 16;
constexpr int64_t most_square = int64_t{1} << 31;  // with that of a row's numbers, no sum is beyond 2^31

// The pairs of `pair_rows` cells that are not all zero.
struct Listed {
    size_t first, count;  // of the list
    float units[pair_rows];
};

// What rows of sums stand for, `there` of each.
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

WholeProduct::WholeProduct(const float* matrix, size_t inputs, size_t outputs, bool bounded)
    : inputs_(inputs), outputs_(outputs), pairs_((inputs + 1) / 2) {
    if (!std::all_of(matrix, matrix + inputs * outputs, [](float x) { return std::fabs(x) <= most_number; }))
        throw std::invalid_argument("whole product: the matrix is too large");
    exponent_ = whole_exponent(matrix, inputs * outputs);
    panels_.resize((outputs + pair_lanes - 1) / pair_lanes * pairs_ * 2 * pair_lanes);
    const auto fill = [&] {
        const float scale = std::ldexp(1.0f, exponent_);
        std::vector<int64_t> squares(outputs);
        for (size_t i = 0; i < inputs; ++i)
            for (size_t o = 0; o < outputs; ++o) {
                const int64_t number = rounded(matrix[i * outputs + o] * scale);
                panels_[((o / pair_lanes * pairs_ + i / 2) * pair_lanes + o % pair_lanes) * 2 + i % 2] =
                    static_cast<int16_t>(number);
                squares[o] += number * number;
            }
        return std::all_of(squares.begin(), squares.end(), [](int64_t square) { return square <= most_square; });
    };
    while (!fill() && bounded) --exponent_;
    tiles_ = TileMatrix(panels_.data(), (outputs + pair_lanes - 1) / pair_lanes, pairs_);
}

bool WholeProduct::multiply(const float* values, size_t cells, size_t first, size_t count, float* out) const {
    return use_tiles() ? multiply_tiles(values, cells, first, count, out) : multiply_pairs(values, cells, first, count, out);
}

bool WholeProduct::multiply_tiles(const float* values, size_t cells, size_t first, size_t count, float* out) const {
    TileRows rows(cells, inputs_);
    std::vector<float> units(cells);
    std::vector<int16_t> whole(tile_rows * inputs_);
    const int16_t* from[tile_rows];
    for (size_t n = 0; n < tile_rows; ++n) from[n] = &whole[n * inputs_];
    for (size_t cell = 0; cell < cells; cell += tile_rows) {
        const size_t now = std::min(tile_rows, cells - cell);
        size_t there[tile_rows], most = 0;
        for (size_t n = 0; n < now; ++n) {
            const float* own = values + (cell + n) * inputs_;
            there[n] = used(own, inputs_), most = std::max(most, there[n]);
            const int exponent = to_whole(own, there[n], &whole[n * inputs_]);
            if (exponent == not_finite) return false;
            units[cell + n] = std::ldexp(1.0f, -exponent - exponent_);
        }
        for (size_t n = 0; n < now; ++n) std::fill(&whole[n * inputs_] + there[n], &whole[n * inputs_] + most, int16_t{0});
        rows.pack(cell / tile_rows, from, now, most);
    }
    alignas(cache_line) int32_t sums[tile_rows * pair_lanes];
    for (size_t d = 0; d < count; d += pair_lanes)
        for (size_t cell = 0; cell < cells; cell += tile_rows) {
            tiles_.multiply(rows, cell / tile_rows, (first + d) / pair_lanes, sums);
            take(sums, &units[cell], std::min(tile_rows, cells - cell), std::min(pair_lanes, count - d), count,
                 out + cell * count + d);
        }
    return true;
}

bool WholeProduct::multiply_pairs(const float* values, size_t cells, size_t first, size_t count, float* out) const {
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
            const float* own = values + (cell + n) * inputs_;
            there[n] = used(own, inputs_), most_there = std::max(most_there, there[n]);
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
