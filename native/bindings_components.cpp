// Python bindings of the coder of components, of the transform, and of what fits it.
#include <nanobind/stl/optional.h>

#include <algorithm>
#include <optional>

#include "bindings.hpp"
#include "components.hpp"
#include "eigen.hpp"
#include "multiply.hpp"
#include "symbols.hpp"

namespace midstream {
namespace {

// A profile's knowledge of a group of components, and the steps of a picture, as arrays.
struct ComponentArrays {
    Vector<int16_t> scales;
    Matrix<uint16_t> references;
    Matrix<int8_t> offsets;
    In<float, nb::ndim<3>> prediction;
    Vector<int16_t> steps;
    Vector<float> widths;
    Span<uint32_t> state;

    void check() const {
        const size_t components = scales.size();
        require(components > 0 && references.shape(0) == components && references.shape(1) == 2, "components: shapes");
        for (size_t k = 0; k < components; ++k)
            for (size_t i = 0; i < 2; ++i)
                require(references.data()[2 * k + i] <= k, "components: a reference to no component");
        require(offsets.shape(0) == component_levels && offsets.shape(1) == reconstruction_classes,
                "components: offsets");
        require(prediction.shape(0) == 3 && prediction.shape(1) <= components && prediction.shape(2) <= components,
                "components: prediction");
        require(steps.size() > 0 && steps.size() <= most_classes && widths.size() == steps.size(),
                "components: 1 to 8 classes of places");
        require(state.size() == component_state_size(), "components: a state of another size");
    }
    ComponentStatistics statistics() const {
        return {scales.data(), references.data(), offsets.data(), prediction.data(), prediction.shape(1),
                prediction.shape(2)};
    }
    ComponentSteps classes() const { return {steps.data(), widths.data(), steps.size()}; }
};

// The stream, what each component became and what a decoder makes of it, [cells, components].
nb::tuple components_encode_all(Matrix<float> values, Matrix<uint8_t> places, bool known, Vector<int16_t> scales,
                                Matrix<uint16_t> references, Matrix<int8_t> offsets,
                                In<float, nb::ndim<3>> prediction, Vector<int16_t> steps, Vector<float> widths,
                                float lambda, Span<uint32_t> state) {
    const ComponentArrays arrays{scales, references, offsets, prediction, steps, widths, state};
    arrays.check();
    const ComponentGrid grid{scales.size(), places.shape(0), places.shape(1)};
    require(grid.cells() > 0 && values.shape(0) == grid.cells() && values.shape(1) == grid.components,
            "components: places");
    require(all_below(places.data(), grid.cells(), steps.size()), "components: a class of places outside the classes");
    auto chosen = buffer<int32_t>(product({grid.components, grid.cells()}));
    auto decoded = buffer<float>(product({grid.components, grid.cells()}));
    std::vector<uint8_t> copy(places.data(), places.data() + grid.cells());
    std::vector<uint8_t> out;
    {
        nb::gil_scoped_release release;
        out = components_encode(values.data(), grid, arrays.statistics(), arrays.classes(), lambda, state.data(),
                                {copy.data(), known, chosen.get(), decoded.get()});
    }
    return nb::make_tuple(to_bytes(out), wrap(std::move(chosen), {grid.cells(), grid.components}),
                          wrap(std::move(decoded), {grid.cells(), grid.components}));
}

// Classes of places [height, width] and components [cells, components], or None.
std::optional<nb::tuple> components_decode_all(const Octets& data, size_t height, size_t width, Vector<int16_t> scales,
                                               Matrix<uint16_t> references, Matrix<int8_t> offsets,
                                               In<float, nb::ndim<3>> prediction, Vector<int16_t> steps,
                                               Vector<float> widths, Span<uint32_t> state,
                                               std::optional<Matrix<uint8_t>> known) {
    const ComponentArrays arrays{scales, references, offsets, prediction, steps, widths, state};
    arrays.check();
    const ComponentGrid grid{scales.size(), height, width};
    require(grid.cells() > 0, "components: an empty grid");
    auto decoded = buffer<float>(product({grid.components, height, width}));
    auto places = buffer<uint8_t>(product({height, width}));
    if (known) {
        require(known->shape(0) == height && known->shape(1) == width &&
                    all_below(known->data(), grid.cells(), steps.size()),
                "components: known places");
        std::copy_n(known->data(), grid.cells(), places.get());
    }
    bool ok;
    {
        nb::gil_scoped_release release;
        ok = components_decode(data.data(), data.size(), grid, arrays.statistics(), arrays.classes(), state.data(),
                               {places.get(), known.has_value(), nullptr, decoded.get()});
    }
    if (!ok) return std::nullopt;
    return nb::make_tuple(wrap(std::move(places), {height, width}),
                          wrap(std::move(decoded), {grid.cells(), grid.components}));
}

Out<uint8_t> components_levels_of(Vector<int16_t> scales, Vector<int16_t> steps) {
    auto levels = buffer<uint8_t>(product({scales.size(), steps.size()}));
    components_levels(scales.size(), scales.data(), steps.data(), steps.size(), levels.get());
    return wrap(std::move(levels), {scales.size(), steps.size()});
}

Out<uint32_t> component_state() {
    auto state = buffer<uint32_t>(component_state_size());
    component_state_reset(state.get());
    return wrap(std::move(state), {component_state_size()});
}

template <class T>
void multiply_into(Matrix<T> a, Matrix<T> b, InOut<T> out) {
    require(a.shape(1) == b.shape(0) && out.shape(0) == a.shape(0) && out.shape(1) == b.shape(1), "multiply: shapes");
    nb::gil_scoped_release release;
    multiply(a.data(), b.data(), out.data(), a.shape(0), a.shape(1), b.shape(1));
}

nb::tuple eigen_of(Matrix<double> a) {
    const size_t n = a.shape(0);
    require(a.shape(1) == n, "eigen: a square matrix");
    auto values = buffer<double>(n);
    auto rows = buffer<double>(product({n, n}));
    {
        nb::gil_scoped_release release;
        std::vector<double> work(a.data(), a.data() + n * n);
        require(eigen(work.data(), n, values.get(), rows.get()), "eigen: numbers that are not finite");
    }
    return nb::make_tuple(wrap(std::move(values), {n}), wrap(std::move(rows), {n, n}));
}

}  // namespace

void bind_components(nb::module_& m) {
    m.attr("COMPONENT_LEVELS") = component_levels;
    m.attr("COMPONENT_SLOTS") = component_slots();
    m.attr("COMPONENT_SETS") = component_sets();
    m.attr("MOST_PLACE_CLASSES") = most_classes;
    m.def("component_state", &component_state);
    m.def("components_levels", &components_levels_of, "scales"_a, "steps"_a);
    m.def("components_encode", &components_encode_all, "values"_a, "places"_a, "known"_a, "scales"_a, "references"_a,
          "offsets"_a, "prediction"_a, "steps"_a, "widths"_a, "lambda_"_a, "state"_a);
    m.def("components_decode", &components_decode_all, "data"_a, "height"_a, "width"_a, "scales"_a, "references"_a,
          "offsets"_a, "prediction"_a, "steps"_a, "widths"_a, "state"_a, "known"_a = nb::none());
    m.def("multiply", &multiply_into<float>, "a"_a, "b"_a, "out"_a);
    m.def("multiply", &multiply_into<double>, "a"_a, "b"_a, "out"_a);
    m.def("eigen", &eigen_of, "a"_a);
}

}  // namespace midstream
