// The loops of the `fast` coder over the places of a bundle, for any set of vector operations V:
//
//   V::Bytes, V::States     one byte, one 32-bit state of each of the 32 lanes
//   V::two_at_once          whether there are registers for two bundles
//   V::Table                a table, ready to be looked up
//   V::place[lane]          at which byte of V::Bytes a lane is
//   V::zip(a, b, low, high) the lower, then the upper bytes of two registers alternately, in each half of V::Bytes
//   V::decode, V::encode    one digit of every lane; decode may read 16 words from `in`, encode may write 16 words below
//                           `out`; lanes that are not active hold anything and neither take nor give words
//
// No library templates here: each file that includes this is compiled for an instruction set of its own.
#pragma once

#include <cstring>

#include "fast_kernel.hpp"

#if defined(__GNUC__) || defined(__clang__)
#define MIDSTREAM_FLAT inline __attribute__((always_inline))
#define MIDSTREAM_FLAT_LAMBDA __attribute__((always_inline))
#else
#define MIDSTREAM_FLAT __forceinline
#define MIDSTREAM_FLAT_LAMBDA
#endif

namespace midstream::fast {
namespace {

constexpr size_t tile = 16;  // places that are transposed at once
constexpr size_t places_at_once = 512;

// body(0), body(1), ... with constants: only then do arrays of vectors stay in registers.
template <int k>
struct Index {
    constexpr operator int() const { return k; }
};
template <int count, class Body>
MIDSTREAM_FLAT void each(const Body& body) {
    body(Index<0>{});
    if constexpr (count > 1) body(Index<1>{});
    static_assert(count == 1 || count == 2);
}

// Transposes sixteen registers of sixteen bytes, in each half of V::Bytes: four times the zip of rows i and i + 8.
template <class V>
MIDSTREAM_FLAT void transpose(typename V::Bytes (&rows)[tile]) {
    for (int round = 0; round < 4; ++round) {
        typename V::Bytes next[tile];
        for (size_t i = 0; i < tile / 2; ++i) V::zip(rows[i], rows[i + tile / 2], next[2 * i], next[2 * i + 1]);
        for (size_t i = 0; i < tile; ++i) rows[i] = next[i];
    }
}

// The 32 planes of a bundle in the order of V's bytes. Absent lanes read any plane, and are never written.
template <class V>
struct Planes {
    uint8_t* byte[lanes];
    bool present[lanes];

    explicit Planes(const Bundle& bundle) {
        for (size_t lane = 0; lane < lanes; ++lane) {
            byte[V::place[lane]] = bundle.planes[lane < bundle.active ? lane : 0];
            present[V::place[lane]] = lane < bundle.active;
        }
    }
    // Symbols at + 0 .. count - 1 of every plane to one V::Bytes a place.
    MIDSTREAM_FLAT void gather(size_t at, size_t count, uint8_t* out) const {
        if (count < tile) {
            for (size_t p = 0; p < count; ++p)
                for (size_t b = 0; b < lanes; ++b) out[p * lanes + b] = byte[b][at + p];
            return;
        }
        for (size_t p = 0;; p = p + 2 * tile <= count ? p + tile : count - tile) {
            typename V::Bytes rows[tile];
            for (size_t i = 0; i < tile; ++i) rows[i] = V::halves(byte[i] + at + p, byte[i + tile] + at + p);
            transpose<V>(rows);
            for (size_t i = 0; i < tile; ++i) V::store(out + (p + i) * lanes, rows[i]);
            if (p + tile == count) return;
        }
    }
    MIDSTREAM_FLAT void scatter(const uint8_t* in, size_t at, size_t count) const {
        if (count < tile) {
            for (size_t b = 0; b < lanes; ++b)
                if (present[b])
                    for (size_t p = 0; p < count; ++p) byte[b][at + p] = in[p * lanes + b];
            return;
        }
        for (size_t p = 0;; p = p + 2 * tile <= count ? p + tile : count - tile) {
            typename V::Bytes rows[tile];
            for (size_t i = 0; i < tile; ++i) rows[i] = V::load(in + (p + i) * lanes);
            transpose<V>(rows);
            for (size_t i = 0; i < tile; ++i) {
                if (present[i]) V::store_low(byte[i] + at + p, rows[i]);
                if (present[i + tile]) V::store_high(byte[i + tile] + at + p, rows[i]);
            }
            if (p + tile == count) return;
        }
    }
};

// A band of rows with the one above it.
class Band {
   public:
    Band(size_t height, size_t width)
        : rows_(places_at_once / width > 1 ? places_at_once / width : 1), cells_(nullptr) {
        if (rows_ > height) rows_ = height;
        cells_ = new uint8_t[(rows_ + 1) * width * lanes]();
    }
    ~Band() { delete[] cells_; }
    Band(const Band&) = delete;
    Band& operator=(const Band&) = delete;
    size_t rows() const { return rows_; }
    uint8_t* cells() const { return cells_; }

