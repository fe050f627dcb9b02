// Elements of a level as lanes, cell by cell: what an encoder's first stage takes at a time.
#pragma once

#include <algorithm>
#include <cstddef>
#include <type_traits>

#include "dispatch.hpp"
#include "pairs.hpp"
#include "stages.hpp"

namespace midstream {

// Whole cells or, of cells that are larger than all lanes, some elements of a single one.
struct CellLanes {
    static constexpr size_t most = pair_lanes;
    // Cells that lie side by side, all of them within the level.
    struct Row {
        size_t lane, cells, at;
    };

    size_t cells, begin, elements;  // how many; of each cell, the first element and how many
    size_t at[most];                // where the lanes lie in a channel, those beyond its borders at the nearest place
    Row rows[most];
    size_t count;  // of rows; 0 where cells reach beyond the level

    size_t used() const { return cells * elements; }

    // How many cells are taken together.
    static size_t together(size_t ratio) { return std::max<size_t>(most / (ratio * ratio), 1); }

    // `now` cells of a block from number `first` on, of which the elements from `from` on.
    void set(const LevelGrid& level, const CellBlock& block, size_t first, size_t now, size_t from) {
        const size_t ratio = level.ratio, columns = block.columns();
        cells = now, begin = from, elements = std::min(ratio * ratio - from, most), count = 0;
        bool inside = elements == ratio * ratio;
        size_t column = first % columns, top = (block.top + first / columns) * ratio;
        for (size_t i = 0; i < now; ++i) {
            const size_t left = (block.left + column) * ratio;
            inside &= top + ratio <= level.height && left + ratio <= level.width;
            if (column == 0 || i == 0) rows[count++] = {i * elements, 0, top * level.width + left};
            ++rows[count - 1].cells;
            if (++column == columns) column = 0, top += ratio;
        }
        if (inside) return;
        count = 0;
        for (size_t lane = 0; lane < used(); ++lane) {
            const size_t cell = first + lane / elements, e = begin + lane % elements;
            const size_t y = (block.top + cell / columns) * ratio + e / ratio;
            const size_t x = (block.left + cell % columns) * ratio + e % ratio;
            at[lane] = std::min(y, level.height - 1) * level.width + std::min(x, level.width - 1);
        }
    }
};

// Calls `work` with the ratio, as a constant where it is a usual one.
template <size_t number>
struct Ratio {
    constexpr operator size_t() const { return number; }
};
template <class Work>
MIDSTREAM_INLINE void with_ratio(size_t ratio, const Work& work) {
    switch (ratio) {
        case 1: return work(Ratio<1>{});
        case 2: return work(Ratio<2>{});
        case 4: return work(Ratio<4>{});
        default: return work(ratio);
    }
}
// Between the elements of a level from a row's place on and lanes.
template <class Number, class Copy>
MIDSTREAM_INLINE void copy_row(const CellLanes::Row& row, size_t width, Number ratio, const Copy& copy) {
    size_t at = row.at, lane = row.lane;
    if constexpr (std::is_same_v<Number, Ratio<1>>) {
        copy(at, lane, row.cells);
    } else {
        for (size_t i = 0; i < row.cells; ++i, at += ratio)
            for (size_t y = 0; y < ratio; ++y, lane += ratio) copy(at + y * width, lane, ratio);
    }
}

}  // namespace midstream
