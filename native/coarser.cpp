#include "coarser.hpp"

#include <algorithm>

#include "buffer.hpp"
#include "multiply.hpp"

namespace midstream {
namespace {

constexpr size_t side = 3;            // of what surrounds a place, in cells
constexpr size_t most_cells = 64;     // whose surroundings are there at a time

// The cells around a place of `count`, among `there`; of one beyond a border the nearest one within.
size_t around(size_t at, size_t count, size_t there, size_t i) {
    const size_t beside = (2 * at + 1) * there / (2 * count) + i;
    return std::min(beside - std::min<size_t>(beside, side / 2), there - 1);
}

}  // namespace

bool predict_coarser(const float* first, size_t stride, const GridSize& first_grid, const float* panels, size_t inner,
                     size_t columns, const GridSize& grid, const CellBlock& block, float* out) {
    const size_t cells = block.rows() * block.columns(), count = (inner - 1) / (side * side);
    const auto inputs = buffer<float>(std::min(cells, most_cells) * inner);
    for (size_t begin = 0; begin < cells; begin += most_cells) {
        const size_t now = std::min(most_cells, cells - begin);
        float* to = inputs.get();
        for (size_t cell = begin; cell < begin + now; ++cell) {
            const size_t y = block.top + cell / block.columns(), x = block.left + cell % block.columns();
            for (size_t i = 0; i < side * side; ++i, to += count) {
                const size_t row = around(y, grid.height, first_grid.height, i / side);
                const size_t column = around(x, grid.width, first_grid.width, i % side);
                std::copy_n(first + (row * first_grid.width + column) * stride, count, to);
            }
            *to++ = 1;
        }
        if (!multiply_sparse(inputs.get(), panels, out + begin * columns, now, inner, columns)) return false;
    }
    return true;
}

void least_below(const uint8_t* first, const GridSize& first_grid, const GridSize& grid, uint8_t* out) {
    for (size_t y = 0; y < grid.height; ++y) {
        const size_t top = y * first_grid.height / grid.height;
        const size_t bottom = std::max(((y + 1) * first_grid.height + grid.height - 1) / grid.height, top + 1);
        for (size_t x = 0; x < grid.width; ++x) {
            const size_t left = x * first_grid.width / grid.width;
            const size_t right = std::max(((x + 1) * first_grid.width + grid.width - 1) / grid.width, left + 1);
            uint8_t least = 255;
            for (size_t row = top; row < bottom; ++row)
                for (size_t column = left; column < right; ++column)
                    least = std::min(least, first[row * first_grid.width + column]);
            *out++ = least;
        }
    }
}

}  // namespace midstream
