// Bindings of the coder of transform coefficients.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/tuple.h>

#include <algorithm>
#include <optional>
#include <tuple>
#include <vector>

#include "arrays.hpp"
#include "coefficients.hpp"
#include "entropy_model.hpp"

namespace midstream {
namespace {

using References = In<uint16_t, nb::shape<-1, 2>>;
using Offsets = In<int8_t, nb::shape<coefficient_levels, reconstruction_classes>>;
using Prediction = In<float, nb::shape<3, -1, -1>>;
using Begin = Vector<uint32_t>;
using State = InOut<uint32_t, 1>;
using Symbols = InOut<int8_t, 2>;
using Done = nb::typed<nb::callable, void(Out<float, 2>, size_t)>;

template <class Array>
auto copied(const Array& array) {
    return std::vector(array.data(), array.data() + array.size());
}

void make_model(CoefficientModel* self, const Vector<int16_t>& scales, const References& references,
                const Offsets& offsets, const Prediction& prediction, bool whole, const entropy::Model* by) {
    new (self) CoefficientModel({copied(scales), copied(references), copied(offsets), copied(prediction),
                                 prediction.shape(1), prediction.shape(2), whole,
                                 by ? std::make_shared<const entropy::Model>(*by) : nullptr});
}

CoefficientSteps steps_of(const Vector<int16_t>& steps, const Vector<float>& sizes) {
    require(steps.size() > 0 && steps.size() <= most_importance_classes && sizes.size() == steps.size(),
            "coefficients: 1 to 8 importance classes");
    return {steps.data(), sizes.data(), steps.size()};
}

// A state to code a model's coefficients with: it begins as `begin` and, if asked for, is handed out as it has learnt. An
// entropy model learns nothing, and takes no time here.
class Learning {
   public:
    Learning(const Begin& begin, const std::optional<State>& learnt, const CoefficientModel& model) : learnt_(learnt) {
        require(begin.size() == coefficient_state_size() && (!learnt || learnt->size() == begin.size()),
                "coefficients: a state of another size");
        require(!learnt || !model.statistics().entropy, "coefficients: an entropy model does not learn");
        if (model.statistics().entropy) return;
        state_ = buffer<uint32_t>(coefficient_state_size());
        if (learnt)
            std::copy_n(begin.data(), begin.size(), state_.get());
        else
            coefficient_state_copy(begin.data(), model.coefficients(), state_.get());
    }
    uint32_t* state() { return state_.get(); }
    void finish() const {
        if (learnt_) std::copy_n(state_.get(), learnt_->size(), learnt_->data());
    }

