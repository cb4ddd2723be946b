"""The format chosen is the fastest that computes the same, and nothing else changes."""

import copy

import pytest
import torch
from torch import nn

from specxfer.neural import NumberFormat, _number_format, choose_format


class Clock:
    """Time that passes as networks tell, the same every time."""

    now = 0.0

    @classmethod
    def perf_counter(cls):
        cls.now += 1e-4
        return cls.now


@pytest.fixture(autouse=True)
def _clock(monkeypatch):
    monkeypatch.setattr(_number_format, "time", Clock)


def squares(outputs, targets):
    return ((outputs - targets["flux"]).float() ** 2).mean()


class Network(nn.Module):
    """A product, with a pause in one format; with dropout in training."""

    def __init__(self, pause=None, scale=1.0, fails=None):
        super().__init__()
        self.layer = nn.Linear(5, 3)
        self.dropout = nn.Dropout(0.5)
        self.pause, self.scale, self.fails = pause, scale, fails

    def forward(self, flux):
        found = self.layer(flux)
        low = found.dtype == torch.bfloat16
        if self.training and self.pause == ("bfloat16" if low else "float32"):
            Clock.now += 0.01
        if low and self.fails:
            found = found * self.fails
        return self.dropout(found)


@pytest.fixture
def batch():
    given = torch.Generator().manual_seed(0)
    flux = torch.randn(16, 5, generator=given)
    return {"flux": flux}, {"flux": torch.randn(16, 3, generator=given)}


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        yield


@pytest.mark.parametrize("slow", ["float32", "bfloat16"])
def test_the_fastest_is_chosen(slow, batch):
    found = choose_format(Network(pause=slow), squares, batch, seconds=0.05)
    assert found.name == {"float32": "bfloat16", "bfloat16": "float32"}[slow]
    assert found.refused == {}
    assert found.seconds[slow, None] == pytest.approx(0.01 + 1e-4)
    assert found.seconds[found.name, None] == pytest.approx(1e-4)


def test_the_first_of_two_alike_is_chosen(batch):
    for formats in (["float32", "bfloat16"], ["bfloat16", "float32"]):
        found = choose_format(Network(), squares, batch, formats=formats, seconds=0.05)
        assert found.name == formats[0]


@pytest.mark.parametrize(
    ("fails", "why"),
    [
        (float("inf"), "not finite"),
        (1.1, "loss differs"),
    ],
)
def test_a_format_that_computes_something_else_is_refused(fails, why, batch):
    network = Network(pause="float32", fails=fails)
    found = choose_format(network, squares, batch, seconds=0)
    assert found.name == "float32"
    assert why in found.refused["bfloat16"]
    assert ("bfloat16", None) not in found.seconds


def test_a_gradient_that_differs_is_refused(batch):
    class Bent(nn.Module):
        """Right values and, in the low format, a gradient that is not theirs."""

        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(5, 3)

        def forward(self, flux):
            found = self.layer(flux)
            if found.dtype == torch.bfloat16:
                return found.detach() + 2 * (found - found.detach())
            return found

    found = choose_format(Bent(), squares, batch, seconds=0)
    assert "gradient differs by 1" in found.refused["bfloat16"]
    found = choose_format(Bent(), squares, batch, seconds=0, gradient_tolerance=2)
    assert found.refused == {}


def test_none_left_is_an_error(batch):
    with pytest.raises(ValueError, match="no number format is left"):
        choose_format(Network(fails=2.0), squares, batch, formats=["bfloat16"])


def test_one_that_is_allowed_alone_is_taken(batch):
    found = choose_format(Network(), squares, batch, formats=["bfloat16"], seconds=0)
    assert found == NumberFormat("bfloat16")


@pytest.mark.parametrize("formats", [(), ("float16",)])
def test_unknown_formats_are_refused(formats, batch):
    with pytest.raises(ValueError, match="expected one or more of float32"):
        choose_format(Network(), squares, batch, formats=formats)


def test_nothing_else_changes(batch):
    network = nn.Sequential(nn.BatchNorm1d(5), nn.Dropout(0.5), nn.Linear(5, 3)).eval()

    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = network

        def forward(self, flux):
            return self.inner(flux)

    module = Named()
    module.train()
    module.inner[1].eval()  # not all in one mode
    modes = [m.training for m in module.modules()]
    weights = copy.deepcopy(module.state_dict())
    tensors = copy.deepcopy(batch)
    state, n_threads = torch.get_rng_state(), torch.get_num_threads()
    choose_format(module, squares, batch, seconds=0.01)
    after = module.state_dict()
    assert all(torch.equal(after[name], weights[name]) for name in weights)
    assert all(p.grad is None for p in module.parameters())
    assert [m.training for m in module.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == n_threads
    assert not torch.is_autocast_enabled("cpu")
    assert torch.equal(batch[0]["flux"], tensors[0]["flux"])
    assert torch.equal(batch[1]["flux"], tensors[1]["flux"])


def test_layouts_are_tried_where_they_matter(batch):
    class Images(nn.Module):
        """Slow unless its weights lie as told."""

        def __init__(self, fast):
            super().__init__()
            self.layer = nn.Conv2d(4, 3, (1, 3), padding=(0, 1))
            self.fast = fast

        def forward(self, flux):
            like = self.layer.weight.is_contiguous(memory_format=torch.channels_last)
            if self.training and like != (self.fast == "channels_last"):
                Clock.now += 0.005
            return self.layer(flux[:, None, None].expand(-1, 4, -1, -1)).mean(3)[..., 0]

    for fast in ("channels_last", "contiguous"):
        network = Images(fast)
        found = choose_format(
            network, squares, batch, formats=["float32"], seconds=0.02
        )
        assert found == NumberFormat("float32", fast)
        assert set(found.seconds) == {
            ("float32", "contiguous"),
            ("float32", "channels_last"),
        }
        before = network.layer.weight.clone()
        assert found.arrange(network) is network
        assert torch.equal(network.layer.weight, before)
        assert not network.train()(batch[0]["flux"]).isnan().any()
        if fast == "channels_last":
            assert network.layer.weight.is_contiguous(memory_format=torch.channels_last)


def test_a_format_is_a_context():
    x = torch.ones(2, 3)
    for name in ("float32", "bfloat16"):
        one = NumberFormat(name)
        with one.autocast("cpu"):
            assert (x @ x.T).dtype == getattr(torch, name)
    assert NumberFormat().dtype is None
