// The `dense` coder: context mixing (mixing.hpp) for maps of few symbols. A symbol is written as binary decisions ("is it
// the likeliest symbol? the second likeliest? ..."). docs/format.md is normative.
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
constexpr int unary_limit = 15;    // ranks from here on are escaped
constexpr int escape_bits = 8;
constexpr int border = 2;          // neighbours reach two cells far

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

// The symbols of a level with a border of the likeliest symbol, so that every neighbour exists.
struct Plane {
    size_t width, height, stride;
    std::vector<uint8_t> cells;

    Plane(size_t channels, size_t h, size_t w, uint8_t fill)
        : width(w), height(h), stride(w + 2 * border), cells(channels * (h + 2 * border) * stride, fill) {}
    uint8_t* row(size_t channel, size_t y) {
        return cells.data() + (channel * (height + 2 * border) + y + border) * stride + border;
    }
};

template <class Coder>
class Model {
   public:
    Model(Coder& coder, const MapShape& shape, size_t alphabet, const SymbolOrder& order)
        : coder_(coder), order_(order.symbols), occurring_(order.count), channels_(shape.channels),
          decisions_(std::min<size_t>(order.count - 1, unary_limit)),
          plane_(shape.channels, shape.height, shape.width, order.symbols[0]),
          mixer_(decisions_) {
        for (size_t i = 0; i < occurring_; ++i) rank_[order_[i]] = static_cast<uint8_t>(i);
        for (size_t s = 0; s < 256; ++s) {
            coarse_[s] = static_cast<uint8_t>(alphabet <= 4 ? s & 3 : std::min<size_t>(s * 4 / alphabet, 3));
            fine_[s] = static_cast<uint8_t>(alphabet <= 16 ? s & 15 : std::min<size_t>(s * 16 / alphabet, 15));
        }
        for (int c = 0; c < contexts; ++c) slots_[c].resize((size_t{1} << bits[c]) * decisions_);
    }

    // Codes all symbols; when decoding, `symbols` receives them. False when the data ran out.
    bool run(uint8_t* symbols, const uint8_t* references) {
        switch (current_path()) {
#ifdef MIDSTREAM_X86
            case Path::avx512:  // sixteen weights in one register are slower than in two, measured
            case Path::avx2: return run_avx2(symbols, references);
#endif
            default: return run_portable(symbols, references);
        }
    }

   private:
    bool run_portable(uint8_t* symbols, const uint8_t* references) { return code_all(symbols, references); }
#ifdef MIDSTREAM_X86
    MIDSTREAM_AVX2 bool run_avx2(uint8_t* symbols, const uint8_t* references) { return code_all(symbols, references); }
#endif

    MIDSTREAM_INLINE bool code_all(uint8_t* symbols, const uint8_t* references) {
        const size_t size = plane_.width * plane_.height;
        for (size_t c = 0; c < channels_; ++c)
            for (size_t y = 0; y < plane_.height; ++y) {
                uint8_t* row = plane_.row(c, y);
                // Without a reference the channel looks at itself, where nothing is written yet: a constant.
                const uint8_t* other = plane_.row(references[c] ? c - references[c] : c, y);
                if (!code_row(c, row, other, references[c] != 0, symbols + c * size + y * plane_.width)) return false;
            }
        return true;
    }

    static constexpr int bits[contexts] = {12, 12, 14, 12, 8, 12, 12};

