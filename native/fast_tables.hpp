// Static probabilities of the `fast` coder: counted, rounded, written and read.
#pragma once

#include <vector>

#include "fast_kernel.hpp"
#include "symbols.hpp"

namespace midstream::fast {

constexpr unsigned least_precision = 4;

Digits digits_of(size_t alphabet);
// How many values digit i of a symbol below `alphabet` can take.
size_t digit_values(const Digits& digits, unsigned i, size_t alphabet);

// Neighbours of a place: of those beyond the border the other one, 0 where there is neither.
struct Neighbours {
    unsigned west, north;
};
inline Neighbours neighbours(const uint8_t* plane, size_t x, size_t y, size_t width) {
    const uint8_t* at = plane + y * width + x;
    if (y == 0) return x == 0 ? Neighbours{0, 0} : Neighbours{at[-1], at[-1]};
    const unsigned north = *(at - width);
    return {x == 0 ? north : at[-1], north};
}
// The context of digit i, of a symbol whose earlier digits are `prefix`, between the neighbours `west` and `north`.
unsigned context_of(const Digits& digits, unsigned i, unsigned prefix, unsigned west, unsigned north);

// Where a digit's interval lies.
struct Interval {
    uint32_t begin, end;
};
inline Interval interval(const Cumulative& table, unsigned context, unsigned digit) {
    return {digit == 0 ? 0u : table.begin[digit - 1][context],
            digit == 3 ? 1u << scale_bits : table.begin[digit][context]};
}

// Counts the symbols and appends their tables to `out`.
Tables make_tables(const uint8_t* symbols, const MapShape& shape, size_t alphabet, std::vector<uint8_t>& out);
// Reads tables from the front of `data`; returns the bytes that they take, 0 where they are malformed.
size_t read_tables(const uint8_t* data, size_t bytes, size_t alphabet, Tables& tables);

}  // namespace midstream::fast
