// Numbers that vectors are loaded from: where they begin at a cache line, none of a line's length lies in two of them.
#pragma once

#include <cstddef>
#include <new>
#include <vector>

namespace midstream {

constexpr size_t cache_line = 64;

// Memory from the start of a line on. Throws std::bad_alloc.
struct Lines {
    static void* take(size_t bytes) { return ::operator new(bytes, std::align_val_t{cache_line}); }
    static void give(void* memory, size_t) { ::operator delete(memory, std::align_val_t{cache_line}); }
};

template <class T, class From>
struct Allocator {
    using value_type = T;

    Allocator() = default;
    template <class U>
    Allocator(const Allocator<U, From>&) {}  // as containers ask for: allocators of all types are the same
    T* allocate(size_t count) {
        if (count > static_cast<size_t>(-1) / sizeof(T)) throw std::bad_array_new_length();
        return static_cast<T*>(From::take(count * sizeof(T)));
    }
    void deallocate(T* memory, size_t count) { From::give(memory, count * sizeof(T)); }
    template <class U>
    bool operator==(const Allocator<U, From>&) const {
        return true;
    }
};

template <class T>
using AlignedVector = std::vector<T, Allocator<T, Lines>>;

}  // namespace midstream
