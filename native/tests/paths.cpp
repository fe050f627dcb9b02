// Every instruction set of this machine against the scalar reference, on random input: the same bytes and verdicts.
//
// g++ -std=c++20 -O2 -ffp-contract=off -march=native -Inative native/tests/*.cpp native/*.cpp
//
// is enough on Arm and on x86 with AVX-512. `make test-native` needs neither, `make test-neon` emulates an Arm machine.
#include "paths.hpp"

int main() {
    using namespace midstream;
    constexpr unsigned rounds = 300;
    const auto tests = {test_coder, test_statistics, test_quantize, test_reconstruct, test_crc32c, test_frames,
                        test_coefficients, test_entropy, test_dense, test_products, test_stages, test_second_stage,
                        test_whole_product, test_tiles, test_forward, test_inverse, test_coarser};
    for (engine.seed(1); const auto test : tests)
        for (unsigned i = 0; i < rounds; ++i) test();
    std::printf("%zu cases on", rounds * tests.size());
    for (const auto& path : available_paths()) std::printf(" %s", path.c_str());
    std::printf(" passed\n");
}
