// Canonical prefix codes, most significant bit first: shorter codes first, among equals the smaller symbol first
// (as in RFC 1951, section 3.2.2, with the bits in the other order).
#include "prefix.hpp"

namespace midstream {
namespace {

struct Code {
    uint32_t bits = 0;
    unsigned length = 0;
};

std::vector<Code> canonical(const uint8_t* lengths, size_t alphabet) {
    std::vector<Code> codes(alphabet);
    uint32_t next = 0;
    for (unsigned length = 1; length <= max_code_length; ++length) {
        for (size_t s = 0; s < alphabet; ++s)
            if (lengths[s] == length) codes[s] = {next++, length};
        next <<= 1;
    }
    return codes;
}

// The code must be complete: then every bit pattern is a code word and the decoder needs no check for a bad one.
bool complete(const uint8_t* lengths, size_t alphabet) {
    uint32_t used = 0;
    for (size_t s = 0; s < alphabet; ++s) {
        if (lengths[s] > max_code_length) return false;
        if (lengths[s] > 0) used += 1u << (max_code_length - lengths[s]);
    }
    return used == 1u << max_code_length;
}

}  // namespace

std::vector<uint8_t> prefix_encode(const uint8_t* symbols, size_t count, const uint8_t* lengths, size_t alphabet) {
    const std::vector<Code> codes = canonical(lengths, alphabet);
    std::vector<uint8_t> out;
    uint64_t pending = 0;
    unsigned held = 0;
    for (size_t i = 0; i < count; ++i) {
        const Code code = codes[symbols[i]];
        pending = (pending << code.length) | code.bits;
        for (held += code.length; held >= 8; held -= 8) out.push_back(static_cast<uint8_t>(pending >> (held - 8)));
    }
    if (held > 0) out.push_back(static_cast<uint8_t>(pending << (8 - held)));
    return out;
}

bool prefix_decode(const uint8_t* data, size_t bytes, const uint8_t* lengths, size_t alphabet, uint8_t* symbols,
                   size_t count) {
    if (!complete(lengths, alphabet)) return false;
    struct Entry {
        uint8_t symbol, length;
    };
    std::vector<Entry> table(size_t{1} << max_code_length);
    const std::vector<Code> codes = canonical(lengths, alphabet);
    for (size_t s = 0; s < alphabet; ++s) {
        const unsigned spare = max_code_length - codes[s].length;
        if (codes[s].length > 0)
            for (size_t i = 0; i < size_t{1} << spare; ++i)
                table[(static_cast<size_t>(codes[s].bits) << spare) + i] = {static_cast<uint8_t>(s), lengths[s]};
    }
    uint64_t window = 0;  // its lowest `held` bits are still to be read
    unsigned held = 0;
    size_t at = 0;
    for (size_t i = 0; i < count; ++i) {
        while (held < max_code_length && at < bytes) window = (window << 8) | data[at++], held += 8;
        const uint64_t ahead = held >= max_code_length ? window >> (held - max_code_length)
                                                       : window << (max_code_length - held);
        const Entry entry = table[ahead & ((1u << max_code_length) - 1)];
        if (entry.length > held) return false;
        held -= entry.length;
        symbols[i] = entry.symbol;
    }
    return at == bytes && held < 8 && (window & ((1u << held) - 1)) == 0;
}

}  // namespace midstream
