// Inside of the `fast` coder: what its kernels share. docs/format.md is normative.
//
// A symbol is written as digits of at most two bits, the highest first; each digit's probabilities depend on one of
// sixteen contexts. 32 channels are coded side by side, each by a rANS state of its own (Duda 2013; interleaving as in
// Giesen 2014, "Interleaved entropy coders"), so that a vector register holds one place of many channels, neighbours
// are vector loads, and the table of a digit is looked up by a byte shuffle.
#pragma once

#include <cstddef>
#include <cstdint>

namespace midstream::fast {

constexpr size_t lanes = 32;
constexpr size_t contexts = 16;
constexpr unsigned scale_bits = 12;         // frequencies of a context sum to 2^12
constexpr uint32_t lower_bound = 1u << 15;  // of a state at rest; below it takes the next 16-bit word
constexpr unsigned state_bits = 31;
constexpr unsigned max_digits = 4;

// How the symbols of an alphabet are cut into digits.
struct Digits {
    unsigned count;             // digits a symbol
    unsigned shift[max_digits]; // digit i is symbol >> shift[i], less the digits before it
    unsigned width[max_digits]; // its bits, 1 or 2
};

// Where the intervals of digits 1, 2 and 3 begin, for each context; that of digit 0 begins at 0.
struct Cumulative {
    uint16_t begin[3][contexts];
};

struct Tables {
    Digits digits;
    Cumulative digit[max_digits];
};

// 32 channels, or fewer, of size = height * width each: planes[i] is the channel of lane i, null for i >= active.
struct Bundle {
    uint8_t* planes[lanes];
    size_t active, height, width;
};

// A bundle with its tables and the states, which the coding goes on from.
struct Run {
    const Tables* tables;
    Bundle bundle;
    uint32_t* states;
};

// `in` may be read 4 * lanes + 16 words beyond `end`.
struct DecodeRun : Run {
    const uint16_t *in, *end;
};

// Words are written down from `out`, below which there is room for all of them and 16 more.
struct EncodeRun : Run {
    uint16_t* out;
};

// Two runs of maps of the same height and width are faster at the same time than one after the other. Decoding is false
// when the words ran out.
struct Kernel {
    bool (*decode_one)(DecodeRun&);
    bool (*decode_two)(DecodeRun&, DecodeRun&);
    void (*encode_one)(EncodeRun&);
    void (*encode_two)(EncodeRun&, EncodeRun&);
};

extern const Kernel reference_kernel;
extern const Kernel avx2_kernel, avx512_kernel, neon_kernel;  // each where the machine has it

}  // namespace midstream::fast
