"""TorchSplit on small networks: two halves give what the whole gives, and leave the network as it was."""

import copy
from collections import OrderedDict
from typing import NamedTuple

import ml_dtypes
import numpy as np
import pytest
import torch
from torch import nn

from midstream.errors import InputError
from midstream.models.torch_split import TorchSplit


class Pair(NamedTuple):
    fine: torch.Tensor
    coarse: torch.Tensor


class Backbone(nn.Module):
    """A pyramid of two levels, 4 and 6 channels, in the container asked for."""

    def __init__(self, container="dict"):
        super().__init__()
        self.fine = nn.Conv2d(3, 4, 3, 2, 1)
        self.norm = nn.BatchNorm2d(4)
        self.coarse = nn.Conv2d(4, 6, 3, 2, 1)
        self.container = container

    def forward(self, x):
        fine = self.norm(self.fine(x))
        levels = fine, self.coarse(fine)
        named = zip(("p3", "p4"), levels, strict=True)
        make = {"dict": dict, "ordered": OrderedDict}.get(self.container)
        if make:
            return make(named)
        return {"list": list, "tuple": tuple, "pair": Pair._make, "single": lambda v: v[0]}[self.container](levels)


class Net(nn.Module):
    """Backbone and a head that works in place and minds the container's type."""

    def __init__(self, container="dict", leak=False):
        super().__init__()
        self.stem = nn.Identity()
        self.backbone = Backbone(container)
        self.head = nn.Conv2d(4, 2, 1)
        self.leak = leak
        self.calls = 0

    def forward(self, x, scale=1.0):
        levels = self.backbone(self.stem(x))
        self.calls += 1
        kind = type(levels)
        if isinstance(levels, torch.Tensor):
            levels = [levels]
        levels = list(levels.values() if isinstance(levels, dict) else levels)
        out = self.head(levels[0].relu_()).mean() * scale + sum(level.mul_(2).sum() for level in levels)
        return kind, out + x.mean() if self.leak else out


class TwoBranches(nn.Module):
    """Two submodules to cut at; what runs between them changes the first one's output in place."""

    def __init__(self, kinds=("list", "list")):
        super().__init__()
        self.left, self.right = Backbone(kinds[0]), Backbone(kinds[1])

    def forward(self, x):
        def first(levels):
            return (
                levels if isinstance(levels, torch.Tensor) else next(iter(getattr(levels, "values", levels.__iter__)()))
            )

        left = first(self.left(x)).add_(1)
        return left + first(self.right(x))


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(1)


def image(**options):
    return torch.rand(1, 3, 17, 22, **options)


def as_found(model):
    return {
        name: (module.training, dict(module.__dict__.get("_forward_hooks", {})), "forward" in vars(module))
        for name, module in model.named_modules()
    }


def whole(model, *inputs):
    with torch.inference_mode():
        return copy.deepcopy(model).eval()(*inputs)


@pytest.mark.parametrize(
    ("container", "names"),
    [
        ("dict", ["p3", "p4"]),
        ("ordered", ["p3", "p4"]),
        ("list", ["0", "1"]),
        ("tuple", ["0", "1"]),
        ("pair", ["0", "1"]),
        ("single", ["backbone"]),
    ],
)
def test_halves_equal_the_whole(container, names):
    model = Net(container)
    x = image()
    kind, expected = whole(model, x)
    before = as_found(model)
    split = TorchSplit(model, at=["backbone"])
    pyramid = split.front(x)
    assert model.calls == 0, "the front ran past the cut"
    assert list(pyramid) == names
    assert [tuple(level.shape) for level in pyramid.values()] == [(4, 9, 11), (6, 5, 6)][: len(names)]
    sent = {name: level.numpy().copy() for name, level in pyramid.items()}
    fresh = TorchSplit(model, at=["backbone"])  # never saw a front
    for given in (sent, {name: torch.from_numpy(level) for name, level in sent.items()}):
        for half in (split, fresh):
            got_kind, got = half.back(given, x)
            assert got_kind is kind
            assert torch.equal(got, expected)
    for name, level in pyramid.items():
        np.testing.assert_array_equal(sent[name], level.numpy())  # the head's in-place work did not reach it
    assert as_found(model) == before


def test_the_submodule_is_not_computed_in_the_back():
    model = Net()
    split = TorchSplit(model, at=["backbone"])
    pyramid = split.front(image())
    model.backbone.fine = None
    split.back(pyramid, image())


