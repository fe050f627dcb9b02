// Bindings of the quantiser of the codec `paper`: statistics, symbols and back, the best centroids.
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cmath>
#include <tuple>
#include <vector>

#include "arrays.hpp"
#include "lloyd.hpp"
#include "quantize.hpp"
#include "statistics.hpp"

namespace midstream {
namespace {

// Of all channels.
struct Statistics {
    size_t channels;
    Buffer<double> mean = buffer<double>(channels), std = buffer<double>(channels);
    Buffer<float> low = buffer<float>(channels), high = buffer<float>(channels);

    void put(size_t c, const ChannelStatistics& one) {
        mean[c] = one.mean, std[c] = one.std, low[c] = one.min, high[c] = one.max;
    }
    using Arrays = std::tuple<Out<double, 1>, Out<double, 1>, Out<float, 1>, Out<float, 1>>;
    Arrays arrays() && {
        return {wrap(std::move(mean), {channels}), wrap(std::move(std), {channels}), wrap(std::move(low), {channels}),
                wrap(std::move(high), {channels})};
    }
};

Statistics::Arrays statistics_of(const Matrix<float>& x) {
    const size_t size = x.shape(1);
    require(size > 0, "channel_statistics: empty channels");
    Statistics out{x.shape(0)};
    without_gil([&] {
        for (size_t c = 0; c < out.channels; ++c) out.put(c, channel_statistics(x.data() + c * size, size));
    });
    return std::move(out).arrays();
}

Intervals intervals_of(const ChannelStatistics& channel, size_t size, const std::vector<double>& thresholds,
                       size_t alphabet) {
    Intervals out{{}, static_cast<float>(channel.mean), 0};
    out.total = static_cast<double>(size) * (channel.mean - static_cast<double>(out.pivot));
    for (const double threshold : thresholds) out.boundaries.push_back(threshold_boundary(channel, threshold));
    if (thresholds.empty())
        for (size_t j = 0; j + 1 < alphabet; ++j) out.boundaries.push_back(range_boundary(channel, j, alphabet));
    return out;
}

// Each channel is read from memory once: it is quantised while it is in cache.
auto quantize_all(const Matrix<float>& x, const std::vector<double>& thresholds, size_t alphabet) {
    const size_t size = x.shape(1);
    require(size > 0 && alphabet >= 1 && alphabet <= 256, "quantize: an empty channel or alphabet");
    require(thresholds.empty() || thresholds.size() + 1 == alphabet, "quantize: one threshold less than symbols");
    Statistics statistics{x.shape(0)};
    auto symbols = buffer<uint8_t>(statistics.channels * size);
    auto counts = buffer<int64_t>(statistics.channels * alphabet);
    auto sums = buffer<double>(statistics.channels * alphabet);
    size_t active = 0;
    without_gil([&] {
        for (size_t c = 0; c < statistics.channels; ++c) {
            const float* values = x.data() + c * size;
            const ChannelStatistics one = channel_statistics(values, size);
            statistics.put(c, one);
            if (!std::isfinite(one.mean) || one.min == one.max) continue;
            const Intervals intervals = intervals_of(one, size, thresholds, alphabet);
            int64_t* count = &counts[active * alphabet];
            double* sum = &sums[active * alphabet];
            quantize(values, size, intervals, &symbols[active++ * size], {count, sum});
            for (size_t s = 0; s < alphabet; ++s)
                sum[s] += static_cast<double>(count[s]) * static_cast<double>(intervals.pivot);
        }
    });
    return std::tuple_cat(
        std::move(statistics).arrays(),
        std::tuple(wrap(std::move(symbols), {active, size}), wrap(std::move(counts), {active, alphabet}),
                   wrap(std::move(sums), {active, alphabet})));
}

void reconstruct_all(const Matrix<uint8_t>& symbols, const Matrix<float>& table, const InOut<float, 2>& out,
                     const Vector<int64_t>& rows) {
    const size_t channels = symbols.shape(0), size = symbols.shape(1), alphabet = table.shape(1);
    require(table.shape(0) == channels && alphabet > 0 && rows.size() == channels && out.shape(1) == size,
            "reconstruct: shapes");
    for (size_t c = 0; c < channels; ++c)
        require(rows.data()[c] >= 0 && static_cast<size_t>(rows.data()[c]) < out.shape(0), "reconstruct: rows");
    const bool past_cache = out.size() * sizeof(float) > (size_t{16} << 20);
    without_gil([&] {
        for (size_t c = 0; c < channels; ++c)
            reconstruct(symbols.data() + c * size, size, table.data() + c * alphabet, alphabet, past_cache,
                        out.data() + static_cast<size_t>(rows.data()[c]) * size);
    });
}

std::tuple<Out<int64_t, 1>, Out<double, 1>> histogram(const Matrix<float>& x, const Vector<double>& mean,
                                                      const Vector<double>& std, size_t bins) {
    require(mean.size() == x.shape(0) && std.size() == x.shape(0) && bins > 0, "histogram: shapes");
    auto counts = buffer<int64_t>(bins);
    auto sums = buffer<double>(bins);
    without_gil([&] {
        std::fill_n(counts.get(), bins, 0);
        std::fill_n(sums.get(), bins, 0.0);
        for (size_t c = 0; c < x.shape(0); ++c)
            normalized_histogram(x.data() + c * x.shape(1), x.shape(1), mean.data()[c], std.data()[c], bins,
                                 counts.get(), sums.get());
    });
    return {wrap(std::move(counts), {bins}), wrap(std::move(sums), {bins})};
}

std::vector<double> centroids_of(const Vector<int64_t>& counts, const Vector<double>& sums, size_t n) {
    require(counts.size() == sums.size() && n > 0, "optimal_centroids: shapes");
    return without_gil([&] { return optimal_centroids(counts.data(), sums.data(), counts.size(), n); });
}

}  // namespace

void bind_quantize(nb::module_& m) {
    m.def("channel_statistics", &statistics_of, "x"_a,
          "Of each row: mean, population standard deviation (both NaN where there is a NaN or an infinity), minimum,\n"
          "maximum.");
    m.def("quantize", &quantize_all, "x"_a, "thresholds"_a, "alphabet"_a,
          "`channel_statistics`; then, of the rows that are finite and not constant, symbols [rows, size], how many\n"
          "elements each symbol stands for and their sum [rows, alphabet]. Thresholds count in standard deviations from\n"
          "the mean; without any, a row's range is cut into equal steps.");
    m.def("reconstruct", &reconstruct_all, "symbols"_a, "table"_a, "out"_a.noconvert(), "rows"_a,
          "Fill the given rows of `out`: element = table[row][symbol].");
    m.def("normalized_histogram", &histogram, "x"_a, "mean"_a, "std"_a, "bins"_a,
          "Of all rows together, each less its mean and over its deviation: elements in each bin, and their sum.");
    m.def("optimal_centroids", &centroids_of, "counts"_a, "sums"_a, "n"_a,
          "Ascending centroids of the at most n runs of bins that have the least squared error.");
}

}  // namespace midstream
