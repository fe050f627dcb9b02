// What reads or writes elements one by one: statistics, thresholds, reconstruction, checksums.
#include <algorithm>
#include <cmath>

#include "crc32c.hpp"
#include "paths.hpp"
#include "quantize.hpp"
#include "statistics.hpp"

namespace midstream {
namespace {

// Of any magnitude, some of them equal.
std::vector<float> random_elements(size_t most) {
    const double scale = one_of(std::vector{1e-40, 1e-3, 1.0, 1e6, 1.7e38}), center = random_real(-1, 1);
    std::vector<float> x(random_size(1, most));
    for (float& e : x) e = static_cast<float>(scale * (center + random_real(-1, 1)));
    for (size_t i = random_size(0, x.size()); i > 0; --i) one_of(x) = chance(0.1) ? -0.0f : one_of(x);
    current = std::to_string(x.size()) + " elements";
    return x;
}

}  // namespace

void test_statistics() {
    auto x = random_elements(chance(0.5) ? 100 : 4000);
    if (chance(0.2)) one_of(x) = one_of(std::vector{HUGE_VALF, -HUGE_VALF, std::nanf("")});
    expect_as_reference("channel_statistics", [&] {
        const auto [mean, std, min, max] = channel_statistics(x.data(), x.size());
        return bytes_of(std::vector{mean, std}, std::vector{min, max});
    });
}

void test_quantize() {
    auto x = random_elements(chance(0.5) ? 100 : 4000);
    Intervals intervals{std::vector<float>(random_size(0, chance(0.8) ? 16 : 255)), one_of(x), 1.5};
    for (float& boundary : intervals.boundaries) boundary = chance(0.5) ? one_of(x) : std::nextafter(one_of(x), 0.0f);
    std::sort(intervals.boundaries.begin(), intervals.boundaries.end());
    expect_as_reference("quantize", [&] {
        Bytes symbols(x.size());
        std::vector<int64_t> counts(intervals.boundaries.size() + 1);
        std::vector<double> deviations(counts.size());
        quantize(x.data(), x.size(), intervals, symbols.data(), {counts.data(), deviations.data()});
        return bytes_of(symbols, counts, deviations);
    });
}

void test_reconstruct() {
    const auto table = random_elements(chance(0.8) ? 16 : 256);
    Bytes symbols(random_size(1, 400));
    for (uint8_t& symbol : symbols) symbol = static_cast<uint8_t>(random_size(0, table.size() - 1));
    const size_t before = random_size(0, 20);
    const bool past_cache = chance(0.5);
    expect_as_reference("reconstruct", [&] {
        std::vector<float> x(before + symbols.size() + 20, -1.0f);  // what is beside the elements stays
        reconstruct(symbols.data(), symbols.size(), table.data(), table.size(), past_cache, x.data() + before);
        return bytes_of(x);
    });
}

void test_crc32c() {
    Bytes data(random_size(0, chance(0.5) ? 300 : 3000));
    for (uint8_t& byte : data) byte = static_cast<uint8_t>(engine());
    const auto before = static_cast<uint32_t>(engine());
    current = std::to_string(data.size()) + " bytes";
    expect_as_reference("crc32c", [&] { return bytes_of(std::vector{crc32c(data.data(), data.size(), before)}); });
}

}  // namespace midstream
