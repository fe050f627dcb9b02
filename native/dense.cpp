// The `dense` coder: context mixing (mixing.hpp) for maps of few symbols. A symbol is written as binary decisions ("is it
// the likeliest symbol? the second likeliest? ..."). In a frame that is predicted from another one the first question is
// whether the symbol is the one that the other frame has there. docs/format.md is normative.
#include "dense.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <utility>

#include "arithmetic.hpp"
#include "dispatch.hpp"
#include "mixing.hpp"

namespace midstream {
namespace {

constexpr int contexts = 7;

// A map that nothing is known of, and one of a frame of which an earlier one is known.
struct Alone {
    static constexpr bool predicted = false;
    static constexpr int bits[contexts] = {12, 12, 14, 12, 8, 12, 12};
};
struct Predicted {
    static constexpr bool predicted = true;
    static constexpr int bits[contexts] = {14, 14, 14, 14, 14, 14, 13};
};

constexpr int unary_limit = 15;    // ranks from here on are escaped
constexpr int escape_bits = 8;
constexpr int border = 2;          // neighbours reach two cells far

// A class of symbols, 0 to 3.
constexpr size_t coarse(size_t symbol, size_t alphabet) {
    return alphabet <= 4 ? symbol & 3 : std::min<size_t>(symbol * 4 / alphabet, 3);
}

// Says what an encoder would spend, symbol by symbol, if it had no other contexts than those of the bits of `used`.
class Meter {
   public:
    Meter(float* bits, uint32_t used) : bits_(bits), used_(used) {}
    uint32_t used() const { return used_; }
    void code(int& bit, uint32_t p) { spent_ -= std::log2(static_cast<double>(bit ? p : 65536 - p) / 65536); }
    static bool overrun() { return false; }
    void end_symbol() { *bits_++ = static_cast<float>(std::exchange(spent_, 0.0)); }

   private:
    float* bits_;
    uint32_t used_;
    double spent_ = 0;
};

// The symbols of a level with a border, so that every neighbour exists.
struct Plane {
    size_t width = 0, height = 0, stride = 0;
    std::vector<uint8_t> cells;

    Plane() = default;
    Plane(const MapShape& shape, uint8_t fill)
        : width(shape.width), height(shape.height), stride(shape.width + 2 * border),
          cells(shape.channels * (shape.height + 2 * border) * stride, fill) {}
    Plane(const MapShape& shape, uint8_t fill, const uint8_t* values) : Plane(shape, fill) {
        for (size_t c = 0; c < shape.channels; ++c)
            for (size_t y = 0; y < height; ++y, values += width) std::copy_n(values, width, row(c, y));
    }
    uint8_t* row(size_t channel, size_t y) {
        return cells.data() + (channel * (height + 2 * border) + y + border) * stride + border;
    }
};

template <class Coder, class Kind, class Lanes>
class Model {
   public:
    // `before` of a predicted map.
    Model(Coder& coder, const MapShape& shape, size_t alphabet, const SymbolOrder& order,
          const DenseBefore* before = nullptr)
        : coder_(coder), order_(order.symbols), occurring_(order.count), channels_(shape.channels),
          decisions_(std::min<size_t>(order.count - 1, unary_limit)), wide_(alphabet > 4),
          plane_(shape, order.symbols[0]), mixer_(decisions_) {
        if constexpr (Kind::predicted) {
            before_ = Plane(shape, order.symbols[0], before->symbols);
            past_ = Plane(shape, 0, before->past);
        }
        for (size_t i = 0; i < occurring_; ++i) rank_[order_[i]] = static_cast<uint8_t>(i);
        for (size_t s = 0; s < 256; ++s) {
            coarse_[s] = static_cast<uint8_t>(coarse(s, alphabet));
            fine_[s] = static_cast<uint8_t>(alphabet <= 16 ? s & 15 : std::min<size_t>(s * 16 / alphabet, 15));
        }
        size_t slots = 0;
        for (int c = 0; c < contexts; ++c) {
            first_[c] = static_cast<uint32_t>(slots);
            slots += (size_t{1} << Kind::bits[c]) * decisions_;
        }
        slots_.resize(slots);
    }

