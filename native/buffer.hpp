// Large buffers that are used again. The kernel clears every fresh page, which takes as long as decoding into it: a
// process that codes one pyramid after the other need not pay for that each time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

namespace midstream {

// Huge pages are quick to get and to address; small ones leave alone what is never touched.
enum class Pages { huge, small };

void* take_memory(size_t bytes, Pages pages);
void give_memory(void* memory, size_t bytes, Pages pages) noexcept;

template <typename T>
struct GiveBack {
    size_t count = 0;
    Pages pages = Pages::huge;
    void operator()(T* data) const noexcept { give_memory(data, count * sizeof(T), pages); }
};

// Uninitialised, of numbers only.
template <typename T>
using Buffer = std::unique_ptr<T[], GiveBack<T>>;

template <typename T>
Buffer<T> buffer(size_t count, Pages pages = Pages::huge) {
    if (count > SIZE_MAX / 4 / sizeof(T)) throw std::bad_alloc();
    return Buffer<T>(static_cast<T*>(take_memory(count * sizeof(T), pages)), GiveBack<T>{count, pages});
}

}  // namespace midstream
