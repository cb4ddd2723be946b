"""DiffusionTranslator in pixel space: the contract of the latent space, and its own."""

import pickle
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from specxfer import load, save
from specxfer.compose import TargetWindow
from specxfer.neural import DiffusionTranslator
from specxfer.neural._pixel_training import PixelTraining

HERE = Path(__file__)
latent = SimpleNamespace(
    **runpy.run_path(str(HERE.with_name("test_diffusion_translator.py")))
)
LINES, ONE, OTHER, Q = latent.LINES, latent.ONE, latent.OTHER, latent.Q
world, depth = latent.world, latent.depth
PIXEL = latent.QUICK | {
    "space": "pixel",
    "n_steps": 4,
    "lines": LINES,
    "shape_rate": 5e-3,
    "shape_width": 8,
}
N = 500


@pytest.fixture(scope="module")
def fitted():
    X, Y, truth = world(np.random.default_rng(1), N + 60, masked=0.02)
    settings = PIXEL | {"shape_epochs": 16, "shape_width": 6}
    model = DiffusionTranslator(**settings).fit(X[:N], Y[:N])
    return model, X[N:], Y[N:], truth[N:]


# the same, word for word, as in the latent space
test_user_code = latent.test_user_code
test_lines_of_one_element_vary_together = latent.test_lines_of_one_element_vary_together
test_draws_do_not_depend_on_company = latent.test_draws_do_not_depend_on_company
test_draws_keep_to_possible_fluxes = latent.test_draws_keep_to_possible_fluxes


def test_draws_lean_to_where_the_truth_does(fitted):
    """A quarter of the stars have strong lines: what is drawn is no Gaussian."""
    model, X, _, _ = fitted
    assert model.shape_trained_
    many = world(np.random.default_rng(2), 4000)[2]  # of 60, strong lines vary by 20%
    draws, true = depth(model.sample(X, 40, random_state=0)), depth(many)
    np.testing.assert_allclose(draws.std(), true.std(), rtol=0.25)
    assert np.mean((draws / draws.std()) ** 3) > 0.25  # a Gaussian has 0


def test_spread_does_not_contain_the_noise(fitted):
    """Where no line is, the source tells all but 0.004; targets have noise of 0.02."""
    model, X, _, truth = fitted
    beside = np.setdiff1d(np.arange(Q), np.r_[ONE, OTHER])
    draws = model.sample(X[:20], 100, random_state=0)[:, :, beside]
    missed = (model.predict(X) - truth)[:, beside].std()
    assert missed < 0.008
    assert draws.std(axis=0).mean() < 0.008


def test_moments_are_those_of_the_draws(fitted):
    model, X, _, _ = fitted
    X = X[:5]
    flux, std = model.predict(X, return_std=True)
    np.testing.assert_array_equal(flux, model.predict(X))
    draws = model.sample(X, 1000, random_state=0)
    assert np.abs(draws.mean(axis=0) - flux).max() < 0.15 * std.max()
    np.testing.assert_allclose(draws.std(axis=0), std, rtol=0.25)
    np.testing.assert_allclose(draws.std(axis=0).mean(), std.mean(), rtol=0.05)
    widths = np.zeros((Q, 1))
    widths[np.r_[ONE, OTHER]] = 1  # of both lines, which vary together
    stated = model._covariance_block(X).functional_variance(widths)
    drawn = (draws @ widths).var(axis=0)
    np.testing.assert_allclose(drawn.mean(), stated.mean(), rtol=0.1)


def test_solvers_and_steps_agree(fitted):
    model, X, _, _ = fitted
    usual = model.sample(X[:20], 20, 0)
    for how in ({"solver": "dpm++", "n_steps": 16}, {"n_steps": 16}):
        other = model.sample(X[:20], 20, 0, **how)
        scale = usual.std(axis=0).mean()
        assert np.sqrt(np.mean((usual - other) ** 2)) < 0.25 * scale


def test_there_is_no_density(fitted):
    model, X, Y, _ = fitted
    with pytest.raises(ValueError, match="fit with space='latent' for log_prob"):
        model.log_prob(X, Y)


def test_kept_on_disk_it_draws_the_same_bits(fitted, tmp_path):
    model, X, _, _ = fitted
    draws = model.sample(X[:3], 4, random_state=0)
    assert draws.dtype == np.float32
    data = pickle.dumps(model)
    assert b"torch" not in data
    assert (pickle.loads(data).sample(X[:3], 4, random_state=0) == draws).all()
    save(model, tmp_path / "model.specxfer")
    again = load(tmp_path / "model.specxfer")
    assert (again.sample(X[:3], 4, random_state=0) == draws).all()
    assert (again.predict(X[:3]) == model.predict(X[:3])).all()


def test_too_many_pixels_are_refused(rng):
    X, Y, _ = world(rng, 100)
    with pytest.raises(ValueError, match="more than memory=1000 bytes"):
        DiffusionTranslator(**PIXEL | {"max_epochs": 1, "memory": 1000}).fit(X, Y)


def test_a_diffusion_that_proves_nothing_is_not_used(rng):
    """Nothing learnt: draws are the Gaussian ones of CNNTranslator's kind."""
    X, Y, _ = world(rng, 100)
    settings = PIXEL | {"max_epochs": 2, "shape_epochs": 1, "shape_rate": 0.0}
    model = DiffusionTranslator(**settings).fit(X, Y)
    assert not model.shape_trained_
    draws = model.sample(X[:5], 400, random_state=0)
    std = model.predict(X[:5], return_std=True)[1]
    np.testing.assert_allclose(draws.std(axis=0), std, rtol=0.2)


def test_in_a_window_and_the_same_bits_again(rng):
    X, Y, _ = world(rng, 100)
    settings = PIXEL | {"max_epochs": 2, "shape_epochs": 1}
    window = TargetWindow(DiffusionTranslator(**settings), windows=LINES)
    first, second = (window.fit(X, Y).sample(X[:3], 4, 0) for _ in range(2))
    inside = np.isin(np.arange(Q), np.r_[ONE, OTHER])
    assert (np.isfinite(first).all(axis=(0, 1)) == inside).all()
    assert (first[:, :, inside] == second[:, :, inside]).all()


def test_at_other_resolving_powers(rng, monkeypatch):
    def proved(self, shape, left_out, axes):
        return np.full(left_out.sum(), float(shape.trained))

    monkeypatch.setattr(PixelTraining, "_scores", proved)
    X, Y, _ = world(rng, 150)
    power = rng.normal(2000, 150, 150)
    settings = PIXEL | {"max_epochs": 2, "shape_epochs": 2}
    model = DiffusionTranslator(**settings).fit(X, Y.replace(resolution=power))
    assert model.shape_trained_
    draws = model.sample(X[:4], 200, 0, resolution=1500.0)
    flux, std = model.predict(X[:4], return_std=True, resolution=1500.0)
    np.testing.assert_allclose(draws.mean(axis=0), flux, atol=0.02)
    np.testing.assert_allclose(draws.std(axis=0), std, rtol=0.4)
