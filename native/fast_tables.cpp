#include "fast_tables.hpp"

#include <algorithm>
#include <array>
#include <bit>

#include "bits.hpp"

namespace midstream::fast {
namespace {

constexpr size_t most_counted = size_t{1} << 16;  // symbols; of larger maps a part of the rows is counted

using Counts = std::array<std::array<uint64_t, 4>, contexts>;  // [context][digit]

// 2^16 * log2(n / 2^12), rounded down: squaring n doubles its logarithm.
constexpr auto log2_frequency = [] {
    std::array<int32_t, (1 << scale_bits) + 1> table{};
    for (uint32_t n = 1; n < table.size(); ++n) {
        int32_t whole = 0, fraction = 0;
        uint64_t x = uint64_t{n} << 31;
        while (x >= uint64_t{2} << 31) x >>= 1, ++whole;
        for (int i = 0; i < 16; ++i) {
            x = (x * x) >> 31;
            fraction = fraction * 2 + (x >= uint64_t{2} << 31);
            if (x >= uint64_t{2} << 31) x >>= 1;
        }
        table[n] = (whole - static_cast<int32_t>(scale_bits)) * 65536 + fraction;
    }
    return table;
};

const std::array<int32_t, (1 << scale_bits) + 1>& logarithms() {
    static const auto table = log2_frequency();
    return table;
}

// Neighbours beyond the border: the other one; 0 where there is neither.
void count_row(const Digits& digits, const uint8_t* row, const uint8_t* above, size_t width, Counts* counts) {
    for (size_t x = 0; x < width; ++x) {
        unsigned west = x > 0 ? row[x - 1] : above ? above[x] : 0;
        const unsigned north = above ? above[x] : west;
        for (unsigned i = 0; i < digits.count; ++i) {
            const unsigned prefix = row[x] >> (digits.shift[i] + digits.width[i]);
            const unsigned digit = (row[x] >> digits.shift[i]) - (prefix << digits.width[i]);
            ++counts[i][context_of(digits, i, prefix, west, north)][digit];
        }
    }
}

// One digit, the common case: places of counters first, many at a time, then four histograms in turn, since a counter
// that was just written is slow to read.
class RowCounter {
   public:
    explicit RowCounter(size_t width) : places_(width) {}
    void count(const uint8_t* row, const uint8_t* above, size_t width) {
        places_[0] = static_cast<uint8_t>(row[0] | (above ? above[0] * 5 : 0) << 2);
        for (size_t x = 1; x < width; ++x)
            places_[x] = static_cast<uint8_t>(row[x] | row[x - 1] << 2 | (above ? above[x] : row[x - 1]) << 4);
        size_t x = 0;
        for (; x + 4 <= width; x += 4)
            for (size_t k = 0; k < 4; ++k) ++counts_[k][places_[x + k]];
        for (; x < width; ++x) ++counts_[0][places_[x]];
    }
    void add_to(Counts& counts) const {
        for (const auto& part : counts_)
            for (size_t i = 0; i < part.size(); ++i) counts[i / 4][i % 4] += part[i];
    }