    // Codes all symbols; when decoding, `symbols` receives them. False when the data ran out.
    MIDSTREAM_INLINE bool run(uint8_t* symbols, const uint8_t* references) {
        for (size_t c = 0; c < channels_; ++c)
            for (size_t y = 0; y < plane_.height; ++y, symbols += plane_.width) {
                const size_t other = references[c] ? c - references[c] : c;
                Row row = {c, references[c] != 0, plane_.row(c, y), plane_.row(other, y), nullptr, nullptr, nullptr};
                if constexpr (Kind::predicted) {
                    row.before = before_.row(c, y), row.other_before = before_.row(other, y);
                    row.past = past_.row(c, y);
                }
                if (!code_row(row, symbols)) return false;
            }
        return true;
    }

   private:
    using Mix = Mixer<contexts, Lanes>;

    // Where a row is read and written. Without a reference `other` is the row itself, where nothing is written yet.
    struct Row {
        size_t channel;
        bool referenced;
        uint8_t* own;
        const uint8_t *other, *before, *other_before, *past;  // the last three of a predicted map
    };

    MIDSTREAM_INLINE bool code_row(const Row& row, uint8_t* out) {
        for (size_t x = 0; x < plane_.width; ++x) {
            uint32_t at[contexts];
            int known = 0;  // of the symbol that is asked for first: its rank
            if constexpr (Kind::predicted) {
                locate_predicted(row, x, at);
                known = rank_[row.before[x]];
            } else {
                locate(row, x, at);
            }
            for (int i = 0; i < contexts; ++i) at[i] &= coder_.used() >> i & 1 ? ~0u : 0u;
            for (int i = 0; i < contexts; ++i) at[i] = first_[i] + at[i] * static_cast<uint32_t>(decisions_);
            int rank = code_symbol(at, turned(rank_[out[x]], known));
            if (rank < 0 || coder_.overrun()) return false;
            coder_.end_symbol();
            rank = rank == 0 ? known : rank <= known ? rank - 1 : rank;
            row.own[x] = out[x] = order_[rank];
        }
        return true;
    }
    // The place of a rank where the known one comes first.
    static int turned(int rank, int known) { return rank == known ? 0 : rank < known ? rank + 1 : rank; }

    MIDSTREAM_INLINE uint32_t q(uint8_t symbol) const { return coarse_[symbol]; }
    MIDSTREAM_INLINE uint32_t f(uint8_t symbol) const { return fine_[symbol]; }

    MIDSTREAM_INLINE void locate(const Row& row, size_t x, uint32_t (&at)[contexts]) const {
        const ptrdiff_t s = static_cast<ptrdiff_t>(plane_.stride);
        const uint32_t place = static_cast<uint32_t>(row.channel & 255);
        const uint8_t *a = row.own + x, *r = row.other + x;
        const uint32_t w = q(a[-1]), n = q(a[-s]), nw = q(a[-s - 1]), ne = q(a[-s + 1]), ww = q(a[-2]);
        const uint32_t nn = q(a[-2 * s]), nne = q(a[-2 * s + 1]), nnw = q(a[-2 * s - 1]);
        const uint32_t rest = row.referenced ? q(r[-1]) | q(r[-s]) << 2 | q(r[1]) << 4 | q(r[s]) << 6 : 0;
        const uint32_t same = row.referenced ? f(r[0]) : f(order_[0]);
        const uint32_t near = row.referenced ? q(r[0]) : q(order_[0]);
        at[0] = w | n << 2 | nw << 4 | ne << 6 | ww << 8 | nn << 10;
        at[1] = place << 4 | w << 2 | n;
        at[2] = near | rest << 2 | w << 10 | n << 12;
        at[3] = place << 4 | same;
        at[4] = place;
        at[5] = ne | nne << 2 | nn << 4 | nnw << 6 | n << 8 | w << 10;
        at[6] = f(a[-1]) | f(a[-s]) << 4 | same << 8;
    }