    MIDSTREAM_INLINE bool code_row(size_t channel, uint8_t* row, const uint8_t* other, bool referenced, uint8_t* out) {
        const ptrdiff_t s = static_cast<ptrdiff_t>(plane_.stride);
        const auto q = [this](uint8_t v) { return static_cast<uint32_t>(coarse_[v]); };
        const auto f = [this](uint8_t v) { return static_cast<uint32_t>(fine_[v]); };
        const uint32_t place = static_cast<uint32_t>(channel & 255);
        for (size_t x = 0; x < plane_.width; ++x) {
            const uint8_t *a = row + x, *r = other + x;
            const uint32_t w = q(a[-1]), n = q(a[-s]), nw = q(a[-s - 1]), ne = q(a[-s + 1]), ww = q(a[-2]);
            const uint32_t nn = q(a[-2 * s]), nne = q(a[-2 * s + 1]), nnw = q(a[-2 * s - 1]);
            const uint32_t rest = referenced ? q(r[-1]) | q(r[-s]) << 2 | q(r[1]) << 4 | q(r[s]) << 6 : 0;
            const uint32_t same = referenced ? f(r[0]) : f(order_[0]);
            const uint32_t near = referenced ? q(r[0]) : q(order_[0]);
            uint32_t at[contexts] = {
                w | n << 2 | nw << 4 | ne << 6 | ww << 8 | nn << 10,
                place << 4 | w << 2 | n,
                near | rest << 2 | w << 10 | n << 12,
                place << 4 | same,
                place,
                ne | nne << 2 | nn << 4 | nnw << 6 | n << 8 | w << 10,
                f(a[-1]) | f(a[-s]) << 4 | same << 8,
            };
            for (int i = 0; i < contexts; ++i) at[i] &= coder_.used() >> i & 1 ? ~0u : 0u;
            const int rank = code_symbol(at, rank_[out[x]]);
            if (rank < 0 || coder_.overrun()) return false;
            coder_.end_symbol();
            row[x] = out[x] = order_[rank];
        }
        return true;
    }

    MIDSTREAM_INLINE int code_symbol(const uint32_t (&at)[contexts], int rank) {
        for (size_t decision = 0; decision < decisions_; ++decision) {
            Slot* slot[contexts];
            Mixer<contexts>::Inputs in;
            for (int c = 0; c < contexts; ++c) {
                slot[c] = &slots_[c][at[c] * decisions_ + decision];
                Mixer<contexts>::put(in, c, *slot[c]);
            }
            Mixer<contexts>::put_constant(in);
            const int32_t p = mixer_.mix(decision, in);
            int bit = rank == static_cast<int>(decision);
            coder_.code(bit, static_cast<uint32_t>(p));
            mixer_.learn(decision, in, p, bit);
            for (int c = 0; c < contexts; ++c) slot[c]->update(bit);
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
            coder_.code(bit, static_cast<uint32_t>(std::clamp(slot.probability() * 16, 32, 65536 - 32)));
            slot.update(bit);
            node = node * 2 + static_cast<size_t>(bit);
        }
        const size_t coded = node - (size_t{1} << escape_bits) + unary_limit;
        return coded < occurring_ ? static_cast<int>(coded) : -1;
    }

    Coder& coder_;
    const uint8_t* order_;
    size_t occurring_, channels_, decisions_;
    Plane plane_;
    Mixer<contexts> mixer_;
    std::array<uint8_t, 256> rank_{}, coarse_{}, fine_{};
    std::vector<Slot> slots_[contexts];
    std::array<Slot, size_t{1} << escape_bits> escape_{};
};

}  // namespace

std::vector<uint8_t> dense_encode(const uint8_t* symbols, const MapShape& shape, size_t alphabet,
                                  const SymbolOrder& order, const uint8_t* references) {
    ArithmeticEncoder encoder;
    Model<ArithmeticEncoder> model(encoder, shape, alphabet, order);
    std::vector<uint8_t> copy(symbols, symbols + shape.count());
    model.run(copy.data(), references);
    return encoder.finish();
}

void dense_costs(const uint8_t* symbols, const MapShape& shape, size_t alphabet, const SymbolOrder& order,
                 const uint8_t* references, uint32_t used, float* bits) {
    Meter meter(bits, used);
    Model<Meter> model(meter, shape, alphabet, order);
    std::vector<uint8_t> copy(symbols, symbols + shape.count());
    model.run(copy.data(), references);
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

bool dense_decode(const uint8_t* data, size_t bytes, const MapShape& shape, size_t alphabet, const SymbolOrder& order,
                  const uint8_t* references, uint8_t* symbols) {
    ArithmeticDecoder decoder(data, bytes);
    Model<ArithmeticDecoder> model(decoder, shape, alphabet, order);
    std::fill_n(symbols, shape.count(), uint8_t{0});
    return model.run(symbols, references) && decoder.finished();
}

}  // namespace midstream
