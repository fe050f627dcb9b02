"""The thread that computes: takes the newest frame, runs it through, counts what else it would have taken, draws it."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable

import cv2
import numpy as np

from midstream.data.frames import Frame
from midstream.errors import BitstreamError, InputError, MidstreamError
from midstream.models import Image, Output, SplitModel
from midstream.models.annotate import LEAST_SCORE
from midstream.models.detections import Detections
from midstream.pipelines.image import AnchorSize
from midstream.serve.intake import Intake
from midstream.watch.beside import Beside
from midstream.watch.board import Board, Picture, Point
from midstream.watch.chain import Chain, Crossed
from midstream.watch.controls import Controls

#: The longer side of a frame on the page, and JPEG's quality there.
_MOST_SIDE, _SHOWN_QUALITY = 1280, 85
#: Classes that are named below a frame.
_MOST_NAMED = 6


class FrameWorker:
    """Runs frames through until the source ends or the program does."""

    def __init__(
        self,
        chain: Chain,
        intake: Intake,
        controls: Controls,
        board: Board,
        beside: Beside | None,
        anchor_size: AnchorSize,
        ended: Callable[[], None],
    ) -> None:
        """`beside` may count what frames take otherwise, at `anchor_size`; `ended` is told when there is no more."""
        self._chain, self._intake, self._controls, self._board = chain, intake, controls, board
        self._beside, self._anchor_size, self._ended = beside, anchor_size, ended
        self._thread = threading.Thread(target=self._work, name="midstream-watch", daemon=True)
        self._error: BaseException | None = None

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def join(self, seconds: float) -> None:
        """Wait for the frame that is under way. Raises what the thread ended with, such as a source's InputError."""
        self._thread.join(seconds)
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        try:
            while not self._controls.closed and (frame := self._intake.get()) is not None:
                self._board.dropped(self._intake.dropped)
                self._one(frame)
        except BaseException as error:  # it is raised where the program waits
            self._error = error
        finally:
            self._ended()

    def _one(self, frame: Frame) -> None:
        if frame.image is None:
            self._board.left_out(frame.problem, unreadable=True)
            return
        waited_s, at_s = time.monotonic() - frame.taken, frame.time_s or 0.0
        try:
            self._chain.aim(self._controls.target, at_s)
            if self._controls.take_key():
                self._chain.ask_key()
            crossed = self._chain.run(frame.image, at_s, self._controls.uncoded)
        except (BitstreamError, InputError) as error:
            self._board.left_out(f"frame {frame.number}: {error}", unreadable=False)
            return
        jpeg, x264 = self._sizes(frame.image, crossed.key)
        point = Point(frame.number, at_s, crossed.size, crossed.key, jpeg, x264, waited_s, crossed.seconds,
                      self._agreement(crossed))  # fmt: skip
        self._board.add(point, self._picture(frame, crossed) if self._board.watched() else None)

    def _sizes(self, image: Image, key: bool) -> tuple[int | None, int | None]:
        if self._beside is None:
            return None, None
        return self._beside.sizes(self._chain.model.resized(image) if self._anchor_size == "input" else image, key)

    def _agreement(self, crossed: Crossed) -> float | None:
        if crossed.uncoded is None or crossed.found is None:
            return None
        return 1 - self._chain.model.task.disagreement([crossed.uncoded], [crossed.found])

    def _picture(self, frame: Frame, crossed: Crossed) -> Picture | None:
        assert frame.image is not None
        model = self._chain.model
        height, width = frame.image.shape[:2]
        try:
            shown = frame.image
            if crossed.found is not None:
                shown = model.task.annotate(shown, crossed.found, model.classes)
            data = _jpeg(shown)
        except (MidstreamError, cv2.error):  # of a size that nothing can be drawn into; the figures go on
            return None
        return Picture(frame.number, data, width, height, in_words(model, crossed.found))


def _jpeg(image: Image) -> bytes:
    """Of the size that a page shows."""
    height, width = image.shape[:2]
    share = _MOST_SIDE / max(height, width)
    if share < 1:
        size = (max(round(width * share), 1), max(round(height * share), 1))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    done, data = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, _SHOWN_QUALITY])
    if not done:
        raise InputError(f"an image of {width}x{height} cannot be shown")
    return bytes(data.tobytes())


def in_words(model: SplitModel, found: Output | None) -> str:
    """What is drawn, for those who read it: how many of which class, the most frequent first."""
    if not isinstance(found, Detections):
        return ""
    labels = found.labels[found.scores >= LEAST_SCORE].tolist()
    counts = Counter(model.classes[label] if 0 <= label < len(model.classes) else str(label) for label in labels)
    named = [f"{count} {name}" for name, count in counts.most_common(_MOST_NAMED)]
    rest = len(labels) - sum(count for _, count in counts.most_common(_MOST_NAMED))
    return ", ".join([*named, *([f"{rest} more"] if rest else [])]) or "nothing found"
