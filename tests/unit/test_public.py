"""What somebody finds who types `ms.` and a tab."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest
from tests.helpers import toy

import midstream as ms

PACKAGES = ["calibration", "compare", "data", "evaluation", "models", "serve"]
FUNCTIONS = ["calibrate", "evaluate", "load_model", "split"]


def test_the_top_shows_functions_errors_and_packages_and_nothing_else() -> None:
    shown = set(dir(ms))
    assert shown == {*ms.__all__, *FUNCTIONS, *PACKAGES, "__version__"}
    assert {"encode", "decode", "inspect", "Profile", "CorruptError"} <= shown
    for name in shown:
        getattr(ms, name)
    with pytest.raises(AttributeError, match="module 'midstream' has no attribute 'encoder'"):
        ms.encoder  # type: ignore[attr-defined] # noqa: B018


@pytest.mark.parametrize("name", PACKAGES)
def test_each_package_shows_what_is_public_and_explains_itself(name: str) -> None:
    package: ModuleType = getattr(ms, name)
    assert package.__doc__
    assert dir(package) == sorted(package.__all__)
    assert len(package.__all__) >= 4
    for each in package.__all__:
        assert getattr(package, each) is not None, each
    with pytest.raises(AttributeError, match=f"module 'midstream.{name}' has no attribute 'nothing'"):
        package.nothing  # noqa: B018


def test_no_name_of_a_class_stands_for_two_things() -> None:
    files = [path for path in Path(ms.__file__).parent.rglob("*.py") if "proto" not in path.parts]
    trees = [ast.parse(path.read_text("utf-8")) for path in files]
    names = Counter(node.name for tree in trees for node in tree.body if isinstance(node, ast.ClassDef))
    assert len(names) > 100
    assert [name for name, count in names.items() if count > 1 and not name.startswith("_")] == []


def test_evaluate_does_what_its_docstring_shows(tmp_path: Path) -> None:
    folder = toy.write_labelled(tmp_path)
    model = ms.models.load(str(folder / "toy.toml"))
    dataset = ms.data.load(f"coco:{folder / 'images'},{folder / 'truth.json'}")
    fine, coarse = ms.evaluation.run(model, dataset, [ms.evaluation.paper_options(4), ms.evaluation.paper_options(3)])
    assert fine.bytes_per_image > coarse.bytes_per_image > 0
    found = {}
    for image in dataset.images:
        pixels = ms.data.read_image(image.path)
        found[image.id] = model.back(model.front(pixels), (pixels.shape[0], pixels.shape[1]))
    assert ms.evaluation.accuracy_of(dataset, found, model.classes).ap == fine.ap_uncompressed


def test_packages_are_loaded_when_they_are_used() -> None:
    code = (
        "import sys, midstream as ms; dir(ms); loaded = {m.split('.')[1] for m in sys.modules if "
        f"m.startswith('midstream.')}}; assert not loaded & set({PACKAGES}), loaded; "
        "ms.compare; ms.calibration; assert 'scipy' not in sys.modules; assert 'grpc' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_draws_scenes_is_loaded_when_there_are_scenes() -> None:
    code = (
        "import sys, midstream.cli.main, midstream.data; drawing = 'midstream.data.scenes.scene'; "
        "assert drawing not in sys.modules; midstream.data.scenes.generate; assert drawing in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_torch_is_missed_only_by_those_who_cut_a_network() -> None:
    code = (
        "import sys, inspect, pydoc; sys.modules['torch'] = None\n"
        "import midstream as ms; from midstream.models import *\n"
        "assert hasattr(ms.models, 'TorchSplit'); inspect.getmembers(ms.models); pydoc.render_doc(ms.models)\n"
        "try: ms.models.TorchSplit(None, ['backbone'])\n"
        "except ImportError as error: assert \"cutting a torch network needs the extra 'torch'\" in str(error)\n"
        "else: raise AssertionError\n"
        "try: ms.split(object(), ['layer3'], preprocess=abs)\n"
        "except ImportError as error: assert \"needs the extra 'torch'\" in str(error), error\n"
        "else: raise AssertionError"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_explain_themselves(name: str) -> None:
    function = getattr(ms, name)
    assert function.__name__ == name
    assert ">>> " in function.__doc__
    for parameter in inspect.signature(function).parameters:
        assert f"        {parameter}: " in function.__doc__, parameter


def test_names_of_what_were_packages_are_known_for_one_more_release() -> None:
    with pytest.warns(DeprecationWarning, match=r"midstream\.evaluate\.run is now midstream\.evaluation\.run"):
        assert ms.evaluate.run is ms.evaluation.run  # type: ignore[attr-defined]
    with pytest.warns(DeprecationWarning, match=r"is now midstream\.calibration\.fit"):
        assert ms.calibrate.calibrate is ms.calibration.fit  # type: ignore[attr-defined]
    for function, earlier in ms._EARLIER.items():
        for name, now in earlier.items():
            with pytest.warns(DeprecationWarning, match=f"{function}.{name} is now {now}"):
                assert getattr(getattr(ms, function), name) is not None
    with pytest.raises(AttributeError, match="the function 'evaluate' has no attribute 'nothing'"):
        ms.evaluate.nothing  # type: ignore[attr-defined] # noqa: B018
