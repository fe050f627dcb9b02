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

// What a coder without contexts would take for a coefficient of each level, in 1/256 bits: for a zero, and for anything
// else with its sign, to which every octave of magnitude adds. Of the Laplacians that `expected` is made of; an encoder
// decides with it, so that it need not be the same everywhere.
struct RoughBits {
    float zero, more;
};
const auto rough_bits = [] {
    std::array<RoughBits, coefficient_levels> out{};
    for (int level = 0; level < coefficient_levels; ++level) {
        const double fall = std::sqrt(2.0) / std::exp2((level - 20) / 4.0);
        const double zero = std::clamp(1 - std::exp(-0.6 * fall), 1e-3, 1 - 1e-4);
        out[static_cast<size_t>(level)] = {
            static_cast<float>(-256 * std::log2(zero)),
            static_cast<float>(-256 * (std::log2(1 - zero) + std::log2(1 - std::exp(-fall)) - 1))};
    }
    return out;
}();
constexpr float rough_bits_octave = 512, rough_least = 0.6f, rough_rounding = 0.45f;

// What a value shall be: the magnitude, the one below it or zero, whichever costs least.
class Chooser {
   public:
    // `chosen` [cells, coefficients]: what was decided so far, zero elsewhere.
    Chooser(const float* values, const int32_t* chosen, const CoefficientGrid& grid, const CoefficientSteps& steps,
            float lambda, const uint8_t* refreshed = nullptr)
        : values_(values), chosen_(chosen), refreshed_(refreshed), coefficients_(grid.coefficients), classes_(steps.classes),
          lambda_(lambda / 256) {
        for (size_t m = 0; m < steps.classes; ++m) per_step_.push_back(1 / steps.sizes[m]);
    }

    // Whether any coefficient of a band would be something, as things stand before it.
    template <class Coder>
    MIDSTREAM_INLINE int used(Coder& coder, const Place& place, const Strength& strength, size_t from, size_t to,
                              const float* predicted) const {
        for (size_t k = from; k < to; ++k) {
            const float size = std::fabs(scaled(place, k, predicted[k]));
            if (size < least) continue;
            if (size >= certain) return 1;
            const Around around = coder.look(k, place, strength, chosen_ + place.cell * coefficients_);
            if (choose(coder, around, size)) return 1;
        }
        return 0;
    }
    template <class Coder>
    MIDSTREAM_INLINE int32_t value(Coder& coder, const Place& place, const Around& around, size_t k,
                                   float predicted) const {
        const float x = scaled(place, k, predicted), size = std::fabs(x);
        if (size < least) return 0;
        const int32_t magnitude = choose(coder, around, size);
        return x < 0 ? -magnitude : magnitude;
    }

    // The mode that costs least, by what a coder without contexts would take.
    template <class Coder>
    size_t mode(const Coder& coder, const Place& place, size_t modes, const float* alone) const {
        size_t best = 0;
        float least_cost = 0;
        if (refreshed_ && refreshed_[place.cell]) return best;
        for (size_t m = 0; m < modes; ++m) {
            const size_t column = m * classes_ + place.importance;
            float cost = lambda_ * static_cast<float>(coder.price_of_mode(place, m));
            for (size_t k = 0; k < coefficients_; ++k) {
                const float expected_value = m ? coder.from_before(m, place.cell, k) : alone[k];
                cost += rough_cost(std::fabs(scaled(place, k, expected_value)), coder.level(k, column));
            }
            if (m == 0 || cost < least_cost) least_cost = cost, best = m;
        }
        return best;
    }

