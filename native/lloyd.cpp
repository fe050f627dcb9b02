// The best n intervals for squared error: Lloyd's and Max's conditions, met by the global optimum over a histogram
// instead of an iteration that stops at a local one. Dynamic programming over bins, each layer by divide and conquer
// (its cost satisfies the quadrangle inequality, so that the best cut moves one way): n * bins * log(bins) steps.
#include "lloyd.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace midstream {
namespace {

struct Prefix {
    std::vector<double> weight, sum;

    Prefix(const int64_t* counts, const double* sums, size_t bins) : weight(bins + 1), sum(bins + 1) {
        for (size_t i = 0; i < bins; ++i) {
            weight[i + 1] = weight[i] + static_cast<double>(counts[i]);
            sum[i + 1] = sum[i] + sums[i];
        }
    }
    // Squared error of bins [a, b) about their mean, but for the part that no cut changes.
    double cost(size_t a, size_t b) const {
        const double w = weight[b] - weight[a], s = sum[b] - sum[a];
        return w > 0 ? -s * s / w : 0.0;
    }
};

struct Layer {
    const Prefix& prefix;
    const std::vector<double>& before;
    std::vector<double>& after;
    std::vector<uint32_t>& cut;

    void solve(size_t first, size_t last, size_t low, size_t high) {  // ends [first, last), cuts [low, high]
        if (first >= last) return;
        const size_t end = (first + last) / 2;
        double best = std::numeric_limits<double>::infinity();
        size_t where = low;
        for (size_t at = low; at <= std::min(end, high); ++at) {
            const double cost = before[at] + prefix.cost(at, end);
            if (cost < best) best = cost, where = at;
        }
        after[end] = best;
        cut[end] = static_cast<uint32_t>(where);
        solve(first, end, low, where);
        solve(end + 1, last, where, high);
    }
};

}  // namespace

void normalized_histogram(const float* x, size_t size, double mean, double std, size_t bins, int64_t* counts,
                          double* sums) {
    const double last = static_cast<double>(bins - 1), per_unit = static_cast<double>(bins) / (2 * histogram_limit);
    for (size_t i = 0; i < size; ++i) {
        const double v = (static_cast<double>(x[i]) - mean) / std;
        const double place = std::floor((v + histogram_limit) * per_unit);
        const size_t bin = static_cast<size_t>(place < 0 ? 0 : place > last ? last : place);
        ++counts[bin];
        sums[bin] += v;
    }
}

std::vector<double> optimal_centroids(const int64_t* counts, const double* sums, size_t bins, size_t n) {
    const Prefix prefix(counts, sums, bins);
    std::vector<double> before(bins + 1), after(bins + 1);
    for (size_t end = 0; end <= bins; ++end) before[end] = prefix.cost(0, end);
    std::vector<std::vector<uint32_t>> cuts(n, std::vector<uint32_t>(bins + 1, 0));
    for (size_t run = 1; run < n; ++run) {
        Layer{prefix, before, after, cuts[run]}.solve(0, bins + 1, 0, bins);
        before.swap(after);
    }
    std::vector<double> centroids;
    for (size_t end = bins, run = n; run-- > 0; end = cuts[run][end]) {
        const double weight = prefix.weight[end] - prefix.weight[cuts[run][end]];
        if (weight > 0) centroids.insert(centroids.begin(), (prefix.sum[end] - prefix.sum[cuts[run][end]]) / weight);
    }
    return centroids;
}

}  // namespace midstream
