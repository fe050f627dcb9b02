#include "tiles.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "dispatch.hpp"

#if defined(MIDSTREAM_X86) && defined(__linux__)
#define MIDSTREAM_AMX __attribute__((target("amx-tile,amx-int8,avx512f,avx512bw,avx512vl")))
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wuninitialized"  // GCC 12 takes the undefined parts of its own intrinsics for a mistake
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#endif

namespace midstream {
namespace {

constexpr size_t tile_bytes = tile_rows * tile_inputs, tile_lanes = 16;
constexpr size_t lane_tiles = pair_lanes / tile_lanes;
constexpr size_t together = 8;  // steps, of which those of the rows stay in the first cache for all lanes of a panel

size_t steps_of(size_t inputs) { return (inputs + tile_inputs - 1) / tile_inputs; }

#ifdef MIDSTREAM_AMX
// The unit is there, and the system saves its registers for this process: it has to be asked for that.
bool find_tiles() {
    unsigned eax, ebx, ecx, edx;
    if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return false;
    constexpr unsigned tiles = 1u << 24, of_bytes = 1u << 25;
    constexpr long ask_for_permission = 0x1023, tile_data = 18;
    return (edx & tiles) && (edx & of_bytes) && syscall(SYS_arch_prctl, ask_for_permission, tile_data) == 0;
}

struct Shapes {
    uint8_t palette = 1, start = 0, reserved[14] = {};
    uint16_t columns[16] = {};
    uint8_t rows[16] = {};
    Shapes() {
        for (size_t tile = 0; tile < 8; ++tile) columns[tile] = tile_inputs, rows[tile] = tile_rows;
    }
};

// What tiles 0 to 3 hold: the products of high bytes, of high ones and low ones, of low ones and high ones, of low ones.
MIDSTREAM_AMX void put_together(int32_t (*parts)[tile_rows][tile_lanes], int32_t* sums) {
    for (size_t n = 0; n < tile_rows; ++n) {
        const __m512i high = _mm512_load_si512(parts[0][n]), low = _mm512_load_si512(parts[3][n]);
        const __m512i middle = _mm512_add_epi32(_mm512_load_si512(parts[1][n]), _mm512_load_si512(parts[2][n]));
        const __m512i upper = _mm512_add_epi32(_mm512_slli_epi32(high, 16), _mm512_slli_epi32(middle, 8));
        _mm512_storeu_si512(sums + n * pair_lanes, _mm512_add_epi32(upper, low));
    }
}

MIDSTREAM_AMX void hold_tiles() {
    alignas(64) const Shapes shapes;
    std::atomic_signal_fence(std::memory_order_seq_cst);  // the compiler does not know what is loaded
    _tile_loadconfig(&shapes);
}
MIDSTREAM_AMX void release_tiles() { _tile_release(); }

MIDSTREAM_AMX void multiply_tiles(const uint8_t* rows, const uint32_t* steps, size_t count, const uint8_t* matrix,
                                  size_t all_steps, int32_t* sums) {
    alignas(64) int32_t parts[lane_tiles][4][tile_rows][tile_lanes];
    std::atomic_signal_fence(std::memory_order_seq_cst);
    for (size_t first = 0; first < count; first += together) {
        const size_t last = std::min(first + together, count);
        for (size_t t = 0; t < lane_tiles; ++t) {
            int32_t(*own)[tile_rows][tile_lanes] = parts[t];
            if (first == 0) {
                _tile_zero(0);
                _tile_zero(1);
                _tile_zero(2);
                _tile_zero(3);
            } else {
                _tile_loadd(0, own[0], tile_inputs);
                _tile_loadd(1, own[1], tile_inputs);
                _tile_loadd(2, own[2], tile_inputs);
                _tile_loadd(3, own[3], tile_inputs);
            }
            for (size_t s = first; s < last; ++s) {
                const uint8_t *a = rows + s * 2 * tile_bytes, *b = matrix + (t * all_steps + steps[s]) * 2 * tile_bytes;
                _tile_loadd(4, a, tile_inputs);
                _tile_loadd(5, a + tile_bytes, tile_inputs);
                _tile_loadd(6, b, tile_inputs);
                _tile_loadd(7, b + tile_bytes, tile_inputs);
                _tile_dpbssd(0, 4, 6);
                _tile_dpbsud(1, 4, 7);
                _tile_dpbusd(2, 5, 6);
                _tile_dpbuud(3, 5, 7);
            }
            _tile_stored(0, own[0], tile_inputs);
            _tile_stored(1, own[1], tile_inputs);
            _tile_stored(2, own[2], tile_inputs);
            _tile_stored(3, own[3], tile_inputs);
            std::atomic_signal_fence(std::memory_order_seq_cst);
            if (last == count) put_together(own, sums + t * tile_lanes);
        }
    }
}

// A step of a row in bytes, high and low. Whether any is not zero.
MIDSTREAM_AMX bool pack_step(const int16_t* from, size_t there, uint8_t* high, uint8_t* low) {
    bool any = false;
    for (size_t half = 0; half < tile_inputs; half += 32) {
        const size_t left = there > half ? std::min<size_t>(there - half, 32) : 0;
        const auto mask = static_cast<__mmask32>((uint64_t{1} << left) - 1);
        const __m512i numbers = left ? _mm512_maskz_loadu_epi16(mask, from + half) : _mm512_setzero_si512();
        any |= _mm512_test_epi32_mask(numbers, numbers) != 0;
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(high + half), _mm512_cvtepi16_epi8(_mm512_srli_epi16(numbers, 8)));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(low + half), _mm512_cvtepi16_epi8(numbers));
    }
    return any;
}
#else
bool find_tiles() { return false; }
void hold_tiles() {}
void release_tiles() {}
void multiply_tiles(const uint8_t*, const uint32_t*, size_t, const uint8_t*, size_t, int32_t*) {}
bool pack_step(const int16_t*, size_t, uint8_t*, uint8_t*) { return false; }
#endif

}  // namespace

