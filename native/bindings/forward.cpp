// Bindings of what an encoder of `calibrated` makes of a pyramid before it knows a step.
#include <nanobind/stl/array.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <array>
#include <optional>
#include <tuple>
#include <vector>

#include "arrays.hpp"
#include "forward.hpp"
#include "inverse.hpp"

namespace midstream {
namespace {

// Rows, and what is added to their products.
using Layer = std::tuple<Matrix<float>, Vector<float>>;
// Basis, weight, mean, ratio and, of a level that a probe looks at, its sight.
using LevelArrays = std::tuple<Matrix<float>, Vector<float>, Vector<float>, size_t, std::optional<Layer>>;

ScoreLayer layer_of(const Layer& layer) {
    const auto& [rows, bias] = layer;
    require(rows.size() > 0 && bias.size() == rows.shape(0), "cell scores: shapes");
    return {rows.data(), bias.data(), rows.shape(1), rows.shape(0)};
}

void make_mix(CellMix* self, const Layer& layer) { new (self) CellMix(layer_of(layer)); }

void make_scores(CellScores* self, const Layer& around, size_t mixed, const Matrix<float>& out) {
    require(out.size() > 0 && out.shape(1) == std::get<0>(around).shape(0) + 1, "cell scores: shapes");
    new (self) CellScores(layer_of(around), mixed, out.data(), out.shape(0));
}

Out<float, 3> octaves_of(const CellScores& scores, const Matrix<float>& mixed, size_t width, size_t top, size_t rows) {
    require(width > 0 && rows > 0 && mixed.shape(0) % width == 0 && top <= mixed.shape(0) / width &&
                rows <= mixed.shape(0) / width - top && mixed.shape(1) == scores.mixed(),
            "cell scores: shapes");
    auto out = buffer<float>(product({scores.maps(), rows, width}));
    without_gil([&] {
        scores.octaves(mixed.data(), mixed.shape(0) / width, width, top, top + rows, out.get(), rows * width);
    });
    return wrap(std::move(out), {scores.maps(), rows, width});
}

Out<uint8_t, 2> classes_from(const Matrix<float>& octaves, float least, float knee, float by, int count) {
    require(count > 0 && count <= 255, "score classes: 1 to 255");
    auto out = buffer<uint8_t>(octaves.size());
    classes_of({least, knee, by, count}, octaves.data(), octaves.size(), out.get());
    return wrap(std::move(out), {octaves.shape(0), octaves.shape(1)});
}

FirstWhole first_of(const LevelArrays& level) {
    const auto& [basis, weight, mean, ratio, sight] = level;
    const size_t channels = basis.shape(1);
    require(basis.size() > 0 && weight.size() == channels && mean.size() == channels && ratio > 0 && ratio <= 255,
            "forward: shapes");
    FirstWhole::Sight seen;
    if (sight) {
        const auto& [rows, bias] = *sight;
        require(rows.shape(1) == basis.shape(0) && bias.size() == rows.shape(0), "forward: shapes");
        seen = {rows.shape(0), rows.data(), bias.data()};
    }
    return FirstWhole({channels, ratio, basis.shape(0), basis.data(), weight.data(), mean.data()}, seen);
}

void make_forward(Forward* self, const std::vector<LevelArrays>& levels, const SecondStage& second, const CellMix* sight) {
    std::vector<FirstWhole> stages;
    for (const LevelArrays& level : levels) stages.push_back(first_of(level));
    new (self) Forward(std::move(stages), second, sight);
}

// Of so many cells: whole numbers, units, parts that are made, coefficients, and what a sight sees.
using Room = std::tuple<Out<int16_t, 2>, Out<float, 1>, Out<uint8_t, 1>, Out<float, 2>, std::optional<Out<float, 2>>>;

Room room_for(const Forward& forward, size_t cells) {
    const SecondStage& second = forward.second();
    const size_t mixed = forward.sight() ? forward.sight()->mixed() : 0;
    auto whole = buffer<int16_t>(product({cells, second.whole_size()}));
    auto units = buffer<float>(cells), values = buffer<float>(product({cells, second.coefficients()}));
    auto seen = buffer<float>(product({cells, mixed}));
    auto made = buffer<uint8_t>(cells);
    std::fill_n(made.get(), cells, uint8_t{0});
    std::fill_n(values.get(), cells * second.coefficients(), 0.0f);
    std::fill_n(seen.get(), cells * mixed, 0.0f);
    return {wrap(std::move(whole), {cells, second.whole_size()}), wrap(std::move(units), {cells}),
            wrap(std::move(made), {cells}), wrap(std::move(values), {cells, second.coefficients()}),
            forward.sight() ? std::optional(wrap(std::move(seen), {cells, mixed})) : std::nullopt};
}

float begin_into(const Forward& forward, const std::vector<Cube<float>>& maps, const std::array<size_t, 4>& sides,
                 const InOut<int16_t, 2>& whole, const InOut<float, 1>& units,
                 const std::optional<InOut<float, 2>>& mixed) {
    const CellBlock block = block_of(sides);
    const size_t cells = product({block.rows(), block.columns()});
    const CellMix* sight = forward.sight();
    require(maps.size() == forward.levels().size() && whole.shape(0) == cells &&
                whole.shape(1) == forward.second().whole_size() && units.size() == cells &&
                (!sight || (mixed && mixed->shape(0) == cells && mixed->shape(1) == sight->mixed())),
            "forward: shapes");
    std::vector<Forward::Map> levels;
    for (size_t i = 0; i < maps.size(); ++i) {
        require(maps[i].size() > 0 && maps[i].shape(0) == forward.levels()[i].channels(), "forward: shapes");
        levels.push_back({maps[i].data(), maps[i].shape(1), maps[i].shape(2)});
    }
    return without_gil(
        [&] { return forward.begin(levels.data(), block, whole.data(), units.data(), mixed ? mixed->data() : nullptr); });
}

// Columns, mean and ratio.
using BackArrays = std::tuple<Matrix<float>, Vector<float>, size_t>;
// Low, high, block and array of a level.
using PlaceArrays = std::tuple<Vector<float>, Vector<float>, std::array<size_t, 4>, InOut<float, 3>>;

void make_inverse(Inverse* self, const std::vector<BackArrays>& levels, const Matrix<float>& basis, bool whole,
                  bool whole_levels) {
    require(basis.size() > 0, "inverse: shapes");
    std::vector<LastStage> stages;
    for (const auto& [columns, mean, ratio] : levels) {
        require(columns.size() > 0 && mean.size() == columns.shape(0) && ratio > 0 && ratio <= 255, "inverse: shapes");
        stages.emplace_back(LastStage::Level{columns.shape(0), ratio, columns.shape(1), columns.data(), mean.data()},
                            whole_levels);
    }
    new (self) Inverse(std::move(stages), basis.data(), basis.shape(0), basis.shape(1), whole);
}

int restore_into(const Inverse& inverse, const Matrix<float>& cells, const std::vector<std::optional<PlaceArrays>>& places) {
    require(cells.shape(1) == inverse.coefficients() && places.size() == inverse.levels().size(), "inverse: shapes");
    std::vector<Inverse::Place> to;
    for (size_t i = 0; i < places.size(); ++i) {
        to.push_back({{0, 0, 0, 0}, 0, 0, nullptr, nullptr, nullptr});
        if (!places[i]) continue;
        const auto& [low, high, sides, out] = *places[i];
        const CellBlock block = block_of(sides);
        const size_t ratio = inverse.levels()[i].ratio(), channels = inverse.levels()[i].channels();
        require(product({block.rows(), block.columns()}) == cells.shape(0) && low.size() == channels &&
                    high.size() == channels && out.shape(0) == channels && (block.bottom - 1) * ratio < out.shape(1) &&
                    (block.right - 1) * ratio < out.shape(2),
                "inverse: shapes");
        to.back() = {block, out.shape(1), out.shape(2), low.data(), high.data(), out.data()};
    }
    return without_gil([&] { return inverse.restore(cells.data(), cells.shape(0), to.data()); });
}

}  // namespace

void bind_forward(nb::module_& m) {
    nb::class_<CellMix>(m, "CellMix", "What the features of a group's cells come to, by rows and a bias. Never changes.")
        .def("__init__", &make_mix, "layer"_a)
        .def_prop_ro("mixed", &CellMix::mixed, "Numbers that there are of each cell.");
    nb::class_<CellScores>(
        m, "CellScores",
        "The probe of a profile, of cells: a layer of rows and biases, and what is made of it and a one, [maps, ..]. Never\n"
        "changes: any number of threads may use it at once. Raises ValueError where these do not belong together.")
        .def("__init__", &make_scores, "around"_a, "mixed"_a, "out"_a)
        .def("octaves", &octaves_of, "mixed"_a, "width"_a, "top"_a, "rows"_a,
             "log2 of the scores of rows from `top` on, [maps, rows, width], from the numbers [cells, mixed] of all cells.");
    m.def("score_classes", &classes_from, "octaves"_a, "least"_a, "knee"_a, "by"_a, "count"_a,
          "Classes [height, width] from log2 of scores, none of which counts as less than `least`: how many steps of an octave\n"
          "divided `by` it is below the knee, rounded, 0 to count - 1.");
    nb::class_<Forward>(
        m, "Forward",
        "The first stage of a group in whole numbers: of each level the basis [k, C], the channels' weights and means [C],\n"
        "ratio and what a probe asks. Never changes: any number of threads may use it at once. Raises ValueError where\n"
        "these do not belong together.")
        .def("__init__", &make_forward, "levels"_a, "second"_a, "sight"_a.none(), nb::keep_alive<1, 3>(),
             nb::keep_alive<1, 4>())
        .def("room", &room_for, "cells"_a,
             "For cells: int16 [cells, whole_size] and float32 [cells], which `begin` makes; uint8 [cells] and float32\n"
             "[cells, coefficients], zeros, which `SecondStage.go_on` goes on with; and what a sight sees, zeros [cells,\n"
             "mixed], or None.")
        .def("begin", &begin_into, "maps"_a, "block"_a, "whole"_a.noconvert(), "units"_a.noconvert(),
             "mixed"_a.noconvert() = nb::none(),
             "For a block (top, bottom, left, right) of cells, from levels [C, H, W] with their borders repeated, what\n"
             "`SecondStage.round` makes of the first stage and returns: infinity, too, where a level is not finite. With\n"
             "a sight, `mixed` becomes what it makes of each cell alone, [cells, mixed].");
    nb::class_<Inverse>(
        m, "Inverse",
        "The way back of a group: of each level columns [C, k], means [C] and ratio, and the basis [K, D], in whole numbers\n"
        "or not. Never changes: any number of threads may use it at once. Raises ValueError where these do not belong\n"
        "together, and for numbers that are too large for whole ones.")
        .def("__init__", &make_inverse, "levels"_a, "basis"_a, "whole"_a, "whole_levels"_a)
        .def("restore", &restore_into, "cells"_a, "places"_a.noconvert(),
             "Put cells [cells, K] into levels: low, high, block (top, bottom, left, right) and array [C, H, W] of each, or\n"
             "None. What is not finite, if anything: OF_COEFFICIENTS, or the number of a level; ALL_FINITE otherwise.");
    m.attr("ALL_FINITE") = Inverse::nothing;
    m.attr("OF_COEFFICIENTS") = Inverse::of_coefficients;
}

}  // namespace midstream