   private:
    Buffer<uint32_t> state_;
    std::optional<State> learnt_;
};

void require_importance(const Matrix<uint8_t>& importance, const CoefficientGrid& grid, const CoefficientSteps& steps) {
    require(importance.shape(0) == grid.height && importance.shape(1) == grid.width &&
                all_below(importance.data(), grid.cells(), steps.classes),
            "coefficients: the importance map");
}

// What is expected of a model's coefficients, if it fits.
void expect(CoefficientImage& image, const std::optional<Matrix<float>>& expected, const CoefficientGrid& grid) {
    if (!expected) return;
    require(expected->shape(0) == grid.cells() && expected->shape(1) <= grid.coefficients, "coefficients: what is expected");
    image.expected = expected->data(), image.outputs = expected->shape(1);
}

std::tuple<nb::bytes, Out<int32_t, 2>, Out<float, 2>> encode(const CoefficientModel& model, const Matrix<float>& values,
                                                             const Matrix<uint8_t>& importance, bool known,
                                                             const Vector<int16_t>& steps, const Vector<float>& sizes,
                                                             const Begin& state, const std::optional<State>& learnt,
                                                             float bit_worth, bool choices, size_t told,
                                                             const std::optional<Vector<uint8_t>>& parts,
                                                             const std::optional<Matrix<float>>& expected) {
    const CoefficientGrid grid{model.coefficients(), importance.shape(0), importance.shape(1)};
    CoefficientSteps classes = steps_of(steps, sizes);
    classes.bit_worth = bit_worth;
    require(grid.cells() > 0 && values.shape(0) == grid.cells() && values.shape(1) == grid.coefficients,
            "coefficients: shapes");
    require_importance(importance, grid, classes);
    const size_t needed = model.whole_neighbours().inputs();
    require((told == 0 && !parts) || model.statistics().entropy, "coefficients: only an entropy model codes parts");
    require(told == 0 || (told >= needed && told <= grid.coefficients), "coefficients: how many are told");
    require(!parts || parts->size() == grid.cells(), "coefficients: parts of another grid");
    Learning learning(state, learnt, model);
    if (told == 0) told = grid.coefficients;
    const size_t chosen_cells = choices ? grid.cells() : 0;
    auto chosen = buffer<int32_t>(product({grid.coefficients, chosen_cells}));
    auto decoded = buffer<float>(product({told, grid.cells()}));
    std::vector<uint8_t> map = copied(importance);
    CoefficientImage image{map.data(), known, choices ? chosen.get() : nullptr, decoded.get(), nullptr, told,
                           parts ? parts->data() : nullptr};
    expect(image, expected, grid);
    const std::vector<uint8_t> stream =
        without_gil([&] { return model.encode(values.data(), grid, classes, learning.state(), image); });
    learning.finish();
    return {to_bytes(stream), wrap(std::move(chosen), {chosen_cells, grid.coefficients}),
            wrap(std::move(decoded), {grid.cells(), told})};
}

std::optional<std::tuple<Out<uint8_t, 2>, Out<float, 2>>> decode(const CoefficientModel& model, const Octets& data,
                                                                 size_t height, size_t width,
                                                                 const Vector<int16_t>& steps,
                                                                 const Vector<float>& sizes, const Begin& state,
                                                                 const std::optional<Matrix<uint8_t>>& known,
                                                                 const std::optional<Symbols>& symbols,
                                                                 const std::optional<Done>& done,
                                                                 const std::optional<Matrix<float>>& expected) {
    const CoefficientGrid grid{model.coefficients(), height, width};
    const CoefficientSteps classes = steps_of(steps, sizes);
    require(grid.cells() > 0, "coefficients: an empty grid");
    auto decoded = buffer<float>(product({grid.coefficients, height, width}));
    auto importance = buffer<uint8_t>(product({height, width}));
    if (known) {
        require_importance(*known, grid, classes);
        std::copy_n(known->data(), grid.cells(), importance.get());
    }
    Learning learning(state, std::nullopt, model);
    require(!symbols || (symbols->shape(0) == grid.cells() && symbols->shape(1) == grid.coefficients),
            "coefficients: symbols of another shape");
    CoefficientImage image{importance.get(), known.has_value(), nullptr, decoded.get(),
                           symbols ? symbols->data() : nullptr};
    expect(image, expected, grid);
    const Out<float, 2> coefficients = wrap(std::move(decoded), {grid.cells(), grid.coefficients});
    RowsDone rows_done;
    if (done)
        rows_done = [&](size_t rows) {
            const nb::gil_scoped_acquire held;
            (*done)(coefficients, rows);
        };
    const bool ok = without_gil(
        [&] { return model.decode(data.data(), data.size(), grid, classes, learning.state(), image, rows_done); });
    if (!ok) return std::nullopt;
    return std::tuple(wrap(std::move(importance), {height, width}), coefficients);
}

void make_frame_model(FrameModel* self, const CoefficientModel& alone, const Matrix<float>& gains,
                      const Matrix<int16_t>& scales) {
    require(gains.shape(0) == scales.shape(0) && gains.shape(1) == alone.coefficients() &&
                scales.shape(1) == alone.coefficients() && gains.shape(0) < most_frame_modes,
            "coefficients: predictors from the frame before");
    new (self) FrameModel(alone, {gains.shape(0) + 1, copied(gains), copied(scales)});
}

// What a frame is predicted from, as arrays.
struct ReferenceArrays {
    Matrix<float> values;
    Matrix<int8_t> symbols;
    Matrix<uint8_t> importance, modes;

