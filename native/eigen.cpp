// Householder's reduction to a tridiagonal matrix, then implicit QL (Golub and Van Loan, Matrix Computations, 8.3). Every
// sum has a fixed order and every operation is rounded by itself, so that each instruction set gives the same bits; a
// LAPACK is quicker, but rounds by the machine and by the number of threads.
#include "eigen.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "dispatch.hpp"

#ifdef _MSC_VER
#define MIDSTREAM_RESTRICT __restrict
#else
#define MIDSTREAM_RESTRICT __restrict__
#endif

namespace midstream {
namespace {

constexpr size_t panel = 16;      // coordinates of all eigenvectors that a cache holds together
constexpr size_t block = 4;       // rows
constexpr int most_sweeps = 60;   // for an eigenvalue; two are usual
constexpr double smallest_tail = 1e-150;  // of a row, its squared length

struct Tridiagonal {
    std::vector<double> diagonal, beside;  // beside[k] between k and k + 1
    std::vector<double> factors;           // of the reflections I - factor v v', whose v are left in the matrix's rows
};

// Plane rotations of the coordinates i and i - 1, for `count` of i from `first` down; the first of them is number `at`.
struct Sweep {
    size_t first, count, at;
};

struct Rotations {
    std::vector<double> cosines, sines;
    std::vector<Sweep> sweeps;
};

// rows -= v w' + w v', and on the way product += rows' next, for `count` rows from i on and columns from `from` on.
template <size_t count>
MIDSTREAM_INLINE void update(double* a, size_t n, size_t i, size_t from, const double* MIDSTREAM_RESTRICT v,
                             const double* MIDSTREAM_RESTRICT w, const double* next,
                             double* MIDSTREAM_RESTRICT product) {
    double* MIDSTREAM_RESTRICT rows = a + i * n;
    for (size_t j = from; j < n; ++j) {
        double sum = product[j];
        for (size_t r = 0; r < count; ++r) {
            const double x = rows[r * n + j] - (v[i + r] * w[j] + w[i + r] * v[j]);
            rows[r * n + j] = x;
            sum += x * next[i + r];
        }
        product[j] = sum;
    }
}

// The reflection that makes row k zero behind its second place: its v into `v`, its factor.
double reflection(const double* row, size_t n, size_t k, double* v, double& beside) {
    double tail = 0;
    for (size_t j = k + 2; j < n; ++j) tail += row[j] * row[j];
    std::fill_n(v, n, 0.0);
    beside = row[k + 1];
    // What is left of a matrix of low rank is rounding, then rounding of that, and so on. The square of the factor, about
    // that of 1 / tail, has to stay finite.
    if (tail < smallest_tail) return 0;
    const double length = std::sqrt(beside * beside + tail), first = beside > 0 ? beside + length : beside - length;
    beside = beside > 0 ? -length : length;
    std::copy(row + k + 2, row + n, v + k + 2);
    v[k + 1] = first;
    return 2 / (first * first + tail);
}

MIDSTREAM_INLINE void reduce(double* a, size_t n, Tridiagonal& out) {
    std::vector<double> v(n), w(n), next(n), product(n);
    for (size_t k = 0; k < n; ++k) {
        update<1>(a, n, k, k, v.data(), w.data(), next.data(), product.data());  // `next` is zero there
        out.diagonal[k] = a[k * n + k];
        if (k + 1 == n) break;
        const double factor = out.factors[k] = reflection(a + k * n, n, k, next.data(), out.beside[k]);
        std::copy(next.begin() + static_cast<ptrdiff_t>(k) + 1, next.end(), a + k * n + k + 1);
        std::fill(product.begin(), product.end(), 0.0);
        size_t i = k + 1;
        for (; i + block <= n; i += block) update<block>(a, n, i, k + 1, v.data(), w.data(), next.data(), product.data());
        for (; i < n; ++i) update<1>(a, n, i, k + 1, v.data(), w.data(), next.data(), product.data());
        double along = 0;
        for (size_t j = k + 1; j < n; ++j) along += product[j] * next[j];
        along *= factor * factor / 2;
        for (size_t j = 0; j < n; ++j) w[j] = j > k ? factor * product[j] - along * next[j] : 0;
        std::swap(v, next);
        std::fill(next.begin(), next.end(), 0.0);
    }
}

// Makes `beside` zero; diagonal becomes the eigenvalues.
bool diagonalise(Tridiagonal& t, Rotations& out) {
    std::vector<double>&d = t.diagonal, &e = t.beside;
    const size_t n = d.size();
    // As small as the rounding of the whole: what is left of a matrix of low rank is nothing else, and does not converge.
    double nothing = 0;
    for (size_t i = 0; i < n; ++i) nothing = std::max(nothing, std::fabs(d[i]) + std::fabs(e[i]));
    nothing *= std::numeric_limits<double>::epsilon();
    for (size_t l = 0; l < n; ++l)
        for (int tries = 0;; ++tries) {
            size_t m = l;
            while (m + 1 < n && !(std::fabs(e[m]) <= nothing)) ++m;
            if (m == l) break;
            if (tries == most_sweeps) return false;
            double g = (d[l + 1] - d[l]) / (2 * e[l]), r = std::sqrt(g * g + 1);
            g = d[m] - d[l] + e[l] / (g + std::copysign(r, g));
            double s = 1, c = 1, p = 0;
            out.sweeps.push_back({m, 0, out.cosines.size()});
            size_t i = m;
            while (i-- > l) {
                const double f = s * e[i], b = c * e[i];
                r = e[i + 1] = std::sqrt(f * f + g * g);
                if (r == 0) break;
                s = f / r, c = g / r;
                g = d[i + 1] - p;
                const double turned = (d[i] - g) * s + 2 * c * b;
                p = s * turned;
                d[i + 1] = g + p;
                g = c * turned - b;
                out.cosines.push_back(c), out.sines.push_back(s);
                ++out.sweeps.back().count;
            }
            e[m] = 0;
            if (r == 0) {  // it has come apart at i + 1
                d[i + 1] -= p;
                continue;
            }
            d[l] -= p;
            e[l] = g;
        }
    return true;
}

#if defined(__GNUC__) || defined(__clang__)
template <size_t width>
struct Lanes {
    typedef double type __attribute__((vector_size(width * sizeof(double)), aligned(8), may_alias));
};
#else
template <size_t width>
struct Lanes {
    using type = double;
};
#endif

// `panel` coordinates of all eigenvectors, [n, panel], side by side in vectors of `width`.
template <size_t width>
class Panel {
   public:
    explicit Panel(size_t n) : n_(n), x_(n * panel) {}
    const double* row(size_t i) const { return &x_[i * panel]; }

