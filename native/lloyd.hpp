// The quantiser of least squared error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace midstream {

constexpr double histogram_limit = 8.0;  // the histogram spans [-limit, limit); its end bins take what lies outside
void normalized_histogram(const float* x, size_t size, double mean, double std, size_t bins, int64_t* counts,
                          double* sums);
// Cuts the bins into at most n runs of least squared error; returns their centroids, ascending.
std::vector<double> optimal_centroids(const int64_t* counts, const double* sums, size_t bins, size_t n);

}  // namespace midstream
