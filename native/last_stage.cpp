#include "last_stage.hpp"

#include <bit>
#include <cmath>
#include <cstring>
#include <stdexcept>

#include "panels.hpp"
#include "whole.hpp"

namespace midstream {
namespace {

constexpr size_t lanes = CellLanes::most;
static_assert(lanes == panel_width && pair_rows == panel_rows);

// What becomes of the elements [count, lanes] of some lanes: pairs of whole numbers [pairs, lanes, 2] of a unit [lanes], of
// which the largest is between 2^(13 - lower) and 2^(14 - lower). False where one is not finite.
MIDSTREAM_INLINE bool to_pairs_in(const float* __restrict panel, size_t count, int lower, int32_t* __restrict pairs,
                                  float* __restrict units) {
    int32_t largest[lanes] = {};
    float scales[lanes];
    for (size_t j = 0; j < count; ++j)
        for (size_t i = 0; i < lanes; ++i) {
            const int32_t bits = std::bit_cast<int32_t>(panel[j * lanes + i]) & 0x7FFFFFFF;
            largest[i] = bits > largest[i] ? bits : largest[i];
        }
    int32_t most = 0;
    for (size_t i = 0; i < lanes; ++i) {
        most = largest[i] > most ? largest[i] : most;
        const int32_t wanted = 13 - lower - ((largest[i] >> 23) - 127);
        const int32_t exponent = wanted < most_exponent ? wanted : most_exponent;
        scales[i] = std::bit_cast<float>((127 + exponent) << 23);
        units[i] = std::bit_cast<float>((127 - exponent) << 23);
    }
    constexpr float shift = 12582912;  // 1.5 * 2^23, beyond which there are no fractions
    for (size_t j = 0; j < count; j += 2) {
        const float *first = panel + j * lanes, *second = panel + (j + 1 < count ? j + 1 : j) * lanes;
        const float there = j + 1 < count ? 1.0f : 0.0f;
        int32_t* out = pairs + j / 2 * lanes;
        for (size_t i = 0; i < lanes; ++i) {
            const auto low = std::bit_cast<uint32_t>(first[i] * scales[i] + shift);
            const auto high = std::bit_cast<uint32_t>(second[i] * there * scales[i] + shift);
            out[i] = static_cast<int32_t>((high << 16) | (low & 0xFFFF));
        }
    }
    return most < 0x7F800000;
}

MIDSTREAM_INLINE void to_numbers_in(const int32_t* __restrict sums, const float* __restrict units, float unit,
                                    float* __restrict out) {
    for (size_t i = 0; i < lanes; ++i) out[i] = static_cast<float>(sums[i]) * (units[i] * unit);
}

// Whether all of many numbers are finite: of one that is not, the product with 0 is a NaN.
MIDSTREAM_INLINE void limit_in(float* __restrict sums, float* __restrict seen, float mean, float low, float high) {
    for (size_t i = 0; i < lanes; ++i) {
        const float value = sums[i] + mean;
        seen[i] += value * 0.0f;
        const float raised = value > low ? value : low;
        sums[i] = raised < high ? raised : high;
    }
}

// On an instruction set.
struct Kernels {
    bool (*to_pairs)(const float* panel, size_t count, int lower, int32_t* pairs, float* units);
    void (*to_numbers)(const int32_t* sums, const float* units, float unit, float* out);
    void (*limit)(float* sums, float* seen, float mean, float low, float high);
};
#ifdef MIDSTREAM_X86
MIDSTREAM_AVX2 bool to_pairs_avx2(const float* panel, size_t count, int lower, int32_t* pairs, float* units) {
    return to_pairs_in(panel, count, lower, pairs, units);
}
MIDSTREAM_AVX2 void to_numbers_avx2(const int32_t* sums, const float* units, float unit, float* out) {
    to_numbers_in(sums, units, unit, out);
}
MIDSTREAM_AVX2 void limit_avx2(float* sums, float* seen, float mean, float low, float high) {
    limit_in(sums, seen, mean, low, high);
}
#endif

Kernels kernels() {
    switch (current_path()) {
#ifdef MIDSTREAM_X86
        case Path::avx512:
        case Path::avx2: return {to_pairs_avx2, to_numbers_avx2, limit_avx2};
#endif
        default: return {to_pairs_in, to_numbers_in, limit_in};
    }
}

// log2 of the root of a count, rounded up: so much longer than its largest number a vector of so many may be.
int octaves_longer(size_t count) {
    int octaves = 0;
    while ((size_t{1} << (2 * octaves)) < count) ++octaves;
    return octaves;
}

}  // namespace

LastStage::LastStage(const Level& level, bool whole)
    : ratio_(level.ratio), count_(level.count), mean_(level.mean, level.mean + level.channels), whole_(whole) {
    const size_t channels = level.channels, pairs = (count_ + 1) / 2;
    if (!whole) {
        columns_.assign(level.columns, level.columns + channels * count_);
        return;
    }
    lower_ = octaves_longer(count_);
    pairs_.resize(channels * 2 * pairs);
    for (size_t c = 0; c < channels; ++c) {
        const float* row = level.columns + c * count_;
        if (!std::all_of(row, row + count_, [](float x) { return std::isfinite(x); }))
            throw std::invalid_argument("last stage: columns that are not finite");
        int16_t* out = &pairs_[c * 2 * pairs];
        int64_t square;
        int exponent = whole_exponent(row, count_) + 1;
        do {
            --exponent, square = 0;
            const float scale = std::ldexp(1.0f, exponent);
            for (size_t j = 0; j < count_; ++j) {
                out[j] = static_cast<int16_t>(rounded(row[j] * scale));
                square += int64_t{out[j]} * out[j];
            }
        } while (square > int64_t{1} << 31);
        units_.push_back(std::ldexp(1.0f, -exponent));
    }
}

bool LastStage::run(const float* numbers, size_t stride, const Place& place) const {
    const CellBlock& block = place.block;
    const LevelGrid grid{channels(), place.height, place.width, ratio_};
    const size_t cells = block.rows() * block.columns(), area = ratio_ * ratio_, together = CellLanes::together(ratio_);
    const size_t pairs = (count_ + 1) / 2, plane = place.height * place.width;
    AlignedVector<float> panel(count_ * lanes), sums(pair_rows * lanes);
    AlignedVector<int32_t> numbers_in_pairs(whole_ ? pairs * lanes : 0), whole_sums(whole_ ? pair_rows * lanes : 0);
    alignas(cache_line) float units[lanes] = {}, seen[lanes] = {};
    const Kernels on = kernels();
    CellLanes chunk;
    for (size_t cell = 0; cell < cells; cell += together) {
        const size_t now = std::min(together, cells - cell);
        for (size_t begin = 0; begin < area; begin += chunk.elements) {
            chunk.set(grid, block, cell, now, begin);
            gather(numbers + cell * stride, stride, chunk, panel.data());
            if (whole_ && !on.to_pairs(panel.data(), count_, lower_, numbers_in_pairs.data(), units)) return false;
            for (size_t first = 0; first < channels(); first += pair_rows) {
                const size_t rows = std::min(pair_rows, channels() - first);
                if (whole_) {
                    const int16_t* from[pair_rows];
                    for (size_t n = 0; n < pair_rows; ++n) from[n] = &pairs_[(first + std::min(n, rows - 1)) * 2 * pairs];
                    pair_sums(from, pair_rows, pairs, reinterpret_cast<const int16_t*>(numbers_in_pairs.data()),
                              whole_sums.data());
                    for (size_t n = 0; n < rows; ++n)
                        on.to_numbers(&whole_sums[n * lanes], units, units_[first + n], &sums[n * lanes]);
                } else {
                    const float* from[panel_rows];
                    for (size_t n = 0; n < panel_rows; ++n) from[n] = &columns_[(first + std::min(n, rows - 1)) * count_];
                    panel_sums(from, panel_rows, count_, panel.data(), sums.data());
                }
                for (size_t n = 0; n < rows; ++n) {
                    const size_t c = first + n;
                    float *from = &sums[n * lanes], *to = place.out + c * plane;
                    on.limit(from, seen, mean_[c], place.low[c], place.high[c]);
                    if (chunk.count == 0)
                        for (size_t i = 0; i < chunk.used(); ++i)
                            if (!chunk.beyond[i]) to[chunk.at[i]] = from[i];
                    with_ratio(ratio_, [&](auto ratio) {
                        for (const CellLanes::Row* row = chunk.rows; row < chunk.rows + chunk.count; ++row)
                            copy_row(*row, place.width, ratio, [&](size_t at, size_t lane, auto count) {
                                std::memcpy(to + at, from + lane, count * sizeof(float));
                            });
                    });
                }
            }
        }
    }
    return std::all_of(seen, seen + lanes, [](float sum) { return sum == 0; });
}

// What cells have of some lanes, [count, lanes]; 0 of what is beyond them, and beyond the level.
void LastStage::gather(const float* numbers, size_t stride, const CellLanes& chunk, float* panel) const {
    const size_t area = ratio_ * ratio_, elements = chunk.elements, used = chunk.used();
    with_ratio(elements == area ? ratio_ : 0, [&](auto ratio) {
        const auto each = [&] {
            if constexpr (std::is_same_v<decltype(ratio), size_t>) return elements;
            else return Ratio<ratio * ratio>{};
        }();
        for (size_t j = 0; j < count_; ++j, panel += lanes) {
            const float* from = numbers + j * area + chunk.begin;
            for (size_t i = 0; i < chunk.cells; ++i, from += stride)
                std::memcpy(panel + i * each, from, each * sizeof(float));
            std::fill(panel + used, panel + lanes, 0.0f);
            if (chunk.count == 0)
                for (size_t i = 0; i < used; ++i) panel[i] = chunk.beyond[i] ? 0.0f : panel[i];
        }
    });
}

}  // namespace midstream
