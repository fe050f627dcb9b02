// Static probabilities of the `fast` coder: counted, rounded, written and read.
#pragma once

#include <vector>

#include "fast.hpp"
#include "kernels.hpp"

namespace midstream::fast {

constexpr unsigned least_precision = 4;

Digits digits_of(size_t alphabet);
// How many values digit i of a symbol below `alphabet` can take.
size_t digit_values(const Digits& digits, unsigned i, size_t alphabet);
// The context of digit i, of a symbol whose earlier digits are `prefix`, between the neighbours `west` and `north`.
unsigned context_of(const Digits& digits, unsigned i, unsigned prefix, unsigned west, unsigned north);

// Counts the symbols and appends their tables to `out`.
Tables make_tables(const uint8_t* symbols, const MapShape& shape, size_t alphabet, std::vector<uint8_t>& out);
// Reads tables from the front of `data`; returns the bytes that they take, 0 where they are malformed.
size_t read_tables(const uint8_t* data, size_t bytes, size_t alphabet, Tables& tables);

}  // namespace midstream::fast
