// Eight 32-bit numbers side by side: what a loop over eight says, in registers. Both kinds give the same numbers.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "dispatch.hpp"

namespace midstream {

constexpr int lane_count = 8;

// As the C++ standard has it: the reference, and what compilers without vectors make do with.
struct PlainLanes {
    struct Whole {
        int32_t lane[lane_count];
        int32_t operator[](int i) const { return lane[i]; }
    };
    template <class Function>
    static Whole each(const Function& f) {
        return {{f(0), f(1), f(2), f(3), f(4), f(5), f(6), f(7)}};
    }
    static Whole all(int32_t x) {
        return each([&](int) { return x; });
    }
    template <class Small>
    static Whole load(const Small* from) {
        return each([&](int i) { return int32_t{from[i]}; });
    }
    static void store(const Whole& a, uint32_t* to) { std::copy_n(a.lane, lane_count, to); }
    static int32_t sum(const Whole& a) {
        int32_t out = 0;
        for (const int32_t x : a.lane) out += x;
        return out;
    }
    static Whole least(const Whole& a, const Whole& b) {
        return each([&](int i) { return std::min(a[i], b[i]); });
    }
    static Whole most(const Whole& a, const Whole& b) {
        return each([&](int i) { return std::max(a[i], b[i]); });
    }
    // The bits of x in binary32.
    static Whole bits(const Whole& x) {
        return each([&](int i) { return std::bit_cast<int32_t>(static_cast<float>(x[i])); });
    }
    // `a` / x in binary32, rounded down.
    static Whole quotient(float a, const Whole& x) {
        return each([&](int i) { return static_cast<int32_t>(a / static_cast<float>(x[i])); });
    }
};
inline PlainLanes::Whole operator+(const PlainLanes::Whole& a, const PlainLanes::Whole& b) {
    return PlainLanes::each([&](int i) { return a[i] + b[i]; });
}
inline PlainLanes::Whole operator-(const PlainLanes::Whole& a, const PlainLanes::Whole& b) {
    return PlainLanes::each([&](int i) { return a[i] - b[i]; });
}
inline PlainLanes::Whole operator*(const PlainLanes::Whole& a, const PlainLanes::Whole& b) {
    return PlainLanes::each([&](int i) { return a[i] * b[i]; });
}
inline PlainLanes::Whole operator&(const PlainLanes::Whole& a, const PlainLanes::Whole& b) {
    return PlainLanes::each([&](int i) { return a[i] & b[i]; });
}
inline PlainLanes::Whole operator|(const PlainLanes::Whole& a, const PlainLanes::Whole& b) {
    return PlainLanes::each([&](int i) { return a[i] | b[i]; });
}
inline PlainLanes::Whole operator>>(const PlainLanes::Whole& a, int by) {
    return PlainLanes::each([&](int i) { return a[i] >> by; });
}
inline PlainLanes::Whole operator<<(const PlainLanes::Whole& a, int by) {
    return PlainLanes::each([&](int i) { return static_cast<int32_t>(static_cast<uint32_t>(a[i]) << by); });
}

#if defined(__GNUC__) || defined(__clang__)
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wpsabi"  // how vectors are passed without AVX: everything here is inlined
#endif
struct VectorLanes {
    typedef int32_t Whole __attribute__((vector_size(32), may_alias));
    typedef float Real __attribute__((vector_size(32)));
    typedef int32_t Unaligned __attribute__((vector_size(32), aligned(4), may_alias));
    typedef int32_t Half __attribute__((vector_size(16)));

    template <class Function>
    MIDSTREAM_INLINE static Whole each(const Function& f) {
        return Whole{f(0), f(1), f(2), f(3), f(4), f(5), f(6), f(7)};
    }
    MIDSTREAM_INLINE static Whole all(int32_t x) { return __builtin_shufflevector(Half{x}, Half{x}, 0, 0, 0, 0, 0, 0, 0, 0); }
    template <class Small>
    MIDSTREAM_INLINE static Whole load(const Small* from) {
        typedef Small Eight __attribute__((vector_size(lane_count * sizeof(Small)), aligned(sizeof(Small)), may_alias));
        if constexpr (sizeof(Small) == 1) {
            typedef uint16_t Double __attribute__((vector_size(lane_count * 2)));
            return __builtin_convertvector(__builtin_convertvector(*reinterpret_cast<const Eight*>(from), Double), Whole);
        } else {
            return __builtin_convertvector(*reinterpret_cast<const Eight*>(from), Whole);
        }
    }
    MIDSTREAM_INLINE static void store(const Whole& a, uint32_t* to) { *reinterpret_cast<Unaligned*>(to) = a; }
    MIDSTREAM_INLINE static int32_t sum(const Whole& a) {
        const Half half = __builtin_shufflevector(a, a, 0, 1, 2, 3) + __builtin_shufflevector(a, a, 4, 5, 6, 7);
        const Half quarter = half + __builtin_shufflevector(half, half, 2, 3, 0, 1);
        return quarter[0] + quarter[1];
    }
    MIDSTREAM_INLINE static Whole least(const Whole& a, const Whole& b) { return a < b ? a : b; }
    MIDSTREAM_INLINE static Whole most(const Whole& a, const Whole& b) { return a > b ? a : b; }
    MIDSTREAM_INLINE static Whole bits(const Whole& x) {
        return reinterpret_cast<Whole>(__builtin_convertvector(x, Real));
    }
    MIDSTREAM_INLINE static Whole quotient(float a, const Whole& x) {
        return __builtin_convertvector((Real{} + a) / __builtin_convertvector(x, Real), Whole);
    }
};
#else
using VectorLanes = PlainLanes;
#endif

}  // namespace midstream
