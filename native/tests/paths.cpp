// Every instruction set of this machine against the scalar reference, on random input: the same bytes and verdicts.
//
// g++ -std=c++20 -O2 -ffp-contract=off -march=native -Inative native/tests/*.cpp native/*.cpp
//
// is enough on Arm and on x86 with AVX-512. `make test-native` needs neither, `make test-neon` emulates an Arm machine.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "coefficients.hpp"
#include "crc32c.hpp"
#include "dense.hpp"
#include "dispatch.hpp"
#include "fast.hpp"
#include "multiply.hpp"
#include "panels.hpp"
#include "quantize.hpp"
#include "second_stage.hpp"
#include "second_stage_back.hpp"
#include "stages.hpp"
#include "statistics.hpp"

namespace {

using namespace midstream;
using Bytes = std::vector<uint8_t>;

std::mt19937_64 engine;
std::string current;  // what is being compared

size_t random_size(size_t least, size_t most) { return least + engine() % (most - least + 1); }
double random_real(double low, double high) { return std::uniform_real_distribution<double>(low, high)(engine); }
bool chance(double p) { return random_real(0, 1) < p; }
auto& one_of(auto&& list) { return list.data()[random_size(0, list.size() - 1)]; }

Bytes bytes_of(const auto&... vectors) {
    Bytes out;
    const auto append = [&](const auto& vector) {
        const auto* data = reinterpret_cast<const uint8_t*>(vector.data());
        out.insert(out.end(), data, data + vector.size() * sizeof vector[0]);
    };
    (append(vectors), ...);
    return out;
}
Bytes joined(const std::vector<Bytes>& parts) {
    Bytes out;
    for (const auto& part : parts) out.insert(out.end(), part.begin(), part.end());
    return out;
}

void expect(const char* what, const Bytes& expected, const auto& work) {
    for (const auto& path : available_paths()) {
        set_path(path);
        if (work() == expected) continue;
        std::printf("%s differs on %s: %s\n", what, path.c_str(), current.c_str());
        std::exit(1);
    }
}
void expect_as_reference(const char* what, const auto& work) {
    set_path("reference");
    expect(what, work(), work);
}

// Maps of one height and width, which are coded together.
struct Maps {
    size_t alphabet, height, width;
    std::vector<size_t> channels;
    std::vector<Bytes> symbols;

