"""Products, eigenvectors and profiles come out the same whatever BLAS there is, and on every instruction set."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.helpers import toy

from midstream import _native
from midstream.calibration import ordered
from midstream.errors import InputError

#: Of what `results` makes: no machine may give another.
DIGEST = "f5509529f39e8dee"
CALIBRATE = """
import sys
from midstream.cli import main
sys.argv = ["midstream", *sys.argv[1:]]
main.run()
"""


def symmetric(count: int, seed: int = 0) -> NDArray[np.float64]:
    mixed = np.random.default_rng(seed).standard_normal((count, count))
    return mixed + mixed.T


def results() -> list[NDArray[np.float64]]:
    a = np.sin(np.arange(37 * 1500) % 997).reshape(37, 1500)
    exact = np.rint(a * 2**20) / 2**20  # no library's sine
    gram = ordered.gram(exact)
    return [gram, ordered.gram(exact.astype(np.float32)), ordered.product(exact, exact.T), *ordered.eigh(gram)]


def test_every_instruction_set_gives_the_same_bits(simd_path: str) -> None:
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(each).tobytes() for each in results()))
    assert digest.hexdigest()[:16] == DIGEST


@pytest.mark.parametrize("count", [1, 2, 3, 16, 17, 33, 130])
def test_eigenvectors(count: int, simd_path: str) -> None:
    matrix = symmetric(count, count)
    values, vectors = ordered.eigh(matrix)
    assert np.all(np.diff(values) >= 0)
    np.testing.assert_allclose(values, np.linalg.eigvalsh(matrix), atol=1e-12 * count)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(count), atol=1e-13 * count)
    np.testing.assert_allclose(matrix @ vectors, vectors * values, atol=1e-12 * count)


def test_a_covariance_of_low_rank_with_channels_that_are_always_zero(simd_path: str) -> None:
    """Of 29 of 64 channels: the rest of the reduction is rounding, then rounding of that, down to 1e-80."""
    rng = np.random.default_rng(3)
    for dead in (20, 35, 50):
        values = np.maximum(rng.normal(size=(40, 64)), 0) * (np.arange(64) >= dead)
        matrix = np.cov(values[:12].T)
        found, vectors = ordered.eigh(matrix)
        np.testing.assert_allclose(found, np.linalg.eigvalsh(matrix), atol=1e-12)
        np.testing.assert_allclose((vectors * found) @ vectors.T, matrix, atol=1e-12)


def test_reflections_of_the_least_rows_stay_finite(simd_path: str) -> None:
    """A row of 1e-80 beside its diagonal has a factor of 1e160, whose square no double holds."""
    for least in (1e-70, 1e-77, 1e-80, 1e-100, 1e-160):
        matrix = np.diag([1.0, 2.0, 3.0, 4.0])
        matrix[1, 2:] = matrix[2:, 1] = least
        values, vectors = ordered.eigh(matrix)
        np.testing.assert_allclose(values, [1, 2, 3, 4], atol=1e-15)
        np.testing.assert_allclose(np.abs(vectors), np.eye(4), atol=1e-15)


@pytest.mark.parametrize(
    "matrix",
    [
        np.zeros((9, 9)),
        np.eye(9),
        np.ones((9, 9)),
        np.diag([3.0, 1e-300, 2.0, 0.0, 1e300, 1.0]),
        np.kron(np.eye(3), [[2.0, 1.0], [1.0, 2.0]]),
        np.outer(np.logspace(-12, 0, 20), np.logspace(-12, 0, 20)),
        np.zeros((0, 0)),
    ],
    ids=["nothing", "one", "rank 1", "wide", "multiple", "graded", "empty"],
)
def test_matrices_that_are_their_own_case(matrix: NDArray[np.float64]) -> None:
    values, vectors = ordered.eigh(matrix)
    scale = np.abs(matrix).max(initial=1e-300)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(len(matrix)), atol=1e-14 * len(matrix))
    np.testing.assert_allclose((vectors * values) @ vectors.T / scale, matrix / scale, atol=1e-13)


@pytest.mark.parametrize("rank", [1, 10, 100])
@pytest.mark.parametrize("ridge", [0.0, 1e-12, 1e-3])
def test_matrices_of_low_rank_come_to_an_end(rank: int, ridge: float) -> None:
    mixed = np.random.default_rng(1).standard_normal((400, rank)) * np.logspace(0, -3, 400)[:, None]
    matrix = mixed @ mixed.T + ridge * np.eye(400)
    values, _ = ordered.eigh(matrix)
    np.testing.assert_allclose(values, np.linalg.eigvalsh(matrix), atol=1e-12 * values[-1])


def test_what_is_not_finite_is_refused() -> None:
    with pytest.raises(InputError, match="numbers that are not finite"):
        ordered.eigh(np.full((3, 3), np.nan))
    with pytest.raises(ValueError, match="not finite"):
        _native.eigen(np.full((3, 3), np.nan))


def test_systems_are_solved() -> None:
    mixed = np.random.default_rng(3).standard_normal((40, 40))
    matrix, wanted = mixed @ mixed.T + np.eye(40), np.random.default_rng(4).standard_normal((40, 7))
    np.testing.assert_allclose(ordered.solve(matrix, matrix @ wanted), wanted, atol=1e-9)
    # Where a regression has nothing to go by, it says nothing.
    assert not ordered.solve(np.zeros((5, 5)), np.zeros((5, 2))).any()


def test_no_thread_and_no_kernel_of_a_blas_changes_a_profile(tmp_path: Path) -> None:
    folder = toy.write_labelled(tmp_path)
    toy.write_images(folder / "calib", 24)
    kinds = ({"OPENBLAS_NUM_THREADS": "1", "OPENBLAS_CORETYPE": "Prescott"}, {"OPENBLAS_NUM_THREADS": "2"},
             {"OPENBLAS_NUM_THREADS": "3", "OPENBLAS_CORETYPE": "Haswell"})  # fmt: skip
    written = set()
    for number, kind in enumerate(kinds):
        profile = tmp_path / f"{number}.profile"
        subprocess.run(
            [sys.executable, "-c", CALIBRATE, "calibrate", "-m", folder / "toy.toml", "--images", folder / "calib",
             "-o", profile, "--passes", "20", "--quiet", "--json"],
            env={**os.environ, **kind}, check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        written.add(profile.read_bytes())
    assert len(written) == 1
