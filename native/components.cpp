// Quantised transform components by context mixing (mixing.hpp). Components come one after the other, each a map over the
// grid, strongest first. What is expected of a value: how strong its component is beside the step (from the profile),
// how strong the components before it were at its place beside what was expected of them, its neighbours in the map, and
// two earlier components that it is related to. docs/format.md is normative.
#include "components.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "mixing.hpp"

namespace midstream {
namespace {

constexpr int contexts = 7;
constexpr int decisions = 6;        // zero or not, then magnitudes 1, 2, 3-4, 5-8, 9 and more
constexpr int unary_limit = 20;     // magnitudes above it are escaped
constexpr int numbered = 1024;      // components from here on share their contexts
constexpr int border = 2;
constexpr int slow = 4, quick = 2;  // how many components strengths remember: 2^slow, 2^quick
constexpr int sets = decisions * 4;
using Mix = Mixer<contexts>;

constexpr std::array<size_t, contexts> sizes = {32 * 16 * 4, numbered * 4, 8 * 32 * 8, 32 * 64, 16 * 16 * 16, 4096,
                                                numbered * 4};
constexpr size_t context_slots = [] {
    size_t sum = 0;
    for (const size_t size : sizes) sum += size * decisions;
    return sum;
}();
constexpr size_t sign_slots = numbered * 9, plane_slots = component_levels * 2;
constexpr size_t place_slots = most_classes * most_classes * most_classes, escape_slots = 32;
constexpr size_t all_slots = context_slots + sign_slots + plane_slots + place_slots + escape_slots;

// Mean magnitude in 1/256 at each level: of a Laplacian of standard deviation 2^((level - 20) / 4) steps, rounded down
// from 0.6 on.
constexpr std::array<int32_t, component_levels> expected = {
    1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   2,   5,   9,   15,  24,  35,
    50,  68,  89,  115, 145, 180, 222, 272, 330, 400, 482, 580, 695, 833, 996, 1190};

// 0 for 0, then in halves of log2, up to `most`.
constexpr int half_log(uint32_t x, int most) {
    if (x == 0) return 0;
    const int width = std::bit_width(x);
    const int half = width > 1 ? static_cast<int>(x >> (width - 2) & 1) : 0;
    return std::min(2 * width - 1 + half, most);
}

// How a strength compares with what was expected: 8 is as expected, a step is half of log2.
constexpr int ratio(int32_t strength, int32_t wanted) {
    return std::clamp(half_log(static_cast<uint32_t>(strength) + 4, 63) - half_log(static_cast<uint32_t>(wanted) + 4, 63) + 8,
                      0, 15);
}

constexpr int decision_of(int magnitude) {  // the one that asks whether the magnitude is larger than this
    return magnitude < 3 ? magnitude : magnitude < 5 ? 3 : magnitude < 9 ? 4 : 5;
}

struct State {
    Slot* slots;
    int32_t* weights;
    uint32_t* learnt;

    explicit State(uint32_t* state)
        : slots(reinterpret_cast<Slot*>(state)), weights(reinterpret_cast<int32_t*>(state + all_slots)),
          learnt(state + all_slots + sets * Mix::inputs) {}
};

// A map of magnitudes (or signs) with a border of zeros.
template <typename T>
struct Bordered {
    size_t stride;
    std::vector<T> cells;
    Bordered(size_t height, size_t width)
        : stride(width + 2 * border), cells((height + 2 * border) * stride) {}
    T* row(size_t y) { return cells.data() + (y + border) * stride + border; }
};

// What the contexts of a value are made of.
struct Around {
    int level, place;
    uint32_t component, near, nearest, own, brief, beside, related;
    uint32_t pattern;
};

template <class Coder>
class Model {
   public:
    Model(Coder& coder, const ComponentGrid& grid, const ComponentStatistics& statistics, const ComponentSteps& steps,
          uint32_t* state)
        : coder_(coder), grid_(grid), statistics_(statistics), classes_(steps.classes), state_(state), mixer_(sets),
          levels_(grid.components * steps.classes), magnitude_(grid.height, grid.width), sign_(grid.height, grid.width),
          slow_(grid.height, grid.width), quick_(grid.height, grid.width), wanted_slow_(steps.classes),
          wanted_quick_(steps.classes) {
        components_levels(grid.components, statistics, steps, levels_.data());
        std::copy_n(state_.weights, sets * Mix::inputs, mixer_.weights().begin());
        for (size_t i = 0; i < sets; ++i) mixer_.learnt()[i] = static_cast<uint16_t>(state_.learnt[i]);
        Slot* at = state_.slots;
        for (size_t i = 0; i < contexts; ++i) slots_[i] = at, at += sizes[i] * decisions;
        signs_ = at, planes_ = signs_ + sign_slots, places_ = planes_ + plane_slots, escape_ = places_ + place_slots;
    }

