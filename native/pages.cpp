#include "pages.hpp"

#include <atomic>
#include <mutex>
#include <new>

// A sanitizer guards what the allocator gives, not pages of our own.
#if defined(__linux__) && !defined(MIDSTREAM_SANITIZE)
#define MIDSTREAM_HUGE_PAGES 1
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace midstream {

#ifdef MIDSTREAM_HUGE_PAGES
namespace {

constexpr size_t huge_page = size_t{2} << 20;
// 4 KiB, or 16 or 64 on some machines: what is given back must not reach into a page of somebody else's.
const size_t small_page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
constexpr size_t slab_bytes = 4 * huge_page;  // of address space: pages that nobody has touched take no memory

// Begins where its address is a multiple of its size, so that its pieces find it.
struct Slab {
    std::atomic<size_t> users;  // pieces, and one where more are taken from it
    size_t end;                 // of the last piece; the first one begins at the second page
};

size_t whole_pages(size_t bytes, size_t page) { return (bytes + page - 1) / page * page; }

// From an address that is a multiple of `alignment`.
void* map(size_t bytes, size_t alignment) {
    auto* raw = static_cast<char*>(
        mmap(nullptr, bytes + alignment, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (raw == MAP_FAILED) throw std::bad_alloc();
    const size_t before = (alignment - reinterpret_cast<size_t>(raw) % alignment) % alignment;
    if (before > 0) munmap(raw, before);
    if (before < alignment) munmap(raw + before + bytes, alignment - before);
    madvise(raw + before, bytes, MADV_HUGEPAGE);
    return raw + before;
}

void release(Slab* slab) noexcept {
    if (slab->users.fetch_sub(1) == 1) munmap(slab, slab_bytes);
}

// Never destroyed: arrays may outlive everything else in a process.
struct Shared {
    std::mutex guard;  // only ever tried: a process that was forked while another thread held it must not wait for ever
    Slab* slab = nullptr;
};
Shared& shared = *new Shared;

void* piece(Slab* slab, size_t bytes) {
    slab->users.fetch_add(1);
    void* memory = reinterpret_cast<char*>(slab) + slab->end;
    slab->end += bytes;
    return memory;
}

}  // namespace

void* take_pages(size_t bytes) {
    if (bytes >= huge_page) return map(whole_pages(bytes, huge_page), huge_page);
    bytes = whole_pages(bytes, small_page);
    const std::unique_lock lock(shared.guard, std::try_to_lock);
    if (lock && shared.slab && shared.slab->end + bytes <= slab_bytes) return piece(shared.slab, bytes);
    auto* fresh = new (map(slab_bytes, slab_bytes)) Slab{0, small_page};
    void* memory = piece(fresh, bytes);
    if (lock) {
        if (shared.slab) release(shared.slab);
        fresh->users.fetch_add(1);
        shared.slab = fresh;
    }
    return memory;
}

void give_pages(void* memory, size_t bytes) noexcept {
    if (bytes >= huge_page) {
        munmap(memory, whole_pages(bytes, huge_page));
        return;
    }
    // What is left of the slab may be in use for long.
    madvise(memory, whole_pages(bytes, small_page), MADV_DONTNEED);
    release(reinterpret_cast<Slab*>(reinterpret_cast<size_t>(memory) / slab_bytes * slab_bytes));
}
#else
void* take_pages(size_t bytes) { return ::operator new(bytes, std::align_val_t{cache_line}); }
void give_pages(void* memory, size_t) noexcept { ::operator delete(memory, std::align_val_t{cache_line}); }
#endif

}  // namespace midstream