   private:
    float rough_cost(float size, uint32_t level) const {
        const float nothing = size * size + lambda_ * rough_bits[level].zero;
        if (size < rough_least) return nothing;
        const float magnitude = std::floor(size + rough_rounding), off = size - magnitude;
        const auto bits = rough_bits[level].more + rough_bits_octave * std::log2(std::max(magnitude, 1.0f));
        return std::min(nothing, off * off + lambda_ * bits);
    }
    float scaled(const Place& place, size_t k, float predicted) const {
        return (values_[place.cell * coefficients_ + k] - predicted) * per_step_[place.importance];
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
    const uint8_t* refreshed_;
    size_t coefficients_, classes_;
    std::vector<float> per_step_;
    float lambda_;
};

struct Reader {
    template <class Coder>
    static size_t mode(const Coder&, const Place&, size_t, const float*) { return 0; }
    template <class Coder>
    static int used(Coder&, const Place&, const Strength&, size_t, size_t, const float*) { return 0; }
    template <class Coder>
    static int32_t value(Coder&, const Place&, const Around&, size_t, float) { return 0; }
};

}  // namespace
}  // namespace coefficients

using namespace coefficients;

namespace {

using AloneAt = Layout<Alone>;
using PredictedAt = Layout<Predicted>;

template <class Kind>
void fresh(uint32_t* state) {
    using At = Layout<Kind>;
    std::fill_n(reinterpret_cast<Slot*>(state), At::slots, Slot{});
    typename At::Mix mixer(sets);
    std::memcpy(state + At::weights, mixer.weights().data(), sets * At::Mix::inputs * sizeof(int32_t));
    std::fill_n(state + At::learnt, sets, 0u);
}

}  // namespace

size_t coefficient_slots() { return AloneAt::slots; }
size_t coefficient_sets() { return sets; }
size_t coefficient_state_size() { return AloneAt::size; }
void coefficient_state_reset(uint32_t* state) { fresh<Alone>(state); }

size_t frame_slots() { return PredictedAt::slots; }
size_t frame_state_size() { return PredictedAt::size; }
size_t frame_state_carried() { return PredictedAt::carried; }