    // Quantiser says, before a value is coded, what it shall be; a decoder's says nothing.
    template <class Quantiser>
    bool run(uint8_t* places, int32_t* chosen, Quantiser& quantiser) {
        switch (current_path()) {
#ifdef MIDSTREAM_X86
            case Path::avx512:
            case Path::avx2: return run_avx2(places, chosen, quantiser);
#endif
            default: return code_all(places, chosen, quantiser);
        }
    }

    // Bits, in 1/256, that a decision would take.
    uint32_t price(const Around& around, int magnitude, bool larger) {
        Mix::Inputs in;
        const int decision = decision_of(magnitude);
        uint32_t at[contexts];
        locate(around, at);
        for (int c = 0; c < contexts; ++c) Mix::put(in, c, slots_[c][at[c] * decisions + decision]);
        Mix::put_constant(in);
        const int32_t p = mixer_.mix(set_of(decision, around), in);
        return bits_of(larger ? p : 65536 - p);
    }

   private:
#ifdef MIDSTREAM_X86
    template <class Quantiser>
    MIDSTREAM_AVX2 bool run_avx2(uint8_t* places, int32_t* chosen, Quantiser& quantiser) {
        return code_all(places, chosen, quantiser);
    }
#endif

    template <class Quantiser>
    MIDSTREAM_INLINE bool code_all(uint8_t* places, int32_t* chosen, Quantiser& quantiser) {
        if (!code_places(places)) return false;
        int before = 1;
        for (size_t k = 0; k < grid_.components; ++k) {
            int32_t* plane = chosen + k * grid_.cells();
            int used = quantiser.used(k);
            code_bit(planes_[levels_[k * classes_] * 2 + static_cast<size_t>(before)], used);
            before = used;
            if (used == 0) {
                std::fill_n(plane, grid_.cells(), 0);
            } else if (!code_plane(k, places, plane, chosen, quantiser)) {
                return false;
            }
            remember(k, plane);
        }
        std::copy(mixer_.weights().begin(), mixer_.weights().end(), state_.weights);
        for (size_t i = 0; i < sets; ++i) state_.learnt[i] = mixer_.learnt()[i];
        return true;
    }

    bool code_places(uint8_t* places) {
        for (size_t y = 0; y < grid_.height; ++y)
            for (size_t x = 0; x < grid_.width; ++x) {
                uint8_t* at = places + y * grid_.width + x;
                const size_t west = x ? at[-1] : y ? at[-static_cast<ptrdiff_t>(grid_.width)] : 0;
                const size_t north = y ? at[-static_cast<ptrdiff_t>(grid_.width)] : west;
                Slot* slots = places_ + (west * most_classes + north) * most_classes;
                size_t place = 0;
                for (; place + 1 < classes_; ++place) {
                    int more = *at > place;
                    code_bit(slots[place], more);
                    if (!more) break;
                }
                if (coder_.overrun()) return false;
                *at = static_cast<uint8_t>(place);
            }
        return true;
    }

