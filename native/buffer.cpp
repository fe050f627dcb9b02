#include "buffer.hpp"

#include <algorithm>
#include <bit>
#include <mutex>
#include <new>
#include <vector>

#include "pages.hpp"

// A sanitizer guards what the allocator gives, not pages of our own.
#if defined(__linux__) && !defined(MIDSTREAM_SANITIZE)
#define MIDSTREAM_RECYCLE 1
#include <sys/mman.h>
#endif

namespace midstream {

#ifdef MIDSTREAM_RECYCLE
namespace {

constexpr size_t huge_page = size_t{2} << 20;
constexpr size_t smallest_kept = size_t{1} << 16;  // the allocator reuses smaller ones itself
constexpr size_t most_kept = 64, most_bytes_kept = size_t{1} << 30;
constexpr size_t most_held = size_t{16} << 20;  // bytes that are kept and not offered to the system, which takes time

struct Kept {
    void* memory;
    size_t bytes;
    Pages pages;
    bool offered = false;  // whether the system may take these pages whenever it is short of memory
};

// The buffers that nobody uses, oldest first. Never destroyed: arrays may outlive everything else in a process.
struct Store {
    std::mutex guard;  // only ever tried: a process that was forked while another thread held it must not wait for ever
    std::vector<Kept> kept;
    size_t bytes = 0, held = 0;

    Store() { kept.reserve(most_kept); }

    Kept remove(std::vector<Kept>::iterator at) {
        const Kept one = *at;
        bytes -= one.bytes;
        if (!one.offered) held -= one.bytes;
        kept.erase(at);
        return one;
    }
};
Store& store = *new Store;

// Sizes in steps of an eighth to a quarter, so that the next one is often the same, of whole pages.
size_t rounded(size_t bytes) {
    const size_t step = bytes < 4 * huge_page ? std::bit_floor(bytes) / 4 : huge_page;
    return (bytes + step - 1) / step * step;
}

// Huge pages take hundreds of faults instead of ten thousands.
void* map(size_t bytes, Pages pages) {
    if (pages == Pages::huge) return take_pages(bytes);
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    return memory;
}
void unmap(const Kept& one) noexcept {
    if (one.pages == Pages::huge)
        give_pages(one.memory, one.bytes);
    else
        munmap(one.memory, one.bytes);
}

void* reuse(size_t bytes, Pages pages) {
    const std::unique_lock lock(store.guard, std::try_to_lock);
    if (!lock) return nullptr;
    for (auto at = store.kept.end(); at != store.kept.begin();)
        if ((--at)->bytes == bytes && at->pages == pages) return store.remove(at).memory;
    return nullptr;
}

// Keeps a buffer, offers the system or gives back to it what is then too much.
void keep(const Kept& one) noexcept {
    const std::unique_lock lock(store.guard, std::try_to_lock);
    if (!lock || store.kept.size() == most_kept) {
        unmap(one);
        return;
    }
    store.kept.push_back(one);
    store.bytes += one.bytes, store.held += one.bytes;
    for (auto at = store.kept.begin(); store.held > most_held;) {
        if (!at->offered) {
            if (madvise(at->memory, at->bytes, MADV_FREE) != 0) {
                unmap(store.remove(at));
                at = store.kept.begin();
                continue;
            }
            at->offered = true, store.held -= at->bytes;
        }
        ++at;
    }
    while (store.bytes > most_bytes_kept) unmap(store.remove(store.kept.begin()));
}

}  // namespace
#endif

void* take_memory(size_t bytes, [[maybe_unused]] Pages pages) {
#ifdef MIDSTREAM_RECYCLE
    if (bytes >= smallest_kept) {
        void* memory = reuse(rounded(bytes), pages);
        return memory != nullptr ? memory : map(rounded(bytes), pages);
    }
#endif
    return ::operator new(std::max<size_t>(bytes, 1));
}

void give_memory(void* memory, [[maybe_unused]] size_t bytes, [[maybe_unused]] Pages pages) noexcept {
#ifdef MIDSTREAM_RECYCLE
    if (bytes >= smallest_kept) return keep({memory, rounded(bytes), pages});
#endif
    ::operator delete(memory);
}

}  // namespace midstream
