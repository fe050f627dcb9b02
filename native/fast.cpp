// The `fast` coder: streams, and the choice of a kernel.
#include "fast.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "dispatch.hpp"
#include "fast_kernel.hpp"
#include "fast_tables.hpp"

namespace midstream {
namespace fast {
namespace {

// A band of rows of 32 channels would be larger than the map where rows are this long.
constexpr size_t widest = size_t{1} << 15;

const Kernel& kernel(const FastMap& map) {
    if (map.shape.width > widest) return reference_kernel;
    switch (current_path()) {
#ifdef MIDSTREAM_X86
        case Path::avx512: return avx512_kernel;
        case Path::avx2: return avx2_kernel;
#endif
#ifdef MIDSTREAM_NEON
        case Path::neon: return neon_kernel;
#endif
        default: return reference_kernel;
    }
}

Bundle bundle_of(uint8_t* symbols, const MapShape& shape, size_t first) {
    Bundle bundle{{}, std::min(lanes, shape.channels - first), shape.height, shape.width};
    for (size_t lane = 0; lane < bundle.active; ++lane)
        bundle.planes[lane] = symbols + (first + lane) * shape.height * shape.width;
    return bundle;
}

constexpr uint8_t one_symbol = 0;  // in place of the tables' precision

void reset(uint32_t* from, uint32_t* to) { std::fill(from, to, lower_bound); }
bool at_rest(const uint32_t* from, const uint32_t* to) {
    return std::all_of(from, to, [](uint32_t x) { return x == lower_bound; });
}

// A stream being written.
class Writer {
   public:
    Writer(const FastMap& map, size_t alphabet) : map_(map) {
        const size_t count = map.shape.count();
        if (std::all_of(map.symbols, map.symbols + count, [&](uint8_t s) { return s == map.symbols[0]; })) {
            head_ = {one_symbol, map.symbols[0]};
            return;
        }
        tables_ = make_tables(map.symbols, map.shape, alphabet, head_);
        reset(states_, states_ + lanes);
        // Twelve bits a digit at most, so a word is enough; what is not needed is never touched.
        room_ = count * tables_.digits.count + 16;
        words_ = buffer<uint16_t>(room_, Pages::small);
        run_ = {{&tables_, {}, states_}, words_.get() + room_};
        bundles_ = (map.shape.channels + lanes - 1) / lanes;
    }
    size_t bundles() const { return bundles_; }
    EncodeRun& begin() {  // the last bundle that is not yet coded
        run_.bundle = bundle_of(map_.symbols, map_.shape, --bundles_ * lanes);
        return run_;
    }
    void end() { reset(states_ + run_.bundle.active, states_ + lanes); }  // vectors have changed those, too
    Buffer<uint8_t> finish() const {
        const size_t stored = words_ == nullptr ? 0 : std::min(lanes, map_.shape.channels) * sizeof *states_;
        const size_t words = words_ == nullptr ? 0 : static_cast<size_t>(words_.get() + room_ - run_.out) * sizeof *run_.out;
        auto stream = buffer<uint8_t>(head_.size() + stored + words);
        uint8_t* at = std::copy(head_.begin(), head_.end(), stream.get());
        std::memcpy(at, states_, stored);
        if (words > 0) std::memcpy(at + stored, run_.out, words);
        return stream;
    }

   private:
    const FastMap map_;
    std::vector<uint8_t> head_;  // tables
    Tables tables_{};
    uint32_t states_[lanes];
    size_t room_ = 0, bundles_ = 0;
    Buffer<uint16_t> words_;
    EncodeRun run_{};
};

// A stream being read.
class Reader {
   public:
    Reader(const FastMap& map, size_t alphabet, const ByteView& stream) : map_(map), alphabet_(alphabet) {
        const auto [data, bytes] = stream;
        if (bytes == 2 && data[0] == one_symbol) {
            valid_ = data[1] < alphabet;
            std::fill_n(map.symbols, map.shape.count(), data[1]);
            return;
        }
        const size_t table_bytes = read_tables(data, bytes, alphabet, tables_);
        const size_t stored = std::min(lanes, map.shape.channels), at = table_bytes + stored * sizeof *states_;
        if (table_bytes == 0 || at > bytes || (bytes - at) % sizeof *run_.in != 0) return;
        reset(states_, states_ + lanes);
        std::memcpy(states_, data + table_bytes, at - table_bytes);
        valid_ = std::all_of(states_, states_ + lanes, [](uint32_t x) { return x >= lower_bound && x >> state_bits == 0; });
        const size_t count = (bytes - at) / sizeof *run_.in, beyond = max_digits * lanes + 16;
        words_ = buffer<uint16_t>(count + beyond);
        std::memcpy(words_.get(), data + at, bytes - at);
        std::fill_n(words_.get() + count, beyond, uint16_t{0});
        run_ = {{&tables_, {}, states_}, words_.get(), words_.get() + count};
        bundles_ = (map.shape.channels + lanes - 1) / lanes;
    }
    bool valid() const { return valid_; }
    size_t bundles() const { return valid_ ? bundles_ - done_ : 0; }
    DecodeRun& begin() {
        run_.bundle = bundle_of(map_.symbols, map_.shape, done_++ * lanes);
        valid_ = at_rest(states_ + run_.bundle.active, states_ + lanes);
        return run_;
    }
    void end(bool ok) {
        valid_ = valid_ && ok && run_.in <= run_.end;
        reset(states_ + run_.bundle.active, states_ + lanes);  // vectors have changed those, too
    }
    bool finish() const {
        if (!valid_ || bundles_ == 0) return valid_;
        if (run_.in != run_.end || !at_rest(states_, states_ + lanes)) return false;
        // Only where the alphabet does not fill its digits can there be a symbol beyond it.
        return std::has_single_bit(alphabet_) || alphabet_ == 3 || all_below(map_.symbols, map_.shape.count(), alphabet_);
    }

