// Which instruction set a kernel runs on. Every path of a kernel gives the same bytes: that is tested, not hoped.
#pragma once

#include <string>
#include <vector>

#if (defined(__GNUC__) || defined(__clang__)) && defined(__x86_64__) && !defined(_MSC_VER)
#define MIDSTREAM_X86 1
#define MIDSTREAM_AVX2 __attribute__((target("avx2,bmi2")))
#define MIDSTREAM_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,bmi2")))
#endif
#if (defined(__GNUC__) || defined(__clang__)) && defined(__aarch64__)
#define MIDSTREAM_NEON 1
#endif

#if defined(__GNUC__) || defined(__clang__)
#define MIDSTREAM_INLINE inline __attribute__((always_inline))
#elif defined(_MSC_VER)
#define MIDSTREAM_INLINE __forceinline
#else
#define MIDSTREAM_INLINE inline
#endif

namespace midstream {

// `reference` is the scalar code that defines the result; `portable` is the vectorisable code for the baseline machine.
enum class Path { reference, portable, avx2, avx512, neon };

// The paths that this machine can run, slowest first.
std::vector<std::string> available_paths();

// The path in force: the fastest one, or what MIDSTREAM_SIMD names. Throws std::invalid_argument for a name that this
// machine does not have.
Path current_path();

// Changes the path in force (tests and benchmarks).
void set_path(const std::string& name);
std::string path_name();

}  // namespace midstream
