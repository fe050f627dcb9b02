#include "multiply.hpp"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <memory>
#include <vector>

#include "aligned.hpp"
#include "panels.hpp"

namespace midstream {

template <class T>
void multiply(const T* a, const T* b, T* out, size_t rows, size_t inner, size_t columns) {
    AlignedVector<T> packed(inner * panel_width), sums(panel_rows * panel_width);
    for (size_t p = 0; p < columns; p += panel_width) {
        const size_t there = std::min(panel_width, columns - p);
        for (size_t d = 0; d < inner; ++d) std::copy_n(b + d * columns + p, there, &packed[d * panel_width]);
        for (size_t n = 0; n < rows;) {
            const size_t count = n + panel_rows <= rows ? panel_rows : 1;
            const T* lines[panel_rows] = {};
            for (size_t i = 0; i < count; ++i) lines[i] = a + (n + i) * inner;
            panel_sums(lines, count, inner, packed.data(), sums.data());
            for (size_t i = 0; i < count; ++i) std::copy_n(&sums[i * panel_width], there, out + (n + i) * columns + p);
            n += count;
        }
    }
}
template void multiply(const float*, const float*, float*, size_t, size_t, size_t);
template void multiply(const double*, const double*, double*, size_t, size_t, size_t);

namespace {

// The terms of rows, `panel_rows` at a time: what these have in common in a list of them together, as far as it is
// quicker, and what follows in a list of each.
class Terms {
   public:
    Terms(const float* a, size_t rows, size_t inner)
        : at_(new uint32_t[rows * inner]), values_(new float[rows * inner]), there_(inner) {
        for (size_t n = 0; n < rows; n += panel_rows) add(a + n * inner, std::min(panel_rows, rows - n), inner);
    }
    PanelTerms list(size_t i) const {
        const Place from = i ? ends_[i - 1] : Place{};
        return {&at_[from.at], &values_[from.value], ends_[i].at - from.at};
    }
    bool finite() const {
        uint32_t largest = 0;
        for (size_t i = 0; i < end_.value; ++i)
            largest = std::max(largest, std::bit_cast<uint32_t>(values_[i]) & 0x7FFFFFFF);
        return largest < 0x7F800000;  // of an infinity
    }

   private:
    struct Place {
        size_t at = 0, value = 0;
    };
    static constexpr size_t chunk = 32;

    void add(const float* a, size_t rows, size_t inner) {
        const size_t split = rows == panel_rows ? shared(a, inner) : 0;
        for (size_t d = 0; d < split; ++d) {
            if (!there_[d]) continue;
            at_[end_.at++] = static_cast<uint32_t>(d);
            for (size_t n = 0; n < rows; ++n) values_[end_.value++] = a[n * inner + d];
        }
        ends_.push_back(end_);
        for (size_t n = 0; n < rows; ++n) {
            for (size_t d = split; d < inner; ++d) {  // without a jump, which nobody could foretell
                const float value = a[n * inner + d];
                at_[end_.at] = static_cast<uint32_t>(d), values_[end_.value] = value;
                end_.at += value != 0, end_.value += value != 0;
            }
            ends_.push_back(end_);
        }
    }
    // How far it is quicker to take `panel_rows` rows together: as long as half of what is multiplied is there.
    size_t shared(const float* a, size_t inner) {
        std::fill(there_.begin(), there_.end(), 0u);
        for (size_t n = 0; n < panel_rows; ++n)
            for (size_t d = 0; d < inner; ++d) there_[d] += a[n * inner + d] != 0;
        size_t split = 0;
        for (size_t from = 0; from < inner; from += chunk) {
            const size_t to = std::min(from + chunk, inner);
            size_t all = 0, any = 0;
            for (size_t d = from; d < to; ++d) all += there_[d], any += there_[d] > 0;
            if (any > 0 && 2 * all >= panel_rows * any) split = to;
        }
        return split;
    }

    std::unique_ptr<uint32_t[]> at_;
    std::unique_ptr<float[]> values_;
    std::vector<uint32_t> there_;
    std::vector<Place> ends_;
    Place end_;
};

}  // namespace

bool multiply_sparse(const float* a, const float* panels, float* out, size_t rows, size_t inner, size_t columns) {
    const Terms terms(a, rows, inner);
    if (!terms.finite()) return false;
    AlignedVector<float> sums(panel_rows * panel_width);
    for (size_t p = 0; p < columns; p += panel_width, panels += inner * panel_width) {
        const size_t there = std::min(panel_width, columns - p);
        for (size_t n = 0, list = 0; n < rows; n += panel_rows) {
            const size_t count = std::min(panel_rows, rows - n);
            std::fill(sums.begin(), sums.end(), 0.0f);
            if (count == panel_rows) add_panel_terms(terms.list(list), panel_rows, panels, sums.data());
            ++list;
            for (size_t i = 0; i < count; ++i) add_panel_terms(terms.list(list++), 1, panels, &sums[i * panel_width]);
            for (size_t i = 0; i < count; ++i) std::copy_n(&sums[i * panel_width], there, out + (n + i) * columns + p);
        }
    }
    return true;
}

}  // namespace midstream