    template <class Quantiser>
    MIDSTREAM_INLINE bool code_plane(size_t k, const uint8_t* places, int32_t* plane, const int32_t* chosen,
                                     Quantiser& quantiser) {
        std::fill(magnitude_.cells.begin(), magnitude_.cells.end(), uint8_t{0});
        std::fill(sign_.cells.begin(), sign_.cells.end(), int8_t{0});
        const uint16_t* back = statistics_.references + 2 * k;
        const int32_t* first = back[0] ? chosen + (k - back[0]) * grid_.cells() : nullptr;
        const int32_t* second = back[1] ? chosen + (k - back[1]) * grid_.cells() : nullptr;
        for (size_t y = 0; y < grid_.height; ++y)
            for (size_t x = 0; x < grid_.width; ++x) {
                const size_t cell = y * grid_.width + x;
                const Around around = look(k, y, x, places[cell], first ? first[cell] : 0, second ? second[cell] : 0);
                int32_t value = quantiser.value(*this, k, cell, around, plane[cell]);
                if (!code_value(around, k, y, x, value)) return false;
                plane[cell] = value;
                magnitude_.row(y)[x] = static_cast<uint8_t>(std::min(std::abs(value), 255));
                sign_.row(y)[x] = static_cast<int8_t>(value > 0 ? 1 : value < 0 ? 2 : 0);
            }
        return true;
    }

    MIDSTREAM_INLINE Around look(size_t k, size_t y, size_t x, uint8_t place, int32_t first, int32_t second) {
        const ptrdiff_t s = static_cast<ptrdiff_t>(magnitude_.stride);
        const uint8_t* a = magnitude_.row(y) + x;
        const uint32_t w = a[-1], n = a[-s], nw = a[-s - 1], ne = a[-s + 1], ww = a[-2], nn = a[-2 * s];
        const int32_t* l = slow_.row(y) + x;
        const int32_t beside = (l[-1] + l[1] + l[-s] + l[s]) / 4;
        const auto few = [](uint32_t v, uint32_t most) { return std::min(v, most); };
        Around out;
        out.level = levels_[k * classes_ + place];
        out.place = place;
        out.component = static_cast<uint32_t>(std::min<size_t>(k, numbered - 1));
        out.near = static_cast<uint32_t>(half_log(2 * w + 2 * n + nw + ne, 7));
        out.nearest = few(w + n, 3);
        out.own = static_cast<uint32_t>(ratio(l[0], wanted_slow_[place]));
        out.brief = static_cast<uint32_t>(ratio(quick_.row(y)[x], wanted_quick_[place]));
        out.beside = static_cast<uint32_t>(ratio(beside, wanted_slow_[place])) / 2;
        out.related = few(static_cast<uint32_t>(std::abs(first)), 3) * 4 + few(static_cast<uint32_t>(std::abs(second)), 3);
        out.pattern = few(w, 3) | few(n, 3) << 2 | few(nw, 3) << 4 | few(ne, 3) << 6 | few(ww, 3) << 8 | few(nn, 3) << 10;
        return out;
    }

    MIDSTREAM_INLINE static void locate(const Around& a, uint32_t (&at)[contexts]) {
        const uint32_t level = static_cast<uint32_t>(a.level);
        at[0] = (level * 16 + a.own) * 4 + a.nearest;
        at[1] = a.component * 4 + a.nearest;
        at[2] = (a.near * 32 + level) * 8 + a.beside;
        at[3] = level * 64 + a.related * 4 + a.nearest;
        at[4] = (a.brief * 16 + a.own) * 16 + level / 2;
        at[5] = a.pattern;
        at[6] = a.component * 4 + a.own / 4;
    }

    MIDSTREAM_INLINE static size_t set_of(int decision, const Around& around) {
        return static_cast<size_t>(decision * 4 + around.level / 8);
    }

    MIDSTREAM_INLINE bool code_value(const Around& around, size_t k, size_t y, size_t x, int32_t& value) {
        uint32_t at[contexts];
        locate(around, at);
        const int wanted = std::abs(value);
        int magnitude = 0;
        for (; magnitude <= unary_limit; ++magnitude) {
            int larger = wanted > magnitude;
            code_decision(around, at, decision_of(magnitude), larger);
            if (!larger) break;
        }
        if (magnitude > unary_limit && !code_escape(wanted - magnitude, magnitude)) return false;
        int negative = value < 0;
        if (magnitude) {
            const ptrdiff_t s = static_cast<ptrdiff_t>(sign_.stride);
            const int8_t* near = sign_.row(y) + x;
            code_bit(signs_[std::min<size_t>(k, numbered - 1) * 9 + static_cast<size_t>(near[-1] * 3 + near[-s])], negative);
        }
        value = negative ? -magnitude : magnitude;
        return !coder_.overrun();
    }

