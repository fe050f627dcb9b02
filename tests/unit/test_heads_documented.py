"""Every kind of detector's head is in docs/models.md, with an example that a description may have."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import get_args

import pytest
from pydantic import TypeAdapter

from midstream.models.detector_heads import DetectorHead

TEXT = (Path(__file__).parents[2] / "docs" / "models.md").read_text()
BLOCKS = [tomllib.loads(found) for found in re.findall(r"^```toml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)]
HEADS = [block["head"] for block in BLOCKS if "head" in block]
KINDS = {kind for head in get_args(DetectorHead) for kind in get_args(head.model_fields["kind"].annotation)}


@pytest.mark.parametrize("head", [head for head in HEADS if head["kind"] in KINDS], ids=lambda head: str(head["kind"]))
def test_examples_are_accepted(head: dict[str, object]) -> None:
    TypeAdapter(DetectorHead).validate_python(head)


def test_there_is_one_of_each_kind() -> None:
    assert {head["kind"] for head in HEADS} >= KINDS


@pytest.mark.parametrize("head", get_args(DetectorHead), ids=lambda head: head.__name__)
def test_every_field_is_explained(head: type) -> None:
    fields = set(head.model_fields) - {"kind"}  # type: ignore[attr-defined]
    assert {field for field in fields if not re.search(rf"\b{field}\b", TEXT)} == set()