    // All of them know the symbol that the frame before has in this place: decisions mean something beside it alone.
    MIDSTREAM_INLINE void locate_predicted(const Row& row, size_t x, uint32_t (&at)[contexts]) const {
        const ptrdiff_t s = static_cast<ptrdiff_t>(plane_.stride);
        const uint32_t place = static_cast<uint32_t>(row.channel & 255);
        const uint8_t *a = row.own + x, *b = row.before + x, *r = row.other + x, *rb = row.other_before + x;
        const uint8_t* h = row.past + x;
        const uint32_t t = q(b[0]), te = q(b[1]), ts = q(b[s]), w = q(a[-1]), n = q(a[-s]), past = h[0];
        const uint32_t same = row.referenced ? q(r[0]) : q(order_[0]), was = row.referenced ? q(rb[0]) : q(order_[0]);
        const uint32_t beside = row.referenced ? q(r[1]) | q(r[s]) << 2 : 0;
        const auto changed = [](const uint8_t* now, const uint8_t* then, ptrdiff_t at) {
            return static_cast<uint32_t>(now[at] != then[at]);
        };
        const uint32_t cw = changed(a, b, -1), cn = changed(a, b, -s);
        const uint32_t farther = changed(a, b, 1 - s) | changed(a, b, -1 - s) << 1 |
                                 (row.referenced ? changed(r, rb, 0) : 0) << 2 | changed(a, b, -2) << 3 |
                                 changed(a, b, -2 * s) << 4;
        const uint32_t around = t | te << 2 | ts << 4, recent_east = h[1] >> 2 & 3, recent_south = h[s] >> 2 & 3;
        at[0] = t | same << 2 | was << 4 | place << 6;
        at[1] = n | w << 2 | t << 4 | place << 6;
        at[2] = around | q(b[-1]) << 6 | q(b[-s]) << 8 | w << 10 | n << 12;
        at[3] = around | q(b[s + 1]) << 6 | q(b[s - 1]) << 8 | w << 10 | n << 12;
        at[4] = t | cw << 2 | cn << 3 | farther << 4 | past << 9;
        at[5] = t | w << 2 | n << 4 | same << 6 | was << 8 | beside << 10;
        at[6] = t | past << 2 | recent_east << 7 | recent_south << 9 | cw << 11 | cn << 12;
        if (!wide_) return;  // else four classes are too few to tell symbols apart
        const uint32_t here = f(b[0]), near = row.referenced ? f(r[0]) : f(order_[0]);
        at[3] = here | near << 4 | (row.referenced ? f(rb[0]) : f(order_[0])) << 8 | w << 12;
        at[5] = here | f(a[-1]) << 4 | f(a[-s]) << 8 | same << 12;
    }

    // `at` are the slots of the first decision.
    MIDSTREAM_INLINE int code_symbol(const uint32_t (&at)[contexts], int rank) {
        for (uint32_t decision = 0; decision < decisions_; ++decision) {
            typename Mix::Look look;
            mixer_.look(decision, slots_.data(), at, decision, look);
            int bit = rank == static_cast<int>(decision);
            coder_.code(bit, static_cast<uint32_t>(look.chance));
            mixer_.learn(look, slots_.data(), at, decision, bit);
            if (bit) return static_cast<int>(decision);
        }
        return decisions_ + 1 == occurring_ ? static_cast<int>(decisions_) : code_escape(rank);
    }

    MIDSTREAM_INLINE int code_escape(int rank) {
        const int wanted = std::max(rank - unary_limit, 0);
        size_t node = 1;
        for (int i = escape_bits - 1; i >= 0; --i) {
            int bit = (wanted >> i) & 1;
            Slot& slot = escape_[node];
            coder_.code(bit, static_cast<uint32_t>(slot.chance()));
            slot.update(bit);
            node = node * 2 + static_cast<size_t>(bit);
        }
        const size_t coded = node - (size_t{1} << escape_bits) + unary_limit;
        return coded < occurring_ ? static_cast<int>(coded) : -1;
    }

