// From levels to the whole numbers of cells, and from coefficients to levels.
#include <algorithm>
#include <cmath>

#include "coarser.hpp"
#include "forward.hpp"
#include "inverse.hpp"
#include "paths.hpp"

namespace midstream {
namespace {

std::vector<float> random_numbers(size_t count, double zeros = 0.1) {
    std::vector<float> out(count);
    for (float& e : out) e = chance(zeros) ? 0.0f : static_cast<float>(random_real(-1, 1));
    return out;
}

// Levels of a group over a grid, whose borders may lie within the last cells.
struct Group {
    size_t rows = random_size(1, 5), columns = random_size(1, 20);
    std::vector<size_t> channels, ratios, counts, heights, widths;
    size_t dimensions = 0;

    Group() {
        for (size_t i = 0, levels = random_size(1, 3); i < levels; ++i) {
            ratios.push_back(chance(0.1) ? 9 : random_size(1, 5));
            channels.push_back(random_size(1, 9)), counts.push_back(random_size(1, 7));
            heights.push_back(rows * ratios[i] - random_size(0, ratios[i] - 1));
            widths.push_back(columns * ratios[i] - random_size(0, ratios[i] - 1));
            dimensions += counts[i] * ratios[i] * ratios[i];
        }
        current = std::to_string(rows) + " x " + std::to_string(columns) + " cells, " + std::to_string(dimensions) + " numbers";
    }
    size_t size(size_t i) const { return channels[i] * heights[i] * widths[i]; }
    CellBlock block() const {
        const size_t top = random_size(0, rows - 1), left = random_size(0, columns - 1);
        return {top, random_size(top + 1, rows), left, random_size(left + 1, columns)};
    }
};

}  // namespace

void test_forward() {
    const Group group;
    const size_t count = group.ratios.size(), mixed = random_size(1, 5), around = random_size(1, 70);
    const size_t score_maps = random_size(1, 3);
    const auto basis = random_numbers(group.dimensions), deviations = std::vector<float>(1, 1.0f);
    const SecondStage second(basis.data(), deviations.data(), 1, group.dimensions);
    std::vector<FirstWhole> levels;
    std::vector<std::vector<float>> maps;
    for (size_t i = 0; i < count; ++i) {
        const size_t channels = group.channels[i], features = random_size(1, 6);
        const auto rows = random_numbers(group.counts[i] * channels), weight = random_numbers(channels, 0);
        const auto mean = random_numbers(channels), sight = random_numbers(features * group.counts[i]);
        const auto bias = random_numbers(features);
        levels.emplace_back(
            FirstWhole::Level{channels, group.ratios[i], group.counts[i], rows.data(), weight.data(), mean.data()},
            FirstWhole::Sight{features, sight.data(), bias.data()});
        maps.push_back(random_numbers(group.size(i)));
    }
    if (chance(0.1)) one_of(one_of(maps)) = one_of(std::vector{std::nanf(""), HUGE_VALF, 3e38f});
    size_t features = 0;
    for (const FirstWhole& level : levels) features += level.pooled();
    const auto mix = random_numbers(mixed * features), mix_bias = random_numbers(mixed);
    const auto rows = random_numbers(around * 9 * mixed), bias = random_numbers(around);
    const auto out = random_numbers(score_maps * (around + 1));
    const CellMix sight({mix.data(), mix_bias.data(), features, mixed});
    const CellScores scores({rows.data(), bias.data(), 9 * mixed, around}, mixed, out.data(), score_maps);
    const Forward forward(levels, second, &sight);
    const CellBlock block = group.block();
    const size_t cells = block.rows() * block.columns();
    expect_as_reference("Forward", [&] {
        std::vector<Forward::Map> views;
        for (size_t i = 0; i < count; ++i) views.push_back({maps[i].data(), group.heights[i], group.widths[i]});
        std::vector<int16_t> whole(cells * second.whole_size());
        std::vector<float> units(cells), seen(cells * mixed), octaves(cells * score_maps);
        const std::vector largest{forward.begin(views.data(), block, whole.data(), units.data(), seen.data())};
        if (!std::isfinite(largest[0])) return bytes_of(largest);
        scores.octaves(seen.data(), block.rows(), block.columns(), 0, block.rows(), octaves.data(), cells);
        return bytes_of(largest, whole, units, seen, octaves);
    });
}

void test_inverse() {
    const Group group;
    const size_t coefficients = random_size(1, 150);
    const bool whole = chance(0.5), whole_levels = chance(0.5);
    std::vector<LastStage> levels;
    std::vector<std::vector<float>> lows, highs;
    for (size_t i = 0; i < group.ratios.size(); ++i) {
        const size_t channels = group.channels[i];
        const auto columns = random_numbers(channels * group.counts[i]), mean = random_numbers(channels);
        levels.emplace_back(LastStage::Level{channels, group.ratios[i], group.counts[i], columns.data(), mean.data()},
                            whole_levels);
        lows.push_back(random_numbers(channels)), highs.push_back(lows.back());
        for (float& e : highs.back()) e += 0.5f;
    }
    const auto basis = random_numbers(coefficients * group.dimensions);
    const Inverse inverse(std::move(levels), basis.data(), coefficients, group.dimensions, whole);
    const CellBlock block = group.block();
    const size_t cells = block.rows() * block.columns();
    auto values = random_numbers(cells * coefficients, random_real(0, 1));
    if (chance(0.1)) one_of(values) = one_of(std::vector{std::nanf(""), HUGE_VALF, 3e38f});
    const bool some = chance(0.3);
    expect_as_reference("Inverse", [&] {
        std::vector<std::vector<float>> out;
        std::vector<Inverse::Place> places;
        for (size_t i = 0; i < lows.size(); ++i) {
            out.emplace_back(group.size(i), -1.0f);
            places.push_back({block, group.heights[i], group.widths[i], lows[i].data(), highs[i].data(), out[i].data()});
            if (some && i == 0) places[0].out = nullptr;
        }
        const std::vector found{inverse.restore(values.data(), cells, places.data())};
        Bytes all = bytes_of(found);
        for (const auto& level : out)
            if (found[0] == Inverse::nothing) all = joined({all, bytes_of(level)});
        return all;
    });
}

void test_coarser() {
    const GridSize first{random_size(1, 9), random_size(1, 9)}, grid{random_size(1, 9), random_size(1, 9)};
    const LookedAt most{random_size(1, 6), random_size(0, 4), random_size(0, 3)};
    std::vector<std::vector<float>> values;
    std::vector<DecodedCells> before;
    size_t inner = 1;
    for (size_t group = 0, count = random_size(1, 3); group < count; ++group) {
        const size_t stride = random_size(1, 6);
        values.push_back(random_numbers(first.height * first.width * stride, random_real(0, 1)));
        if (chance(0.1)) one_of(values.back()) = one_of(std::vector{std::nanf(""), HUGE_VALF});
        inner += std::min(most[0], stride) + 4 * (std::min(most[1], stride) + std::min(most[2], stride));
    }
    for (const auto& each : values) before.push_back({each.data(), each.size() / (first.height * first.width)});
    const size_t columns = random_size(1, 130);
    const auto matrix = random_numbers(inner * columns);
    const Coarser coarser(matrix.data(), columns, inner, most, chance(0.5));
    current = std::to_string(grid.height) + " x " + std::to_string(grid.width) + " of " + std::to_string(inner);
    expect_as_reference("Coarser", [&] {
        std::vector<float> out(grid.height * grid.width * columns, -1.0f);
        const CellBlock all{0, grid.height, 0, grid.width};
        return coarser.predict(before, first, grid, all, out.data()) ? bytes_of(out) : Bytes{};
    });
}

}  // namespace midstream