def test_read_only_and_strided_levels():
    model = Net()
    x = image()
    split = TorchSplit(model, at="backbone")
    pyramid = {name: level.numpy() for name, level in split.front(x).items()}
    strided = {name: np.asfortranarray(level) for name, level in pyramid.items()}
    for level in strided.values():
        level.flags.writeable = False
    assert torch.equal(split.back(strided, x)[1], whole(model, x)[1])


def test_arguments_by_keyword():
    model = Net()
    x = image()
    split = TorchSplit(model, at=["backbone"])
    with torch.inference_mode():
        expected = copy.deepcopy(model).eval()(x, scale=3.0)[1]
    assert torch.equal(split.back(split.front(x=x, scale=3.0), x=x, scale=3.0)[1], expected)


@pytest.mark.parametrize(
    ("kinds", "names"),
    [
        (("list", "list"), ["left.0", "left.1", "right.0", "right.1"]),
        (("dict", "list"), ["p3", "p4", "0", "1"]),
        (("single", "dict"), ["left", "p3", "p4"]),
    ],
)
def test_several_submodules(kinds, names):
    model = TwoBranches(kinds)
    x = image()
    split = TorchSplit(model, at=["left", "right"])
    pyramid = split.front(x)
    assert list(pyramid) == names
    assert torch.equal(split.back(pyramid, x), whole(model, x))
    assert torch.equal(TorchSplit(model, at=["left", "right"]).back(pyramid, x), whole(model, x))


def test_the_order_is_that_of_at():
    pyramid = TorchSplit(TwoBranches(("single", "single")), at=["right", "left"]).front(image())
    assert list(pyramid) == ["right", "left"]


def test_a_back_that_needs_the_image_shows_it():
    model = Net(leak=True)
    x = image() + 1
    split = TorchSplit(model, at=["backbone"])
    assert not torch.equal(split.back(split.front(x), x)[1], whole(model, x)[1])
    blank = whole(model, x)[1] - x.mean()
    torch.testing.assert_close(split.back(split.front(x), x)[1], blank)


def test_nested_inputs_are_blanked_and_other_values_pass():
    seen = []

    class Nested(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Conv2d(3, 4, 1)

        def forward(self, batch, pair):
            level = self.body(batch[0]["image"][None])
            seen.append((batch, pair))
            return level.sum()

    x = image()[0]
    batch = [{"image": x, "height": 17, "name": "a"}]
    pair = Pair(np.ones(3), (torch.ones(2),))
    split = TorchSplit(Nested(), at=["body"])
    split.back(split.front(batch, pair), batch, pair)
    ((got, got_pair),) = seen
    assert (got[0]["height"], got[0]["name"]) == (17, "a")
    assert got[0]["image"].shape == x.shape
    assert not got[0]["image"].any()
    assert isinstance(got_pair, Pair)
    assert not got_pair.fine.any()
    assert not got_pair.coarse[0].any()
    assert batch[0]["image"] is x
    assert pair.fine.all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype):
    model = Net().to(dtype)
    x = image(dtype=dtype)
    expected = whole(model, x)[1]
    split = TorchSplit(model, at=["backbone"])
    pyramid = split.front(x)
    assert {level.dtype for level in pyramid.values()} == {dtype}
    wide = {name: level.float().numpy() for name, level in pyramid.items()}
    own = {
        name: level.astype(ml_dtypes.bfloat16 if dtype is torch.bfloat16 else np.float16)
        for name, level in wide.items()
    }
    for given in (pyramid, wide, own):
        for half in (split, TorchSplit(model, at=["backbone"])):
            assert torch.equal(half.back(given, x)[1], expected)


def test_training_flags_come_back_one_by_one():
    model = Net().train()
    model.backbone.norm.eval()  # frozen on purpose
    before, mean = as_found(model), model.backbone.norm.running_mean.clone()
    split = TorchSplit(model, at=["backbone"])
    split.back(split.front(image()), image())
    assert as_found(model) == before
    assert model.training
    assert not model.backbone.norm.training
    assert torch.equal(model.backbone.norm.running_mean, mean)


