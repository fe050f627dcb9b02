// The coder of coefficients: whatever it is given, decoding ends, stays within its buffers and comes out the same on all
// paths; and what the encoder writes decodes to what it says is decoded.
#include "coefficient_case.hpp"

namespace midstream::fuzz {
namespace {

constexpr unsigned kinds = 4, kind_encode = 0;  // of the first byte: what is done with the others

struct Decoded {
    bool valid;
    Bytes importance;
    std::vector<int32_t> chosen;
    std::vector<float> values;

    Bytes bytes() const {
        Bytes out{valid};
        if (!valid) return out;
        out.insert(out.end(), importance.begin(), importance.end());
        append(out, chosen), append(out, values);
        return out;
    }
};

std::vector<uint32_t> fresh_state() {
    std::vector<uint32_t> state(coefficient_state_size());
    coefficient_state_reset(state.data());
    return state;
}

Decoded decode(const CoefficientCase& one, const Bytes& stream) {
    Decoded out{false, Bytes(one.grid.cells()), std::vector<int32_t>(one.count()), std::vector<float>(one.count())};
    auto state = fresh_state();
    out.valid = one.model.decode(stream.data(), stream.size(), one.grid, one.classes(), state.data(),
                                 {out.importance.data(), false, out.chosen.data(), out.values.data(), nullptr});
    return out;
}

Decoded on_all_paths(const CoefficientCase& one, const Bytes& stream) {
    set_path("reference");
    const Decoded out = decode(one, stream);
    for (const std::string& path : fastest_path()) {
        set_path(path);
        check(decode(one, stream).bytes() == out.bytes(), "the paths decode differently");
    }
    return out;
}

void encode_bytes(const CoefficientCase& one, const Bytes& bytes) {
    std::vector<float> values(one.count());
    for (size_t i = 0; i < values.size(); ++i)
        values[i] = bytes.empty() ? 0 : 0.05f * static_cast<float>(bytes[i % bytes.size()] - 128);
    Decoded said{true, Bytes(one.grid.cells()), std::vector<int32_t>(one.count()), std::vector<float>(one.count())};
    for (size_t i = 0; i < said.importance.size(); ++i)
        said.importance[i] = static_cast<uint8_t>((bytes.empty() ? 0 : bytes[i % bytes.size()]) % one.steps.size());
    auto state = fresh_state();
    const CoefficientImage image{said.importance.data(), false, said.chosen.data(), said.values.data(), nullptr};
    const Bytes stream =
        one.model.encode(values.data(), one.grid, one.classes(), state.data(), image);
    check(on_all_paths(one, stream).bytes() == said.bytes(), "a stream does not decode to what its encoder says");
}

}  // namespace
}  // namespace midstream::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace midstream::fuzz;
    Input input(data, size);
    const bool encode = input.byte() % kinds == kind_encode;
    const CoefficientCase one(input);
    if (encode)
        encode_bytes(one, input.rest());
    else
        on_all_paths(one, input.rest());
    return 0;
}
