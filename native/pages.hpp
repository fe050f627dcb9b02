// Memory on pages of 2 MiB where the system offers them, of which many pieces share one. A core knows the addresses of few
// pages: between two images a network takes all it knows, and tables on small pages are then slower to find than to read.
#pragma once

#include <cstddef>
#include <vector>

#include "aligned.hpp"

namespace midstream {

// Whole pages, not cleared. Throws std::bad_alloc.
void* take_pages(size_t bytes);
void give_pages(void* memory, size_t bytes) noexcept;

// The same of what is large enough to be worth it, and lines for what is not.
struct SharedPages {
    static constexpr size_t least = 4096;
    static void* take(size_t bytes) { return bytes < least ? Lines::take(bytes) : take_pages(bytes); }
    static void give(void* memory, size_t bytes) {
        if (bytes < least)
            Lines::give(memory, bytes);
        else
            give_pages(memory, bytes);
    }
};

// Numbers that are made once and read for every image, from a cache line on.
template <class T>
using Table = std::vector<T, Allocator<T, SharedPages>>;

}  // namespace midstream
