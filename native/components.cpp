// Quantising and coding components: what a value shall be, and the coder's two ends. The model is in components_model.hpp.
#include "components.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "components_model.hpp"

namespace midstream {
namespace components {
namespace {

// What a value shall be: the magnitude, the one below it or zero, whichever costs least.
class Chooser {
   public:
    Chooser(const float* values, const ComponentGrid& grid, const ComponentSteps& steps, float lambda)
        : values_(values), components_(grid.components), lambda_(lambda / 256) {
        for (size_t m = 0; m < steps.classes; ++m) per_step_.push_back(1 / steps.widths[m]);
    }

    // Whether any component of a band would be something, as things stand before it.
    template <class M>
    MIDSTREAM_INLINE int used(M& model, size_t cell, size_t place, const Neighbours& near, const Strength& strength,
                              size_t from, size_t to, const float* predicted) const {
        for (size_t k = from; k < to; ++k) {
            const float size = std::fabs(scaled(cell, place, k, predicted[k]));
            if (size < least) continue;
            if (size >= certain) return 1;
            const Around around = model.look(k, place, near, strength, chosen_ + cell * components_);
            if (choose(model, around, size)) return 1;
        }
        return 0;
    }
    template <class M>
    MIDSTREAM_INLINE int32_t value(M& model, size_t cell, size_t place, const Around& around, size_t k,
                                   float predicted) const {
        const float x = scaled(cell, place, k, predicted), size = std::fabs(x);
        if (size < least) return 0;
        const int32_t magnitude = choose(model, around, size);
        return x < 0 ? -magnitude : magnitude;
    }
    void look_at(const int32_t* chosen) { chosen_ = chosen; }

   private:
    float scaled(size_t cell, size_t place, size_t k, float predicted) const {
        return (values_[cell * components_ + k] - predicted) * per_step_[place];
    }
    template <class M>
    int32_t choose(M& model, const Around& around, float size) const {
        constexpr auto largest = static_cast<float>(largest_component - 1);
        const auto top = static_cast<int32_t>((size < largest ? size : largest) + 0.5f);  // a NaN is large
        const int32_t high = std::max(top, 1);
        if (high > unary_limit) return high;
        float best = size * size + lambda_ * static_cast<float>(model.price(around, 0, false));
        int32_t chosen = 0;
        // Bits up to where the candidates part are the same for all of them; the first is the sign's.
        uint32_t shared = 256 + model.price(around, 0, true);
        for (int32_t m = 1; m <= high; ++m) {
            if (m + 1 >= high) {
                const float off = size - model.reconstruction(around.level, m);
                const float cost = off * off + lambda_ * static_cast<float>(shared + model.price(around, m, false));
                if (cost < best) best = cost, chosen = m;
            }
            if (m < high) shared += model.price(around, m, true);
        }
        return chosen;
    }

    // In steps: below and above them rate and distortion need not be weighed (docs/method.md, "Constants").
    static constexpr float least = 0.55f, certain = 1.6f;
    const float* values_;
    const int32_t* chosen_ = nullptr;
    size_t components_;
    std::vector<float> per_step_;
    float lambda_;
};

struct Reader {
    template <class M>
    static int used(M&, size_t, size_t, const Neighbours&, const Strength&, size_t, size_t, const float*) { return 0; }
    template <class M>
    static int32_t value(M&, size_t, size_t, const Around&, size_t, float) { return 0; }
};

}  // namespace
}  // namespace components

using namespace components;

size_t component_slots() { return all_slots; }

size_t component_sets() { return sets; }

size_t component_state_size() { return all_slots + sets * Mix::inputs + sets; }

void component_state_reset(uint32_t* state) {
    std::fill_n(reinterpret_cast<Slot*>(state), all_slots, Slot{});
    Mix fresh(sets);
    std::memcpy(state + all_slots, fresh.weights().data(), sets * Mix::inputs * sizeof(int32_t));
    std::fill_n(state + all_slots + sets * Mix::inputs, sets, 0u);
}

void components_levels(size_t components, const int16_t* scales, const int16_t* steps, size_t classes, uint8_t* levels) {
    for (size_t k = 0; k < components; ++k)
        for (size_t m = 0; m < classes; ++m)
            levels[k * classes + m] =
                static_cast<uint8_t>(std::clamp((scales[k] - steps[m] + 40) >> 1, 0, component_levels - 1));
}

std::vector<uint8_t> components_encode(const float* values, const ComponentGrid& grid,
                                       const ComponentStatistics& statistics, const ComponentSteps& steps, float lambda,
                                       uint32_t* state, const ComponentPicture& picture) {
    // Whether a band is used is asked before its values are there, of contexts that may reach into it.
    std::fill_n(picture.chosen, grid.cells() * grid.components, 0);
    Encoder encoder;
    Model<Encoder> model(encoder, grid, statistics, steps, state, picture);
    Chooser chooser(values, grid, steps, lambda);
    chooser.look_at(picture.chosen);
    model.run(chooser);
    return encoder.finish();
}

bool components_decode(const uint8_t* data, size_t bytes, const ComponentGrid& grid,
                       const ComponentStatistics& statistics, const ComponentSteps& steps, uint32_t* state,
                       const ComponentPicture& picture) {
    Decoder decoder(data, bytes);
    Model<Decoder> model(decoder, grid, statistics, steps, state, picture);
    if (!picture.known) std::fill_n(picture.places, grid.cells(), uint8_t{0});
    Reader reader;
    return model.run(reader) && decoder.finished();
}

}  // namespace midstream
