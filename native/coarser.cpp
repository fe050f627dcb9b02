#include "coarser.hpp"

#include <algorithm>

#include "buffer.hpp"
#include "multiply.hpp"
#include "panels.hpp"

namespace midstream {
namespace {

constexpr size_t side = 3;         // of what surrounds a place, in cells
constexpr size_t most_cells = 64;  // whose surroundings are there at a time

// The cells around a place of `count`, among `there`; of one beyond a border the nearest one within.
size_t beside(size_t at, size_t count, size_t there, size_t i) {
    const size_t next = (2 * at + 1) * there / (2 * count) + i;
    return std::min(next - std::min<size_t>(next, side / 2), there - 1);
}

// Which of `LookedAt` a cell of the 3x3 has.
constexpr size_t kind_of(size_t i) { return (i / side != side / 2) + (i % side != side / 2); }

}  // namespace

Coarser::Coarser(const float* matrix, size_t outputs, size_t inputs, const LookedAt& most, bool whole)
    : inputs_(inputs), outputs_(outputs), most_(most) {
    std::vector<float> columns(inputs * outputs);
    for (size_t o = 0; o < outputs; ++o)
        for (size_t i = 0; i < inputs; ++i) columns[i * outputs + o] = matrix[o * inputs + i];
    if (whole) {
        whole_.emplace_back(columns.data(), inputs - 1, outputs, true);
        constant_.assign(columns.end() - static_cast<std::ptrdiff_t>(outputs), columns.end());
    } else {
        panels_.resize(panels_of(outputs) * inputs * panel_width);
        pack_panels(columns.data(), inputs, outputs, panels_.data());
    }
}

bool Coarser::fits(const std::vector<DecodedCells>& before) const {
    size_t numbers = 1;
    for (const DecodedCells& each : before)
        for (size_t i = 0; i < side * side; ++i) numbers += std::min(most_[kind_of(i)], each.stride);
    return numbers == inputs_;
}

bool Coarser::predict(const std::vector<DecodedCells>& before, const GridSize& before_grid, const GridSize& grid,
                      const CellBlock& block, float* out) const {
    const size_t cells = block.rows() * block.columns(), numbers = whole_.empty() ? inputs_ : inputs_ - 1;
    const auto around = buffer<float>(std::min(cells, most_cells) * numbers);
    for (size_t begin = 0; begin < cells; begin += most_cells) {
        const size_t now = std::min(most_cells, cells - begin);
        float *to = around.get(), *made = out + begin * outputs_;
        for (size_t cell = begin; cell < begin + now; ++cell) {
            const size_t y = block.top + cell / block.columns(), x = block.left + cell % block.columns();
            for (size_t i = 0; i < side * side; ++i) {
                const size_t row = beside(y, grid.height, before_grid.height, i / side);
                const size_t column = beside(x, grid.width, before_grid.width, i % side);
                for (const DecodedCells& each : before)
                    to = std::copy_n(each.values + (row * before_grid.width + column) * each.stride,
                                     std::min(most_[kind_of(i)], each.stride), to);
            }
            if (whole_.empty()) *to++ = 1;
        }
        if (whole_.empty()) {
            if (!multiply_sparse(around.get(), panels_.data(), made, now, inputs_, outputs_)) return false;
            continue;
        }
        if (!whole_[0].multiply(around.get(), now, 0, outputs_, made)) return false;
        for (size_t cell = 0; cell < now; ++cell, made += outputs_)
            for (size_t o = 0; o < outputs_; ++o) made[o] += constant_[o];
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
