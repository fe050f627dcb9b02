// The coder of coefficients with an entropy model.
#include <algorithm>
#include <cmath>
#include <memory>

#include "coefficients.hpp"
#include "entropy.hpp"
#include "paths.hpp"
#include "second_stage.hpp"

namespace midstream {
namespace {

using namespace entropy;

// Any that is allowed, up to the largest sums.
template <class Network>
Network random_network(size_t items) {
    constexpr int most = 32767, weight = most / (largest_input * (static_cast<int>(Network::inputs) + 1));
    constexpr int bias = most - weight * largest_input * static_cast<int>(Network::inputs);
    const bool extreme = chance(0.2);
    const auto within = [&](int limit) {
        if (extreme) return chance(0.5) ? limit : -limit;
        return static_cast<int>(random_size(0, 2 * static_cast<size_t>(limit))) - limit;
    };
    Network out{};
    for (size_t i = 0; i < items * Network::units; ++i) out.bias.push_back(static_cast<int16_t>(within(bias)));
    for (auto& row : out.weights)
        for (int16_t& each : row) each = static_cast<int16_t>(within(weight));
    for (int32_t& each : out.out) each = within((1 << 19) / static_cast<int>(Network::units));
    out.offset = extreme ? within(1 << 29) : static_cast<int32_t>(random_size(0, 128 << 16));
    return out;
}

template <size_t symbols>
std::vector<rans::Row<symbols>> random_rows(size_t count) {
    std::vector<rans::Row<symbols>> out(count);
    for (auto& row : out) {
        std::array<double, symbols> widths;
        double sum = 0;
        for (double& each : widths) sum += each = std::pow(random_real(0, 1), 6);
        size_t at = 0;
        for (size_t s = 0; s < symbols; ++s) {
            row[s] = static_cast<uint16_t>(at);
            at += 1 + static_cast<size_t>(widths[s] / sum * (rans::whole - symbols));
        }
        row[symbols] = rans::whole;
    }
    return out;
}

struct Case {
    CoefficientGrid grid{random_size(1, chance(0.2) ? 200 : 60), random_size(1, 11), random_size(1, 11)};
    std::vector<int16_t> steps;
    std::vector<float> sizes;
    CoefficientModel model = made();
    Bytes importance;
    bool known = chance(0.3);

    Case() {
        for (const int16_t step : steps) sizes.push_back(static_cast<float>(std::exp2((step - 128) / 8.0)));
        for (size_t i = 0; i < grid.cells(); ++i)
            importance.push_back(static_cast<uint8_t>(random_size(0, steps.size() - 1)));
        current = std::to_string(grid.coefficients) + " coefficients of " + std::to_string(grid.cells()) + " cells";
    }
    CoefficientSteps classes() const { return {steps.data(), sizes.data(), steps.size()}; }

