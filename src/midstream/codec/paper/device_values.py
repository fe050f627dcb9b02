"""Symbols of `paper` to levels on a device of torch's: the very values that the host makes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from midstream.codec.paper.reading import LevelReader
from midstream.codec.paper.symbols import Symbols


def level_on(device: Any, reader: LevelReader, maps: Sequence[Symbols]) -> Any:
    """A level, a tensor [C, H, W] in its own element type, from its symbols [C', H, W] in pieces."""
    dtype = getattr(torch, reader.header.dtype)
    channels, height, width = reader.header.shape
    out = torch.empty((channels, height * width), dtype=dtype, device=device)
    if len(reader.held):
        constant = torch.from_numpy(np.flatnonzero(~reader.active)).to(device)
        out[constant] = torch.from_numpy(reader.held).to(device, dtype)[:, None]
    active = np.flatnonzero(reader.active)
    if len(active):
        symbols = torch.cat([torch.from_numpy(each).to(device).reshape(len(each), -1) for each in maps])
        table = torch.from_numpy(reader.table).to(device, dtype)
        count = table.shape[1]
        rows = torch.arange(len(active), dtype=torch.int32, device=device)[:, None] * count
        index = rows + symbols.to(torch.int32).clamp_(max=count - 1)  # a device that is asked for more is lost
        values = torch.index_select(table.reshape(-1), 0, index.reshape(-1)).reshape(index.shape)
        if len(active) == channels:
            out = values
        else:
            out[torch.from_numpy(active).to(device)] = values
    return out.reshape(channels, height, width)
