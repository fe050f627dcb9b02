// What the fuzz targets share: how an input is cut into a case, and what is done when a case shows a mistake.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "dispatch.hpp"
#include "symbols.hpp"

namespace midstream::fuzz {

using Bytes = std::vector<uint8_t>;

constexpr size_t most_symbols = 4000;  // of a case: thousands of executions a second find more than large maps

class Input {
   public:
    Input(const uint8_t* data, size_t size) : at_(data), left_(size) {}
    size_t left() const { return left_; }
    unsigned byte() {  // 0 beyond the end: the case of a short input is whole, too
        if (left_ == 0) return 0;
        --left_;
        return *at_++;
    }
    size_t word() {
        const size_t low = byte();
        return low | size_t{byte()} << 8;
    }
    // A copy of its own for each stream, so that the sanitizer sees a read beyond its end.
    Bytes take(size_t count) {
        count = std::min(count, left_);
        const Bytes out(at_, at_ + count);
        at_ += count, left_ -= count;
        return out;
    }
    Bytes rest() { return take(left_); }

   private:
    const uint8_t* at_;
    size_t left_;
};

// Few symbols are what the codec is about: most bytes give an alphabet of 1 to 8, the others one of up to 256.
inline size_t alphabet_of(unsigned byte) { return byte < 224 ? 1 + byte % 8 : 8 * (byte - 223); }

// Maps of one column as of a row longer than any band, of one channel as of three bundles.
inline MapShape shape_of(unsigned channels, unsigned height, unsigned width, size_t most = most_symbols) {
    MapShape shape{1 + channels % 80, 1 + height % 64, width < 200 ? 1 + width % 32 : 16 * (width - 199)};
    shape.height = std::min(shape.height, std::max<size_t>(most / shape.width, 1));
    shape.channels = std::min(shape.channels, std::max<size_t>(most / (shape.height * shape.width), 1));
    return shape;
}

// The bytes as symbols: stretched where there are more places, so that large maps are smooth and their streams short.
inline Bytes symbols_of(const Bytes& bytes, size_t count, size_t alphabet) {
    Bytes out(count);
    if (!bytes.empty())
        for (size_t i = 0; i < count; ++i)
            out[i] = static_cast<uint8_t>(bytes[count > bytes.size() ? i * bytes.size() / count : i] % alphabet);
    return out;
}

inline void check(bool ok, const char* what) {
    if (ok) return;
    std::fprintf(stderr, "wrong: %s (path %s)\n", what, path_name().c_str());
    std::abort();
}

// What a coder is compared on with the reference. Of `fast` the portable path is the reference itself, of `dense` all
// vector paths are the same.
inline const std::vector<std::string>& all_paths() {
    static const auto all = available_paths();
    return all;
}
inline const std::vector<std::string>& vector_paths() {
    static const std::vector<std::string> all(all_paths().begin() + 2, all_paths().end());
    return all;
}
inline const std::vector<std::string>& fastest_path() {
    static const std::vector<std::string> one(1, all_paths().back());
    return one;
}

// What a kernel gives on one path; a decoder may refuse.
struct Verdict {
    bool valid = false;
    Bytes symbols;
    bool operator==(const Verdict& other) const {
        return valid == other.valid && (!valid || symbols == other.symbols);
    }
};

// The verdict of the reference, after every other path gave the same.
template <class Decode>
Verdict verdict_of_all(const std::vector<std::string>& others, const Decode& decode) {
    set_path("reference");
    const Verdict expected = decode();
    for (const auto& path : others) {
        set_path(path);
        check(decode() == expected, "a path gives something else than the reference");
    }
    return expected;
}

// `encode` on each path gives the same bytes, which `decode` on the same path turns back into the symbols.
template <class Encode, class Decode>
void round_trip(const std::vector<std::string>& others, const Bytes& symbols, const Encode& encode,
                const Decode& decode) {
    const auto read_back = [&](const Bytes& data) {
        Bytes back(symbols.size());
        check(decode(data, back.data()), "what was encoded is refused");
        check(back == symbols, "what was encoded decodes to something else");
    };
    set_path("reference");
    const Bytes expected = encode();
    read_back(expected);
    for (const auto& path : others) {
        set_path(path);
        check(encode() == expected, "a path encodes otherwise than the reference");
        read_back(expected);
    }
}

// An input of the same case whose streams are what the encoder makes of the bytes behind its shape, taken for symbols.
// Each target of a decoder has its own; see mutator.cpp.
Bytes encoded(Input input);

}  // namespace midstream::fuzz
