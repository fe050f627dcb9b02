// The `fast` coder on NEON, which every 64-bit Arm processor has.
#if defined(__aarch64__)
#include <arm_neon.h>

#include "fast_loops.hpp"

namespace midstream::fast {
namespace {

constexpr int parts = 8;  // registers of four states

// Byte shuffles for the four lanes of a register, by a mask of those that take or give a word.
struct Permutations {
    alignas(64) uint8_t take[16][16];  // of a register and, as bytes 16 to 31, the next words
    alignas(64) uint8_t give[16][16];  // half of it used: the low halves of the lanes that give, at the end
    alignas(64) uint8_t keep[16][16];  // the upper halves of the lanes that give, all of the others
    constexpr Permutations() : take(), give(), keep() {
        for (unsigned mask = 0; mask < 16; ++mask) {
            unsigned count = 0, at = 8;
            for (unsigned lane = 4; lane-- > 0;)
                if (mask >> lane & 1) give[mask][--at] = low(lane, 1), give[mask][--at] = low(lane, 0);
            for (unsigned lane = 0; lane < 4; ++lane) {
                const bool chosen = mask >> lane & 1;
                for (unsigned byte = 0; byte < 4; ++byte) {
                    const unsigned own = 4 * lane + byte;
                    take[mask][own] = static_cast<uint8_t>(!chosen ? own : byte < 2 ? 16 + 2 * count + byte : own - 2);
                    keep[mask][own] = static_cast<uint8_t>(!chosen ? own : byte < 2 ? own + 2 : 255);
                }
                count += chosen;
            }
        }
    }
    static constexpr uint8_t low(unsigned lane, unsigned byte) { return static_cast<uint8_t>(4 * lane + byte); }
};
constexpr Permutations permutations;

struct Neon {
    // By count of instructions, not yet measured: the eight registers of a bundle keep the pipelines busy.
    static constexpr bool two_at_once = false;
    struct Bytes {
        uint8x16_t half[2];
    };
    struct States {
        uint32x4_t part[parts];
    };
    struct Table {
        uint8x16_t low[3], high[3];
    };
    using Mask = uint8x8_t;  // a byte a part: four lanes in its upper half
    static constexpr uint8_t place[lanes] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                                             16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31};

    static MIDSTREAM_FLAT Bytes load(const uint8_t* p) { return halves(p, p + 16); }
    static MIDSTREAM_FLAT void store(uint8_t* p, Bytes a) { store_low(p, a), store_high(p + 16, a); }
    static MIDSTREAM_FLAT Bytes halves(const uint8_t* low, const uint8_t* high) {
        return {{vld1q_u8(low), vld1q_u8(high)}};
    }
    static MIDSTREAM_FLAT void store_low(uint8_t* p, Bytes a) { vst1q_u8(p, a.half[0]); }
    static MIDSTREAM_FLAT void store_high(uint8_t* p, Bytes a) { vst1q_u8(p, a.half[1]); }
    static MIDSTREAM_FLAT void zip(Bytes a, Bytes b, Bytes& low, Bytes& high) {
        low = {{vzip1q_u8(a.half[0], b.half[0]), vzip1q_u8(a.half[1], b.half[1])}};
        high = {{vzip2q_u8(a.half[0], b.half[0]), vzip2q_u8(a.half[1], b.half[1])}};
    }