def test_an_instances_own_forward_and_hooks_stay():
    model = Net()
    own = model.backbone.forward
    model.backbone.forward = lambda x: own(x + 1)
    mine = model.backbone.forward
    model.backbone.register_forward_hook(lambda module, args, output: {key: -level for key, level in output.items()})
    x = image()
    expected = model.eval()(x)[1]
    split = TorchSplit(model, at=["backbone"])
    assert torch.equal(split.back(split.front(x), x)[1], expected)
    assert model.backbone.forward is mine
    assert len(model.backbone._forward_hooks) == 1


def test_nothing_is_left_after_an_error():
    model = Net().train()
    before = as_found(model)
    split = TorchSplit(model, at=["backbone"])
    with pytest.raises(RuntimeError):
        split.front(torch.zeros(1, 5, 8, 8))
    assert as_found(model) == before
    pyramid = split.front(image())
    model.head = nn.Conv2d(5, 2, 1).train()
    before = as_found(model)
    with pytest.raises(RuntimeError):
        split.back(pyramid, image())
    assert as_found(model) == before


def test_a_network_that_catches_exceptions_still_stops():
    class Careful(Net):
        def forward(self, x):
            try:
                return super().forward(x)
            except Exception:
                return None

    model = Careful()
    assert list(TorchSplit(model, at=["backbone"]).front(image())) == ["p3", "p4"]
    assert model.calls == 0


def test_unknown_submodule_names_the_nearest():
    with pytest.raises(InputError, match=r"unknown submodule 'backbon'.*backbone"):
        TorchSplit(Net(), at=["backbon"])
    with pytest.raises(InputError, match="at least one"):
        TorchSplit(Net(), at=[])


def test_overlapping_submodules():
    with pytest.raises(InputError, match=r"'backbone\.fine' lies inside 'backbone'"):
        TorchSplit(Net(), at=["backbone", "backbone.fine"])
    with pytest.raises(InputError, match="not all different"):
        TorchSplit(Net(), at=["head", "head"])
    model = Net()
    model.alias = model.head
    with pytest.raises(InputError, match="not all different"):
        TorchSplit(model, at=["head", "alias"])


def test_wrong_pyramids_say_both():
    split = TorchSplit(Net(), at=["backbone"])
    pyramid = split.front(image())
    with pytest.raises(InputError, match=r"lacks p4: the network needs the levels p3, p4, the pyramid has p3$"):
        split.back({"p3": pyramid["p3"]}, image())
    with pytest.raises(InputError, match=r"unknown level 'p5'; valid: p3, p4"):
        split.back({**pyramid, "p5": pyramid["p4"]}, image())
    with pytest.raises(InputError, match=r"'p4' has the shape \[4, 9, 11\]; the network needs \[6, H, W\]"):
        split.back({**pyramid, "p4": pyramid["p3"]}, image())
    with pytest.raises(InputError, match=r"'p4' has the shape \[1, 6, 5, 6\]"):
        split.back({**pyramid, "p4": pyramid["p4"][None]}, image())
    with pytest.raises(InputError, match="dtype <U1"):
        split.back({**pyramid, "p4": np.full((6, 5, 6), "a")}, image())


def test_places_that_cannot_be_cut():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.twice, self.never, self.text, self.flat = nn.Identity(), nn.Identity(), Text(), nn.Flatten(0)

        def forward(self, x):
            self.text(x), self.flat(x)
            return self.twice(self.twice(x))

    class Text(nn.Module):
        def forward(self, x):
            return "words"

    x = image()
    with pytest.raises(InputError, match="'never' did not run"):
        TorchSplit(Odd(), at=["never"]).front(x)
    with pytest.raises(InputError, match="'twice' runs more than once"):
        TorchSplit(Odd(), at=["twice", "never"]).back({}, x)
    split = TorchSplit(Odd(), at=["twice"])
    with pytest.raises(InputError, match="'twice' runs more than once"):
        split.back(split.front(x), x)
    with pytest.raises(InputError, match="'text' returns a str"):
        TorchSplit(Odd(), at=["text"]).front(x)
    with pytest.raises(InputError, match=r"'flat' is \[1122\]; cut where .* maps \[1, C, H, W\]"):
        TorchSplit(Odd(), at=["flat"]).front(x)
    with pytest.raises(InputError, match=r"\[2, 3, 17, 22\]"):
        TorchSplit(Odd(), at=["twice"]).front(x.repeat(2, 1, 1, 1))