    Coder& coder_;
    const uint8_t* order_;
    size_t occurring_, channels_, decisions_;
    bool wide_;
    Plane plane_, before_, past_;
    Mix mixer_;
    std::array<uint8_t, 256> rank_{}, coarse_{}, fine_{};
    uint32_t first_[contexts];  // of each context's slots
    std::vector<Slot> slots_;
    std::array<Slot, size_t{1} << escape_bits> escape_{};
};

template <class Kind>
struct Task {
    const MapShape& shape;
    size_t alphabet;
    const SymbolOrder& order;
    const uint8_t* references;
    const DenseBefore* before = nullptr;

    template <class Lanes, class Coder>
    MIDSTREAM_INLINE bool code_with(Coder& coder, uint8_t* symbols) const {
        return Model<Coder, Kind, Lanes>(coder, shape, alphabet, order, before).run(symbols, references);
    }
#ifdef MIDSTREAM_X86
    template <class Coder>
    MIDSTREAM_AVX2 bool code_avx2(Coder& coder, uint8_t* symbols) const {
        return code_with<VectorLanes>(coder, symbols);
    }
#endif
    template <class Coder>
    bool code(Coder& coder, uint8_t* symbols) const {
        switch (current_path()) {
            case Path::reference: return code_with<PlainLanes>(coder, symbols);
#ifdef MIDSTREAM_X86
            case Path::avx512:  // sixteen weights in one register are slower than in two, measured
            case Path::avx2: return code_avx2(coder, symbols);
#endif
            default: return code_with<VectorLanes>(coder, symbols);
        }
    }
};

template <class Kind>
std::vector<uint8_t> encoded(const uint8_t* symbols, const Task<Kind>& task) {
    ArithmeticEncoder encoder;
    std::vector<uint8_t> copy(symbols, symbols + task.shape.count());
    task.code(encoder, copy.data());
    return encoder.finish();
}

template <class Kind>
bool decoded(const uint8_t* data, size_t bytes, const Task<Kind>& task, uint8_t* symbols) {
    ArithmeticDecoder decoder(data, bytes);
    std::fill_n(symbols, task.shape.count(), uint8_t{0});
    return task.code(decoder, symbols) && decoder.finished();
}

}  // namespace

std::vector<uint8_t> dense_encode(const uint8_t* symbols, const MapShape& shape, size_t alphabet,
                                  const SymbolOrder& order, const uint8_t* references, const DenseBefore* before) {
    return before ? encoded<Predicted>(symbols, {shape, alphabet, order, references, before})
                  : encoded<Alone>(symbols, {shape, alphabet, order, references});
}

bool dense_decode(const uint8_t* data, size_t bytes, const MapShape& shape, size_t alphabet, const SymbolOrder& order,
                  const uint8_t* references, uint8_t* symbols, const DenseBefore* before) {
    return before ? decoded<Predicted>(data, bytes, {shape, alphabet, order, references, before}, symbols)
                  : decoded<Alone>(data, bytes, {shape, alphabet, order, references}, symbols);
}

void dense_past(const uint8_t* symbols, const uint8_t* before, size_t count, size_t alphabet, uint8_t* past) {
    for (size_t i = 0; i < count; ++i) {
        const size_t changed = symbols[i] != before[i];
        const size_t other = changed ? coarse(before[i], alphabet) : past[i] & 3;
        past[i] = static_cast<uint8_t>(other | ((past[i] >> 2 << 1 | changed) & 7) << 2);
    }
}

void dense_costs(const uint8_t* symbols, const MapShape& shape, size_t alphabet, const SymbolOrder& order,
                 const uint8_t* references, uint32_t used, float* bits) {
    Meter meter(bits, used);
    std::vector<uint8_t> copy(symbols, symbols + shape.count());
    Task<Alone>{shape, alphabet, order, references}.code(meter, copy.data());
}

namespace {

// Where a sample of a channel's places holds each class of symbols, a bit a place.
class Sample {
   public:
    Sample(const uint8_t* symbols, const MapShape& shape, size_t alphabet)
        : size_(shape.height * shape.width), step_(std::max<size_t>(size_ / places, 1) | 1),  // odd: no beat with the width
          taken_((size_ + step_ - 1) / step_), words_((taken_ + 63) / 64), classes_(std::min(alphabet, most_classes)),
          bits_(shape.channels * classes_ * words_), counts_(shape.channels * classes_), n_log_n_(taken_ + 1) {
        for (size_t n = 2; n <= taken_; ++n)  // in whole 1/256 bits, so that no machine's logarithm decides
            n_log_n_[n] = std::llround(256 * static_cast<double>(n) * std::log2(static_cast<double>(n)));
        for (size_t c = 0; c < shape.channels; ++c)
            for (size_t i = 0; i < taken_; ++i) {
                const size_t symbol = symbols[c * size_ + i * step_];
                const size_t k = c * classes_ + (alphabet <= most_classes ? symbol : symbol * most_classes / alphabet);
                bits_[k * words_ + i / 64] |= uint64_t{1} << (i % 64);
                ++counts_[k];
            }
    }

