#include "last_stage.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <stdexcept>

#include "pairs.hpp"
#include "panels.hpp"
#include "round_pairs.hpp"
#include "sheets.hpp"
#include "whole.hpp"

namespace midstream {
namespace {

constexpr size_t lanes = panel_width;
static_assert(lanes == pair_lanes && pair_rows == panel_rows);

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
    round_pairs(panel, count, scales, pairs);
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

// Of `panel_rows` channels from `first` on: what they make of a panel, [panel_rows, lanes].
void LastStage::product(size_t first, const float* panel, float* sums) const {
    const float* from[panel_rows];
    for (size_t n = 0; n < panel_rows; ++n) from[n] = &columns_[std::min(first + n, channels() - 1) * count_];
    panel_sums(from, panel_rows, count_, panel, sums);
}
void LastStage::product(size_t first, const int32_t* pairs, int32_t* sums) const {
    const size_t size = (count_ + 1) / 2;
    const int16_t* from[pair_rows];
    for (size_t n = 0; n < pair_rows; ++n) from[n] = &pairs_[std::min(first + n, channels() - 1) * 2 * size];
    pair_sums(from, pair_rows, size, reinterpret_cast<const int16_t*>(pairs), sums);
}

MIDSTREAM_INLINE bool LastStage::run_in(const float* numbers, size_t stride, const Place& place) const {
    const LevelGrid grid{channels(), place.height, place.width, ratio_};
    const size_t area = ratio_ * ratio_, plane = place.height * place.width, panel = count_ * lanes;
    const size_t pairs = (count_ + 1) / 2 * lanes;
    AlignedVector<float> values(Sheets::most_panels * panel), sums(Sheets::most_panels * panel_rows * lanes);
    AlignedVector<int32_t> whole(whole_ ? Sheets::most_panels * pairs : 0), whole_sums(whole_ ? pair_rows * lanes : 0);
    alignas(cache_line) float units[Sheets::most_panels][lanes], seen[lanes] = {};
    Sheets sheets(grid, place.block, false);
    while (sheets.next()) {
        for (const CellRun& run : sheets.in_cells) {
            const float* from = numbers + run.cell * stride + run.at;
            float* to = &values[run.panel * panel + run.lane];
            for (size_t j = 0; j < count_; ++j) copy_run(from + j * area, run.length, to + j * lanes);
        }
        for (size_t p = 0; whole_ && p < sheets.panels; ++p)
            if (!to_pairs_in(&values[p * panel], count_, lower_, &whole[p * pairs], units[p])) return false;
        for (size_t first = 0; first < channels(); first += panel_rows) {
            for (size_t p = 0; p < sheets.panels; ++p) {
                float* to = &sums[p * panel_rows * lanes];
                if (!whole_) {
                    product(first, &values[p * panel], to);
                    continue;
                }
                product(first, &whole[p * pairs], whole_sums.data());
                for (size_t n = 0; n < std::min(pair_rows, channels() - first); ++n)
                    to_numbers_in(&whole_sums[n * lanes], units[p], units_[first + n], to + n * lanes);
            }
            for (size_t n = 0; n < std::min(panel_rows, channels() - first); ++n) {
                const size_t c = first + n;
                float* channel = place.out + c * plane;
                for (size_t p = 0; p < sheets.panels; ++p)
                    limit_in(&sums[(p * panel_rows + n) * lanes], seen, mean_[c], place.low[c], place.high[c]);
                for (const LevelRun& run : sheets.in_level)
                    copy_run(&sums[(run.panel * panel_rows + n) * lanes + run.lane], run.length, channel + run.at);
            }
        }
    }
    return std::all_of(seen, seen + lanes, [](float sum) { return sum == 0; });
}

#ifdef MIDSTREAM_X86
MIDSTREAM_AVX2 bool LastStage::run_avx2(const float* numbers, size_t stride, const Place& place) const {
    return run_in(numbers, stride, place);
}
#endif

#ifdef MIDSTREAM_X86
MIDSTREAM_AVX512 bool LastStage::run_avx512(const float* numbers, size_t stride, const Place& place) const {
    return run_in(numbers, stride, place);
}
#endif

bool LastStage::run(const float* numbers, size_t stride, const Place& place) const {
    switch (current_path()) {
#ifdef MIDSTREAM_X86
        case Path::avx512: return run_avx512(numbers, stride, place);
        case Path::avx2: return run_avx2(numbers, stride, place);
#endif
        default: return run_in(numbers, stride, place);
    }
}

}  // namespace midstream
