#include "pool.hpp"

#include "dispatch.hpp"

namespace midstream {
namespace {

// `Ratio` is a number or, where it is known beforehand, a constant.
template <class Ratio>
MIDSTREAM_INLINE void pool_cells(const float* maps, size_t rows, size_t width, Ratio ratio, float leak, float* largest,
                                 float* means) {
    const size_t wide = width * ratio;
    const float share = 1.0f / static_cast<float>(ratio * ratio);
    for (size_t row = 0; row < rows; ++row, maps += ratio * wide)
        for (size_t x = 0; x < width; ++x) {
            float most = 0, total = 0;
            for (size_t i = 0; i < ratio; ++i)
                for (size_t j = 0; j < ratio; ++j) {
                    const float value = maps[i * wide + x * ratio + j], small = leak * value;
                    const float taken = value > small ? value : small;
                    const bool first = i == 0 && j == 0;
                    most = first || taken > most ? taken : most;
                    total = first ? taken : total + taken;
                }
            *largest++ = most;
            if (means) *means++ = total * share;
        }
}

template <size_t number>
struct Constant {
    constexpr operator size_t() const { return number; }
};

}  // namespace

void pool(const float* maps, size_t count, size_t height, size_t width, size_t ratio, float leak, float* largest,
          float* means) {
    const size_t rows = count * height;
    switch (ratio) {
        case 1: return pool_cells(maps, rows, width, Constant<1>{}, leak, largest, means);
        case 2: return pool_cells(maps, rows, width, Constant<2>{}, leak, largest, means);
        case 4: return pool_cells(maps, rows, width, Constant<4>{}, leak, largest, means);
        default: return pool_cells(maps, rows, width, ratio, leak, largest, means);
    }
}

}  // namespace midstream
