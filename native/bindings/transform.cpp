// Bindings of the products and stages that the transform of `calibrated` is made of.
#include <nanobind/stl/array.h>

#include <array>

#include "arrays.hpp"
#include "multiply.hpp"
#include "panels.hpp"
#include "stages.hpp"

namespace midstream {
namespace {

using Panels = In<float, nb::shape<-1, -1, panel_width>>;

Out<float, 3> packed(const Matrix<float>& matrix) {
    const size_t inner = matrix.shape(0), columns = matrix.shape(1), panels = panels_of(columns);
    auto out = buffer<float>(product({panels, inner, panel_width}));
    without_gil([&] { pack_panels(matrix.data(), inner, columns, out.get()); });
    return wrap(std::move(out), {panels, inner, panel_width});
}

bool multiply_sparse_into(const Matrix<float>& a, const Panels& panels, const InOut<float, 2>& out) {
    require(a.shape(1) == panels.shape(1) && out.shape(0) == a.shape(0) && panels_of(out.shape(1)) == panels.shape(0),
            "multiply_sparse: shapes");
    return without_gil([&] {
        return multiply_sparse(a.data(), panels.data(), out.data(), a.shape(0), a.shape(1), out.shape(1));
    });
}

// [top, bottom, left, right]
CellBlock block_of(const std::array<size_t, 4>& sides) {
    const CellBlock block{sides[0], sides[1], sides[2], sides[3]};
    require(block.top < block.bottom && block.left < block.right, "stages: an empty block");
    return block;
}

bool first_stage_into(const Cube<float>& level, const Matrix<float>& rows, const Vector<float>& centre, size_t ratio,
                      const std::array<size_t, 4>& sides, const InOut<float, 2>& out, size_t at) {
    const CellBlock block = block_of(sides);
    const LevelGrid grid{level.shape(0), level.shape(1), level.shape(2), ratio};
    require(ratio > 0 && level.size() > 0 && rows.shape(1) == grid.channels && centre.size() == rows.shape(0) &&
                out.shape(0) == product({block.rows(), block.columns()}) &&
                out.shape(1) >= at + product({rows.shape(0), ratio, ratio}),
            "first_stage: shapes");
    return without_gil([&] {
        return first_stage(level.data(), grid, rows.data(), centre.data(), rows.shape(0), block, out.data() + at,
                           out.shape(1));
    });
}

bool last_stage_into(const Matrix<float>& cells, size_t at, const Matrix<float>& columns, const Vector<float>& mean,
                     const Vector<float>& low, const Vector<float>& high, size_t ratio,
                     const std::array<size_t, 4>& sides, const InOut<float, 3>& out) {
    const CellBlock block = block_of(sides);
    const LevelGrid grid{out.shape(0), out.shape(1), out.shape(2), ratio};
    const size_t channels = grid.channels, count = columns.shape(1);
    require(ratio > 0 && columns.shape(0) == channels && mean.size() == channels && low.size() == channels &&
                high.size() == channels && cells.shape(0) == product({block.rows(), block.columns()}) &&
                cells.shape(1) >= at + product({count, ratio, ratio}) && (block.bottom - 1) * ratio < grid.height &&
                (block.right - 1) * ratio < grid.width,
            "last_stage: shapes");
    return without_gil([&] {
        return last_stage(cells.data() + at, cells.shape(1), grid, columns.data(),
                          {mean.data(), low.data(), high.data()}, count, block, out.data());
    });
}

}  // namespace

void bind_transform(nb::module_& m) {
    m.attr("PANEL_WIDTH") = panel_width;
    m.def("pack_panels", &packed, "matrix"_a, "A matrix [inner, columns] in panels of columns, for `multiply_sparse`.");
    m.def("multiply_sparse", &multiply_sparse_into, "a"_a, "panels"_a, "out"_a.noconvert(),
          "out = a @ b, to the same bits as `multiply`, for a `b` in panels that is finite. False where `a` is not.");
    m.def("first_stage", &first_stage_into, "level"_a, "rows"_a, "centre"_a, "ratio"_a, "block"_a, "out"_a.noconvert(),
          "at"_a,
          "rows @ level - centre for the elements of a block (top, bottom, left, right) of cells, into\n"
          "out[cells, at : at + count * ratio^2], the border repeated beyond it. False where the level is not finite.");
    m.def("last_stage", &last_stage_into, "cells"_a, "at"_a, "columns"_a, "mean"_a, "low"_a, "high"_a, "ratio"_a, "block"_a,
          "out"_a.noconvert(),
          "columns @ cells[cells, at : at + count * ratio^2] + mean, limited, into a block's part of a level [C, H, W]. False\n"
          "where that is not finite before it is limited.");
}

}  // namespace midstream
