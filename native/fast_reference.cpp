// The `fast` coder in scalar code, which defines the streams.
#include "fast_kernel.hpp"
#include "fast_tables.hpp"

namespace midstream::fast {
namespace {

unsigned decode_digit(const Cumulative& table, unsigned context, uint32_t& x, const uint16_t*& in) {
    const uint32_t slot = x & ((1u << scale_bits) - 1);
    unsigned digit = 0;
    while (digit < 3 && slot >= table.begin[digit][context]) ++digit;
    const auto [begin, end] = interval(table, context, digit);
    x = (end - begin) * (x >> scale_bits) + slot - begin;
    if (x < lower_bound) x = x << 16 | *in++;
    return digit;
}

void encode_digit(const Cumulative& table, unsigned context, unsigned digit, uint32_t& x, uint16_t*& out) {
    const auto [begin, end] = interval(table, context, digit);
    const uint32_t frequency = end - begin;
    if (x >> (state_bits - scale_bits) >= frequency) *--out = static_cast<uint16_t>(x), x >>= 16;
    x = (x / frequency << scale_bits) + x % frequency + begin;
}

bool decode_reference(DecodeRun& run) {
    const Bundle& bundle = run.bundle;
    const Digits& digits = run.tables->digits;
    for (size_t y = 0; y < bundle.height; ++y)
        for (size_t x = 0; x < bundle.width; ++x) {
            unsigned symbol[lanes] = {};
            for (unsigned i = 0; i < digits.count; ++i)
                for (size_t lane = 0; lane < bundle.active; ++lane) {
                    const auto [west, north] = neighbours(bundle.planes[lane], x, y, bundle.width);
                    const unsigned context = context_of(digits, i, symbol[lane], west, north);
                    const unsigned digit = decode_digit(run.tables->digit[i], context, run.states[lane], run.in);
                    symbol[lane] = symbol[lane] << digits.width[i] | digit;
                }
            if (run.in > run.end) return false;
            for (size_t lane = 0; lane < bundle.active; ++lane)
                bundle.planes[lane][y * bundle.width + x] = static_cast<uint8_t>(symbol[lane]);
        }
    return true;
}

void encode_reference(EncodeRun& run) {
    const Bundle& bundle = run.bundle;
    const Digits& digits = run.tables->digits;
    for (size_t y = bundle.height; y-- > 0;)
        for (size_t x = bundle.width; x-- > 0;)
            for (unsigned i = digits.count; i-- > 0;)
                for (size_t lane = bundle.active; lane-- > 0;) {
                    const uint8_t* plane = bundle.planes[lane];
                    const unsigned symbol = plane[y * bundle.width + x];
                    const unsigned prefix = symbol >> (digits.shift[i] + digits.width[i]);
                    const auto [west, north] = neighbours(plane, x, y, bundle.width);
                    const unsigned context = context_of(digits, i, prefix, west, north);
                    const unsigned digit = (symbol >> digits.shift[i]) - (prefix << digits.width[i]);
                    encode_digit(run.tables->digit[i], context, digit, run.states[lane], run.out);
                }
}

}  // namespace

const Kernel reference_kernel = {
    decode_reference, [](DecodeRun& a, DecodeRun& b) { return decode_reference(a) && decode_reference(b); },
    encode_reference, [](EncodeRun& a, EncodeRun& b) { encode_reference(a), encode_reference(b); }};

}  // namespace midstream::fast