    MIDSTREAM_INLINE void code_decision(const Around& around, const uint32_t (&at)[contexts], int decision, int& bit) {
        Slot* slot[contexts];
        Mix::Inputs in;
        for (int c = 0; c < contexts; ++c) {
            slot[c] = &slots_[c][at[c] * decisions + static_cast<uint32_t>(decision)];
            Mix::put(in, c, *slot[c]);
        }
        Mix::put_constant(in);
        const size_t set = set_of(decision, around);
        const int32_t p = mixer_.mix(set, in);
        coder_.code(bit, static_cast<uint32_t>(p));
        mixer_.learn(set, in, p, bit);
        for (Slot* each : slot) each->update(bit);
    }

    // Exponential Golomb code: the bit length of `above` + 1 in unary, then its lower bits.
    bool code_escape(int above, int& magnitude) {
        const uint32_t wanted = static_cast<uint32_t>(std::max(above, 0)) + 1;
        const int width = std::bit_width(wanted);
        int length = 1;
        for (; length <= 21; ++length) {
            int longer = width > length;
            code_bit(escape_[length], longer);
            if (!longer) break;
        }
        if (length > 21) return false;
        uint32_t read = 1;
        for (int i = length - 2; i >= 0; --i) {
            int bit = static_cast<int>(wanted >> i & 1);
            coder_.code(bit, 32768);
            read = read * 2 + static_cast<uint32_t>(bit);
        }
        magnitude += static_cast<int>(read - 1);
        return magnitude <= largest_component;
    }

    MIDSTREAM_INLINE void code_bit(Slot& slot, int& bit) {
        coder_.code(bit, static_cast<uint32_t>(std::clamp(slot.probability() * 16, 32, 65536 - 32)));
        slot.update(bit);
    }

    // Strengths fade as components come and go, and so does what is expected of them.
    void remember(size_t k, const int32_t* plane) {
        for (size_t y = 0; y < grid_.height; ++y) {
            int32_t *l = slow_.row(y), *q = quick_.row(y);
            for (size_t x = 0; x < grid_.width; ++x) {
                const int32_t strength = 256 * std::min(std::abs(plane[y * grid_.width + x]), 255);
                l[x] += strength - (l[x] >> slow), q[x] += strength - (q[x] >> quick);
            }
        }
        for (size_t m = 0; m < classes_; ++m) {
            const int32_t wanted = expected[levels_[k * classes_ + m]];
            wanted_slow_[m] += wanted - (wanted_slow_[m] >> slow), wanted_quick_[m] += wanted - (wanted_quick_[m] >> quick);
        }
    }

    static uint32_t bits_of(int32_t p) {
        static const auto table = [] {
            std::array<uint32_t, 4097> out{};
            for (int i = 0; i <= 4096; ++i)
                out[static_cast<size_t>(i)] = static_cast<uint32_t>(std::lround(-256 * std::log2(std::max(i, 1) / 4096.0)));
            return out;
        }();
        return table[static_cast<size_t>(p >> 4)];
    }

    Coder& coder_;
    ComponentGrid grid_;
    ComponentStatistics statistics_;
    size_t classes_;
    State state_;
    Mix mixer_;
    std::vector<uint8_t> levels_;
    Bordered<uint8_t> magnitude_;
    Bordered<int8_t> sign_;
    Bordered<int32_t> slow_, quick_;
    std::vector<int32_t> wanted_slow_, wanted_quick_;
    Slot *slots_[contexts], *signs_, *planes_, *places_, *escape_;
};

// What a value shall be: the magnitude, the one below it or zero, whichever costs least.
class Chooser {
   public:
    Chooser(const float* values, const ComponentGrid& grid, const int8_t* offsets, float lambda)
        : values_(values), cells_(grid.cells()), offsets_(offsets), lambda_(lambda / 256) {}