    static MIDSTREAM_FLAT Bytes zero() { return {{vdupq_n_u8(0), vdupq_n_u8(0)}}; }
    static MIDSTREAM_FLAT Bytes shift(Bytes a, int left) {
        const int8x16_t n = vdupq_n_s8(static_cast<int8_t>(left));
        return {{vshlq_u8(a.half[0], n), vshlq_u8(a.half[1], n)}};
    }
    static MIDSTREAM_FLAT Bytes shift_right(Bytes a, unsigned n) { return shift(a, -static_cast<int>(n)); }
    static MIDSTREAM_FLAT Bytes shift_left(Bytes a, unsigned n) { return shift(a, static_cast<int>(n)); }
    static MIDSTREAM_FLAT Bytes add(Bytes a, Bytes b) {
        return {{vaddq_u8(a.half[0], b.half[0]), vaddq_u8(a.half[1], b.half[1])}};
    }
    static MIDSTREAM_FLAT Bytes subtract(Bytes a, Bytes b) {
        return {{vsubq_u8(a.half[0], b.half[0]), vsubq_u8(a.half[1], b.half[1])}};
    }
    static MIDSTREAM_FLAT Bytes subtract_saturated(Bytes a, Bytes b) {
        return {{vqsubq_u8(a.half[0], b.half[0]), vqsubq_u8(a.half[1], b.half[1])}};
    }
    static MIDSTREAM_FLAT Bytes at_most_3(Bytes a) {
        return {{vminq_u8(a.half[0], vdupq_n_u8(3)), vminq_u8(a.half[1], vdupq_n_u8(3))}};
    }
    static MIDSTREAM_FLAT Bytes low_digit(Bytes a) {
        return {{vandq_u8(a.half[0], vdupq_n_u8(3)), vandq_u8(a.half[1], vdupq_n_u8(3))}};
    }
    static MIDSTREAM_FLAT Bytes average(Bytes a, Bytes b) {
        return {{vrhaddq_u8(a.half[0], b.half[0]), vrhaddq_u8(a.half[1], b.half[1])}};
    }
    // a + 4 b, for a and b up to 3
    static MIDSTREAM_FLAT Bytes join(Bytes a, Bytes b) {
        return {{vsliq_n_u8(a.half[0], b.half[0], 2), vsliq_n_u8(a.half[1], b.half[1], 2)}};
    }

    static MIDSTREAM_FLAT Mask first(size_t active) {
        uint64_t mask = 0;
        for (size_t lane = 0; lane < active; ++lane) mask |= uint64_t{1} << (lane / 4 * 8 + 4 + lane % 4);
        return vcreate_u8(mask);
    }
    static MIDSTREAM_FLAT States load_states(const uint32_t* p) {
        States s;
        for (int i = 0; i < parts; ++i) s.part[i] = vld1q_u32(p + 4 * i);
        return s;
    }
    static MIDSTREAM_FLAT void store_states(uint32_t* p, const States& s) {
        for (int i = 0; i < parts; ++i) vst1q_u32(p + 4 * i, s.part[i]);
    }
    static Table prepare(const Cumulative& from) {
        Table t;
        for (int i = 0; i < 3; ++i) {
            const uint8x16x2_t bytes = vld2q_u8(reinterpret_cast<const uint8_t*>(from.begin[i]));
            t.low[i] = bytes.val[0], t.high[i] = bytes.val[1];
        }
        return t;
    }

    static MIDSTREAM_FLAT uint16x8_t words(uint8x16_t low, uint8x16_t high, int upper) {
        return vreinterpretq_u16_u8(upper ? vzip2q_u8(low, high) : vzip1q_u8(low, high));
    }
    // The low halves of two registers.
    static MIDSTREAM_FLAT uint16x8_t narrow(uint32x4_t a, uint32x4_t b) {
        return vuzp1q_u16(vreinterpretq_u16_u32(a), vreinterpretq_u16_u32(b));
    }

    // Which lanes take or give a word: of all parts at once, since from a vector register to an address it is far.
    struct Words {
        uint64_t shuffles;  // a byte a part: the mask in its upper half, so that it is where its shuffle begins
        uint64_t ends;      // a byte a part: how many bytes the parts up to this one take or give

        MIDSTREAM_FLAT Words(const uint16x8_t (&chosen)[parts / 2], Mask active) {
            const uint8x16_t bits = vreinterpretq_u8_u32(vdupq_n_u32(0x80402010));
            const uint8x16_t low = vuzp1q_u8(vreinterpretq_u8_u16(chosen[0]), vreinterpretq_u8_u16(chosen[1]));
            const uint8x16_t high = vuzp1q_u8(vreinterpretq_u8_u16(chosen[2]), vreinterpretq_u8_u16(chosen[3]));
            const uint8x16_t pairs = vpaddq_u8(vandq_u8(low, bits), vandq_u8(high, bits));
            const uint8x8_t masks = vand_u8(vget_low_u8(vpaddq_u8(pairs, pairs)), active);
            shuffles = vget_lane_u64(vreinterpret_u64_u8(masks), 0);
            ends = vget_lane_u64(vreinterpret_u64_u8(vcnt_u8(masks)), 0) * 0x0202020202020202;
        }
        MIDSTREAM_FLAT uint8x16_t shuffle(const uint8_t (&by_mask)[16][16], int part) const {
            return vld1q_u8(by_mask[0] + (shuffles >> (8 * part) & 255));
        }
        MIDSTREAM_FLAT size_t end(int part) const { return ends >> (8 * part) & 255; }
        MIDSTREAM_FLAT size_t begin(int part) const { return part > 0 ? end(part - 1) : 0; }
    };

