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

// From which size on pages are worth it.
constexpr size_t least_paged = 4096;

template <class T>
struct PageAllocator {
    using value_type = T;

    PageAllocator() = default;
    template <class U>
    PageAllocator(const PageAllocator<U>&) {}  // as containers ask for: allocators of all types are the same
    T* allocate(size_t count) {
        if (count * sizeof(T) < least_paged || count > static_cast<size_t>(-1) / sizeof(T)) return lines.allocate(count);
        return static_cast<T*>(take_pages(count * sizeof(T)));
    }
    void deallocate(T* memory, size_t count) {
        if (count * sizeof(T) < least_paged) return lines.deallocate(memory, count);
        give_pages(memory, count * sizeof(T));
    }
    template <class U>
    bool operator==(const PageAllocator<U>&) const {
        return true;
    }

   private:
    [[no_unique_address]] LineAllocator<T> lines;
};

// Numbers that are made once and read for every image, from a cache line on.
template <class T>
using Table = std::vector<T, PageAllocator<T>>;

}  // namespace midstream