   private:
    CoefficientModel made() {
        for (size_t m = random_size(1, most_importance_classes), step = random_size(60, 160); m > 0; --m, step += 6)
            steps.push_back(static_cast<int16_t>(step));
        CoefficientStatistics out;
        for (size_t k = 0; k < grid.coefficients; ++k) {
            out.scales.push_back(static_cast<int16_t>(random_size(60, 200)));
            for (int i = 0; i < 2; ++i) out.references.push_back(0);
        }
        for (size_t i = 0; i < coefficient_levels * reconstruction_classes; ++i)
            out.offsets.push_back(static_cast<int8_t>(random_size(0, 60)));
        out.inputs = random_size(0, grid.coefficients), out.outputs = random_size(0, grid.coefficients);
        for (size_t i = 0; i < 3 * out.inputs * out.outputs; ++i)
            out.prediction.push_back(static_cast<float>(random_real(-0.1, 0.1)));
        out.whole = true;
        out.entropy = std::make_shared<const Model>(
            Statistics{random_network<decltype(Statistics::values)>(grid.coefficients),
                       random_network<decltype(Statistics::flags)>((grid.coefficients + band - 1) / band),
                       random_rows<value_symbols>(value_distributions), random_rows<2>(flag_distributions),
                       random_rows<8>(64)});
        return CoefficientModel(out);
    }
};

// What a decoder makes of a stream; nothing where it refuses.
Bytes decoded(const Case& one, const Bytes& stream) {
    Bytes importance = one.known ? one.importance : Bytes(one.grid.cells());
    std::vector<float> values(one.grid.cells() * one.grid.coefficients);
    std::vector<int8_t> symbols(values.size());
    const CoefficientImage image{importance.data(), one.known, nullptr, values.data(), symbols.data()};
    const bool valid = entropy::decode(one.model, stream.data(), stream.size(), one.grid, one.classes(), image, {});
    return valid ? bytes_of(importance, values, symbols) : Bytes{};
}

// What lies behind the parts of a cell, and is not zero, makes no difference; nor how much is told.
void test_parts(const Case& one, std::vector<float> values) {
    const size_t width = SecondStage::part_width, coefficients = one.grid.coefficients;
    Bytes parts;
    for (size_t cell = 0; cell < one.grid.cells(); ++cell)
        parts.push_back(static_cast<uint8_t>(random_size(0, coefficients / width + 1)));
    const size_t told = random_size(std::max<size_t>(one.model.whole_neighbours().inputs(), 1), coefficients);
    const auto coded = [&](const uint8_t* of, size_t tell) {
        Bytes importance = one.importance;
        std::vector<float> out(one.grid.cells() * tell);
        const CoefficientImage image{importance.data(), one.known, nullptr, out.data(), nullptr, tell, of};
        const Bytes stream = entropy::encode(one.model, values.data(), one.grid, one.classes(), image);
        std::vector<float> first;
        for (size_t cell = 0; cell < one.grid.cells(); ++cell)
            for (size_t k = 0; k < told; ++k) first.push_back(out[cell * tell + k]);
        return bytes_of(stream, first);
    };
    Bytes said;
    expect_as_reference("entropy::encode of parts", [&] { return said = coded(parts.data(), told); });
    for (size_t cell = 0; cell < one.grid.cells(); ++cell)
        for (size_t k = parts[cell] * width; k < coefficients; ++k) values[cell * coefficients + k] = 0;
    expect("entropy::encode of what is there", said, [&] { return coded(nullptr, coefficients); });
}

// What is expected is taken off before coding, and added to what is decoded.
void test_expected(const Case& one, const std::vector<float>& values) {
    const size_t coefficients = one.grid.coefficients, outputs = random_size(1, coefficients);
    std::vector<float> expected(one.grid.cells() * outputs), left = values;
    for (float& e : expected) e = static_cast<float>(random_real(-3, 3));
    for (size_t cell = 0; cell < one.grid.cells(); ++cell)
        for (size_t k = 0; k < outputs; ++k) left[cell * coefficients + k] -= expected[cell * outputs + k];
    const auto coded = [&](const std::vector<float>& of, const float* from) {
        Bytes importance = one.importance;
        std::vector<float> out(values.size()), again(values.size());
        CoefficientImage image{importance.data(), one.known, nullptr, out.data(), nullptr};
        image.expected = from, image.outputs = from ? outputs : 0;
        const Bytes stream = one.model.encode(of.data(), one.grid, one.classes(), nullptr, image);
        image.decoded = again.data();
        if (!one.model.decode(stream.data(), stream.size(), one.grid, one.classes(), nullptr, image)) return Bytes{};
        for (std::vector<float>* made : {&out, &again})
            for (size_t cell = 0; cell < one.grid.cells() && !from; ++cell)
                for (size_t k = 0; k < outputs; ++k) (*made)[cell * coefficients + k] += expected[cell * outputs + k];
        return bytes_of(stream, out, again);
    };
    Bytes said;
    expect_as_reference("CoefficientModel of what is left", [&] { return said = coded(values, expected.data()); });
    expect("CoefficientModel without what is expected", said, [&] { return coded(left, nullptr); });
}

}  // namespace

void test_entropy() {
    const Case one;
    const double scale = chance(0.1) ? 1e6 : chance(0.3) ? 0.1 : 20;
    std::vector<float> values(one.grid.cells() * one.grid.coefficients);
    for (float& e : values) e = static_cast<float>(chance(0.3) ? 0 : scale * std::pow(random_real(-1, 1), 5));
    Bytes stream, said;
    std::vector<int32_t> chosen;
    expect_as_reference("entropy::encode", [&] {
        Bytes importance = one.importance;
        chosen.assign(values.size(), 0);
        std::vector<float> out(values.size());
        std::vector<int8_t> symbols(values.size());
        const CoefficientImage image{importance.data(), one.known, chosen.data(), out.data(), symbols.data()};
        stream = entropy::encode(one.model, values.data(), one.grid, one.classes(), image);
        said = bytes_of(importance, out, symbols);
        return bytes_of(stream, said, chosen);
    });
    expect("entropy::decode", said, [&] { return decoded(one, stream); });
    for (int i = 0; i < 2; ++i) {
        const Bytes other = damaged(stream);
        expect_as_reference("entropy::decode of a damaged stream", [&] { return decoded(one, other); });
    }
    Bytes noise(random_size(1, 4000));
    for (uint8_t& each : noise) each = static_cast<uint8_t>(engine());
    expect_as_reference("entropy::decode of noise", [&] { return decoded(one, noise); });
    test_parts(one, values);
    test_expected(one, values);
    const size_t every = random_size(1, 4);
    expect_as_reference("entropy::record", [&] {
        Bytes importance = one.importance;
        const Record seen = record(one.model, chosen.data(), importance.data(), one.grid, one.classes(), every, 0);
        return bytes_of(seen.value_inputs_of, seen.coefficients, seen.symbols, seen.flag_inputs_of, seen.bands, seen.flags);
    });
}

}  // namespace midstream
