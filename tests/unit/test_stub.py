"""The stub of the native module is what nanobind reads in the module itself; `make stub` writes it again."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

from nanobind.stubgen import StubGen

from midstream import _native

STUB = Path(__file__).parents[2] / "src/midstream/_native.pyi"


def declarations(text: str) -> list[str]:
    """Without what a formatter may change."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            first = node.body[0]
            assert isinstance(first, ast.Expr)
            assert isinstance(first.value, ast.Constant)
            first.value.value = inspect.cleandoc(str(first.value.value))
    return [ast.unparse(each) for each in tree.body]


def test_the_stub_is_that_of_the_module() -> None:
    generator = StubGen(_native)
    generator.put(_native)
    assert declarations(STUB.read_text()) == declarations(generator.get()), "build the extension, then `make stub`"