    int used(size_t k) const {
        const float* plane = values_ + k * cells_;
        for (size_t i = 0; i < cells_; ++i)
            if (std::fabs(plane[i]) >= least_) return 1;
        return 0;
    }
    template <class M>
    MIDSTREAM_INLINE int32_t value(M& model, size_t k, size_t cell, const Around& around, int32_t) const {
        const float x = values_[k * cells_ + cell], size = std::fabs(x);
        if (size < least_) return 0;
        const int32_t magnitude = choose(model, around, size);
        return x < 0 ? -magnitude : magnitude;
    }

   private:
    template <class M>
    int32_t choose(M& model, const Around& around, float size) const {
        const int32_t top = std::min(static_cast<int32_t>(std::min(size, 1e6f) + 0.5f), largest_component - 1);
        const int32_t high = std::max(top, 1);
        // Bits up to where the candidates part are the same for all of them.
        const float none = size * size + lambda_ * static_cast<float>(model.price(around, 0, false));
        float best = none;
        int32_t chosen = 0;
        uint32_t shared = 256 + model.price(around, 0, true);  // with the sign
        for (int32_t m = 1; m <= high && m <= unary_limit; ++m) {
            if (m + 1 >= high) {
                const float off = size - reconstruction(around.level, m);
                const float cost = off * off + lambda_ * static_cast<float>(shared + model.price(around, m, false));
                if (cost < best) best = cost, chosen = m;
            }
            if (m < high) shared += model.price(around, m, true);
        }
        return high > unary_limit ? high : chosen;
    }
    float reconstruction(int level, int32_t m) const {
        const int c = std::min(m, reconstruction_classes) - 1;
        return static_cast<float>(m) + static_cast<float>(offsets_[level * reconstruction_classes + c]) / 64;
    }

    static constexpr float least_ = 0.55f;
    const float* values_;
    size_t cells_;
    const int8_t* offsets_;
    float lambda_;
};

struct Reader {
    static int used(size_t) { return 0; }
    template <class M>
    MIDSTREAM_INLINE static int32_t value(M&, size_t, size_t, const Around&, int32_t) { return 0; }
};

}  // namespace

size_t component_slots() { return all_slots; }

size_t component_sets() { return sets; }

size_t component_state_size() { return all_slots + sets * Mix::inputs + sets; }

void component_state_reset(uint32_t* state) {
    State parts(state);
    std::fill_n(parts.slots, all_slots, Slot{});
    Mix fresh(sets);
    std::copy(fresh.weights().begin(), fresh.weights().end(), parts.weights);
    std::fill_n(parts.learnt, sets, 0u);
}

void components_levels(size_t components, const ComponentStatistics& statistics, const ComponentSteps& steps,
                       uint8_t* levels) {
    for (size_t k = 0; k < components; ++k)
        for (size_t m = 0; m < steps.classes; ++m)
            levels[k * steps.classes + m] = static_cast<uint8_t>(
                std::clamp((statistics.scales[k] - steps.steps[m] + 40) >> 1, 0, component_levels - 1));
}

std::vector<uint8_t> components_encode(const float* values, const uint8_t* places, const ComponentGrid& grid,
                                       const ComponentStatistics& statistics, const ComponentSteps& steps,
                                       const int8_t* offsets, float lambda, uint32_t* state, int32_t* chosen) {
    Encoder encoder;
    Model<Encoder> model(encoder, grid, statistics, steps, state);
    std::vector<uint8_t> copy(places, places + grid.cells());
    Chooser chooser(values, grid, offsets, lambda);
    model.run(copy.data(), chosen, chooser);
    return encoder.finish();
}

bool components_decode(const uint8_t* data, size_t bytes, const ComponentGrid& grid,
                       const ComponentStatistics& statistics, const ComponentSteps& steps, uint32_t* state,
                       uint8_t* places, int32_t* chosen) {
    Decoder decoder(data, bytes);
    Model<Decoder> model(decoder, grid, statistics, steps, state);
    std::fill_n(places, grid.cells(), uint8_t{0});
    Reader reader;
    return model.run(places, chosen, reader) && decoder.finished();
}

}  // namespace midstream
