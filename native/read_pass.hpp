#pragma once

#include <cstddef>

namespace midstream {

// Reads all elements once and adds most of them up: what speeds of memory are measured by.
float read_pass(const float* x, size_t count);

}  // namespace midstream
