// Numbers of 16 bits side by side, for small networks: what a loop over them says, in registers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "dispatch.hpp"

namespace midstream {

#if defined(__GNUC__) || defined(__clang__)
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wpsabi"  // how vectors are passed without AVX: everything here is inlined
#endif
template <size_t count>
struct ShortTypes;
template <>
struct ShortTypes<8> {
    typedef int16_t Shorts __attribute__((vector_size(16)));
    typedef int32_t Longs __attribute__((vector_size(32)));
};
template <>
struct ShortTypes<16> {
    typedef int16_t Shorts __attribute__((vector_size(32)));
    typedef int32_t Longs __attribute__((vector_size(64)));
};

template <size_t count>
struct ShortVectors {
    using Shorts = typename ShortTypes<count>::Shorts;
    using Longs = typename ShortTypes<count>::Longs;

    MIDSTREAM_INLINE static Shorts all(int16_t x) { return Shorts{} + x; }
    MIDSTREAM_INLINE static Longs wide(const Shorts& x) { return __builtin_convertvector(x, Longs); }
    MIDSTREAM_INLINE static Shorts positive(const Shorts& x) { return x & (x > 0); }
};
#else
template <size_t count>
struct ShortVectors {
    template <class T>
    struct Numbers {
        T lane[count];
        T operator[](size_t i) const { return lane[i]; }
        template <class Function>
        static Numbers each(const Function& f) {
            Numbers out;
            for (size_t i = 0; i < count; ++i) out.lane[i] = static_cast<T>(f(i));
            return out;
        }
        friend Numbers operator+(const Numbers& a, const Numbers& b) { return each([&](size_t i) { return a[i] + b[i]; }); }
        friend Numbers operator*(const Numbers& a, const Numbers& b) { return each([&](size_t i) { return a[i] * b[i]; }); }
        friend Numbers operator>>(const Numbers& a, int by) { return each([&](size_t i) { return a[i] >> by; }); }
    };
    using Shorts = Numbers<int16_t>;
    using Longs = Numbers<int32_t>;

    static Shorts all(int16_t x) { return Shorts::each([&](size_t) { return x; }); }
    static Longs wide(const Shorts& x) { return Longs::each([&](size_t i) { return x[i]; }); }
    static Shorts positive(const Shorts& x) { return Shorts::each([&](size_t i) { return x[i] > 0 ? x[i] : 0; }); }
};
#endif

// [count], wherever they lie.
template <class Numbers, class T>
MIDSTREAM_INLINE Numbers loaded(const T* from) {
    Numbers out;
    std::memcpy(&out, from, sizeof(out));
    return out;
}
template <class Numbers, class T>
MIDSTREAM_INLINE void stored(const Numbers& numbers, T* to) {
    std::memcpy(to, &numbers, sizeof(numbers));
}

}  // namespace midstream
