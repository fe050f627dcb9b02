#include "neighbours.hpp"

#include <algorithm>

#include "dispatch.hpp"

namespace midstream {
NeighbourPrediction::NeighbourPrediction(const std::vector<float>& weights, size_t inputs, size_t outputs)
    : inputs_(inputs), outputs_(outputs), panels_((outputs + panel - 1) / panel + most_sums - 1) {
    panels_ -= panels_ % most_sums;
    packed_.resize(panels_ * 3 * inputs * panel);
    nothing_.resize(inputs);
    for (size_t row = 0; row < 3 * inputs; ++row)
        for (size_t o = 0; o < outputs; ++o)
            packed_[(o / panel * 3 * inputs + row) * panel + o % panel] = weights[row * outputs + o];
}

NeighbourPrediction::Around NeighbourPrediction::around(const float* decoded, size_t coefficients, size_t width, size_t y,
                                                        size_t x) const {
    const float* here = decoded + (y * width + x) * coefficients;
    return {{x ? here - coefficients : nothing_.data(), y ? here - width * coefficients : nothing_.data(),
             y && x + 1 < width ? here - (width - 1) * coefficients : nothing_.data()}};
}

void NeighbourPrediction::predict(const float* decoded, size_t coefficients, size_t width, size_t y, size_t x,
                                  float* out) const {
    const Around from = around(decoded, coefficients, width, y, x);
    sum<1>(&from, &out);
    std::fill(out + outputs_, out + predicted(), 0.0f);
}

void NeighbourPrediction::add(float* decoded, size_t coefficients, size_t height, size_t width,
                              const uint8_t* apart) const {
    AlignedVector<float> sums(most_sums * panels_ * panel);
    float* at[most_sums];
    for (size_t i = 0; i < most_sums; ++i) at[i] = sums.data() + i * panels_ * panel;
    Around from[most_sums];
    float* to[most_sums];
    size_t there = 0;
    const auto finish = [&] {
        size_t first = 0;
        for (; there - first >= 4; first += 4) sum<4>(from + first, at + first);
        for (; there - first >= 2; first += 2) sum<2>(from + first, at + first);
        if (there > first) sum<1>(from + first, at + first);
        for (size_t i = 0; i < there; ++i)
            for (size_t o = 0; o < outputs_; ++o) to[i][o] = at[i][o] + to[i][o];
        there = 0;
    };
    // Cells of a knight's move do not depend on each other, only on those of the moves before.
    for (size_t move = 0; move < width + 2 * (height - 1); ++move) {
        for (size_t y = move < width ? 0 : (move - width) / 2 + 1; y < height && 2 * y <= move; ++y) {
            const size_t x = move - 2 * y, cell = y * width + x;
            if (apart && apart[cell]) continue;
            from[there] = around(decoded, coefficients, width, y, x);
            to[there++] = decoded + cell * coefficients;
            if (there == most_sums) finish();
        }
        finish();
    }
}

void NeighbourPrediction::sum_reference(const Around& around, float* out) const {
    for (size_t o = 0; o < panels_ * panel; ++o) {
        size_t weight = o / panel * 3 * inputs_ * panel + o % panel;
        float sum = 0;
        for (const float* cell : around.cell)
            for (size_t i = 0; i < inputs_; ++i, weight += panel) sum += cell[i] * packed_[weight];
        out[o] = sum;
    }
}

#if defined(__GNUC__) || defined(__clang__)
// In vectors of so many bytes, in which outputs are lanes: a vector adds up in the same order as a single number does.
template <size_t bytes, size_t cells>
MIDSTREAM_INLINE void NeighbourPrediction::sum_in_vectors(const Around* around, float* const* out) const {
    typedef float Vector __attribute__((vector_size(bytes), aligned(sizeof(float)), may_alias));
    constexpr size_t width = bytes / sizeof(float), parts = panel / width, wide = most_sums / cells;
    const size_t rows = 3 * inputs_;
    for (size_t p = 0; p < panels_; p += wide) {
        const float* weights = packed_.data() + p * rows * panel;
        Vector sum[cells][wide][parts] = {};
        for (size_t side = 0; side < 3; ++side)
            for (size_t i = 0; i < inputs_; ++i, weights += panel)
                for (size_t w = 0; w < wide; ++w)
                    for (size_t v = 0; v < parts; ++v) {
                        const Vector by = *reinterpret_cast<const Vector*>(weights + w * rows * panel + v * width);
                        for (size_t c = 0; c < cells; ++c) sum[c][w][v] += around[c].cell[side][i] * by;
                    }
        for (size_t c = 0; c < cells; ++c)
            for (size_t w = 0; w < wide; ++w)
                for (size_t v = 0; v < parts; ++v)
                    *reinterpret_cast<Vector*>(out[c] + (p + w) * panel + v * width) = sum[c][w][v];
    }
}
#ifdef MIDSTREAM_X86
template <size_t cells>
MIDSTREAM_AVX2 void NeighbourPrediction::sum_avx2(const Around* around, float* const* out) const {
    sum_in_vectors<32, cells>(around, out);
}
template <size_t cells>
MIDSTREAM_AVX512 void NeighbourPrediction::sum_avx512(const Around* around, float* const* out) const {
    sum_in_vectors<64, cells>(around, out);
}
#endif
#endif

template <size_t cells>
void NeighbourPrediction::sum(const Around* around, float* const* out) const {
    switch (current_path()) {
#ifdef MIDSTREAM_X86
        case Path::avx2: return sum_avx2<cells>(around, out);
        case Path::avx512: return sum_avx512<cells>(around, out);
#endif
#if defined(__GNUC__) || defined(__clang__)
        case Path::portable:
        case Path::neon: return sum_in_vectors<16, cells>(around, out);
#endif
        default:
            for (size_t c = 0; c < cells; ++c) sum_reference(around[c], out[c]);
    }
}

}  // namespace midstream
