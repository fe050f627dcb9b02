// Quantising and coding coefficients: what a value shall be, and the coder's two ends.
#include "coefficients.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "arithmetic.hpp"
#include "coefficients_coder.hpp"

namespace midstream {
namespace coefficients {
namespace {

// What a value shall be: the magnitude, the one below it or zero, whichever costs least.
class Chooser {
   public:
    // `chosen` [cells, coefficients]: what was decided so far, zero elsewhere.
    Chooser(const float* values, const int32_t* chosen, const CoefficientGrid& grid, const CoefficientSteps& steps,
            float lambda)
        : values_(values), chosen_(chosen), coefficients_(grid.coefficients), lambda_(lambda / 256) {
        for (size_t m = 0; m < steps.classes; ++m) per_step_.push_back(1 / steps.sizes[m]);
    }

    // Whether any coefficient of a band would be something, as things stand before it.
    template <class Coder>
    MIDSTREAM_INLINE int used(Coder& coder, size_t cell, size_t importance, const Neighbours& near,
                              const Strength& strength, size_t from, size_t to, const float* predicted) const {
        for (size_t k = from; k < to; ++k) {
            const float size = std::fabs(scaled(cell, importance, k, predicted[k]));
            if (size < least) continue;
            if (size >= certain) return 1;
            const Around around = coder.look(k, importance, near, strength, chosen_ + cell * coefficients_);
            if (choose(coder, around, size)) return 1;
        }
        return 0;
    }
    template <class Coder>
    MIDSTREAM_INLINE int32_t value(Coder& coder, size_t cell, size_t importance, const Around& around, size_t k,
                                   float predicted) const {
        const float x = scaled(cell, importance, k, predicted), size = std::fabs(x);
        if (size < least) return 0;
        const int32_t magnitude = choose(coder, around, size);
        return x < 0 ? -magnitude : magnitude;
    }

   private:
    float scaled(size_t cell, size_t importance, size_t k, float predicted) const {
        return (values_[cell * coefficients_ + k] - predicted) * per_step_[importance];
    }
    template <class Coder>
    int32_t choose(Coder& coder, const Around& around, float size) const {
        constexpr auto largest = static_cast<float>(largest_coefficient - 1);
        const auto top = static_cast<int32_t>((size < largest ? size : largest) + 0.5f);  // a NaN is large
        const int32_t high = std::max(top, 1);
        if (high > unary_limit) return high;
        float best = size * size + lambda_ * static_cast<float>(coder.price(around, 0, false));
        int32_t chosen = 0;
        // Bits up to where the candidates part are the same for all of them; the first is the sign's.
        uint32_t shared = 256 + coder.price(around, 0, true);
        for (int32_t m = 1; m <= high; ++m) {
            if (m + 1 >= high) {
                const float off = size - coder.reconstruction(around.level, m);
                const float cost = off * off + lambda_ * static_cast<float>(shared + coder.price(around, m, false));
                if (cost < best) best = cost, chosen = m;
            }
            if (m < high) shared += coder.price(around, m, true);
        }
        return chosen;
    }

    // In steps: below and above them rate and distortion need not be weighed (docs/method.md, "Constants").
    static constexpr float least = 0.55f, certain = 1.6f;
    const float* values_;
    const int32_t* chosen_;
    size_t coefficients_;
    std::vector<float> per_step_;
    float lambda_;
};

struct Reader {
    template <class Coder>
    static int used(Coder&, size_t, size_t, const Neighbours&, const Strength&, size_t, size_t, const float*) {
        return 0;
    }
    template <class Coder>
    static int32_t value(Coder&, size_t, size_t, const Around&, size_t, float) { return 0; }
};

}  // namespace
}  // namespace coefficients

using namespace coefficients;

size_t coefficient_slots() { return all_slots; }

size_t coefficient_sets() { return sets; }

size_t coefficient_state_size() { return all_slots + sets * Mix::inputs + sets; }

void coefficient_state_reset(uint32_t* state) {
    std::fill_n(reinterpret_cast<Slot*>(state), all_slots, Slot{});
    Mix fresh(sets);
    std::memcpy(state + all_slots, fresh.weights().data(), sets * Mix::inputs * sizeof(int32_t));
    std::fill_n(state + all_slots + sets * Mix::inputs, sets, 0u);
}

CoefficientModel::CoefficientModel(CoefficientStatistics statistics) : statistics_(std::move(statistics)) {
    const auto& [scales, references, offsets, prediction, inputs, outputs] = statistics_;
    const auto require = [](bool ok, const char* what) {
        if (!ok) throw std::invalid_argument(what);
    };
    require(!scales.empty(), "coefficients: none");
    require(references.size() == 2 * scales.size(), "coefficients: two references each");
    for (size_t i = 0; i < references.size(); ++i)
        require(references[i] <= i / 2, "coefficients: a reference to no coefficient");
    require(offsets.size() == coefficient_levels * reconstruction_classes, "coefficients: offsets");
    require(inputs <= scales.size() && outputs <= scales.size() && prediction.size() == 3 * inputs * outputs,
            "coefficients: prediction");
}

void CoefficientModel::levels(const CoefficientSteps& steps, uint8_t* levels) const {
    for (size_t k = 0; k < coefficients(); ++k)
        for (size_t m = 0; m < steps.classes; ++m) {
            const int level = (statistics_.scales[k] - steps.indices[m] + 40) >> 1;
            levels[k * steps.classes + m] = static_cast<uint8_t>(std::clamp(level, 0, coefficient_levels - 1));
        }
}

std::vector<uint8_t> CoefficientModel::encode(const float* values, const CoefficientGrid& grid,
                                              const CoefficientSteps& steps, float lambda, uint32_t* state,
                                              const CoefficientImage& image) const {
    // Whether a band is used is asked before its values are there, of contexts that may reach into it.
    std::fill_n(image.chosen, grid.cells() * grid.coefficients, 0);
    ArithmeticEncoder encoder;
    CoefficientCoder coder(encoder, *this, grid, steps, state, image);
    Chooser chooser(values, image.chosen, grid, steps, lambda);
    coder.run(chooser);
    return encoder.finish();
}

bool CoefficientModel::decode(const uint8_t* data, size_t bytes, const CoefficientGrid& grid,
                              const CoefficientSteps& steps, uint32_t* state, const CoefficientImage& image) const {
    ArithmeticDecoder decoder(data, bytes);
    CoefficientCoder coder(decoder, *this, grid, steps, state, image);
    if (!image.known) std::fill_n(image.importance, grid.cells(), uint8_t{0});
    Reader reader;
    return coder.run(reader) && decoder.finished();
}

}  // namespace midstream