   private:
    size_t rows_;
    uint8_t* cells_;
};

template <class V>
struct Prepared {
    Digits digits;
    typename V::Table table[max_digits];

    explicit Prepared(const Tables& tables) : digits(tables.digits) {
        for (unsigned d = 0; d < digits.count; ++d) table[d] = V::prepare(tables.digit[d]);
    }
};

// Of the first digit: those of the neighbours. Symbols are shifted by `shift` to their first digit.
template <class V>
MIDSTREAM_FLAT typename V::Bytes first_context(typename V::Bytes west, typename V::Bytes north, unsigned shift) {
    return V::join(V::shift_right(west, shift), V::shift_right(north, shift));
}

// Of a later digit: the digit before it, and where among its four values the mean of the neighbours lies.
template <class V>
MIDSTREAM_FLAT typename V::Bytes later_context(typename V::Bytes mean, typename V::Bytes prefix, unsigned shift,
                                               unsigned width) {
    const auto base = V::shift_left(prefix, width);
    const auto near = V::at_most_3(V::subtract_saturated(V::shift_right(mean, shift), base));
    return V::join(near, V::low_digit(prefix));
}

template <class V>
MIDSTREAM_FLAT typename V::Bytes decode_place(typename V::States& states, const Prepared<V>& tables,
                                              typename V::Bytes west, typename V::Bytes north, const uint16_t*& in,
                                              typename V::Mask active) {
    const Digits& d = tables.digits;
    if (d.count == 1) return V::decode(states, tables.table[0], V::join(west, north), in, active);
    auto symbol = V::decode(states, tables.table[0], first_context<V>(west, north, d.shift[0]), in, active);
    const auto mean = V::average(west, north);
    for (unsigned i = 1; i < d.count; ++i) {
        const auto context = later_context<V>(mean, symbol, d.shift[i], d.width[i]);
        symbol = V::add(V::shift_left(symbol, d.width[i]), V::decode(states, tables.table[i], context, in, active));
    }
    return symbol;
}

template <class V>
MIDSTREAM_FLAT void encode_place(typename V::States& states, const Prepared<V>& tables, typename V::Bytes symbol,
                                 typename V::Bytes west, typename V::Bytes north, uint16_t*& out,
                                 typename V::Mask active) {
    const Digits& d = tables.digits;
    if (d.count == 1) return V::encode(states, tables.table[0], V::join(west, north), symbol, out, active);
    const auto mean = V::average(west, north);
    for (unsigned i = d.count - 1; i > 0; --i) {
        const auto prefix = V::shift_right(symbol, d.shift[i] + d.width[i]);
        const auto context = later_context<V>(mean, prefix, d.shift[i], d.width[i]);
        const auto digit = V::subtract(V::shift_right(symbol, d.shift[i]), V::shift_left(prefix, d.width[i]));
        V::encode(states, tables.table[i], context, digit, out, active);
    }
    V::encode(states, tables.table[0], first_context<V>(west, north, d.shift[0]), V::shift_right(symbol, d.shift[0]),
              out, active);
}

// One of the bundles that are coded at the same time: the steps of one wait for each other, those of two do not.
template <class V>
struct Track {
    const Prepared<V> tables;
    const Planes<V> planes;
    const typename V::Mask active;
    const Band band;
    typename V::States states;

