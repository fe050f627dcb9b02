// The ends of a coder with an entropy model, and what its network is fitted to.
#include "entropy.hpp"

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "coefficients_chooser.hpp"
#include "entropy_coder.hpp"
#include "rans.hpp"
#include "second_stage.hpp"

namespace midstream::entropy {

namespace {

// With fewer cells a second state costs more than it gains.
constexpr size_t few_cells = 64;
size_t lanes_of(const CoefficientGrid& grid) { return grid.cells() < few_cells ? 1 : rans::most_lanes; }

// What an encoder makes of each value.
class Choosing {
   public:
    Choosing(const CoefficientModel& model, const float* values, const CoefficientGrid& grid, const CoefficientSteps& steps,
             const std::vector<uint8_t>& levels, const CoefficientImage& image)
        : choice_(model, steps, levels), values_(values), image_(image), coefficients_(grid.coefficients),
          predicted_(std::max(model.whole_neighbours().predicted(), image.outputs)) {}

    MIDSTREAM_INLINE bool choose(size_t cell, size_t importance, size_t from, const float* predicted, int32_t* out) const {
        const float* values = values_ + cell * coefficients_ + from;
        const uint8_t* parts = image_.parts;
        const size_t there = parts ? std::min(parts[cell] * SecondStage::part_width, coefficients_) : coefficients_;
        if (from >= there && from >= predicted_) return false;  // nothing, and nothing else expected
        const bool whole = from + band <= there;
        if (whole && from >= image_.outputs) return choice_.choose(importance, from, values, predicted + from, out);
        float left[band] = {};
        if (whole && from + band <= image_.outputs) {  // of so many the compiler knows how many there are
            const float* expected = image_.expected + cell * image_.outputs + from;
            for (size_t i = 0; i < band; ++i) left[i] = values[i] - expected[i];
        } else {
            if (from < there) std::copy_n(values, std::min(there - from, band), left);
            for (size_t k = from; k < std::min(image_.outputs, from + band); ++k)
                left[k - from] -= image_.expected[cell * image_.outputs + k];
        }
        return choice_.choose(importance, from, left, predicted + from, out);
    }

   private:
    Choice choice_;
    const float* values_;
    const CoefficientImage& image_;
    size_t coefficients_, predicted_;  // so many may be expected to be something
};
// What they became.
struct Chosen {
    const int32_t* chosen;
    size_t coefficients;

    bool choose(size_t cell, size_t, size_t from, const float*, int32_t* values) const {
        const int32_t* here = chosen + cell * coefficients;
        const size_t to = std::min(from + band, coefficients);
        std::copy(here + from, here + to, values);
        return std::any_of(here + from, here + to, [](int32_t value) { return value != 0; });
    }
};
struct Undecided {};

// Takes down what is coded of some bands.
class Recorder {
   public:
    static constexpr bool reads = false;
    Recorder(size_t every, size_t first) : every_(every), seen_(first), recorded_(first) {}

    static bool overrun() { return false; }
    template <class Row>
    static uint8_t importance(size_t, const Row&, uint8_t importance) {
        return importance;
    }
    size_t flags(const FlagRows&, const Expected::Class& expected, const Neighbours& near, size_t importance,
                 const Model& model, const uint8_t* flags) {
        Flags before;
        for (size_t b = 0; b < model.bands(); ++b) {
            if (++seen_ % every_ == 0) {
                std::array<int16_t, flag_inputs> inputs;
                before.inputs(expected, near, importance, b, inputs);
                out_.flag_inputs_of.insert(out_.flag_inputs_of.end(), inputs.begin(), inputs.end());
                out_.bands.push_back(static_cast<uint16_t>(b));
                out_.flags.push_back(flags[b]);
            }
            before.add(flags[b]);
        }
        return static_cast<size_t>(before.used);
    }
    bool values(const Model&, const BandSight& sight, size_t count, const int32_t* values) {
        if (++recorded_ % every_) return true;
        ValueInputs inputs;
        inputs_of_values(sight.expected, sight.near, sight.from, inputs);
        for (size_t i = 0; i < count; ++i) {
            for (const auto& input : inputs) out_.value_inputs_of.push_back(static_cast<int8_t>(input[i]));
            out_.value_inputs_of.insert(out_.value_inputs_of.end(), sight.of_band.begin(), sight.of_band.end());
            out_.coefficients.push_back(static_cast<uint16_t>(sight.from + i));
            out_.symbols.push_back(static_cast<uint8_t>(symbol_of(std::abs(values[i]))));
        }
        return true;
    }
    Record take() { return std::move(out_); }