    FrameReference checked(const FrameModel& model, const CoefficientGrid& grid, const CoefficientSteps& steps) const {
        require(values.shape(0) == grid.cells() && values.shape(1) == grid.coefficients &&
                    symbols.shape(0) == grid.cells() && symbols.shape(1) == grid.coefficients &&
                    modes.shape(0) == grid.height && modes.shape(1) == grid.width &&
                    all_below(modes.data(), grid.cells(), model.predictors().modes),
                "coefficients: a reference of another shape");
        require_importance(importance, grid, steps);
        return {values.data(), symbols.data(), importance.data(), modes.data()};
    }
};

void require_frame_state(const State& state) {
    require(state.size() == frame_state_size(), "coefficients: a state of another size");
}

using EncodedFrame = std::tuple<nb::bytes, Out<uint8_t, 2>, Out<int8_t, 2>, Out<float, 2>>;

EncodedFrame encode_frame(const FrameModel& model, const Matrix<float>& values, const Matrix<uint8_t>& importance,
                          bool known, const Vector<int16_t>& steps, const Vector<float>& sizes,
                          const State& state, const Matrix<float>& reference, const Matrix<int8_t>& reference_symbols,
                          const Matrix<uint8_t>& reference_importance, const Matrix<uint8_t>& reference_modes,
                          const std::optional<Matrix<uint8_t>>& refreshed) {
    const CoefficientGrid grid{model.alone().coefficients(), importance.shape(0), importance.shape(1)};
    const CoefficientSteps classes = steps_of(steps, sizes);
    require(grid.cells() > 0 && values.shape(0) == grid.cells() && values.shape(1) == grid.coefficients,
            "coefficients: shapes");
    require_importance(importance, grid, classes);
    require_frame_state(state);
    const ReferenceArrays arrays{reference, reference_symbols, reference_importance, reference_modes};
    const FrameReference before = arrays.checked(model, grid, classes);
    require(!refreshed || (refreshed->shape(0) == grid.height && refreshed->shape(1) == grid.width),
            "coefficients: cells to refresh of another shape");
    const uint8_t* alone = refreshed ? refreshed->data() : nullptr;
    auto decoded = buffer<float>(product({grid.coefficients, grid.cells()}));
    auto symbols = buffer<int8_t>(product({grid.coefficients, grid.cells()}));
    auto modes = buffer<uint8_t>(grid.cells());
    std::vector<uint8_t> map = copied(importance);
    const std::vector<uint8_t> stream = without_gil([&] {
        return model.encode(values.data(), grid, classes, state.data(),
                            {map.data(), known, nullptr, decoded.get(), symbols.get()}, before, modes.get(), alone);
    });
    return {to_bytes(stream), wrap(std::move(modes), {grid.height, grid.width}),
            wrap(std::move(symbols), {grid.cells(), grid.coefficients}),
            wrap(std::move(decoded), {grid.cells(), grid.coefficients})};
}

using DecodedFrame = std::tuple<Out<uint8_t, 2>, Out<uint8_t, 2>, Out<int8_t, 2>, Out<float, 2>>;

std::optional<DecodedFrame> decode_frame(const FrameModel& model, const Octets& data, const Vector<int16_t>& steps,
                                         const Vector<float>& sizes, const State& state, const Matrix<float>& reference,
                                         const Matrix<int8_t>& reference_symbols,
                                         const Matrix<uint8_t>& reference_importance,
                                         const Matrix<uint8_t>& reference_modes,
                                         const std::optional<Matrix<uint8_t>>& known) {
    const CoefficientGrid grid{model.alone().coefficients(), reference_modes.shape(0), reference_modes.shape(1)};
    const CoefficientSteps classes = steps_of(steps, sizes);
    require(grid.cells() > 0, "coefficients: an empty grid");
    require_frame_state(state);
    const ReferenceArrays arrays{reference, reference_symbols, reference_importance, reference_modes};
    const FrameReference before = arrays.checked(model, grid, classes);
    auto decoded = buffer<float>(product({grid.coefficients, grid.cells()}));
    auto symbols = buffer<int8_t>(product({grid.coefficients, grid.cells()}));
    auto modes = buffer<uint8_t>(grid.cells());
    auto importance = buffer<uint8_t>(grid.cells());
    if (known) {
        require_importance(*known, grid, classes);
        std::copy_n(known->data(), grid.cells(), importance.get());
    }
    const bool ok = without_gil([&] {
        return model.decode(data.data(), data.size(), grid, classes, state.data(),
                            {importance.get(), known.has_value(), nullptr, decoded.get(), symbols.get()}, before,
                            modes.get());
    });
    if (!ok) return std::nullopt;
    return std::tuple(wrap(std::move(importance), {grid.height, grid.width}),
                      wrap(std::move(modes), {grid.height, grid.width}),
                      wrap(std::move(symbols), {grid.cells(), grid.coefficients}),
                      wrap(std::move(decoded), {grid.cells(), grid.coefficients}));
}

Out<uint32_t, 1> frame_state(const State& alone) {
    require(alone.size() == coefficient_state_size(), "coefficients: a state of another size");
    auto state = buffer<uint32_t>(frame_state_size());
    frame_state_from(alone.data(), state.get());
    return wrap(std::move(state), {frame_state_size()});
}

Out<uint8_t, 2> levels(const CoefficientModel& model, const Vector<int16_t>& steps) {
    auto out = buffer<uint8_t>(product({steps.size(), model.coefficients()}));
    model.levels({steps.data(), nullptr, steps.size()}, out.get());
    return wrap(std::move(out), {steps.size(), model.coefficients()});
}

Out<uint32_t, 1> fresh_state() {
    auto state = buffer<uint32_t>(coefficient_state_size());
    coefficient_state_reset(state.get());
    return wrap(std::move(state), {coefficient_state_size()});
}

}  // namespace

void bind_coefficients(nb::module_& m) {
    m.attr("COEFFICIENT_LEVELS") = coefficient_levels;
    m.attr("COEFFICIENT_SLOTS") = coefficient_slots();
    m.attr("COEFFICIENT_SETS") = coefficient_sets();
    m.attr("MOST_IMPORTANCE_CLASSES") = most_importance_classes;
    m.def("coefficient_state", &fresh_state, "What a coder that has learnt nothing begins with.");
    nb::class_<CoefficientModel>(
        m, "CoefficientModel",
        "Codes coefficients with what a profile knows of one group. It copies its arrays and never changes: any number\n"
        "of threads may use it at once. With `whole`, cells are predicted from their neighbours in whole numbers. Raises\n"
        "ValueError where sizes disagree or a reference leads to no coefficient.")
        .def("__init__", &make_model, "scales"_a, "references"_a, "offsets"_a, "prediction"_a,
             "whole"_a = false, "entropy"_a.none() = nb::none())
        .def("levels", &levels, "steps"_a,
             "The level of expected magnitude of each coefficient in each importance class, [classes, coefficients].")
        .def("encode", &encode, "values"_a, "importance"_a, "known"_a, "steps"_a, "step_sizes"_a,
             "state"_a.noconvert(), "learnt"_a.noconvert() = nb::none(), "bit_worth"_a = usual_bit_worth,
             "choices"_a = true, "told"_a = 0, "parts"_a = nb::none(), "expected"_a = nb::none(),
             "The stream, what each of the values [cells, coefficients] became (of no cell without `choices`, which take\n"
             "time), and what a decoder makes of it [cells, coefficients], or of the first so many that are to be `told`,\n"
             "if not 0. Behind the `parts` of PART_WIDTH, uint8 [cells], that there are of a cell all values are zero,\n"
             "whatever they say. These two are for entropy models. A map\n"
             "that is `known` to the decoder is not in the stream. The coder begins with `state`; `learnt`, which may be\n"
             "the same array, becomes what it has learnt. `bit_worth` is the squared error, in steps, for which a bit is\n"
             "spent. Of what is `expected` of the first coefficients from elsewhere [cells, ..] only the rest is coded.")
        .def("decode", &decode, "data"_a, "height"_a, "width"_a, "steps"_a, "step_sizes"_a, "state"_a.noconvert(),
             "known"_a = nb::none(), "symbols"_a.noconvert() = nb::none(), "done"_a = nb::none(),
             "expected"_a = nb::none(),
             "The importance map [height, width] and the coefficients [cells, coefficients]; None for what is not\n"
             "valid. `symbols`, int8 [cells, coefficients], becomes what each coefficient was coded as, within +-127.\n"
             "Where cells are predicted in whole numbers, `done` is called, from this thread, with the coefficients and the\n"
             "number of rows that are decoded, whether or not what follows is valid: of each row, or, with what is\n"
             "`expected` from elsewhere [cells, ..], of each but the last.");
    m.attr("BIT_WORTH") = usual_bit_worth;
    m.attr("MOST_FRAME_MODES") = most_frame_modes;
    m.attr("FRAME_SLOTS") = frame_slots();
    m.attr("FRAME_STATE_CARRIED") = frame_state_carried();
    m.def("frame_state", &frame_state, "alone"_a.noconvert(),
          "What a coder of predicted frames begins with: what one of frames that stand alone begins with, as far as it\n"
          "goes. From FRAME_STATE_CARRIED on it is handed on from frame to frame.");
    nb::class_<FrameModel>(
        m, "FrameModel",
        "Codes frames that are predicted from the one before: gains and scales [modes, coefficients] of each way to do\n"
        "so, beside a model of frames that stand alone, which is mode 0. Raises ValueError where sizes disagree.")
        .def("__init__", &make_frame_model, "alone"_a, "gains"_a, "scales"_a)
        .def("encode", &encode_frame, "values"_a, "importance"_a, "known"_a, "steps"_a, "step_sizes"_a,
             "state"_a.noconvert(), "reference"_a, "reference_symbols"_a, "reference_importance"_a, "reference_modes"_a,
             "refreshed"_a = nb::none(),
             "The stream, the modes [height, width] of its cells, its symbols within +-127 and what a decoder makes of\n"
             "them [cells, coefficients]. Cells [height, width] that are to be `refreshed` stand alone.")
        .def("decode", &decode_frame, "data"_a, "steps"_a, "step_sizes"_a, "state"_a.noconvert(), "reference"_a,
             "reference_symbols"_a, "reference_importance"_a, "reference_modes"_a, "known"_a = nb::none(),
             "The importance map and the modes [height, width], the symbols and the coefficients [cells, coefficients];\n"
             "None for what is not valid.");
}

}  // namespace midstream
