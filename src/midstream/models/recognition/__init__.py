"""What a stranger's ONNX file is: its input, its head, where to cut it; a description made of that."""

from __future__ import annotations

from midstream.models.recognition.draft import Draft, draft

__all__ = ["Draft", "draft"]
