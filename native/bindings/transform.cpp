// Bindings of the products and stages that the transform of `calibrated` is made of.
#include <nanobind/stl/array.h>

#include <array>

#include "arrays.hpp"
#include "multiply.hpp"
#include "panels.hpp"
#include "pool.hpp"
#include "second_stage.hpp"
#include "second_stage_back.hpp"
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

// Whether so many columns are there from `at` on.
bool fits(size_t columns, size_t at, size_t count) { return at <= columns && count <= columns - at; }

// [top, bottom, left, right]
CellBlock block_of(const std::array<size_t, 4>& sides) {
    const CellBlock block{sides[0], sides[1], sides[2], sides[3]};
    constexpr size_t most = size_t{1} << 31;  // no product of a side and a ratio of a level wraps around
    require(block.top < block.bottom && block.left < block.right && block.bottom <= most && block.right <= most,
            "stages: an empty block");
    return block;
}

bool first_stage_into(const Cube<float>& level, const Matrix<float>& rows, const Vector<float>& centre, size_t ratio,
                      const std::array<size_t, 4>& sides, const InOut<float, 2>& out, size_t at) {
    const CellBlock block = block_of(sides);
    const LevelGrid grid{level.shape(0), level.shape(1), level.shape(2), ratio};
    require(ratio > 0 && ratio <= 255 && level.size() > 0 && rows.shape(1) == grid.channels && centre.size() == rows.shape(0) &&
                out.shape(0) == product({block.rows(), block.columns()}) &&
                fits(out.shape(1), at, product({rows.shape(0), ratio, ratio})),
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
    require(ratio > 0 && ratio <= 255 && columns.shape(0) == channels && mean.size() == channels && low.size() == channels &&
                high.size() == channels && cells.shape(0) == product({block.rows(), block.columns()}) &&
                fits(cells.shape(1), at, product({count, ratio, ratio})) && (block.bottom - 1) * ratio < grid.height &&
                (block.right - 1) * ratio < grid.width,
            "last_stage: shapes");
    return without_gil([&] {
        return last_stage(cells.data() + at, cells.shape(1), grid, columns.data(),
                          {mean.data(), low.data(), high.data()}, count, block, out.data());
    });
}

void pool_into(const Cube<float>& maps, size_t ratio, float leak, const InOut<float, 2>& out) {
    require(ratio > 0 && maps.shape(1) % ratio == 0 && maps.shape(2) % ratio == 0, "pool: shapes");
    const size_t count = maps.shape(0), height = maps.shape(1) / ratio, width = maps.shape(2) / ratio;
    const size_t numbers = ratio > 1 ? 2 : 1;
    require(out.shape(0) == product({numbers, count}) && out.shape(1) == product({height, width}), "pool: shapes");
    without_gil([&] {
        pool(maps.data(), count, height, width, ratio, leak, out.data(),
             ratio > 1 ? out.data() + count * height * width : nullptr);
    });
}

void make_second_stage(SecondStage* self, const Matrix<float>& basis, const Vector<float>& deviations) {
    require(basis.size() > 0 && deviations.size() == basis.shape(0), "second stage: shapes");
    new (self) SecondStage(basis.data(), deviations.data(), basis.shape(0), basis.shape(1));
}

float round_into(const SecondStage& stage, const Matrix<float>& numbers, const InOut<int16_t, 2>& whole,
                 const InOut<float, 1>& units) {
    const size_t cells = numbers.shape(0);
    require(numbers.shape(1) == stage.dimensions() && whole.shape(0) == cells && whole.shape(1) == stage.whole_size() &&
                units.size() == cells,
            "second stage: shapes");
    return without_gil([&] { return stage.round(numbers.data(), cells, whole.data(), units.data()); });
}

void go_on_with(const SecondStage& stage, const Matrix<int16_t>& whole, const Vector<float>& units,
                const Vector<float>& steps, const Vector<uint8_t>& least, const InOut<uint8_t, 1>& made,
                const InOut<uint8_t, 1>& ends, const InOut<float, 2>& coefficients) {
    const size_t cells = units.size();
    require(whole.shape(0) == cells && whole.shape(1) == stage.whole_size() && steps.size() == cells &&
                least.size() == cells && made.size() == cells && ends.size() == cells && coefficients.shape(0) == cells &&
                coefficients.shape(1) == stage.coefficients(),
            "second stage: shapes");
    without_gil([&] {
        stage.go_on(whole.data(), units.data(), steps.data(), least.data(), cells, made.data(), ends.data(),
                      coefficients.data());
    });
}

void make_second_stage_back(SecondStageBack* self, const Matrix<float>& basis) {
    require(basis.size() > 0, "second stage: shapes");
    new (self) SecondStageBack(basis.data(), basis.shape(0), basis.shape(1));
}

bool multiply_back(const SecondStageBack& stage, const Matrix<float>& coefficients, size_t first,
                   const InOut<float, 2>& out) {
    require(coefficients.shape(1) == stage.coefficients() && out.shape(0) == coefficients.shape(0) &&
                first % pair_lanes == 0 && fits(stage.dimensions(), first, out.shape(1)),
            "second stage: shapes");
    return without_gil([&] {
        return stage.multiply(coefficients.data(), coefficients.shape(0), first, out.shape(1), out.data());
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
    m.def("pool", &pool_into, "maps"_a, "ratio"_a, "leak"_a, "out"_a.noconvert(),
          "Of maps [F, H, W], max(x, leak * x): the largest of ratio x ratio elements and, of more than one, their means, into\n"
          "out [F or 2 * F, cells].");
    m.attr("PART_WIDTH") = SecondStage::part_width;
    nb::class_<SecondStage>(
        m, "SecondStage",
        "A basis [coefficients, dimensions] and the deviations [coefficients] of what it gives, in whole numbers. Never\n"
        "changes: any number of threads may use it at once. Raises ValueError for deviations that are not above 0.")
        .def("__init__", &make_second_stage, "basis"_a, "deviations"_a)
        .def_prop_ro("whole_size", &SecondStage::whole_size, "Whole numbers that stand for those of a cell.")
        .def_prop_ro("parts", &SecondStage::parts, "Parts of PART_WIDTH coefficients that a cell has.")
        .def("round", &round_into, "numbers"_a, "whole"_a.noconvert(), "units"_a.noconvert(),
             "Numbers [cells, dimensions] as whole numbers int16 [cells, whole_size] of a unit [cells] each. Returns more\n"
             "than the largest magnitude that a coefficient of these cells can have; infinity where one has no end.")
        .def("go_on", &go_on_with, "whole"_a, "units"_a, "steps"_a, "least"_a, "made"_a.noconvert(),
             "ends"_a.noconvert(), "coefficients"_a.noconvert(),
             "Goes on with coefficients [cells, coefficients] of cells of which uint8 [cells] parts were `made`: `least`\n"
             "parts, and of what follows as much as may become something in a cell that is quantised with a step. `ends`\n"
             "become the parts that this needs.");
    nb::class_<SecondStageBack>(
        m, "SecondStageBack",
        "A basis [coefficients, dimensions] for the way back, in whole numbers. Never changes: any number of threads may\n"
        "use it at once. Raises ValueError for numbers that are too large for a basis.")
        .def("__init__", &make_second_stage_back, "basis"_a)
        .def("multiply", &multiply_back, "coefficients"_a, "first"_a, "out"_a.noconvert(),
             "From coefficients [cells, coefficients] numbers [cells, count] of the dimensions from `first` on, a multiple\n"
             "of PART_WIDTH. False where a coefficient is not finite.");
}

}  // namespace midstream
