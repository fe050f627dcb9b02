"""Words of messages that depend on figures."""

from __future__ import annotations

from midstream.wording import InARow


def test_frames_in_a_row_with_one_fault_are_told_once() -> None:
    told: list[str] = []
    with InARow(told.append) as faults:
        for number in (0, 3, 4, 5, 8):
            faults.add(number, "damaged")
        assert told == ["frame 0: damaged", "frames 3 to 5: damaged"]
        faults.add(9, "cut")
        faults.end()
        faults.end()
        faults.add(10, "cut")
    assert told[2:] == ["frame 8: damaged", "frame 9: cut", "frame 10: cut"]