   private:
    const FastMap map_;
    const size_t alphabet_;
    Tables tables_{};
    uint32_t states_[lanes];
    size_t done_ = 0, bundles_ = 0;
    bool valid_ = false;
    Buffer<uint16_t> words_;
    DecodeRun run_{};
};

}  // namespace
}  // namespace fast

void fast_encode(const FastMap* maps, size_t count, size_t alphabet, Buffer<uint8_t>* streams) {
    for (size_t i = 0; i < count; i += 2) {
        fast::Writer a(maps[i], alphabet);
        if (i + 1 < count) {
            fast::Writer b(maps[i + 1], alphabet);
            while (a.bundles() > b.bundles()) fast::kernel(maps[i]).encode_one(a.begin()), a.end();
            while (b.bundles() > a.bundles()) fast::kernel(maps[i]).encode_one(b.begin()), b.end();
            while (a.bundles() > 0) fast::kernel(maps[i]).encode_two(a.begin(), b.begin()), a.end(), b.end();
            streams[i + 1] = b.finish();
        }
        while (a.bundles() > 0) fast::kernel(maps[i]).encode_one(a.begin()), a.end();
        streams[i] = a.finish();
    }
}

bool fast_decode(const FastMap* maps, size_t count, size_t alphabet, const ByteView* streams) {
    for (size_t i = 0; i < count; i += 2) {
        fast::Reader a(maps[i], alphabet, streams[i]);
        if (i + 1 < count) {
            fast::Reader b(maps[i + 1], alphabet, streams[i + 1]);
            while (a.bundles() > 0 && b.bundles() > 0) {
                const bool ok = fast::kernel(maps[i]).decode_two(a.begin(), b.begin());
                a.end(ok), b.end(ok);
            }
            while (b.bundles() > 0) b.end(fast::kernel(maps[i]).decode_one(b.begin()));
            if (!b.finish()) return false;
        }
        while (a.bundles() > 0) a.end(fast::kernel(maps[i]).decode_one(a.begin()));
        if (!a.finish()) return false;
    }
    return true;
}

bool fast_costs(const FastMap& map, size_t alphabet, const ByteView& stream, float* bits) {
    const auto [channels, height, width] = map.shape;
    std::fill_n(bits, map.shape.count(), 0.0f);
    if (stream.size > 0 && stream.data[0] == fast::one_symbol) return true;
    fast::Tables tables{};
    if (fast::read_tables(stream.data, stream.size, alphabet, tables) == 0) return false;
    const fast::Digits& digits = tables.digits;
    for (size_t c = 0; c < channels; ++c) {
        const uint8_t* plane = map.symbols + c * height * width;
        for (size_t at = 0; at < height * width; ++at, ++bits) {
            const auto [west, north] = fast::neighbours(plane, at % width, at / width, width);
            for (unsigned i = 0; i < digits.count; ++i) {
                const unsigned prefix = plane[at] >> (digits.shift[i] + digits.width[i]);
                const unsigned digit = (plane[at] >> digits.shift[i]) - (prefix << digits.width[i]);
                const unsigned context = fast::context_of(digits, i, prefix, west, north);
                const auto [begin, end] = fast::interval(tables.digit[i], context, digit);
                *bits += static_cast<float>(fast::scale_bits - std::log2(static_cast<double>(end - begin)));
            }
        }
    }
    return true;
}

}  // namespace midstream