    explicit Track(const Run& run)
        : tables(*run.tables), planes(run.bundle), active(V::first(run.bundle.active)),
          band(run.bundle.height, run.bundle.width), states(V::load_states(run.states)) {}
};

template <class V, int count>
MIDSTREAM_FLAT bool decode_row(Track<V>* const (&track)[count], const uint16_t* (&in)[count], size_t r, bool top,
                               size_t width, const uint16_t* const (&end)[count]) {
    typename V::Bytes west[count];
    const uint8_t* above[count];
    uint8_t* row[count];
    each<count>([&](auto k) MIDSTREAM_FLAT_LAMBDA {
        above[k] = track[k]->band.cells() + r * width * lanes;
        row[k] = track[k]->band.cells() + (r + 1) * width * lanes;
        west[k] = V::load(above[k]);
    });
    typename V::States states[count];
    each<count>([&](auto k) MIDSTREAM_FLAT_LAMBDA { states[k] = track[k]->states; });
    for (size_t x = 0; x < width; ++x) {
        bool over = false;
        each<count>([&](auto k) MIDSTREAM_FLAT_LAMBDA {
            const auto north = top ? west[k] : V::load(above[k] + x * lanes);
            west[k] = decode_place<V>(states[k], track[k]->tables, west[k], north, in[k], track[k]->active);
            V::store(row[k] + x * lanes, west[k]);
            over |= in[k] > end[k];
        });
        if (over) return false;
    }
    each<count>([&](auto k) MIDSTREAM_FLAT_LAMBDA { track[k]->states = states[k]; });
    return true;
}

template <class V, int count>
MIDSTREAM_FLAT bool decode_tracks(DecodeRun* const (&runs)[count], Track<V>* const (&track)[count]) {
    const size_t height = runs[0]->bundle.height, width = runs[0]->bundle.width;
    const uint16_t *in[count], *end[count];
    each<count>([&](auto k) MIDSTREAM_FLAT_LAMBDA { in[k] = runs[k]->in, end[k] = runs[k]->end; });
    for (size_t y = 0; y < height; y += track[0]->band.rows()) {
        const size_t rows = height - y < track[0]->band.rows() ? height - y : track[0]->band.rows();
        for (size_t r = 0; r < rows; ++r)
            if (!decode_row<V, count>(track, in, r, y + r == 0, width, end)) return false;
        each<count>([&](auto k) MIDSTREAM_FLAT_LAMBDA {
            uint8_t* cells = track[k]->band.cells();
            track[k]->planes.scatter(cells + width * lanes, y * width, rows * width);
            std::memcpy(cells, cells + rows * width * lanes, width * lanes);
        });
    }
    each<count>([&](auto k) MIDSTREAM_FLAT_LAMBDA {
        runs[k]->in = in[k];
        V::store_states(runs[k]->states, track[k]->states);
    });
    return true;
}

template <class V, int count>
MIDSTREAM_FLAT void encode_row(Track<V>* const (&track)[count], uint16_t* (&out)[count], size_t r, bool top,
                               size_t width) {
    const uint8_t* row[count];
    typename V::States states[count];
    each<count>([&](auto k) MIDSTREAM_FLAT_LAMBDA {
        row[k] = track[k]->band.cells() + (r + 1) * width * lanes;
        states[k] = track[k]->states;
    });
    for (size_t x = width; x-- > 0;)
        each<count>([&](auto k) MIDSTREAM_FLAT_LAMBDA {
            const uint8_t* here = row[k] + x * lanes;
            auto north = V::load(here - width * lanes);
            auto west = x > 0 ? V::load(here - lanes) : north;
            if (top) north = west = x > 0 ? west : V::zero();
            encode_place<V>(states[k], track[k]->tables, V::load(here), west, north, out[k], track[k]->active);
        });
    each<count>([&](auto k) MIDSTREAM_FLAT_LAMBDA { track[k]->states = states[k]; });
}

template <class V, int count>
MIDSTREAM_FLAT void encode_tracks(EncodeRun* const (&runs)[count], Track<V>* const (&track)[count]) {
    const size_t height = runs[0]->bundle.height, width = runs[0]->bundle.width;
    uint16_t* out[count];
    each<count>([&](auto k) MIDSTREAM_FLAT_LAMBDA { out[k] = runs[k]->out; });
    for (size_t last = height; last > 0;) {
        const size_t rows = last < track[0]->band.rows() ? last : track[0]->band.rows();
        const size_t y = last - rows, from = y == 0 ? 0 : y - 1;
        const bool bottom = last == height;
        each<count>([&](auto k) MIDSTREAM_FLAT_LAMBDA {
            uint8_t* cells = track[k]->band.cells();
            // The row above the band before is the last one of this.
            if (!bottom) std::memcpy(cells + rows * width * lanes, cells, width * lanes);
            track[k]->planes.gather(from * width, (last - !bottom - from) * width, cells + (from + 1 - y) * width * lanes);
        });
        for (size_t r = rows; r-- > 0;) encode_row<V, count>(track, out, r, y + r == 0, width);
        last = y;
    }
    each<count>([&](auto k) MIDSTREAM_FLAT_LAMBDA {
        runs[k]->out = out[k];
        V::store_states(runs[k]->states, track[k]->states);
    });
}

template <class V>
struct Coder {
    static bool decode_one(DecodeRun& run) {
        Track<V> track(run);
        return decode_tracks<V, 1>({&run}, {&track});
    }
    static bool decode_two(DecodeRun& first, DecodeRun& second) {
        if (!V::two_at_once) return decode_one(first) && decode_one(second);
        Track<V> one(first), two(second);
        return decode_tracks<V, 2>({&first, &second}, {&one, &two});
    }
    static void encode_one(EncodeRun& run) {
        Track<V> track(run);
        encode_tracks<V, 1>({&run}, {&track});
    }
    static void encode_two(EncodeRun& first, EncodeRun& second) {
        if (!V::two_at_once) return encode_one(first), encode_one(second);
        Track<V> one(first), two(second);
        encode_tracks<V, 2>({&first, &second}, {&one, &two});
    }
    static constexpr Kernel kernel = {decode_one, decode_two, encode_one, encode_two};
};

}  // namespace
}  // namespace midstream::fast
