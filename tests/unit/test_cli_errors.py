"""Names and places of files that nothing can be read from or written to: one line for each, never a traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from midstream import data
from midstream.batch import sources
from midstream.cli import main
from midstream.data.frames import open_source
from midstream.errors import InputError

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
    with pytest.raises(InputError, match=r"no image .* in the folder ~no-such-user"):
        data.load("~no-such-user")


@pytest.mark.parametrize("host", ["[bad", "a\u2100b"])  # no end of an IPv6 address, a sign that stands for "a/c"
def test_an_address_that_is_none_is_named_without_its_password(host: str) -> None:
    with pytest.raises(InputError, match="valid address: a stream's is SCHEME://HOST/PATH") as caught:
        open_source(f"http://me:secret@{host}/x?token=secret")
    assert host in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.skipif(sys.platform == "win32", reason="a shell that closes streams")
@pytest.mark.parametrize(
    ("closed", "code", "said"),
    [
        (">&-", 2, "midstream: standard output is closed: give one, such as >/dev/null\n"),
        ("2>&-", 2, ""),
        (">&- 2>&-", 2, ""),
        ("<&-", 2, "midstream: "),
    ],
)
def test_a_closed_stream_is_no_traceback(closed: str, code: int, said: str) -> None:
    command = ["sh", "-c", f'"$0" -m midstream inspect - {closed}', sys.executable]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(said)
    assert len(done.stderr.splitlines()) == bool(said)


def test_what_the_system_refuses_is_named(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    def refused(**_: object) -> None:
        raise PermissionError(13, "Permission denied", "locked/x")

    monkeypatch.setattr(main, "app", refused)
    monkeypatch.setattr(main.os, "dup2", lambda *_: None)  # standard output stays what the tests read
    with pytest.raises(SystemExit) as left:
        main.run()
    assert left.value.code == 2
    assert capfd.readouterr().err == "midstream: locked/x: Permission denied\n"