    static MIDSTREAM_FLAT Bytes decode(States& s, const Table& t, Bytes context, const uint16_t*& in, Mask active) {
        Bytes digit;
        for (int h = 0; h < 2; ++h) {
            uint8x16_t low[3], high[3];
            uint16x8_t count[2];
            for (int i = 0; i < 3; ++i)
                low[i] = vqtbl1q_u8(t.low[i], context.half[h]), high[i] = vqtbl1q_u8(t.high[i], context.half[h]);
            for (int q = 0; q < 2; ++q) {
                const uint16x8_t begin[3] = {words(low[0], high[0], q), words(low[1], high[1], q),
                                             words(low[2], high[2], q)};
                uint32x4_t *a = &s.part[4 * h + 2 * q], *b = a + 1;
                count[q] = advance(*a, *b, begin);
            }
            digit.half[h] = vuzp1q_u8(vreinterpretq_u8_u16(count[0]), vreinterpretq_u8_u16(count[1]));
        }
        refill(s, in, active);
        return digit;
    }
    // Takes the digits of eight lanes, of which digits 1, 2 and 3 begin at these words, from their states.
    static MIDSTREAM_FLAT uint16x8_t advance(uint32x4_t& a, uint32x4_t& b, const uint16x8_t (&begin)[3]) {
        const uint16x8_t slot = vandq_u16(narrow(a, b), vdupq_n_u16((1 << scale_bits) - 1));
        uint16x8_t from = begin[2], to = vdupq_n_u16(1 << scale_bits), count = vdupq_n_u16(3);
        for (int i = 2; i >= 0; --i) {  // is digit i + 1 not reached?
            const uint16x8_t below = vcgtq_u16(begin[i], slot);
            from = i > 0 ? vbslq_u16(below, begin[i - 1], from) : vbicq_u16(from, below);
            to = vbslq_u16(below, begin[i], to);
            count = vaddq_u16(count, below);
        }
        const uint16x8_t frequency = vsubq_u16(to, from), rest = vsubq_u16(slot, from);
        a = vmlaq_u32(vmovl_u16(vget_low_u16(rest)), vshrq_n_u32(a, scale_bits), vmovl_u16(vget_low_u16(frequency)));
        b = vmlaq_u32(vmovl_high_u16(rest), vshrq_n_u32(b, scale_bits), vmovl_high_u16(frequency));
        return count;
    }
    static MIDSTREAM_FLAT void refill(States& s, const uint16_t*& in, Mask active) {
        const uint32x4_t bound = vdupq_n_u32(lower_bound);
        uint16x8_t low[parts / 2];
        for (int i = 0; i < parts / 2; ++i)
            low[i] = narrow(vcltq_u32(s.part[2 * i], bound), vcltq_u32(s.part[2 * i + 1], bound));
        const Words taken(low, active);
        const uint8_t* bytes = reinterpret_cast<const uint8_t*>(in);
        for (int i = 0; i < parts; ++i) {
            const uint8x16x2_t both = {{vreinterpretq_u8_u32(s.part[i]), vld1q_u8(bytes + taken.begin(i))}};
            s.part[i] = vreinterpretq_u32_u8(vqtbl2q_u8(both, taken.shuffle(permutations.take, i)));
        }
        in += taken.end(parts - 1) / 2;
    }