    std::vector<FastMap> views() {
        std::vector<FastMap> out;
        for (size_t i = 0; i < symbols.size(); ++i) out.push_back({symbols[i].data(), {channels[i], height, width}});
        return out;
    }
};

// Neighbours alike and low symbols more often, more or less so: probabilities of all kinds.
Bytes random_symbols(size_t count, size_t width, size_t alphabet) {
    const double alike = random_real(0, 1.2), skew = random_real(0.5, 8);
    Bytes out(count);
    for (size_t i = 0; i < count; ++i)
        out[i] = i > 0 && chance(alike) ? out[i >= width && chance(0.5) ? i - width : i - 1]
                                        : static_cast<uint8_t>(std::pow(random_real(0, 1), skew) * double(alphabet));
    return out;
}

Maps random_maps() {
    Maps maps{random_size(2, chance(0.5) ? 9 : 256), random_size(1, 40), random_size(1, 40), {}, {}};
    if (chance(0.1)) maps.height = random_size(1, 3), maps.width = random_size(500, 600);  // a band is a row then
    current = std::to_string(maps.alphabet) + " symbols";
    current += ", " + std::to_string(maps.height) + " x " + std::to_string(maps.width) + " of channels";
    for (size_t n = random_size(1, 4); n > 0; --n) {
        const size_t channels = random_size(1, 70);
        maps.channels.push_back(channels), current += " " + std::to_string(channels);
        maps.symbols.push_back(random_symbols(channels * maps.height * maps.width, maps.width, maps.alphabet));
    }
    return maps;
}

std::vector<Bytes> encoded(Maps& maps) {
    std::vector<Buffer<uint8_t>> streams(maps.symbols.size());
    fast_encode(maps.views().data(), streams.size(), maps.alphabet, streams.data());
    std::vector<Bytes> out;
    for (const auto& stream : streams) out.emplace_back(stream.get(), stream.get() + stream.get_deleter().count);
    return out;
}

// The symbols; nothing where the verdict is bad.
Bytes decoded(Maps maps, const std::vector<Bytes>& streams) {
    for (auto& symbols : maps.symbols) std::fill(symbols.begin(), symbols.end(), uint8_t{0xEE});
    std::vector<ByteView> views;
    for (const auto& stream : streams) views.push_back({stream.data(), stream.size()});
    return fast_decode(maps.views().data(), views.size(), maps.alphabet, views.data()) ? joined(maps.symbols) : Bytes{};
}

Bytes damaged(Bytes stream) {
    const size_t at = random_size(0, stream.size() - 1);
    if (chance(0.6)) stream[at] ^= static_cast<uint8_t>(1u << random_size(0, 7));
    else stream.resize(chance(0.7) ? at : stream.size() + random_size(1, 4));
    return stream;
}

void test_coder() {
    Maps maps = random_maps();
    expect_as_reference("fast_encode", [&] { return joined(encoded(maps)); });
    auto streams = encoded(maps);
    expect("fast_decode", joined(maps.symbols), [&] { return decoded(maps, streams); });
    for (int i = 0; i < 4; ++i) {
        auto& one = one_of(streams);
        const Bytes whole = std::exchange(one, damaged(one));
        expect_as_reference("fast_decode of a damaged stream", [&] { return decoded(maps, streams); });
        one = whole;
    }
}

// Of any magnitude, some of them equal.
std::vector<float> random_elements(size_t most) {
    const double scale = one_of(std::vector{1e-40, 1e-3, 1.0, 1e6, 1.7e38}), center = random_real(-1, 1);
    std::vector<float> x(random_size(1, most));
    for (float& e : x) e = static_cast<float>(scale * (center + random_real(-1, 1)));
    for (size_t i = random_size(0, x.size()); i > 0; --i) one_of(x) = chance(0.1) ? -0.0f : one_of(x);
    current = std::to_string(x.size()) + " elements";
    return x;
}

void test_statistics() {
    auto x = random_elements(chance(0.5) ? 100 : 4000);
    if (chance(0.2)) one_of(x) = one_of(std::vector{HUGE_VALF, -HUGE_VALF, std::nanf("")});
    expect_as_reference("channel_statistics", [&] {
        const auto [mean, std, min, max] = channel_statistics(x.data(), x.size());
        return bytes_of(std::vector{mean, std}, std::vector{min, max});
    });
}

void test_quantize() {
    auto x = random_elements(chance(0.5) ? 100 : 4000);
    Intervals intervals{std::vector<float>(random_size(0, chance(0.8) ? 16 : 255)), one_of(x), 1.5};
    for (float& boundary : intervals.boundaries) boundary = chance(0.5) ? one_of(x) : std::nextafter(one_of(x), 0.0f);
    std::sort(intervals.boundaries.begin(), intervals.boundaries.end());
    expect_as_reference("quantize", [&] {
        Bytes symbols(x.size());
        std::vector<int64_t> counts(intervals.boundaries.size() + 1);
        std::vector<double> deviations(counts.size());
        quantize(x.data(), x.size(), intervals, symbols.data(), {counts.data(), deviations.data()});
        return bytes_of(symbols, counts, deviations);
    });
}

void test_reconstruct() {
    const auto table = random_elements(chance(0.8) ? 16 : 256);
    Bytes symbols(random_size(1, 400));
    for (uint8_t& symbol : symbols) symbol = static_cast<uint8_t>(random_size(0, table.size() - 1));
    const size_t before = random_size(0, 20);
    const bool past_cache = chance(0.5);
    expect_as_reference("reconstruct", [&] {
        std::vector<float> x(before + symbols.size() + 20, -1.0f);  // what is beside the elements stays
        reconstruct(symbols.data(), symbols.size(), table.data(), table.size(), past_cache, x.data() + before);
        return bytes_of(x);
    });
}

void test_crc32c() {
    Bytes data(random_size(0, chance(0.5) ? 300 : 3000));
    for (uint8_t& byte : data) byte = static_cast<uint8_t>(engine());
    const auto before = static_cast<uint32_t>(engine());
    current = std::to_string(data.size()) + " bytes";
    expect_as_reference("crc32c", [&] { return bytes_of(std::vector{crc32c(data.data(), data.size(), before)}); });
}

// Frames that are predicted from one another, of a model of all kinds.
struct Frames {
    CoefficientGrid grid{random_size(1, 60), random_size(1, 6), random_size(1, 6)};
    std::vector<int16_t> steps;
    std::vector<float> sizes;
    FrameModel model = made();
    std::vector<float> before;
    Bytes importance, modes;
    std::vector<int8_t> symbols;