    // Those from `from` on: of unit vectors, reflected and rotated.
    MIDSTREAM_INLINE void fill(const double* a, size_t from, const Tridiagonal& t, const Rotations& turns) {
        std::fill(x_.begin(), x_.end(), 0.0);
        for (size_t p = 0; p < panel && from + p < n_; ++p) x_[(from + p) * panel + p] = 1;
        for (size_t k = 0; k + 2 < n_; ++k) reflect(a + k * n_, k + 1, t.factors[k]);
        for (const Sweep& sweep : turns.sweeps) rotate(sweep, turns);
    }

   private:
    using Vector = typename Lanes<width>::type;
    static constexpr size_t count = panel / (sizeof(Vector) / sizeof(double));

    MIDSTREAM_INLINE Vector* at(size_t i) { return reinterpret_cast<Vector*>(&x_[i * panel]); }

    MIDSTREAM_INLINE void reflect(const double* v, size_t from, double factor) {
        Vector along[count] = {};
        for (size_t i = from; i < n_; ++i)
            for (size_t p = 0; p < count; ++p) along[p] += v[i] * at(i)[p];
        for (size_t p = 0; p < count; ++p) along[p] *= factor;
        for (size_t i = from; i < n_; ++i)
            for (size_t p = 0; p < count; ++p) at(i)[p] -= v[i] * along[p];
    }

    MIDSTREAM_INLINE void rotate(const Sweep& sweep, const Rotations& turns) {
        Vector upper[count];
        for (size_t p = 0; p < count; ++p) upper[p] = at(sweep.first)[p];
        for (size_t k = 0; k < sweep.count; ++k) {
            const double c = turns.cosines[sweep.at + k], s = turns.sines[sweep.at + k];
            const size_t i = sweep.first - k;
            for (size_t p = 0; p < count; ++p) {
                const Vector lower = at(i - 1)[p];
                at(i)[p] = s * lower + c * upper[p];
                upper[p] = c * lower - s * upper[p];
            }
        }
        for (size_t p = 0; p < count; ++p) at(sweep.first - sweep.count)[p] = upper[p];
    }

    size_t n_;
    std::vector<double> x_;
};

template <size_t width>
MIDSTREAM_INLINE bool eigen_all(double* a, size_t n, double* values, double* rows) {
    Tridiagonal t{std::vector<double>(n), std::vector<double>(n), std::vector<double>(n)};
    reduce(a, n, t);
    Rotations turns;
    if (!diagonalise(t, turns)) return false;
    std::vector<size_t> order(n), rank(n);
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t i, size_t j) { return t.diagonal[i] < t.diagonal[j]; });
    for (size_t i = 0; i < n; ++i) rank[order[i]] = i, values[i] = t.diagonal[order[i]];
    Panel<width> part(n);
    for (size_t from = 0; from < n; from += panel) {
        part.fill(a, from, t, turns);
        for (size_t i = 0; i < n; ++i) std::copy_n(part.row(i), std::min(panel, n - from), rows + rank[i] * n + from);
    }
    return true;
}

bool eigen_portable(double* a, size_t n, double* values, double* rows) { return eigen_all<2>(a, n, values, rows); }
#ifdef MIDSTREAM_X86
MIDSTREAM_AVX2 bool eigen_avx2(double* a, size_t n, double* values, double* rows) {
    return eigen_all<4>(a, n, values, rows);
}
MIDSTREAM_AVX512 bool eigen_avx512(double* a, size_t n, double* values, double* rows) {
    return eigen_all<8>(a, n, values, rows);
}
#endif

}  // namespace

bool eigen(double* a, size_t n, double* values, double* rows) {
    switch (current_path()) {
#ifdef MIDSTREAM_X86
        case Path::avx2: return eigen_avx2(a, n, values, rows);
        case Path::avx512: return eigen_avx512(a, n, values, rows);
#endif
        default: return eigen_portable(a, n, values, rows);
    }
}

}  // namespace midstream
