// What the tests of the kernels share: random input, and the comparison of all instruction sets with the reference.
#pragma once
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "dispatch.hpp"

namespace midstream {

using Bytes = std::vector<uint8_t>;

inline std::mt19937_64 engine;
inline std::string current;  // what is being compared

inline size_t random_size(size_t least, size_t most) { return least + engine() % (most - least + 1); }
inline double random_real(double low, double high) { return std::uniform_real_distribution<double>(low, high)(engine); }
inline bool chance(double p) { return random_real(0, 1) < p; }
auto& one_of(auto&& list) { return list.data()[random_size(0, list.size() - 1)]; }

// With a bit or the end changed.
inline Bytes damaged(Bytes stream) {
    const size_t at = random_size(0, stream.size() - 1);
    if (chance(0.6)) stream[at] ^= static_cast<uint8_t>(1u << random_size(0, 7));
    else stream.resize(chance(0.7) ? at : stream.size() + random_size(1, 4));
    return stream;
}

inline Bytes bytes_of(const auto&... vectors) {
    Bytes out;
    const auto append = [&](const auto& vector) {
        const auto* data = reinterpret_cast<const uint8_t*>(vector.data());
        out.insert(out.end(), data, data + vector.size() * sizeof vector[0]);
    };
    (append(vectors), ...);
    return out;
}
inline Bytes joined(const std::vector<Bytes>& parts) {
    Bytes out;
    for (const auto& part : parts) out.insert(out.end(), part.begin(), part.end());
    return out;
}

void expect(const char* what, const Bytes& expected, const auto& work) {
    for (const auto& path : available_paths()) {
        set_path(path);
        if (work() == expected) continue;
        std::printf("%s differs on %s: %s\n", what, path.c_str(), current.c_str());
        std::exit(1);
    }
}
void expect_as_reference(const char* what, const auto& work) {
    set_path("reference");
    expect(what, work(), work);
}

// Each compares one random case.
void test_coder();
void test_dense();
void test_statistics();
void test_quantize();
void test_reconstruct();
void test_crc32c();
void test_frames();
void test_coefficients();
void test_entropy();
void test_products();
void test_stages();
void test_second_stage();
void test_whole_product();
void test_tiles();
void test_forward();
void test_inverse();
void test_coarser();

}  // namespace midstream