   private:
    std::vector<uint8_t> places_;
    std::array<std::array<uint64_t, 4 * contexts>, 4> counts_{};
};

void count(const uint8_t* symbols, const MapShape& shape, const Digits& digits, size_t step, Counts* counts) {
    RowCounter counter(shape.width);
    for (size_t c = 0; c < shape.channels; ++c) {
        const uint8_t* plane = symbols + c * shape.height * shape.width;
        for (size_t y = step / 2; y < shape.height; y += step) {
            const uint8_t *row = plane + y * shape.width, *above = y > 0 ? row - shape.width : nullptr;
            if (digits.count == 1)
                counter.count(row, above, shape.width);
            else
                count_row(digits, row, above, shape.width, counts);
        }
    }
    if (digits.count == 1) counter.add_to(counts[0]);
}

// Scales counts to a sum of 2^precision, at least 1 for what occurs.
std::array<uint32_t, 4> scaled(const std::array<uint64_t, 4>& counts, unsigned precision) {
    uint64_t total = 0;
    for (const uint64_t n : counts) total += n;
    std::array<uint32_t, 4> out{};
    int64_t missing = int64_t{1} << precision;
    for (size_t d = 0; d < 4; ++d) {
        if (counts[d] == 0) continue;
        out[d] = std::max<uint32_t>(static_cast<uint32_t>((counts[d] << precision) / total), 1);
        missing -= out[d];
    }
    uint32_t& largest = out[static_cast<size_t>(std::max_element(out.begin(), out.end()) - out.begin())];
    largest = static_cast<uint32_t>(largest + missing);
    return out;
}

bool occurs(const std::array<uint64_t, 4>& counts) {
    return std::any_of(counts.begin(), counts.end(), [](uint64_t n) { return n > 0; });
}

// Size of tables and of what is coded with them, in units of 2^-16 bits.
int64_t cost(const Counts* counts, const Digits& digits, size_t alphabet, unsigned precision) {
    int64_t total = 0;
    for (unsigned i = 0; i < digits.count; ++i)
        for (const auto& here : counts[i]) {
            if (!occurs(here)) continue;
            total += static_cast<int64_t>((digit_values(digits, i, alphabet) - 1) * precision) << 16;
            const auto frequencies = scaled(here, precision);
            for (size_t d = 0; d < 4; ++d)
                total -= static_cast<int64_t>(here[d]) * logarithms()[frequencies[d] << (scale_bits - precision)];
        }
    return total;
}

void accumulate(const std::array<uint32_t, 4>& frequencies, unsigned precision, size_t context, Cumulative& out) {
    uint32_t begin = 0;
    for (size_t d = 0; d < 3; ++d) {
        begin += frequencies[d] << (scale_bits - precision);
        out.begin[d][context] = static_cast<uint16_t>(begin);
    }
}

void write(const Counts* counts, const Digits& digits, size_t alphabet, unsigned precision, Tables& tables,
           std::vector<uint8_t>& out) {
    BitWriter writer(out);
    writer.put(precision, 8);
    for (unsigned i = 0; i < digits.count; ++i) {
        for (const auto& here : counts[i]) writer.put(occurs(here), 1);
        for (size_t context = 0; context < contexts; ++context) {
            if (!occurs(counts[i][context])) continue;
            const auto frequencies = scaled(counts[i][context], precision);
            uint32_t left = 1u << precision;
            for (size_t d = 0; d + 1 < digit_values(digits, i, alphabet); left -= frequencies[d++])
                writer.put(frequencies[d], static_cast<unsigned>(std::bit_width(left)));
            accumulate(frequencies, precision, context, tables.digit[i]);
        }
    }
}

}  // namespace

Digits digits_of(size_t alphabet) {
    unsigned bits = 1;
    while (size_t{1} << bits < alphabet) ++bits;
    Digits digits{};
    while (bits > 0) {
        const unsigned width = std::min(bits, 2u);
        bits -= width;
        digits.width[digits.count] = width;
        digits.shift[digits.count++] = bits;
    }
    return digits;
}

size_t digit_values(const Digits& digits, unsigned i, size_t alphabet) {
    return i == 0 ? ((alphabet - 1) >> digits.shift[0]) + 1 : size_t{1} << digits.width[i];
}

unsigned context_of(const Digits& digits, unsigned i, unsigned prefix, unsigned west, unsigned north) {
    if (i == 0) return (west >> digits.shift[0]) | (north >> digits.shift[0]) << 2;
    const unsigned mean = ((west + north + 1) >> 1) >> digits.shift[i], base = prefix << digits.width[i];
    return std::min(mean > base ? mean - base : 0u, 3u) | (prefix & 3) << 2;
}

Tables make_tables(const uint8_t* symbols, const MapShape& shape, size_t alphabet, std::vector<uint8_t>& out) {
    Tables tables{};
    tables.digits = digits_of(alphabet);
    // Odd: rows of an upsampled map come in pairs.
    const size_t step = shape.count() <= most_counted ? 1 : std::min(shape.height, shape.count() / most_counted | 1);
    Counts counts[max_digits] = {};
    count(symbols, shape, tables.digits, step, counts);
    if (step > 1)  // what was not counted may still occur
        for (unsigned i = 0; i < tables.digits.count; ++i)
            for (auto& here : counts[i])
                for (size_t d = 0; d < digit_values(tables.digits, i, alphabet); ++d) ++here[d];
    unsigned best = 0;
    int64_t least = 0;
    for (unsigned p = least_precision; p <= scale_bits; ++p) {
        const int64_t bits = cost(counts, tables.digits, alphabet, p);
        if (best == 0 || bits < least) best = p, least = bits;
    }
    write(counts, tables.digits, alphabet, best, tables, out);
    return tables;
}

size_t read_tables(const uint8_t* data, size_t bytes, size_t alphabet, Tables& tables) {
    BitReader reader(data, bytes);
    const unsigned precision = static_cast<unsigned>(reader.get(8));
    if (precision < least_precision || precision > scale_bits) return 0;
    tables.digits = digits_of(alphabet);
    for (unsigned i = 0; i < tables.digits.count; ++i) {
        const unsigned present = static_cast<unsigned>(reader.get(contexts));
        const size_t values = digit_values(tables.digits, i, alphabet);
        for (size_t context = 0; context < contexts; ++context) {
            // A context that does not occur: digit 0 always.
            std::array<uint32_t, 4> frequencies{1u << precision};
            uint32_t left = 1u << precision;
            if (present >> context & 1) {
                for (size_t d = 0; d + 1 < values; ++d) {
                    frequencies[d] = static_cast<uint32_t>(reader.get(static_cast<unsigned>(std::bit_width(left))));
                    if (frequencies[d] > left) return 0;
                    left -= frequencies[d];
                }
                frequencies[values - 1] = left;
            }
            accumulate(frequencies, precision, context, tables.digit[i]);
        }
    }
    return reader.finish();
}

}  // namespace midstream::fast
