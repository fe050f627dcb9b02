// Bindings of the entropy model of coefficients.
#include <nanobind/stl/tuple.h>

#include <algorithm>
#include <tuple>
#include <vector>

#include "arrays.hpp"
#include "entropy.hpp"

namespace midstream {
namespace {

using namespace entropy;

template <class Network>
Network network_of(const Matrix<int16_t>& bias, const Matrix<int16_t>& weights, const Vector<int32_t>& out) {
    require(bias.shape(1) == Network::units && weights.shape(0) == Network::inputs && weights.shape(1) == Network::units &&
                out.size() == Network::units + 1,
            "entropy model: a network of another shape");
    Network network;
    network.bias.assign(bias.data(), bias.data() + bias.size());
    for (size_t i = 0; i < Network::inputs; ++i) std::copy_n(&weights.data()[i * Network::units], Network::units, network.weights[i].data());
    std::copy_n(out.data(), Network::units, network.out.data());
    network.offset = out.data()[Network::units];
    return network;
}

template <size_t symbols>
std::vector<rans::Row<symbols>> rows_of(const Matrix<uint16_t>& rows) {
    require(rows.shape(1) == symbols + 1, "entropy model: rows of another shape");
    std::vector<rans::Row<symbols>> out(rows.shape(0));
    for (size_t i = 0; i < out.size(); ++i) std::copy_n(&rows.data()[i * (symbols + 1)], symbols + 1, out[i].data());
    return out;
}

void make_model(Model* self, const Matrix<int16_t>& bias, const Matrix<int16_t>& weights, const Vector<int32_t>& out,
                const Matrix<uint16_t>& rows, const Matrix<int16_t>& flag_bias, const Matrix<int16_t>& flag_weights,
                const Vector<int32_t>& flag_out, const Matrix<uint16_t>& flag_rows, const Matrix<uint16_t>& importance_rows) {
    Statistics statistics;
    statistics.values = network_of<decltype(statistics.values)>(bias, weights, out);
    statistics.flags = network_of<decltype(statistics.flags)>(flag_bias, flag_weights, flag_out);
    statistics.value_rows = rows_of<value_symbols>(rows);
    statistics.flag_rows = rows_of<2>(flag_rows);
    statistics.importance_rows = rows_of<most_importance_classes>(importance_rows);
    new (self) Model(std::move(statistics));
}

template <class T>
Out<T, 1> copied(const std::vector<T>& from) {
    auto out = buffer<T>(from.size());
    std::copy(from.begin(), from.end(), out.get());
    return wrap(std::move(out), {from.size()});
}

Out<int32_t, 1> bases() { return copied(std::vector<int32_t>(symbol_base.begin(), symbol_base.end())); }

using Recorded = std::tuple<Out<int8_t, 1>, Out<uint16_t, 1>, Out<uint8_t, 1>, Out<int8_t, 1>, Out<uint16_t, 1>, Out<uint8_t, 1>>;

Recorded record_of(const CoefficientModel& model, const Matrix<int32_t>& chosen, const Matrix<uint8_t>& importance,
                   const Vector<int16_t>& steps, const Vector<float>& sizes, size_t every, size_t first) {
    const CoefficientGrid grid{model.coefficients(), importance.shape(0), importance.shape(1)};
    require(model.statistics().entropy != nullptr, "entropy model: none");
    require(steps.size() > 0 && steps.size() <= most_importance_classes && sizes.size() == steps.size() && every > 0 &&
                chosen.shape(0) == grid.cells() && chosen.shape(1) == grid.coefficients &&
                all_below(importance.data(), grid.cells(), steps.size()),
            "entropy model: shapes");
    std::vector<uint8_t> map(importance.data(), importance.data() + importance.size());
    const Record out = without_gil([&] {
        return record(model, chosen.data(), map.data(), grid, {steps.data(), sizes.data(), steps.size()}, every, first);
    });
    return {copied(out.value_inputs_of), copied(out.coefficients), copied(out.symbols),
            copied(out.flag_inputs_of), copied(out.bands), copied(out.flags)};
}

}  // namespace

void bind_entropy(nb::module_& m) {
    m.attr("ENTROPY_INPUTS") = Record::inputs;
    m.attr("ENTROPY_UNITS") = value_units;
    m.attr("ENTROPY_ROWS") = value_distributions;
    m.attr("ENTROPY_SYMBOLS") = value_symbols;
    m.attr("FLAG_INPUTS") = flag_inputs;
    m.attr("FLAG_UNITS") = flag_units;
    m.attr("FLAG_ROWS") = flag_distributions;
    m.attr("BAND") = band;
    m.attr("ROW_PRECISION") = rans::precision;
    nb::class_<Model>(m, "EntropyModel",
                      "How probable values of coefficients are: networks of one hidden layer, `bias` [items, units],\n"
                      "`weights` [inputs, units], `out` [units + 1], for magnitudes (an item a coefficient) and for flags\n"
                      "(an item a band), and the rows [distributions, symbols + 1] that they choose from: where the\n"
                      "places of symbols begin, and end. Raises ValueError for what does not fit, or could overflow.")
        .def("__init__", &make_model, "bias"_a, "weights"_a, "out"_a, "rows"_a, "flag_bias"_a, "flag_weights"_a,
             "flag_out"_a, "flag_rows"_a, "importance_rows"_a);
    m.def("entropy_bases", &bases, "The least magnitude that each symbol of magnitudes stands for.");
    m.def("record_coefficients", &record_of, "model"_a, "chosen"_a, "importance"_a, "steps"_a, "step_sizes"_a, "every"_a,
          "first"_a = 0,
          "What an entropy model is fitted to, of coefficients that became `chosen` [cells, coefficients], in one band of\n"
          "`every`, the `first` of which decides on the turn: inputs of values, the coefficient and the symbol of each,\n"
          "inputs of flags, the band and the flag of each; flat.");
}

}  // namespace midstream
