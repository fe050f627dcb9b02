#include "recycle.hpp"

#include <algorithm>
#include <bit>
#include <iterator>
#include <mutex>
#include <new>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace midstream {
namespace {

constexpr size_t huge_page = size_t{2} << 20;
constexpr size_t smallest_kept = size_t{1} << 16;  // the allocator reuses smaller ones itself
constexpr size_t most_kept = 64;

#if defined(__linux__)

// Sizes in steps of an eighth to a quarter, so that the next one is often the same, of whole pages.
size_t rounded(size_t bytes) {
    const size_t step = bytes < 4 * huge_page ? std::bit_floor(bytes) / 4 : huge_page;
    return (bytes + step - 1) / step * step;
}

struct Kept {
    void* memory;
    size_t bytes;
    Pages pages;
};
std::mutex guard;
std::vector<Kept> kept;

// On pages of 2 MiB where the system offers them: hundreds of faults instead of ten thousands.
void* map(size_t bytes, Pages pages) {
    const bool huge = pages == Pages::huge && bytes >= huge_page;
    auto* raw = static_cast<char*>(
        mmap(nullptr, bytes + (huge ? huge_page : 0), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (raw == MAP_FAILED) throw std::bad_alloc();
    if (!huge) return raw;
    const size_t before = (huge_page - reinterpret_cast<size_t>(raw) % huge_page) % huge_page;
    if (before > 0) munmap(raw, before);
    if (before < huge_page) munmap(raw + before + bytes, huge_page - before);
    madvise(raw + before, bytes, MADV_HUGEPAGE);
    return raw + before;
}

void* reuse(size_t bytes, Pages pages) {
    const std::lock_guard lock(guard);
    const auto same = std::find_if(kept.rbegin(), kept.rend(),
                                   [&](const Kept& k) { return k.bytes == bytes && k.pages == pages; });
    if (same == kept.rend()) return nullptr;
    void* memory = same->memory;
    kept.erase(std::next(same).base());
    return memory;
}

#endif

}  // namespace

void* take_memory(size_t bytes, [[maybe_unused]] Pages pages) {
#if defined(__linux__)
    if (bytes >= smallest_kept) {
        void* memory = reuse(rounded(bytes), pages);
        return memory != nullptr ? memory : map(rounded(bytes), pages);
    }
#endif
    return ::operator new(std::max<size_t>(bytes, 1));
}

void give_memory(void* memory, [[maybe_unused]] size_t bytes, [[maybe_unused]] Pages pages) noexcept {
#if defined(__linux__)
    if (bytes >= smallest_kept) {
        bytes = rounded(bytes);
        // The system may take these pages whenever it is short of memory.
        madvise(memory, bytes, MADV_FREE);
        Kept oldest{memory, bytes, pages};
        try {
            const std::lock_guard lock(guard);
            kept.push_back(oldest);
            if (kept.size() <= most_kept) return;
            oldest = kept.front();
            kept.erase(kept.begin());
        } catch (...) {  // no memory to remember it by
        }
        munmap(oldest.memory, oldest.bytes);
        return;
    }
#endif
    ::operator delete(memory);
}

}  // namespace midstream
