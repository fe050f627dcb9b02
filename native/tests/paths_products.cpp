// Products of matrices, alone and as stages of a transform.
#include <algorithm>
#include <cmath>

#include "multiply.hpp"
#include "panels.hpp"
#include "paths.hpp"
#include "second_stage.hpp"
#include "whole_product.hpp"
#include "stages.hpp"
#include "tiles.hpp"

namespace midstream {
namespace {

std::vector<float> random_matrix(size_t count, double zeros) {
    std::vector<float> out(count);
    for (float& e : out) e = chance(zeros) ? (chance(0.2) ? -0.0f : 0.0f) : static_cast<float>(random_real(-1, 1));
    return out;
}

}  // namespace

void test_products() {
    const size_t rows = random_size(1, 11), inner = random_size(1, 130), columns = random_size(1, 150);
    auto a = random_matrix(rows * inner, chance(0.5) ? 0 : random_real(0, 1));
    const auto b = random_matrix(inner * columns, 0.1);
    std::vector<float> packed(panels_of(columns) * inner * panel_width), out(rows * columns);
    pack_panels(b.data(), inner, columns, packed.data());
    current = std::to_string(rows) + " x " + std::to_string(inner) + " x " + std::to_string(columns);
    const auto plain = [&] { return multiply(a.data(), b.data(), out.data(), rows, inner, columns), bytes_of(out); };
    expect_as_reference("multiply", plain);
    expect("multiply_sparse", plain(), [&] {
        std::fill(out.begin(), out.end(), -1.0f);
        return multiply_sparse(a.data(), packed.data(), out.data(), rows, inner, columns) ? bytes_of(out) : Bytes{};
    });
    one_of(a) = one_of(std::vector{std::nanf(""), HUGE_VALF, -HUGE_VALF});
    expect("multiply_sparse of what is not finite", {}, [&] {
        return multiply_sparse(a.data(), packed.data(), out.data(), rows, inner, columns) ? bytes_of(out) : Bytes{};
    });
}

void test_whole_product() {
    const size_t cells = random_size(1, chance(0.1) ? 40 : 11), inner = random_size(1, chance(0.1) ? 700 : 130);
    const size_t columns = random_size(1, 200);
    auto a = random_matrix(cells * inner, random_real(0, 1));
    auto basis = random_matrix(inner * columns, 0.1);
    for (float& x : basis) x = std::clamp(x, -2.0f, 2.0f) / (chance(0.5) ? 1.0f : 16.0f);
    const WholeProduct stage(basis.data(), inner, columns, chance(0.5));
    const size_t first = columns > pair_lanes && chance(0.5) ? pair_lanes : 0, count = random_size(1, columns - first);
    current = std::to_string(cells) + " x " + std::to_string(inner) + " x " + std::to_string(columns);
    std::vector<float> out(cells * count);
    expect_as_reference("whole_product", [&] {
        std::fill(out.begin(), out.end(), -1.0f);
        return stage.multiply(a.data(), cells, first, count, out.data()) ? bytes_of(out) : Bytes{};
    });
    one_of(a) = one_of(std::vector{std::nanf(""), HUGE_VALF, -HUGE_VALF});
    expect("whole_product of what is not finite", {}, [&] {
        return stage.multiply(a.data(), cells, first, count, out.data()) ? bytes_of(out) : Bytes{};
    });
}

// Any numbers at all, rows that are zero in a step among them, as pairs have them.
void test_tiles() {
    if (!machine_has_tiles()) return;
    const size_t pairs = random_size(1, chance(0.2) ? 400 : 60), rows = random_size(1, 40), panels = random_size(1, 2);
    const auto any = [] { return static_cast<int16_t>(chance(0.1) ? -32768 : chance(0.1) ? 32767 : engine()); };
    AlignedVector<int16_t> matrix(panels * pairs * 2 * pair_lanes);
    for (int16_t& e : matrix) e = any();
    std::vector<int16_t> numbers(rows * 2 * pairs);
    for (size_t row = 0; row < rows; ++row)
        for (size_t i = random_size(0, 2 * pairs); i < random_size(0, 2 * pairs); ++i) numbers[row * 2 * pairs + i] = any();
    const TileMatrix tiles(matrix.data(), panels, pairs);
    TileRows packed(rows, 2 * pairs);
    std::vector<int32_t> sums(tile_rows * pair_lanes), wanted(pair_lanes);
    for (size_t block = 0; block * tile_rows < rows; ++block) {
        const int16_t* from[tile_rows];
        const size_t there = std::min(tile_rows, rows - block * tile_rows);
        for (size_t n = 0; n < there; ++n) from[n] = &numbers[(block * tile_rows + n) * 2 * pairs];
        packed.pack(block, from, there, 2 * pairs);
        for (size_t panel = 0; panel < panels; ++panel) {
            tiles.multiply(packed, block, panel, sums.data());
            for (size_t n = 0; n < there; ++n) {
                current = std::to_string(pairs) + " pairs of " + std::to_string(rows) + " rows";
                expect("tiles", bytes_of(std::vector(&sums[n * pair_lanes], &sums[n * pair_lanes] + pair_lanes)), [&] {
                    pair_sums(&from[n], 1, pairs, &matrix[panel * pairs * 2 * pair_lanes], wanted.data());
                    return bytes_of(wanted);
                });
            }
        }
    }
}

void test_stages() {
    const LevelGrid level{random_size(1, 9), random_size(1, 20), random_size(1, 20), random_size(1, 5)};
    const size_t count = random_size(1, 9), cell = count * level.ratio * level.ratio, stride = cell + random_size(0, 3);
    CellBlock block{random_size(0, (level.height - 1) / level.ratio), 0, random_size(0, (level.width - 1) / level.ratio), 0};
    block.bottom = random_size(block.top + 1, (level.height - 1) / level.ratio + 1);
    block.right = random_size(block.left + 1, (level.width - 1) / level.ratio + 1);
    current = std::to_string(level.channels) + " x " + std::to_string(level.height) + " x " + std::to_string(level.width);
    auto maps = random_matrix(level.channels * level.height * level.width, 0.1);
    const auto rows = random_matrix(count * level.channels, 0), centre = random_matrix(count, 0);
    if (chance(0.1)) one_of(maps) = HUGE_VALF;
    expect_as_reference("first_stage", [&] {
        std::vector<float> out(block.rows() * block.columns() * stride, -1.0f);
        const bool finite = first_stage(maps.data(), level, rows.data(), centre.data(), count, block, out.data(), stride);
        return finite ? bytes_of(out) : Bytes{};
    });
}

void test_second_stage() {
    const size_t coefficients = random_size(1, 200), dimensions = random_size(1, chance(0.1) ? 700 : 70);
    const size_t cells = random_size(1, chance(0.1) ? 40 : 9);
    const double scale = one_of(std::vector{1e-30, 1e-3, 1.0, 1e6});
    auto basis = random_matrix(coefficients * dimensions, 0.2), numbers = random_matrix(cells * dimensions, 0.1);
    for (float& e : numbers) e = static_cast<float>(e * scale);
    if (chance(0.1)) one_of(numbers) = one_of(std::vector{std::nanf(""), HUGE_VALF, 3e38f});
    std::vector<float> deviations(coefficients), steps(cells);
    for (float& e : deviations) e = static_cast<float>(scale * random_real(0.01, 1));
    for (float& e : steps) e = static_cast<float>(scale * random_real(0, 8));
    Bytes least(cells);
    for (uint8_t& e : least) e = static_cast<uint8_t>(random_size(0, 2));
    current = std::to_string(coefficients) + " of " + std::to_string(dimensions) + " in " + std::to_string(cells);
    expect_as_reference("SecondStage", [&] {
        const SecondStage stage(basis.data(), deviations.data(), coefficients, dimensions);
        std::vector<int16_t> whole(cells * stage.whole_size());
        std::vector<float> units(cells), out(cells * coefficients);
        const std::vector largest{stage.round(numbers.data(), cells, whole.data(), units.data())};
        if (!std::isfinite(largest[0])) return bytes_of(largest);
        Bytes made(cells), ends(cells);
        for (int i = 0; i < 2; ++i) {
            stage.go_on(whole.data(), units.data(), steps.data(), least.data(), cells, made.data(), ends.data(), out.data());
            std::fill(steps.begin(), steps.end(), 0.0f);
        }
        return bytes_of(whole, units, largest, made, ends, out);
    });
}

}  // namespace midstream
