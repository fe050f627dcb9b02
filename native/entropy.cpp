// The ends of a coder with an entropy model, and what its network is fitted to.
#include "entropy.hpp"

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "coefficients_chooser.hpp"
#include "entropy_coder.hpp"
#include "rans.hpp"

namespace midstream::entropy {

namespace {

// With fewer cells a second state costs more than it gains.
constexpr size_t few_cells = 64;
size_t lanes_of(const CoefficientGrid& grid) { return grid.cells() < few_cells ? 1 : rans::most_lanes; }

struct Writer : rans::Encoder {
    using rans::Encoder::Encoder;
    static constexpr bool records = false;
};
struct Reader : rans::Decoder {
    using rans::Decoder::Decoder;
    static constexpr bool records = false;
};

// What an encoder makes of each value.
struct Choosing {
    static constexpr bool decides = true;
    coefficients::Chooser chooser;
    size_t coefficients;

    MIDSTREAM_INLINE uint8_t choose(size_t cell, size_t importance, const uint8_t* levels, size_t from,
                                    const float* predicted, int32_t* values) {
        const size_t to = std::min(from + band, coefficients);
        if (!chooser.uses(cell, importance, levels, from, to, predicted)) return 0;
        for (size_t k = from; k < to; ++k) values[k - from] = chooser.value(levels[k], k - from);
        return 1;
    }
};
// What they became.
struct Chosen {
    static constexpr bool decides = true;
    const int32_t* chosen;
    size_t coefficients;

    uint8_t choose(size_t cell, size_t, const uint8_t*, size_t from, const float*, int32_t* values) const {
        const int32_t* here = chosen + cell * coefficients;
        const size_t to = std::min(from + band, coefficients);
        std::copy(here + from, here + to, values);
        return std::any_of(here + from, here + to, [](int32_t value) { return value != 0; });
    }
};
struct Undecided {
    static constexpr bool decides = false;
};

// Takes down what is coded of some bands.
class Recorder {
   public:
    static constexpr bool records = true;
    Recorder(size_t every, size_t first) : every_(every), seen_(first), recorded_(first) {}

    static bool overrun() { return false; }
    template <class Row>
    static void code(size_t, const Row&, uint32_t&) {}
    static void bits(size_t, int, uint32_t&) {}
    void record_flag(size_t b, const std::array<int16_t, flag_inputs>& inputs, uint32_t flag) {
        if (++seen_ % every_) return;
        out_.flag_inputs_of.insert(out_.flag_inputs_of.end(), inputs.begin(), inputs.end());
        out_.bands.push_back(static_cast<uint16_t>(b));
        out_.flags.push_back(static_cast<uint8_t>(flag));
    }
    void record_band(size_t from, size_t count, const ValueInputs& inputs, const std::array<int16_t, band_inputs>& of_band,
                     const int32_t* values) {
        if (++recorded_ % every_) return;
        for (size_t i = 0; i < count; ++i) {
            for (const auto& input : inputs) out_.value_inputs_of.push_back(static_cast<int8_t>(input[i]));
            out_.value_inputs_of.insert(out_.value_inputs_of.end(), of_band.begin(), of_band.end());
            out_.coefficients.push_back(static_cast<uint16_t>(from + i));
            out_.symbols.push_back(static_cast<uint8_t>(symbol_of(std::abs(values[i]))));
        }
    }
    Record take() { return std::move(out_); }

   private:
    size_t every_, seen_, recorded_;  // flags, and bands that are not zero
    Record out_;
};

const Model& model_of(const CoefficientModel& coefficients) { return *coefficients.statistics().entropy; }

template <class End, class Chooser>
MIDSTREAM_INLINE bool code_with(End& end, Chooser& chooser, const CoefficientModel& coefficients,
                                const CoefficientGrid& grid, const CoefficientSteps& steps, const CoefficientImage& image,
                                const std::vector<uint8_t>& levels, const RowsDone& done) {
    return Coder<End, Chooser>(end, model_of(coefficients), coefficients, grid, steps, image, levels).run(chooser, done);
}
#ifdef MIDSTREAM_X86
template <class End, class Chooser>
MIDSTREAM_AVX2 bool code_avx2(End& end, Chooser& chooser, const CoefficientModel& coefficients,
                              const CoefficientGrid& grid, const CoefficientSteps& steps, const CoefficientImage& image,
                              const std::vector<uint8_t>& levels, const RowsDone& done) {
    return code_with(end, chooser, coefficients, grid, steps, image, levels, done);
}
#endif
template <class End, class Chooser>
bool code(End& end, Chooser& chooser, const CoefficientModel& coefficients, const CoefficientGrid& grid,
          const CoefficientSteps& steps, const CoefficientImage& image, const RowsDone& done = {}) {
    std::vector<uint8_t> levels(grid.coefficients * steps.classes);
    coefficients.levels(steps, levels.data());
#ifdef MIDSTREAM_X86
    if (current_path() == Path::avx2 || current_path() == Path::avx512)
        return code_avx2(end, chooser, coefficients, grid, steps, image, levels, done);
#endif
    return code_with(end, chooser, coefficients, grid, steps, image, levels, done);
}

}  // namespace

std::vector<uint8_t> encode(const CoefficientModel& coefficients, const float* values, const CoefficientGrid& grid,
                            const CoefficientSteps& steps, const CoefficientImage& image) {
    Writer writer(lanes_of(grid));
    Choosing choosing{coefficients::Chooser(coefficients, values, grid, steps), grid.coefficients};
    code(writer, choosing, coefficients, grid, steps, image);
    return writer.finish();
}

bool decode(const CoefficientModel& coefficients, const uint8_t* data, size_t bytes, const CoefficientGrid& grid,
            const CoefficientSteps& steps, const CoefficientImage& image, const RowsDone& done) {
    Reader reader(data, bytes, lanes_of(grid));
    Undecided undecided;
    return code(reader, undecided, coefficients, grid, steps, image, done) && reader.finished();
}

Record record(const CoefficientModel& coefficients, const int32_t* chosen, uint8_t* importance, const CoefficientGrid& grid,
              const CoefficientSteps& steps, size_t every, size_t first) {
    Recorder recorder(every, first);
    Chosen as_chosen{chosen, grid.coefficients};
    std::vector<float> decoded(grid.cells() * grid.coefficients);
    code(recorder, as_chosen, coefficients, grid, steps, {importance, true, nullptr, decoded.data(), nullptr});
    return recorder.take();
}

}  // namespace midstream::entropy
