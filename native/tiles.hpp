// Products of many rows with a matrix of whole numbers of 16 bits by the matrix unit of some x86 processors (AMX), four to
// five times as fast as pairs.hpp and just as exact: bytes by bytes, of which numbers are made again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "buffer.hpp"
#include "pages.hpp"
#include "pairs.hpp"

namespace midstream {

constexpr size_t tile_rows = 16;    // that are taken together
constexpr size_t tile_inputs = 64;  // that are taken in a step

// Whether this machine and its system have the unit; and whether it is of the path in force, too, which is AVX-512.
bool machine_has_tiles();
bool use_tiles();

// Rows of numbers in bytes, a block of up to `tile_rows` after the other: of each step, high and low, [tile_rows,
// tile_inputs] each. Steps that are all zero are left out. As long as it lives, it holds the unit for its thread.
class TileRows {
   public:
    TileRows(size_t rows, size_t inputs);
    ~TileRows();
    TileRows(const TileRows&) = delete;
    TileRows& operator=(const TileRows&) = delete;
    // Rows of a block, so many numbers of each; those that are missing are zero.
    void pack(size_t block, const int16_t* const* rows, size_t count, size_t inputs);

   private:
    friend class TileMatrix;
    struct Steps {
        std::vector<uint32_t> numbers;
        uint8_t* bytes;
    };
    Buffer<uint8_t> bytes_;
    std::vector<Steps> blocks_;
};

// Never changes: any number of threads may use it at once.
class TileMatrix {
   public:
    TileMatrix() = default;
    // Of `panels` [count, pairs, pair_lanes, 2], see pairs.hpp; nothing on a machine without tiles.
    TileMatrix(const int16_t* panels, size_t count, size_t pairs);
    // sums[row][lane], modulo 2^32, of a block of rows and a panel, [tile_rows, pair_lanes].
    void multiply(const TileRows& rows, size_t block, size_t panel, int32_t* sums) const;

   private:
    size_t steps_ = 0;
    Table<uint8_t> bytes_;  // [panels, pair_lanes / 16, steps]: high and low, [inputs / 4, 16 lanes, 4]
};

}  // namespace midstream
