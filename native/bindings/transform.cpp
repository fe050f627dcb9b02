// Bindings of the products and stages that the transform of `calibrated` is made of.
#include <nanobind/stl/array.h>
#include <nanobind/stl/vector.h>

#include <array>

#include "arrays.hpp"
#include "coarser.hpp"
#include "second_stage.hpp"
#include "stages.hpp"
#include "whole.hpp"

namespace midstream {
namespace {

// Whether so many columns are there from `at` on.
bool fits(size_t columns, size_t at, size_t count) { return at <= columns && count <= columns - at; }

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

using Sides = std::array<size_t, 2>;

// (height, width)
GridSize grid_of(const Sides& sides) {
    constexpr size_t most = size_t{1} << 30;  // products of two and a few more of them do not wrap around
    require(sides[0] > 0 && sides[1] > 0 && sides[0] <= most && sides[1] <= most, "grids: no cells, or too many");
    return {sides[0], sides[1]};
}

void make_coarser(Coarser* self, const Matrix<float>& matrix, const LookedAt& most, bool whole) {
    require(matrix.size() > 0 && matrix.shape(1) > 1, "coarser: shapes");
    new (self) Coarser(matrix.data(), matrix.shape(0), matrix.shape(1), most, whole);
}

bool predict_into(const Coarser& coarser, const std::vector<Matrix<float>>& before, const Sides& before_sides,
                  const Sides& sides, const std::array<size_t, 4>& part, const InOut<float, 2>& out) {
    const GridSize before_grid = grid_of(before_sides), grid = grid_of(sides);
    const CellBlock block = block_of(part);
    std::vector<DecodedCells> groups;
    for (const auto& each : before) {
        require(each.shape(0) == product({before_grid.height, before_grid.width}), "coarser: shapes");
        groups.push_back({each.data(), each.shape(1)});
    }
    require(coarser.fits(groups) && block.bottom <= grid.height && block.right <= grid.width &&
                out.shape(0) == product({block.rows(), block.columns()}) && out.shape(1) == coarser.outputs(),
            "coarser: shapes");
    return without_gil([&] { return coarser.predict(groups, before_grid, grid, block, out.data()); });
}

Out<uint8_t, 2> least_below_of(const Matrix<uint8_t>& first, const Sides& sides) {
    const GridSize grid = grid_of(sides);
    require(first.size() > 0, "least_below: no cells");
    auto out = buffer<uint8_t>(product({grid.height, grid.width}));
    without_gil([&] { least_below(first.data(), {first.shape(0), first.shape(1)}, grid, out.get()); });
    return wrap(std::move(out), {grid.height, grid.width});
}

float largest_of(const Matrix<float>& values) {
    return without_gil([&] { return largest(values.data(), values.size()); });
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

Out<uint8_t, 1> parts_expected_in(const Matrix<float>& expected, const Vector<float>& steps) {
    const size_t cells = steps.size();
    require(expected.shape(0) == cells && expected.shape(1) <= 255 * SecondStage::part_width, "parts expected: shapes");
    auto parts = buffer<uint8_t>(cells);
    without_gil([&] { parts_expected(expected.data(), expected.shape(1), steps.data(), cells, parts.get()); });
    return wrap(std::move(parts), {cells});
}

bool go_on_with(const SecondStage& stage, const Matrix<int16_t>& whole, const Vector<float>& units,
                const Vector<float>& steps, const Vector<uint8_t>& least, const InOut<uint8_t, 1>& made,
                const InOut<uint8_t, 1>& ends, const InOut<float, 2>& coefficients) {
    const size_t cells = units.size();
    require(whole.shape(0) == cells && whole.shape(1) == stage.whole_size() && steps.size() == cells &&
                least.size() == cells && made.size() == cells && ends.size() == cells && coefficients.shape(0) == cells &&
                coefficients.shape(1) == stage.coefficients(),
            "second stage: shapes");
    return without_gil([&] {
        return stage.go_on(whole.data(), units.data(), steps.data(), least.data(), cells, made.data(), ends.data(),
                      coefficients.data());
    });
}

}  // namespace

void bind_transform(nb::module_& m) {
    m.def("first_stage", &first_stage_into, "level"_a, "rows"_a, "centre"_a, "ratio"_a, "block"_a, "out"_a.noconvert(),
          "at"_a,
          "rows @ level - centre for the elements of a block (top, bottom, left, right) of cells, into\n"
          "out[cells, at : at + count * ratio^2], the border repeated beyond it. False where the level is not finite.");
    nb::class_<Coarser>(
        m, "Coarser",
        "What a group is expected to be, by a matrix [outputs, inputs], in whole numbers or not: from `most` numbers of a\n"
        "cell at the place, of each beside it and of each at its corners, in each group before, and a one. Never changes:\n"
        "any number of threads may use it at once. Raises ValueError for numbers that are too large for whole ones.")
        .def("__init__", &make_coarser, "matrix"_a, "most"_a, "whole"_a)
        .def("predict", &predict_into, "before"_a, "before_grid"_a, "grid"_a, "block"_a, "out"_a.noconvert(),
             "Of the cells in a block (top, bottom, left, right) of a grid, [cells, outputs], from cells [cells, ..] of groups\n"
             "before, on a grid of their own: the matrix times the surroundings of each, as docs/format.md has it. False\n"
             "where one of these is not finite.");
    m.def("least_below", &least_below_of, "first"_a, "grid"_a,
          "Of each cell of a grid the least of the numbers [height, width] of the cells below it.");
    m.def("largest", &largest_of, "values"_a, "The largest magnitude of a matrix; a NaN if there is one, 0 of nothing.");
    m.attr("PART_WIDTH") = SecondStage::part_width;
    m.def("parts_expected", &parts_expected_in, "expected"_a, "steps"_a,
          "How many parts of PART_WIDTH hold something that is expected, [cells, ..], to be a quarter of a cell's step or\n"
          "more, uint8 [cells].");
    nb::class_<SecondStage>(
        m, "SecondStage",
        "A basis [coefficients, dimensions] and the deviations [coefficients] of what it gives, in whole numbers. Never\n"
        "changes: any number of threads may use it at once. Raises ValueError for deviations that are not above 0.")
        .def("__init__", &make_second_stage, "basis"_a, "deviations"_a)
        .def_prop_ro("whole_size", &SecondStage::whole_size, "Whole numbers that stand for those of a cell.")
        .def_prop_ro("coefficients", &SecondStage::coefficients, "That a cell has.")
        .def_prop_ro("parts", &SecondStage::parts, "Parts of PART_WIDTH coefficients that a cell has.")
        .def("round", &round_into, "numbers"_a, "whole"_a.noconvert(), "units"_a.noconvert(),
             "Numbers [cells, dimensions] as whole numbers int16 [cells, whole_size] of a unit [cells] each. Returns more\n"
             "than the largest magnitude that a coefficient of these cells can have; infinity where one has no end.")
        .def("go_on", &go_on_with, "whole"_a, "units"_a, "steps"_a, "least"_a, "made"_a.noconvert(),
             "ends"_a.noconvert(), "coefficients"_a.noconvert(),
             "Goes on with coefficients [cells, coefficients] of cells of which uint8 [cells] parts were `made`: `least`\n"
             "parts, and of what follows as much as may become something in a cell that is quantised with a step. `ends`\n"
             "become the parts that this needs. Whether there are more in a cell.");
}

}  // namespace midstream
