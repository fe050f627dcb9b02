"""Names and places of files that nothing can be read from or written to: one line for each, never a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from midstream import data
from midstream.batch import sources
from midstream.errors import InputError
from midstream.serve.sources import open_source

#: A home folder of nobody.
NOBODY = "~no-such-user/x"


@pytest.mark.parametrize(
    "spec", [NOBODY, f"folder:{NOBODY}", f"cityscapes:{NOBODY}", f"cityscapes:{NOBODY},val", f"coco:{NOBODY},{NOBODY}"]
)
def test_a_data_set_in_the_home_of_nobody_is_named(spec: str) -> None:
    with pytest.raises(InputError, match=NOBODY):
        data.load(spec)


def test_an_input_in_the_home_of_nobody_is_named() -> None:
    with pytest.raises(InputError, match=NOBODY):
        open_source(NOBODY)
    with pytest.raises(InputError, match=NOBODY):
        sources.find([NOBODY], "eval")


def test_a_file_whose_name_begins_like_a_home_folder_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("~no-such-user").mkdir()
    with pytest.raises(InputError, match=r"no picture .* in the folder ~no-such-user"):
        data.load("~no-such-user")


@pytest.mark.parametrize("host", ["[bad", "a\u2100b"])  # no end of an IPv6 address, a sign that stands for "a/c"
def test_an_address_that_is_none_is_named_without_its_password(host: str) -> None:
    with pytest.raises(InputError, match="valid address: a stream's is SCHEME://HOST/PATH") as caught:
        open_source(f"http://me:secret@{host}/x?token=secret")
    assert host in str(caught.value)
    assert "secret" not in str(caught.value)
