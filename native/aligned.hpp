// Numbers that vectors are loaded from: where they begin at a cache line, none of a line's length lies in two of them.
#pragma once

#include <cstddef>
#include <new>
#include <vector>

namespace midstream {

constexpr size_t cache_line = 64;

template <class T>
struct LineAllocator {
    using value_type = T;

    LineAllocator() = default;
    template <class U>
    LineAllocator(const LineAllocator<U>&) {}  // as containers ask for: allocators of all types are the same
    T* allocate(size_t count) {
        if (count > static_cast<size_t>(-1) / sizeof(T)) throw std::bad_array_new_length();
        return static_cast<T*>(::operator new(count * sizeof(T), std::align_val_t{cache_line}));
    }
    void deallocate(T* memory, size_t) { ::operator delete(memory, std::align_val_t{cache_line}); }
    template <class U>
    bool operator==(const LineAllocator<U>&) const {
        return true;
    }
};

template <class T>
using AlignedVector = std::vector<T, LineAllocator<T>>;

}  // namespace midstream