    // Mutual information of two channels in all their places, in 1/256 bits.
    MIDSTREAM_INLINE int64_t shared(size_t a, size_t b) const {
        const uint32_t *count_a = &counts_[a * classes_], *count_b = &counts_[b * classes_];
        uint32_t left_a[most_classes], left_b[most_classes], both = static_cast<uint32_t>(taken_);
        std::copy_n(count_a, classes_, left_a);
        std::copy_n(count_b, classes_, left_b);
        int64_t sum = n_log_n_[taken_];
        for (size_t k = 0; k < classes_; ++k) sum -= n_log_n_[count_a[k]] + n_log_n_[count_b[k]];
        for (size_t i = 1; i < classes_; ++i)
            for (size_t k = 1; k < classes_; ++k) {
                const uint64_t *bits_a = &bits_[(a * classes_ + i) * words_], *bits_b = &bits_[(b * classes_ + k) * words_];
                uint32_t n = 0;
                for (size_t w = 0; w < words_; ++w) n += static_cast<uint32_t>(std::popcount(bits_a[w] & bits_b[w]));
                left_a[i] -= n, left_b[k] -= n;
                sum += n_log_n_[n];
            }
        // What remains of a class is together with class 0, which need not be counted.
        for (size_t k = 1; k < classes_; ++k) {
            sum += n_log_n_[left_a[k]] + n_log_n_[left_b[k]];
            both -= left_a[k];
        }
        for (size_t k = 1; k < classes_; ++k) both -= count_b[k];
        return (sum + n_log_n_[both]) * static_cast<int64_t>(step_);
    }

    MIDSTREAM_INLINE void choose(size_t channels, uint8_t* references) const {
        constexpr int64_t worthwhile = 16 * 256;  // what naming a reference costs, and a little
        for (size_t c = 0; c < channels; ++c) {
            references[c] = 0;
            int64_t best = worthwhile;
            for (size_t other = c - std::min<size_t>(c, 255); other < c; ++other) {
                const int64_t saved = shared(c, other);
                if (saved > best) best = saved, references[c] = static_cast<uint8_t>(c - other);
            }
        }
    }
    void choose_portable(size_t channels, uint8_t* references) const { choose(channels, references); }
#ifdef MIDSTREAM_X86
    // For its instruction that counts bits.
    MIDSTREAM_AVX2 void choose_avx2(size_t channels, uint8_t* references) const { choose(channels, references); }
#endif

   private:
    static constexpr size_t places = 512, most_classes = 8;
    size_t size_, step_, taken_, words_, classes_;
    std::vector<uint64_t> bits_;
    std::vector<uint32_t> counts_;
    std::vector<int64_t> n_log_n_;
};

}  // namespace

void dense_references(const uint8_t* symbols, const MapShape& shape, size_t alphabet, uint8_t* references) {
    const Sample sample(symbols, shape, alphabet);
#ifdef MIDSTREAM_X86
    if (current_path() == Path::avx2 || current_path() == Path::avx512) return sample.choose_avx2(shape.channels, references);
#endif
    sample.choose_portable(shape.channels, references);
}

}  // namespace midstream