    static MIDSTREAM_FLAT void encode(States& s, const Table& t, Bytes context, Bytes digit, uint16_t*& out,
                                      Mask active) {
        uint16x8_t frequency[parts / 2], from[parts / 2];
        for (int h = 0; h < 2; ++h) {
            const uint8x16_t d = digit.half[h];
            const uint8x16_t reached[3] = {vcgtq_u8(d, vdupq_n_u8(0)), vcgtq_u8(d, vdupq_n_u8(1)),
                                           vcgtq_u8(d, vdupq_n_u8(2))};
            uint8x16_t from_low, from_high, to_low, to_high;
            interval(t.low, 0, context.half[h], reached, from_low, to_low);
            interval(t.high, (1 << scale_bits) >> 8, context.half[h], reached, from_high, to_high);
            for (int q = 0; q < 2; ++q) {
                from[2 * h + q] = words(from_low, from_high, q);
                frequency[2 * h + q] = vsubq_u16(words(to_low, to_high, q), from[2 * h + q]);
            }
        }
        give(s, frequency, out, active);
        for (int i = 0; i < parts / 2; ++i) {
            push(s.part[2 * i], vmovl_u16(vget_low_u16(frequency[i])), vmovl_u16(vget_low_u16(from[i])));
            push(s.part[2 * i + 1], vmovl_high_u16(frequency[i]), vmovl_high_u16(from[i]));
        }
    }
    // Where the interval of a digit begins and ends: one of the two bytes of each.
    static MIDSTREAM_FLAT void interval(const uint8x16_t (&table)[3], uint8_t all, uint8x16_t context,
                                        const uint8x16_t (&reached)[3], uint8x16_t& from, uint8x16_t& to) {
        uint8x16_t begin[4] = {vqtbl1q_u8(table[0], context), vqtbl1q_u8(table[1], context),
                               vqtbl1q_u8(table[2], context), vdupq_n_u8(all)};
        from = vandq_u8(begin[0], reached[0]), to = vbslq_u8(reached[0], begin[1], begin[0]);
        for (int i = 1; i < 3; ++i) {
            from = vbslq_u8(reached[i], begin[i], from);
            to = vbslq_u8(reached[i], begin[i + 1], to);
        }
    }
    static MIDSTREAM_FLAT void give(States& s, const uint16x8_t (&frequency)[parts / 2], uint16_t*& out, Mask active) {
        uint16x8_t full[parts / 2];
        for (int i = 0; i < parts / 2; ++i) {
            const uint16x8_t upper = vuzp2q_u16(vreinterpretq_u16_u32(s.part[2 * i]),
                                                vreinterpretq_u16_u32(s.part[2 * i + 1]));
            full[i] = vcgeq_u16(vshrq_n_u16(upper, state_bits - scale_bits - 16), frequency[i]);
        }
        const Words given(full, active);
        out -= given.end(parts - 1) / 2;
        uint8_t* bytes = reinterpret_cast<uint8_t*>(out);
        for (int i = parts - 1; i >= 0; --i) {  // what lies before the words of a part is written over by the next one
            const uint8x16_t x = vreinterpretq_u8_u32(s.part[i]);
            vst1_u8(bytes + given.end(i) - 8, vget_low_u8(vqtbl1q_u8(x, given.shuffle(permutations.give, i))));
            s.part[i] = vreinterpretq_u32_u8(vqtbl1q_u8(x, given.shuffle(permutations.keep, i)));
        }
    }
    static MIDSTREAM_FLAT void push(uint32x4_t& x, uint32x4_t frequency, uint32x4_t from) {
        // Two steps of Newton's method from the estimate's eight bits; the second one lowers the result, too. With all
        // roundings the quotient is right or one too small: x / frequency is below 2^19.
        const float32x4_t divisor = vcvtq_f32_u32(frequency), rough = vrecpeq_f32(divisor);
        const float32x4_t better = vmulq_f32(rough, vrecpsq_f32(divisor, rough));
        const float32x4_t inverse = vmulq_f32(better, vfmsq_f32(vdupq_n_f32(2 - 0x1p-21f), divisor, better));
        const uint32x4_t low = vcvtq_u32_f32(vmulq_f32(vcvtq_f32_u32(x), inverse));
        const uint32x4_t short_by_one = vcgeq_u32(vmlsq_u32(x, low, frequency), frequency);
        const uint32x4_t quotient = vsubq_u32(low, short_by_one);
        // 2^12 quotient + x mod frequency + from
        x = vmlaq_u32(vaddq_u32(x, from), quotient, vsubq_u32(vdupq_n_u32(1 << scale_bits), frequency));
    }
};

}  // namespace

const Kernel neon_kernel = Coder<Neon>::kernel;

}  // namespace midstream::fast
#endif
