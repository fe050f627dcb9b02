// Lengths of a complete prefix code, grown by splitting the code words that the bytes name.
#pragma once

#include "input.hpp"
#include "prefix.hpp"

namespace midstream::fuzz {

inline Bytes complete_lengths(size_t alphabet, const Bytes& bytes) {
    Bytes lengths{1, 1};
    while (lengths.size() < alphabet) {
        size_t split = bytes.empty() ? 0 : bytes[lengths.size() % bytes.size()] % lengths.size();
        while (lengths[split] == max_code_length) split = (split + 1) % lengths.size();
        lengths.push_back(++lengths[split]);
    }
    return lengths;
}

}  // namespace midstream::fuzz