    Frames() {
        for (const int16_t step : steps) sizes.push_back(static_cast<float>(std::exp2((step - 128) / 8.0)));
        before = random_values(20);
        for (size_t i = 0; i < before.size(); ++i) symbols.push_back(static_cast<int8_t>(chance(0.5) ? 0 : engine()));
        for (size_t i = 0; i < grid.cells(); ++i) {
            importance.push_back(static_cast<uint8_t>(random_size(0, steps.size() - 1)));
            modes.push_back(static_cast<uint8_t>(random_size(0, model.predictors().modes - 1)));
        }
        current = std::to_string(grid.coefficients) + " coefficients of " + std::to_string(grid.cells()) + " cells";
    }
    std::vector<float> random_values(double scale) const {
        std::vector<float> out(grid.coefficients * grid.cells());
        for (float& e : out) e = static_cast<float>(chance(0.3) ? 0 : scale * std::pow(random_real(-1, 1), 5));
        return out;
    }
    FrameReference reference() const { return {before.data(), symbols.data(), importance.data(), modes.data()}; }
    CoefficientSteps classes() const { return {steps.data(), sizes.data(), steps.size()}; }

   private:
    FrameModel made() {
        for (size_t m = random_size(1, 8), step = random_size(60, 160); m > 0; --m, step += 6)
            steps.push_back(static_cast<int16_t>(step));
        CoefficientStatistics alone;
        FramePredictors later{random_size(2, most_frame_modes), {}, {}};
        for (size_t k = 0; k < grid.coefficients; ++k) {
            alone.scales.push_back(static_cast<int16_t>(random_size(90, 150)));
            for (int i = 0; i < 2; ++i) alone.references.push_back(static_cast<uint16_t>(random_size(0, k)));
        }
        for (size_t i = 0; i < coefficient_levels * reconstruction_classes; ++i)
            alone.offsets.push_back(static_cast<int8_t>(random_size(0, 60)));
        alone.inputs = random_size(0, grid.coefficients), alone.outputs = random_size(0, grid.coefficients);
        for (size_t i = 0; i < 3 * alone.inputs * alone.outputs; ++i)
            alone.prediction.push_back(static_cast<float>(random_real(-0.1, 0.1)));
        alone.whole = chance(0.5);
        for (size_t i = 0; i < (later.modes - 1) * grid.coefficients; ++i) {
            later.gains.push_back(static_cast<float>(random_real(0, 1)));
            later.scales.push_back(static_cast<int16_t>(random_size(70, 150)));
        }
        return {CoefficientModel(alone), later};
    }
};

std::vector<uint32_t> begun() {
    std::vector<uint32_t> alone(coefficient_state_size()), state(frame_state_size());
    coefficient_state_reset(alone.data());
    frame_state_from(alone.data(), state.data());
    return state;
}

// What a decoder makes of a stream and has learnt of it; nothing where it refuses.
Bytes decoded(const Frames& frames, const Bytes& stream, bool known) {
    auto state = begun();
    Bytes importance = known ? frames.importance : Bytes(frames.grid.cells()), modes(frames.grid.cells());
    std::vector<float> values(frames.before.size());
    std::vector<int8_t> symbols(values.size());
    const CoefficientImage image{importance.data(), known, nullptr, values.data(), symbols.data()};
    if (!frames.model.decode(stream.data(), stream.size(), frames.grid, frames.classes(), state.data(), image,
                             frames.reference(), modes.data()))
        return {};
    return bytes_of(importance, modes, values, symbols, state);
}

void test_frames() {
    const Frames frames;
    auto values = frames.random_values(chance(0.1) ? 1e6 : 20);
    for (size_t i = 0; i < values.size(); ++i)
        if (chance(0.5)) values[i] = frames.before[i];
    const bool known = chance(0.3), refresh = chance(0.3);
    Bytes stream, said, refreshed(frames.grid.cells());
    for (uint8_t& cell : refreshed) cell = chance(0.3);
    const auto encode = [&] {
        auto state = begun();
        Bytes importance = frames.importance, modes(frames.grid.cells());
        std::vector<int32_t> chosen(values.size());
        std::vector<float> out(values.size());
        std::vector<int8_t> symbols(values.size());
        const CoefficientImage image{importance.data(), known, chosen.data(), out.data(), symbols.data()};
        stream = frames.model.encode(values.data(), frames.grid, frames.classes(), state.data(), image,
                                     frames.reference(), modes.data(), refresh ? refreshed.data() : nullptr);
        said = bytes_of(importance, modes, out, symbols, state);
        return bytes_of(stream, said);
    };
    expect_as_reference("FrameModel::encode", encode);
    expect("FrameModel::decode", said, [&] { return decoded(frames, stream, known); });
    for (int i = 0; i < 2; ++i) {
        const Bytes other = damaged(stream);
        expect_as_reference("FrameModel::decode of a damaged stream", [&] { return decoded(frames, other, known); });
    }
}

// The same of frames that stand alone.
void test_coefficients() {
    const Frames frames;
    const CoefficientModel& model = frames.model.alone();
    const auto values = frames.random_values(chance(0.1) ? 1e6 : 20);
    const bool known = chance(0.3);
    Bytes stream, said;
    const auto encode = [&] {
        std::vector<uint32_t> state(coefficient_state_size());
        coefficient_state_reset(state.data());
        Bytes importance = frames.importance;
        std::vector<int32_t> chosen(values.size());
        std::vector<float> out(values.size());
        stream = model.encode(values.data(), frames.grid, frames.classes(), state.data(),
                              {importance.data(), known, chosen.data(), out.data(), nullptr});
        said = bytes_of(importance, out, state);
        return bytes_of(stream, said, chosen);
    };
    const auto decode = [&](const Bytes& data) {
        std::vector<uint32_t> state(coefficient_state_size());
        coefficient_state_reset(state.data());
        Bytes importance = known ? frames.importance : Bytes(frames.grid.cells());
        std::vector<float> out(values.size());
        return model.decode(data.data(), data.size(), frames.grid, frames.classes(), state.data(),
                            {importance.data(), known, nullptr, out.data(), nullptr})
                   ? bytes_of(importance, out, state)
                   : Bytes{};
    };
    expect_as_reference("CoefficientModel::encode", encode);
    expect("CoefficientModel::decode", said, [&] { return decode(stream); });
    const Bytes other = damaged(stream);
    expect_as_reference("CoefficientModel::decode of a damaged stream", [&] { return decode(other); });
}

void test_dense() {
    Maps maps = random_maps();
    const MapShape shape{std::min<size_t>(maps.channels[0], 8), maps.height, maps.width};
    maps.symbols[0].resize(shape.count());
    Bytes order(maps.alphabet), references(shape.channels), before = random_symbols(shape.count(), 1, maps.alphabet);
    for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<uint8_t>(i);
    for (size_t c = 0; c < references.size(); ++c) references[c] = static_cast<uint8_t>(random_size(0, c));
    for (size_t i = 0; i < before.size(); ++i)
        if (chance(0.7)) before[i] = maps.symbols[0][i];
    const Bytes past(shape.count(), static_cast<uint8_t>(random_size(0, largest_past)));
    const DenseBefore then{before.data(), past.data()}, *earlier = chance(0.5) ? &then : nullptr;
    const SymbolOrder all{order.data(), order.size()};
    Bytes stream;
    expect_as_reference("dense_encode", [&] {
        stream = dense_encode(maps.symbols[0].data(), shape, maps.alphabet, all, references.data(), earlier);
        return stream;
    });
    expect("dense_decode", maps.symbols[0], [&] {
        Bytes out(shape.count());
        const bool ok = dense_decode(stream.data(), stream.size(), shape, maps.alphabet, all, references.data(), out.data(),
                                     earlier);
        return ok ? out : Bytes{};
    });
}

std::vector<float> random_matrix(size_t count, double zeros) {
    std::vector<float> out(count);
    for (float& e : out) e = chance(zeros) ? (chance(0.2) ? -0.0f : 0.0f) : static_cast<float>(random_real(-1, 1));
    return out;
}

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

void test_second_stage_back() {
    const size_t cells = random_size(1, 11), inner = random_size(1, 130), columns = random_size(1, 200);
    auto a = random_matrix(cells * inner, random_real(0, 1));
    auto basis = random_matrix(inner * columns, 0.1);
    for (float& x : basis) x = std::clamp(x, -2.0f, 2.0f) / (chance(0.5) ? 1.0f : 16.0f);
    const SecondStageBack stage(basis.data(), inner, columns);
    const size_t first = columns > pair_lanes && chance(0.5) ? pair_lanes : 0, count = random_size(1, columns - first);
    current = std::to_string(cells) + " x " + std::to_string(inner) + " x " + std::to_string(columns);
    std::vector<float> out(cells * count);
    expect_as_reference("second_stage_back", [&] {
        std::fill(out.begin(), out.end(), -1.0f);
        return stage.multiply(a.data(), cells, first, count, out.data()) ? bytes_of(out) : Bytes{};
    });
    one_of(a) = one_of(std::vector{std::nanf(""), HUGE_VALF, -HUGE_VALF});
    expect("second_stage_back of what is not finite", {}, [&] {
        return stage.multiply(a.data(), cells, first, count, out.data()) ? bytes_of(out) : Bytes{};
    });
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
    auto cells = random_matrix(block.rows() * block.columns() * stride, 0.1);
    const auto mean = random_matrix(level.channels, 0), low = random_matrix(level.channels, 0.5);
    auto high = low;
    for (float& e : high) e += 0.5f;
    if (chance(0.1)) one_of(cells) = HUGE_VALF;
    expect_as_reference("last_stage", [&] {
        std::vector<float> out(maps.size(), -1.0f);
        const LevelLimits limits{mean.data(), low.data(), high.data()};
        const bool finite = last_stage(cells.data(), stride, level, rows.data(), limits, count, block, out.data());
        return finite ? bytes_of(out) : Bytes{};
    });
}

void test_second_stage() {
    const size_t coefficients = random_size(1, 200), dimensions = random_size(1, 70), cells = random_size(1, 9);
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

}  // namespace

int main() {
    constexpr unsigned rounds = 300;
    const auto tests = {test_coder, test_statistics, test_quantize, test_reconstruct, test_crc32c, test_frames,
                        test_coefficients, test_dense, test_products, test_stages, test_second_stage,
                        test_second_stage_back};
    for (engine.seed(1); const auto test : tests)
        for (unsigned i = 0; i < rounds; ++i) test();
    std::printf("%zu cases on", rounds * tests.size());
    for (const auto& path : available_paths()) std::printf(" %s", path.c_str());
    std::printf(" passed\n");
}
