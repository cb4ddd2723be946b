"""Losses: the maximum of the likelihood, and pixels and stars that do not count."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar

from specxfer.networks import GaussianLikelihood, WeightedSquaredError

LOSSES = [GaussianLikelihood, WeightedSquaredError]


def batch(n=5, n_pixels=40, seed=0, dtype=torch.double):
    """Outputs that require a gradient and targets, a third of them masked."""
    rng = np.random.default_rng(seed)
    ivar = 10 ** rng.uniform(1, 3, (n, n_pixels)) * (rng.random((n, n_pixels)) > 0.3)
    outputs = {
        "flux": rng.normal(0, 0.2, (n, n_pixels)),
        "log_variance": rng.normal(-4, 1, (n, n_pixels)),
    }
    targets = {"flux": rng.normal(0, 0.2, (n, n_pixels)), "ivar": ivar}
    outputs = {
        name: torch.from_numpy(x).to(dtype).requires_grad_()
        for name, x in outputs.items()
    }
    return outputs, {name: torch.from_numpy(x).to(dtype) for name, x in targets.items()}


@pytest.mark.parametrize("floor", [0.0, 0.05])
def test_the_likelihood_is_its_formula(floor):
    outputs, targets = batch()
    known = targets["ivar"] > 0
    total = 1 / targets["ivar"] + outputs["log_variance"].exp() + floor**2
    r = outputs["flux"] - targets["flux"]
    expected = ((r**2 / total + total.log()) / 2)[known].mean()
    found = GaussianLikelihood(floor)(outputs, targets)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("floor", [0.0, 0.05])
def test_the_squared_error_is_its_formula(floor):
    outputs, targets = batch()
    known = targets["ivar"] > 0
    r = outputs["flux"] - targets["flux"]
    expected = (r**2 / (1 / targets["ivar"] + floor**2))[known].mean()
    found = WeightedSquaredError(floor)(outputs, targets)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("floor", [0.0, 0.03])
def test_the_best_model_variance_is_what_noise_does_not_explain(floor):
    """With equal noise it is mean(r²) - 1/ivar - floor², exactly."""
    rng = np.random.default_rng(0)
    ivar, intrinsic = 1 / 0.04**2, 0.1
    r = torch.from_numpy(rng.normal(0, np.hypot(0.04, intrinsic), (1, 2000)))
    best = (r**2).mean() - 1 / ivar - floor**2
    log_variance = best.log().requires_grad_()
    targets = {"flux": r, "ivar": torch.full_like(r, ivar)}
    outputs = {
        "flux": torch.zeros_like(r),
        "log_variance": log_variance.expand(1, 2000),
    }
    loss = GaussianLikelihood(floor)(outputs, targets)
    (slope,) = torch.autograd.grad(loss, log_variance, create_graph=True)
    (curvature,) = torch.autograd.grad(slope, log_variance)
    assert abs(slope) < 1e-12
    assert curvature > 0.1


def test_intrinsic_scatter_is_found_under_noise_that_varies():
    rng = np.random.default_rng(0)
    noise = 10 ** rng.uniform(-2.5, -1, (1, 100_000))
    flux = rng.normal(0, 0.02, noise.shape) + rng.normal(0, noise)
    targets = {"flux": torch.from_numpy(flux), "ivar": torch.from_numpy(noise**-2)}

    def loss(log_variance):
        s2 = torch.full(noise.shape, log_variance, dtype=torch.double)
        outputs = {"flux": torch.zeros(noise.shape), "log_variance": s2}
        return GaussianLikelihood()(outputs, targets).item()

    best = minimize_scalar(loss, bounds=(-12, -4), method="bounded").x
    assert np.exp(best / 2) == pytest.approx(0.02, rel=0.02)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("value", [0.0, 1e30, torch.nan, torch.inf])
def test_masked_pixels_do_not_count(loss, value):
    outputs, targets = batch()
    masked = targets["ivar"] == 0
    before = loss(0.01)(outputs, targets)
    targets["flux"] = targets["flux"].masked_fill(masked, value)
    found = loss(0.01)(outputs, targets)
    torch.testing.assert_close(found, before, rtol=0, atol=0)
    found.backward()
    assert (outputs["flux"].grad[masked] == 0).all()
    assert (outputs["flux"].grad[~masked] != 0).all()
    if loss is GaussianLikelihood:
        assert (outputs["log_variance"].grad[masked] == 0).all()
        assert (outputs["log_variance"].grad[~masked] != 0).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_a_weight_counts_as_repetition(loss):
    outputs, targets = batch(3)
    repeat = torch.tensor([2, 0, 1])
    weighted = loss()(outputs, targets | {"weight": repeat.double()})
    rows = torch.repeat_interleave(torch.arange(3), repeat)
    repeated = loss()(
        {name: x[rows] for name, x in outputs.items()},
        {name: x[rows] for name, x in targets.items()},
    )
    torch.testing.assert_close(weighted, repeated)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("nothing", ["ivar", "weight"])
def test_a_batch_that_does_not_count_is_zero(loss, nothing):
    outputs, targets = batch()
    targets["weight"] = torch.ones(5)
    targets[nothing] = torch.zeros_like(targets[nothing])
    found = loss()(outputs, targets)
    found.backward()
    assert found == 0
    assert (outputs["flux"].grad == 0).all()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("ivar", [1e20, 1e38, torch.inf])
def test_targets_without_noise_are_stable(loss, ivar):
    outputs, targets = batch(dtype=torch.float32)
    targets["ivar"] = torch.full_like(targets["ivar"], ivar)
    found = loss()(outputs, targets)
    found.backward()
    assert torch.isfinite(found)
    assert torch.isfinite(outputs["flux"].grad).all()
    if loss is GaussianLikelihood:  # only the model's variance is left
        s2 = outputs["log_variance"].exp()
        r = outputs["flux"] - targets["flux"]
        torch.testing.assert_close(found, ((r**2 / s2 + s2.log()) / 2).mean())


@pytest.mark.parametrize("loss", LOSSES)
def test_rough_outputs_are_judged_in_float32(loss):
    outputs, targets = batch(dtype=torch.float32)
    rough = {name: x.detach().bfloat16() for name, x in outputs.items()}
    exact = {name: x.float() for name, x in rough.items()}
    with torch.autocast("cpu", torch.bfloat16):
        found = loss(0.01)(rough, targets)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, loss(0.01)(exact, targets), rtol=0, atol=0)


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_are_right(loss):
    outputs, targets = batch(2, 6)
    targets["weight"] = torch.tensor([1.0, 3.0]).double()

    def of(flux, log_variance):
        return loss(0.02)({"flux": flux, "log_variance": log_variance}, targets)

    assert torch.autograd.gradcheck(of, (outputs["flux"], outputs["log_variance"]))


def test_with_known_noise_alone_both_pull_alike():
    outputs, targets = batch()
    outputs = {"flux": outputs["flux"]}
    (likelihood,) = torch.autograd.grad(
        GaussianLikelihood(0.1)(outputs, targets), outputs["flux"]
    )
    (squares,) = torch.autograd.grad(
        WeightedSquaredError(0.1)(outputs, targets), outputs["flux"]
    )
    torch.testing.assert_close(likelihood, squares / 2)
