// Random bytes are hardly ever a stream that decodes to its end. One input of eight is therefore replaced by what the
// encoder makes of it; libFuzzer goes on from there, with damage to streams that are right but for a few bits.
#include <cstring>

#include "input.hpp"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
    size = LLVMFuzzerMutate(data, size, max_size);
    if (seed % 8 != 0) return size;
    const midstream::fuzz::Bytes valid = midstream::fuzz::encoded({data, size});
    if (valid.empty() || valid.size() > max_size) return size;
    std::memcpy(data, valid.data(), valid.size());
    return valid.size();
}