bool machine_has_tiles() {
    static const bool found = find_tiles();
    return found;
}
bool use_tiles() { return current_path() == Path::avx512 && machine_has_tiles(); }

TileRows::TileRows(size_t rows, size_t inputs) {
    const size_t blocks = (rows + tile_rows - 1) / tile_rows, bytes = steps_of(inputs) * 2 * tile_bytes;
    bytes_ = buffer<uint8_t>(blocks * bytes + cache_line);
    uint8_t* at = bytes_.get() + (cache_line - reinterpret_cast<uintptr_t>(bytes_.get()) % cache_line) % cache_line;
    for (size_t block = 0; block < blocks; ++block, at += bytes) blocks_.push_back({{}, at});
    hold_tiles();
}
TileRows::~TileRows() { release_tiles(); }

void TileRows::pack(size_t block, const int16_t* const* rows, size_t count, size_t inputs) {
    Steps& steps = blocks_[block];
    steps.numbers.clear();
    for (size_t step = 0; step < steps_of(inputs); ++step) {
        uint8_t* out = steps.bytes + steps.numbers.size() * 2 * tile_bytes;
        const size_t at = step * tile_inputs;
        bool any = false;
        for (size_t n = 0; n < count; ++n, out += tile_inputs)
            any |= pack_step(rows[n] + at, inputs - at, out, out + tile_bytes);
        for (size_t n = count; n < tile_rows; ++n, out += tile_inputs)
            std::memset(out, 0, tile_inputs), std::memset(out + tile_bytes, 0, tile_inputs);
        if (any) steps.numbers.push_back(static_cast<uint32_t>(step));
    }
}

TileMatrix::TileMatrix(const int16_t* panels, size_t count, size_t pairs) {
    if (!machine_has_tiles()) return;
    steps_ = steps_of(2 * pairs);
    bytes_.assign(count * lane_tiles * steps_ * 2 * tile_bytes, 0);
    for (size_t panel = 0; panel < count; ++panel)
        for (size_t i = 0; i < 2 * pairs; ++i)
            for (size_t lane = 0; lane < pair_lanes; ++lane) {
                const int16_t number = panels[((panel * pairs + i / 2) * pair_lanes + lane) * 2 + i % 2];
                const size_t tile = (panel * lane_tiles + lane / tile_lanes) * steps_ + i / tile_inputs;
                const size_t within = (i % tile_inputs / 4 * tile_lanes + lane % tile_lanes) * 4 + i % 4;
                bytes_[2 * tile * tile_bytes + within] = static_cast<uint8_t>(number >> 8);
                bytes_[(2 * tile + 1) * tile_bytes + within] = static_cast<uint8_t>(number);
            }
}

void TileMatrix::multiply(const TileRows& rows, size_t block, size_t panel, int32_t* sums) const {
    const auto& [steps, bytes] = rows.blocks_[block];
    if (steps.empty()) return static_cast<void>(std::fill_n(sums, tile_rows * pair_lanes, 0));
    const uint8_t* matrix = bytes_.data() + panel * lane_tiles * steps_ * 2 * tile_bytes;
    multiply_tiles(bytes, steps.data(), steps.size(), matrix, steps_, sums);
}

}  // namespace midstream