   private:
    size_t every_, seen_, recorded_;  // flags, and bands that are not zero
    Record out_;
};

const Model& model_of(const CoefficientModel& coefficients) { return *coefficients.statistics().entropy; }

using Levels = std::vector<uint8_t>;
Levels levels_of(const CoefficientModel& coefficients, const CoefficientGrid& grid, const CoefficientSteps& steps) {
    Levels levels(grid.coefficients * steps.classes);
    coefficients.levels(steps, levels.data());
    return levels;
}

// All that there is to code of an image.
struct Task {
    const CoefficientModel& coefficients;
    const CoefficientGrid& grid;
    const CoefficientSteps& steps;
    const CoefficientImage& image;
    const Levels levels = levels_of(coefficients, grid, steps);
    const RowsDone& done;
};
template <class End, class Source>
MIDSTREAM_INLINE bool code_in(End& end, const Source& source, const Task& of) {
    return Coder<End, Source>(end, model_of(of.coefficients), of.coefficients, of.grid, of.steps, of.image, of.levels)
        .run(source, of.done);
}
template <class End, class Source>
bool code(End& end, const Source& source, const Task& task) {
    return code_in(end, source, task);
}
#ifdef MIDSTREAM_X86
template <class End, class Source>
MIDSTREAM_AVX2 bool code_avx2(End& end, const Source& source, const Task& task) {
    return code_in(end, source, task);
}
#endif
// Calls `work` with what the path in force has for a set, and what codes on it.
template <class Work>
auto with_path(const Task& task, const Work& work) {
    const auto usual = [&](auto& end, const auto& source) { return code(end, source, task); };
    switch (current_path()) {
        case Path::reference: return work(Plain{}, usual);
#ifdef MIDSTREAM_X86
        case Path::avx512:
        case Path::avx2: return work(Usual{}, [&](auto& end, const auto& source) { return code_avx2(end, source, task); });
#endif
        default: return work(Usual{}, usual);
    }
}

}  // namespace

std::vector<uint8_t> encode(const CoefficientModel& coefficients, const float* values, const CoefficientGrid& grid,
                            const CoefficientSteps& steps, const CoefficientImage& image) {
    const RowsDone none;
    const Task task{.coefficients = coefficients, .grid = grid, .steps = steps, .image = image, .done = none};
    const Choosing choosing(coefficients, values, grid, steps, task.levels, image);
    return with_path(task, [&](auto set, const auto& code) {
        Writer<decltype(set)> writer(lanes_of(grid));
        code(writer, choosing);
        return writer.finish();
    });
}

bool decode(const CoefficientModel& coefficients, const uint8_t* data, size_t bytes, const CoefficientGrid& grid,
            const CoefficientSteps& steps, const CoefficientImage& image, const RowsDone& done) {
    const Task task{.coefficients = coefficients, .grid = grid, .steps = steps, .image = image, .done = done};
    return with_path(task, [&](auto set, const auto& code) {
        Reader<decltype(set)> reader(data, bytes, lanes_of(grid));
        return code(reader, Undecided{}) && reader.finished();
    });
}

Record record(const CoefficientModel& coefficients, const int32_t* chosen, uint8_t* importance, const CoefficientGrid& grid,
              const CoefficientSteps& steps, size_t every, size_t first) {
    Recorder recorder(every, first);
    Chosen as_chosen{chosen, grid.coefficients};
    std::vector<float> decoded(grid.cells() * grid.coefficients);
    const CoefficientImage image{importance, true, nullptr, decoded.data(), nullptr};
    const RowsDone none;
    code(recorder, as_chosen, {.coefficients = coefficients, .grid = grid, .steps = steps, .image = image, .done = none});
    return recorder.take();
}

}  // namespace midstream::entropy