void frame_state_from(const uint32_t* alone, uint32_t* state) {
    fresh<Predicted>(state);
    std::copy_n(alone, AloneAt::signs, state);
    for (size_t i = 0; i < Predicted::sign_slots; ++i)
        state[PredictedAt::signs + i] = alone[AloneAt::signs + i / 3];
    for (size_t i = 0; i < Predicted::band_slots; ++i) state[PredictedAt::bands + i] = alone[AloneAt::bands + i / 9];
    for (size_t i = 0; i < Predicted::importance_slots; ++i)
        state[PredictedAt::importance + i] = alone[AloneAt::importance + i % Alone::importance_slots];
    std::copy_n(alone + AloneAt::escape, escape_slots, state + PredictedAt::escape);
    constexpr size_t inputs = AloneAt::Mix::inputs, more = PredictedAt::Mix::inputs;
    for (size_t i = 0; i < sets; ++i) {
        std::copy_n(alone + AloneAt::weights + i * inputs, 2 * Alone::contexts, state + PredictedAt::weights + i * more);
        state[PredictedAt::weights + i * more + more - 2] = alone[AloneAt::weights + i * inputs + inputs - 2];
    }
    std::copy_n(alone + AloneAt::learnt, sets, state + PredictedAt::learnt);
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

namespace {

void fill_levels(const int16_t* scales, size_t coefficients, const CoefficientSteps& steps, size_t columns,
                 uint8_t* levels) {
    for (size_t k = 0; k < coefficients; ++k)
        for (size_t m = 0; m < steps.classes; ++m) {
            const int level = (scales[k] - steps.indices[m] + 40) >> 1;
            levels[k * columns + m] = static_cast<uint8_t>(std::clamp(level, 0, coefficient_levels - 1));
        }
}

}  // namespace

void CoefficientModel::levels(const CoefficientSteps& steps, uint8_t* levels) const {
    fill_levels(statistics_.scales.data(), coefficients(), steps, steps.classes, levels);
}

std::vector<uint8_t> CoefficientModel::encode(const float* values, const CoefficientGrid& grid,
                                              const CoefficientSteps& steps, float lambda, uint32_t* state,
                                              const CoefficientImage& image) const {
    // Whether a band is used is asked before its values are there, of contexts that may reach into it.
    std::fill_n(image.chosen, grid.cells() * grid.coefficients, 0);
    ArithmeticEncoder encoder;
    std::vector<uint8_t> known_levels(grid.coefficients * steps.classes);
    levels(steps, known_levels.data());
    CoefficientCoder<ArithmeticEncoder, Alone> coder(encoder, *this, grid, steps, state, image, std::move(known_levels));
    Chooser chooser(values, image.chosen, grid, steps, lambda);
    coder.run(chooser);
    return encoder.finish();
}

bool CoefficientModel::decode(const uint8_t* data, size_t bytes, const CoefficientGrid& grid,
                              const CoefficientSteps& steps, uint32_t* state, const CoefficientImage& image) const {
    ArithmeticDecoder decoder(data, bytes);
    std::vector<uint8_t> known_levels(grid.coefficients * steps.classes);
    levels(steps, known_levels.data());
    CoefficientCoder<ArithmeticDecoder, Alone> coder(decoder, *this, grid, steps, state, image, std::move(known_levels));
    if (!image.known) std::fill_n(image.importance, grid.cells(), uint8_t{0});
    Reader reader;
    return coder.run(reader) && decoder.finished();
}

FrameModel::FrameModel(CoefficientModel alone, FramePredictors predictors)
    : alone_(std::move(alone)), predictors_(std::move(predictors)) {
    const size_t expected_size = (predictors_.modes - 1) * alone_.coefficients();
    if (predictors_.modes < 2 || predictors_.modes > most_frame_modes || predictors_.gains.size() != expected_size ||
        predictors_.scales.size() != expected_size)
        throw std::invalid_argument("coefficients: predictors from the frame before");
}

void FrameModel::levels(const CoefficientSteps& steps, uint8_t* levels) const {
    const size_t columns = predictors_.modes * steps.classes, count = alone_.coefficients();
    for (size_t m = 0; m < predictors_.modes; ++m) {
        const int16_t* scales = m ? &predictors_.scales[(m - 1) * count] : alone_.statistics().scales.data();
        fill_levels(scales, count, steps, columns, levels + m * steps.classes);
    }
}

std::vector<uint8_t> FrameModel::encode(const float* values, const CoefficientGrid& grid, const CoefficientSteps& steps,
                                        float lambda, uint32_t* state, const CoefficientImage& image,
                                        const FrameReference& reference, uint8_t* modes,
                                        const uint8_t* refreshed) const {
    std::fill_n(image.chosen, grid.cells() * grid.coefficients, 0);
    ArithmeticEncoder encoder;
    std::vector<uint8_t> known_levels(grid.coefficients * predictors_.modes * steps.classes);
    levels(steps, known_levels.data());
    CoefficientCoder<ArithmeticEncoder, Predicted> coder(encoder, alone_, grid, steps, state, image,
                                                         std::move(known_levels), &predictors_, &reference, modes);
    Chooser chooser(values, image.chosen, grid, steps, lambda, refreshed);
    coder.run(chooser);
    return encoder.finish();
}

bool FrameModel::decode(const uint8_t* data, size_t bytes, const CoefficientGrid& grid, const CoefficientSteps& steps,
                        uint32_t* state, const CoefficientImage& image, const FrameReference& reference,
                        uint8_t* modes) const {
    ArithmeticDecoder decoder(data, bytes);
    std::vector<uint8_t> known_levels(grid.coefficients * predictors_.modes * steps.classes);
    levels(steps, known_levels.data());
    CoefficientCoder<ArithmeticDecoder, Predicted> coder(decoder, alone_, grid, steps, state, image,
                                                         std::move(known_levels), &predictors_, &reference, modes);
    if (!image.known) std::fill_n(image.importance, grid.cells(), uint8_t{0});
    Reader reader;
    return coder.run(reader) && decoder.finished();
}

}  // namespace midstream
