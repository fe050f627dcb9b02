// The coder's two ends, and the models of frames that stand alone and of predicted ones.
#include "coefficients.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "arithmetic.hpp"
#include "coefficients_chooser.hpp"
#include "coefficients_coder.hpp"
#include "entropy.hpp"

namespace midstream {

using namespace coefficients;

namespace {

using AloneAt = Layout<Alone>;
using PredictedAt = Layout<Predicted>;

template <class Kind>
void fresh(uint32_t* state) {
    using At = Layout<Kind>;
    std::fill_n(state, At::slots, Slot{}.state);
    const typename At::Mix mixer(sets);
    for (size_t i = 0; i < sets; ++i)
        state[At::learnt + i] =
            mixer.take_weights(i, reinterpret_cast<int32_t*>(state + At::weights + i * At::Mix::inputs));
}

// What decides nothing: a decoder reads what each value is.
struct Reader {
    static constexpr bool decides = false;
};

template <class Kind, class Lanes, class End, class Quantiser>
MIDSTREAM_INLINE bool code_with(End& end, const Task& task, uint32_t* state, Quantiser& quantiser) {
    return CoefficientCoder<End, Kind, Lanes>(end, task, reinterpret_cast<Slot*>(state)).run(quantiser);
}
#ifdef MIDSTREAM_X86
template <class Kind, class End, class Quantiser>
MIDSTREAM_AVX2 bool code_avx2(End& end, const Task& task, uint32_t* state, Quantiser& quantiser) {
    return code_with<Kind, VectorLanes>(end, task, state, quantiser);
}
#endif
template <class Kind, class End, class Quantiser>
bool code(End& end, const Task& task, uint32_t* state, Quantiser& quantiser) {
    switch (current_path()) {
        case Path::reference: return code_with<Kind, PlainLanes>(end, task, state, quantiser);
#ifdef MIDSTREAM_X86
        case Path::avx512:
        case Path::avx2: return code_avx2<Kind>(end, task, state, quantiser);
#endif
        default: return code_with<Kind, VectorLanes>(end, task, state, quantiser);
    }
}

}  // namespace

size_t coefficient_slots() { return AloneAt::slots; }
size_t coefficient_sets() { return sets; }
size_t coefficient_state_size() { return AloneAt::size; }
void coefficient_state_reset(uint32_t* state) { fresh<Alone>(state); }

void coefficient_state_copy(const uint32_t* from, size_t coefficients, uint32_t* to) {
    const size_t there = std::min(coefficients, numbered);
    const auto copy = [&](size_t at, size_t count) { std::copy_n(from + at, count, to + at); };
    for (int context = 0; context < Alone::contexts; ++context) {
        const size_t all = Alone::sizes[static_cast<size_t>(context)] * decisions;
        copy(AloneAt::context(context), Alone::by_number[static_cast<size_t>(context)] ? all / numbered * there : all);
    }
    static_assert(Alone::signed_alone == numbered);
    copy(AloneAt::signs, Alone::sign_slots / numbered * there);
    copy(AloneAt::bands, AloneAt::size - AloneAt::bands);
}

size_t frame_slots() { return PredictedAt::slots; }
size_t frame_state_size() { return PredictedAt::size; }
size_t frame_state_carried() { return PredictedAt::carried; }

void frame_state_from(const uint32_t* alone, uint32_t* state) {
    fresh<Predicted>(state);
    std::copy_n(alone, AloneAt::signs, state);
    for (size_t i = 0; i < Predicted::sign_slots; ++i)
        state[PredictedAt::signs + i] = alone[AloneAt::signs + i / 3];
    for (size_t i = 0; i < Predicted::band_slots; ++i) state[PredictedAt::bands + i] = alone[AloneAt::bands + i / 9];
    for (size_t i = 0; i < Predicted::importance_slots; ++i)
        state[PredictedAt::importance + i] = alone[AloneAt::importance + i % Alone::importance_slots];
    std::copy_n(alone + AloneAt::escape, escape_slots, state + PredictedAt::escape);
    constexpr size_t inputs = AloneAt::Mix::inputs, more = PredictedAt::Mix::inputs;
    for (size_t i = 0; i < sets; ++i) {
        std::copy_n(alone + AloneAt::weights + i * inputs, 2 * Alone::contexts, state + PredictedAt::weights + i * more);
        state[PredictedAt::weights + i * more + more - 2] = alone[AloneAt::weights + i * inputs + inputs - 2];
    }
    std::copy_n(alone + AloneAt::learnt, sets, state + PredictedAt::learnt);
}

namespace {

CoefficientStatistics checked(CoefficientStatistics statistics) {
    const auto& [scales, references, offsets, prediction, inputs, outputs, whole, entropy] = statistics;
    const auto require = [](bool ok, const char* what) {
        if (!ok) throw std::invalid_argument(what);
    };
    require(!scales.empty(), "coefficients: none");
    require(references.size() == 2 * scales.size(), "coefficients: two references each");
    for (size_t i = 0; i < references.size(); ++i)
        require(references[i] <= i / 2, "coefficients: a reference to no coefficient");
    require(offsets.size() == coefficient_levels * reconstruction_classes, "coefficients: offsets");
    require(inputs <= scales.size() && outputs <= scales.size() && prediction.size() == 3 * inputs * outputs &&
                std::all_of(prediction.begin(), prediction.end(), [](float x) { return std::isfinite(x); }),
            "coefficients: prediction");
    require(!entropy || (whole && entropy->coefficients() == scales.size()), "coefficients: the entropy model");
    return statistics;
}

// Nothing is predicted by what is not used.
template <class Prediction>
Prediction predicted_by(const CoefficientStatistics& of, bool used) {
    return used ? Prediction(of.prediction, of.inputs, of.outputs) : Prediction({}, 0, 0);
}

// [classes, coefficients]
void fill_levels(const int16_t* scales, size_t coefficients, const CoefficientSteps& steps, uint8_t* levels) {
    for (size_t m = 0; m < steps.classes; ++m)
        for (size_t k = 0; k < coefficients; ++k) {
            const int level = (scales[k] - steps.indices[m] + 40) >> 1;
            *levels++ = static_cast<uint8_t>(std::clamp(level, 0, coefficient_levels - 1));
        }
}

// Of values [cells, coefficients]; empty where nothing is expected.
std::vector<float> without_expected(const float* values, const CoefficientGrid& grid, const CoefficientImage& image) {
    if (!image.expected) return {};
    std::vector<float> left(values, values + grid.cells() * grid.coefficients);
    for (size_t cell = 0; cell < grid.cells(); ++cell)
        for (size_t k = 0; k < image.outputs; ++k)
            left[cell * grid.coefficients + k] -= image.expected[cell * image.outputs + k];
    return left;
}
// To what is decoded of some rows.
void add_expected(const CoefficientGrid& grid, const CoefficientImage& image, size_t from, size_t to) {
    if (!image.expected) return;
    const size_t told = image.told ? image.told : grid.coefficients, count = std::min(image.outputs, told);
    for (size_t cell = from * grid.width; cell < to * grid.width; ++cell) {
        float* decoded = image.decoded + cell * told;
        const float* expected = image.expected + cell * image.outputs;
        for (size_t k = 0; k < count; ++k) decoded[k] += expected[k];
    }
}

}  // namespace

CoefficientModel::CoefficientModel(CoefficientStatistics statistics)
    : statistics_(checked(std::move(statistics))),
      neighbours_(predicted_by<NeighbourPrediction>(statistics_, !statistics_.whole)),
      whole_neighbours_(predicted_by<WholeNeighbours>(statistics_, statistics_.whole)) {}

void CoefficientModel::levels(const CoefficientSteps& steps, uint8_t* levels) const {
    fill_levels(statistics_.scales.data(), coefficients(), steps, levels);
}

std::vector<uint8_t> CoefficientModel::encode(const float* values, const CoefficientGrid& grid,
                                              const CoefficientSteps& steps, uint32_t* state,
                                              const CoefficientImage& image) const {
    if (image.chosen) std::fill_n(image.chosen, grid.cells() * grid.coefficients, 0);
    std::vector<uint8_t> out;
    if (statistics_.entropy) {
        out = entropy::encode(*this, values, grid, steps, image);
    } else {
        const std::vector<float> left = without_expected(values, grid, image);
        ArithmeticEncoder encoder;
        std::vector<uint8_t> known(grid.coefficients * steps.classes);
        levels(steps, known.data());
        Chooser chooser(*this, left.empty() ? values : left.data(), grid, steps);
        code<Alone>(encoder, {*this, grid, steps, image, std::move(known)}, state, chooser);
        out = encoder.finish();
    }
    add_expected(grid, image, 0, grid.height);
    return out;
}

bool CoefficientModel::decode(const uint8_t* data, size_t bytes, const CoefficientGrid& grid,
                              const CoefficientSteps& steps, uint32_t* state, const CoefficientImage& image,
                              const RowsDone& done) const {
    if (!image.known) std::fill_n(image.importance, grid.cells(), uint8_t{0});
    // A row is predicted from the one above it as that is without an expectation.
    size_t added = 0;
    const auto add = [&](size_t rows) {
        add_expected(grid, image, added, rows);
        added = rows;
    };
    const RowsDone one_late = [&](size_t rows) {
        if (rows < 2) return;
        add(rows - 1);
        if (done) done(rows - 1);
    };
    const RowsDone& rows_done = image.expected ? one_late : done;
    bool valid;
    if (statistics_.entropy) {
        valid = entropy::decode(*this, data, bytes, grid, steps, image, rows_done);
    } else {
        ArithmeticDecoder decoder(data, bytes);
        std::vector<uint8_t> known(grid.coefficients * steps.classes);
        levels(steps, known.data());
        Reader reader;
        const Task task{*this, grid, steps, image, std::move(known), nullptr, nullptr, nullptr, rows_done};
        valid = code<Alone>(decoder, task, state, reader) && decoder.finished();
    }
    if (valid) add(grid.height);
    return valid;
}

FrameModel::FrameModel(CoefficientModel alone, FramePredictors predictors)
    : alone_(std::move(alone)), predictors_(std::move(predictors)) {
    const size_t expected_size = (predictors_.modes - 1) * alone_.coefficients();
    if (predictors_.modes < 2 || predictors_.modes > most_frame_modes || predictors_.gains.size() != expected_size ||
        predictors_.scales.size() != expected_size)
        throw std::invalid_argument("coefficients: predictors from the frame before");
}

void FrameModel::levels(const CoefficientSteps& steps, uint8_t* levels) const {
    const size_t count = alone_.coefficients();
    for (size_t m = 0; m < predictors_.modes; ++m) {
        const int16_t* scales = m ? &predictors_.scales[(m - 1) * count] : alone_.statistics().scales.data();
        fill_levels(scales, count, steps, levels + m * steps.classes * count);
    }
}

std::vector<uint8_t> FrameModel::encode(const float* values, const CoefficientGrid& grid, const CoefficientSteps& steps,
                                        uint32_t* state, const CoefficientImage& image,
                                        const FrameReference& reference, uint8_t* modes,
                                        const uint8_t* refreshed) const {
    if (image.chosen) std::fill_n(image.chosen, grid.cells() * grid.coefficients, 0);
    ArithmeticEncoder encoder;
    std::vector<uint8_t> known(grid.coefficients * predictors_.modes * steps.classes);
    levels(steps, known.data());
    Chooser chooser(alone_, values, grid, steps, refreshed);
    code<Predicted>(encoder, {alone_, grid, steps, image, std::move(known), &predictors_, &reference, modes}, state,
                    chooser);
    return encoder.finish();
}

bool FrameModel::decode(const uint8_t* data, size_t bytes, const CoefficientGrid& grid, const CoefficientSteps& steps,
                        uint32_t* state, const CoefficientImage& image, const FrameReference& reference,
                        uint8_t* modes) const {
    ArithmeticDecoder decoder(data, bytes);
    std::vector<uint8_t> known(grid.coefficients * predictors_.modes * steps.classes);
    levels(steps, known.data());
    if (!image.known) std::fill_n(image.importance, grid.cells(), uint8_t{0});
    Reader reader;
    return code<Predicted>(decoder, {alone_, grid, steps, image, std::move(known), &predictors_, &reference, modes},
                           state, reader) &&
           decoder.finished();
}

}  // namespace midstream
