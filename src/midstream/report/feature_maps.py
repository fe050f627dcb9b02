"""Feature maps as images: the paper's Figure 3, and what symbols cost."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from midstream import _native
from midstream.codec.paper.parameters import BEST_Z
from midstream.codec.paper.quantize import z_thresholds
from midstream.errors import InputError
from midstream.models import Image

_TILE_HEIGHT = 384
_MARGIN = 8
_CAPTION = 36


def figure_3(name: str, level: NDArray[np.float32], channel: int) -> Image:
    """The three images side by side with captions, uint8 [H, W, 3]; original and symbols scaled to 8 bits.

    Args:
        name: the level's name, for the captions.
        level: [C, H, W].
        channel: which one.

    Raises:
        InputError: a channel that the level does not have.
    """
    if not 0 <= channel < len(level):
        raise InputError(f"level '{name}' has channels 0 to {len(level) - 1}, not {channel}")
    values = np.ascontiguousarray(level[channel]).reshape(1, -1)
    tiles = [_tile(f"{name}, channel {channel}: original", level[channel])]
    for symbols in (4, 3):
        z = BEST_Z[symbols]
        drawn = _native.quantize(values, z_thresholds(symbols, z), symbols)[4]
        flat = drawn if len(drawn) else np.zeros(values.shape)  # a constant channel has no symbols
        tiles.append(_tile(f"{symbols} symbols, z = {z:g}", flat.reshape(level.shape[1:]).astype(np.float32)))
    return np.concatenate(tiles, axis=1)


def symbol_figure(what: str, symbols: NDArray[np.uint8], bits: NDArray[np.float32]) -> Image:
    """Symbols [H, W] beside the bits that each takes, from dark (none) to bright, uint8 [H, W, 3]."""
    tiles = [
        _tile(f"{what}: symbols" if what else "symbols", symbols.astype(np.float32)),
        _tile(f"bits: {bits.mean():.2f} a symbol, at most {bits.max():.1f}", bits, cv2.COLORMAP_INFERNO, 0.0),
    ]
    return np.concatenate(tiles, axis=1)


def grey_figure(caption: str, values: NDArray[np.float32]) -> Image:
    """One feature map [H, W] from black, its least value, to white, uint8 [H, W, 3]."""
    return _tile(caption, values)


def _tile(caption: str, values: NDArray[np.float32], colours: int | None = None, black: float | None = None) -> Image:
    low, high = float(values.min()) if black is None else black, float(values.max())
    grey = np.rint((values - low) / max(high - low, 1e-30) * 255).astype(np.uint8)
    pixels = np.repeat(grey[:, :, None], 3, 2) if colours is None else cv2.applyColorMap(grey, colours)[:, :, ::-1]
    height, width = grey.shape
    factor = max(1, _TILE_HEIGHT // height)
    enlarged = cv2.resize(pixels, (width * factor, height * factor), interpolation=cv2.INTER_NEAREST)
    tile = np.full((enlarged.shape[0] + _CAPTION + _MARGIN, enlarged.shape[1] + 2 * _MARGIN, 3), 255, np.uint8)
    tile[_CAPTION:-_MARGIN, _MARGIN:-_MARGIN] = enlarged
    size = min(0.6, tile.shape[1] / (18 * len(caption)))
    cv2.putText(tile, caption, (_MARGIN, _CAPTION - 12), cv2.FONT_HERSHEY_SIMPLEX, size, (0, 0, 0), 1, cv2.LINE_AA)
    return tile
