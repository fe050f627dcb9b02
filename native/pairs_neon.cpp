// Products of pairs on NEON, which every 64-bit Arm has.
#include "dispatch.hpp"

#ifdef MIDSTREAM_NEON
#include <arm_neon.h>

#include "pairs_kernel.hpp"

namespace midstream::pairs {
namespace {

struct Neon {
    using Vector = int32x4_t;  // or eight numbers of 16 bits
    static constexpr size_t wide = 4;
    static Vector zero() { return vdupq_n_s32(0); }
    static Vector load(const int16_t* from) { return vreinterpretq_s32_s16(vld1q_s16(from)); }
    static void store(int32_t* to, Vector v) { vst1q_s32(to, v); }
    static Vector repeat(int32_t pair) { return vdupq_n_s32(pair); }
    static Vector add_products(Vector sum, Vector pair, Vector pairs) {
        const int16x8_t a = vreinterpretq_s16_s32(pair), b = vreinterpretq_s16_s32(pairs);
        const int32x4_t low = vmull_s16(vget_low_s16(a), vget_low_s16(b)), high = vmull_high_s16(a, b);
        return vaddq_s32(sum, vpaddq_s32(low, high));
    }
};

}  // namespace

const Sums neon_sums = sums_of<Neon>;

}  // namespace midstream::pairs
#endif
