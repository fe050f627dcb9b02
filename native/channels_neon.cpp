// Quantisation and reconstruction on NEON, which every 64-bit Arm processor has.
#if defined(__aarch64__)
#include <arm_neon.h>

#include "channels_kernel.hpp"

namespace midstream::channels {
namespace {

// Not vminq_f32 and vmaxq_f32, which pass on what is not a number where comparisons do not.
inline float32x4_t smaller(float32x4_t a, float32x4_t b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
inline float32x4_t larger(float32x4_t a, float32x4_t b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }

// Of two lanes.
struct Sums {
    float64x2_t sum, square;

    void add(float64x2_t d) {
        sum = vaddq_f64(sum, d);
        square = vaddq_f64(square, vmulq_f64(d, d));  // not vfmaq_f64: the definition rounds the square
    }
};

BlockStatistics statistics(const float* x, size_t size) {
    const float64x2_t first = vdupq_n_f64(static_cast<double>(x[0]));
    float32x4_t low = vdupq_n_f32(x[0]), high = low;
    double sums[statistics_lanes], squares[statistics_lanes];
    const size_t whole = size / statistics_lanes * statistics_lanes;
    constexpr size_t half = statistics_lanes / 2;  // at a time: the sums of all do not fit into the registers
    for (size_t lane = 0; lane < statistics_lanes; lane += half) {
        Sums part[half / 2];
        for (Sums& two : part) two = {vdupq_n_f64(0), vdupq_n_f64(0)};
        for (size_t at = lane; at < whole; at += statistics_lanes)
            for (size_t k = 0; k < half / 4; ++k) {
                const float32x4_t v = vld1q_f32(x + at + 4 * k);
                low = smaller(v, low), high = larger(v, high);
                part[2 * k].add(vsubq_f64(vcvt_f64_f32(vget_low_f32(v)), first));
                part[2 * k + 1].add(vsubq_f64(vcvt_high_f64_f32(v), first));
            }
        for (size_t k = 0; k < half / 2; ++k)
            vst1q_f64(sums + lane + 2 * k, part[k].sum), vst1q_f64(squares + lane + 2 * k, part[k].square);
    }
    float lows[4], highs[4];
    vst1q_f32(lows, low), vst1q_f32(highs, high);
    for (size_t i = 1; i < 4; ++i) {
        lows[0] = lows[i] < lows[0] ? lows[i] : lows[0];
        highs[0] = highs[i] > highs[0] ? highs[i] : highs[0];
    }
    add_rest(x, whole, size, sums, squares, lows[0], highs[0]);
    return merged(x[0], size, sums, squares, lows[0], highs[0]);
}

inline uint16x8_t narrow(uint32x4_t a, uint32x4_t b) {
    return vuzp1q_u16(vreinterpretq_u16_u32(a), vreinterpretq_u16_u32(b));
}
inline uint8x16_t narrow(uint16x8_t a, uint16x8_t b) {
    return vuzp1q_u8(vreinterpretq_u8_u16(a), vreinterpretq_u8_u16(b));
}

// Boundaries j0 .. j0 + count - 1; the symbols go on from what earlier ones have made of them.
template <size_t count>
void compare(const float* x, size_t size, const float* boundaries, float pivot, bool go_on, uint8_t* symbols,
             uint32_t* reached, float (*lane)[sum_lanes]) {
    static_assert(block_size / 16 < 256, "a byte counts how often its place of sixteen reaches a boundary");
    const float32x4_t center = vdupq_n_f32(pivot);
    float32x4_t boundary[count], sum[count][4];
    uint8x16_t reaching[count];
    for (size_t j = 0; j < count; ++j) {
        boundary[j] = vdupq_n_f32(boundaries[j]), reaching[j] = vdupq_n_u8(0);
        for (size_t k = 0; k < 4; ++k) sum[j][k] = vdupq_n_f32(0);
    }
    size_t at = 0;
    for (; at + 16 <= size; at += 16) {
        uint8x16_t symbol = go_on ? vld1q_u8(symbols + at) : vdupq_n_u8(0);
        float32x4_t v[4];
        for (size_t k = 0; k < 4; ++k) v[k] = vld1q_f32(x + at + 4 * k);
        for (size_t j = 0; j < count; ++j) {
            uint32x4_t hit[4];
            for (size_t k = 0; k < 4; ++k) {
                hit[k] = vcgeq_f32(v[k], boundary[j]);
                const uint32x4_t distance = vreinterpretq_u32_f32(vsubq_f32(v[k], center));
                sum[j][k] = vaddq_f32(sum[j][k], vreinterpretq_f32_u32(vandq_u32(hit[k], distance)));
            }
            const uint8x16_t packed = narrow(narrow(hit[0], hit[1]), narrow(hit[2], hit[3]));
            symbol = vsubq_u8(symbol, packed), reaching[j] = vsubq_u8(reaching[j], packed);
        }
        vst1q_u8(symbols + at, symbol);
    }
    for (size_t j = 0; j < count; ++j) {
        for (size_t k = 0; k < 4; ++k) vst1q_f32(lane[j] + 4 * k, sum[j][k]);
        reached[j] = vaddlvq_u8(reaching[j]);
    }
    for (; at < size; ++at) {
        if (!go_on) symbols[at] = 0;
        for (size_t j = 0; j < count; ++j) {
            if (!(x[at] >= boundaries[j])) continue;
            lane[j][at % sum_lanes] += x[at] - pivot;
            ++symbols[at], ++reached[j];
        }
    }
}

void quantize(const float* x, size_t size, const float* boundaries, size_t count, float pivot, uint8_t* symbols,
              uint32_t* reached, float (*lane)[sum_lanes]) {
    size_t j = 0;
    for (; j + 3 <= count; j += 3) compare<3>(x, size, boundaries + j, pivot, j > 0, symbols, reached + j, lane + j);
    for (; j < count; ++j) compare<1>(x, size, boundaries + j, pivot, j > 0, symbols, reached + j, lane + j);
}

// Whether to read the lines first is left to the processor, which sees that they are written whole.
void look_up(const uint8_t* symbols, size_t size, const float* table, size_t entries, bool, float* out) {
    float values[most_looked_up] = {};
    for (size_t i = 0; i < entries; ++i) values[i] = table[i];
    uint8x16x4_t bytes;
    for (size_t k = 0; k < 4; ++k) bytes.val[k] = vreinterpretq_u8_f32(vld1q_f32(values + 4 * k));
    const uint8x16_t four = vreinterpretq_u8_u32(vdupq_n_u32(0x03020100));  // the bytes of an entry
    size_t at = 0;
    for (; at + 16 <= size; at += 16) {
        const uint8x16_t begin = vshlq_n_u8(vld1q_u8(symbols + at), 2);
        const uint8x16_t twice[2] = {vzip1q_u8(begin, begin), vzip2q_u8(begin, begin)};
        for (size_t k = 0; k < 4; ++k) {
            const uint8x16_t half = twice[k / 2], each = k % 2 == 0 ? vzip1q_u8(half, half) : vzip2q_u8(half, half);
            vst1q_f32(out + at + 4 * k, vreinterpretq_f32_u8(vqtbl4q_u8(bytes, vorrq_u8(each, four))));
        }
    }
    for (; at < size; ++at) out[at] = values[symbols[at] % most_looked_up];
}

}  // namespace

const Kernel neon_kernel = {statistics, quantize, look_up};

}  // namespace midstream::channels
#endif
