"""DiffusionTranslator: draws with the shape of the truth, and without its noise."""

import os
import pickle
import signal
import subprocess
import sys
from copy import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from specxfer import Spectra, predict_std, sample, support, translate
from specxfer.compose import TargetWindow
from specxfer.neural import CNNTranslator, DiffusionTranslator

P, Q, NOISE = 40, 30, 0.02
ONE, OTHER = np.r_[4:9], np.r_[19:24]  # pixels of two lines of one element
LINES = [(5003.5, 5008.5), (5018.5, 5023.5)]
QUICK = {
    "n_components": 3,
    "n_members": 2,
    "n_factors": 6,
    "max_epochs": 10,
    "width": 16,
    "n_rounds": 1,
    "shape_epochs": 5,
    "shape_width": 16,
    "device": "cpu",
}


def world(rng, n, rich=0.25, masked=0.0, noise=NOISE):
    """Source, target and truth; an element that the source does not show.

    In a quarter of the stars it is strong.
    """
    u = rng.standard_normal((n, 2))
    hidden = 0.3 * rng.standard_normal(n) + np.where(rng.random(n) < rich, 2.5, 0)
    hidden -= 2.5 * rich
    shape = 0.05 * np.sin(np.outer([1, 2], np.arange(P)) / 5)
    truth = 0.8 - 0.03 * u @ np.cos(np.outer([1, 2], np.arange(Q)) / 6)
    for line in (ONE, OTHER):
        truth[:, line] -= 0.05 * hidden[:, None] * np.hanning(7)[1:-1]
    x = 0.9 + u @ shape + 0.01 * rng.standard_normal((n, P))
    y = truth + noise * rng.standard_normal(truth.shape)
    for flux in (x, y):
        flux[rng.random(flux.shape) < masked] = np.nan
    X, Y = (
        Spectra(
            flux.astype("f4"),
            np.full(flux.shape, sigma**-2.0, "f4"),
            wave=start + np.arange(flux.shape[1]),
            medium=medium,
        )
        for flux, sigma, start, medium in (
            (x, 0.01, 15000.0, "vacuum"),
            (y, noise, 5000.0, "air"),
        )
    )
    return X, Y, truth


def depth(flux):
    """Of both lines, below the pixels beside them, less the mean over all stars."""
    beside = np.r_[1:4, 9:12, 16:19, 24:27]
    lines = flux[..., np.r_[ONE, OTHER]].mean(axis=-1)
    found = flux[..., beside].mean(axis=-1) - lines
    return found - found.mean()


@pytest.fixture(scope="module")
def fitted():
    X, Y, truth = world(np.random.default_rng(1), 900, masked=0.02)
    settings = QUICK | {"n_rounds": 3, "shape_epochs": 25, "shape_width": 32}
    model = DiffusionTranslator(**settings, lines=LINES, shape_rate=5e-3)
    return model.fit(X[:700], Y[:700]), X[700:], Y[700:], truth[700:]


def test_user_code(fitted):
    """What an astronomer writes."""
    model, X, _, _ = fitted
    draws = model.sample(X, n_samples=20, random_state=0)
    spectra = translate(model, X)
    found = model.line_intervals(X, LINES, level=0.9, n_samples=20)
    assert draws.shape == (20, len(X), Q)
    assert spectra.shape == (len(X), Q)
    assert found.ew.shape == found.flux.shape == (3, len(X), 2)
    assert found.correlation.shape == (len(X), 2, 2)
    assert (support(model, X) <= 1).mean() > 0.9


def test_two_kinds_of_star_are_recovered_through_noise(fitted):
    """What noise does not show in one star the draws know of all: two groups."""
    model, X, _, truth = fitted
    assert model.shape_trained_
    draws, true = depth(model.sample(X, 100, random_state=0)), depth(truth)
    of_all = depth(world(np.random.default_rng(1), 900, masked=0.02)[2])
    np.testing.assert_allclose(draws.std(), of_all.std(), rtol=0.2)
    skew = [np.mean((d / d.std()) ** 3) for d in (draws.ravel(), of_all)]
    assert skew[1] > 0.8  # a Gaussian has 0
    np.testing.assert_allclose(skew[0], skew[1], rtol=0.4)
    # few are half-way between the groups
    middle = [np.mean((d > 0.5 * true.std()) & (d < true.std())) for d in (draws, true)]
    assert middle[1] < 0.01
    assert middle[0] < 0.07  # a Gaussian has 0.15


def test_the_mixture_alone_if_rounds_are_none(rng):
    X, Y, _ = world(rng, 400)
    model = DiffusionTranslator(**QUICK | {"n_rounds": 0, "lines": LINES}).fit(X, Y)
    assert model.shape_trained_
    assert model.shape_history_["score_gain"][0] > 0.2
    drawn = depth(model.sample(X, 50, random_state=0)).ravel()
    assert np.mean((drawn / drawn.std()) ** 3) > 0.5


def test_lines_of_one_element_vary_together(fitted):
    model, X, _, truth = fitted
    left = model.predict(X) - truth
    true = np.corrcoef(left[:, ONE].mean(axis=1), left[:, OTHER].mean(axis=1))[0, 1]
    found = model.line_intervals(X[:20], LINES).correlation[:, 0, 1].mean()
    assert true > 0.9
    assert found > 0.8


def test_intervals_hold(fitted):
    model, X, _, truth = fitted
    widths = 1000 * np.stack([(1 - truth[:, p]).sum(axis=1) for p in (ONE, OTHER)], 1)
    flux = np.stack([truth[:, p].mean(axis=1) for p in (ONE, OTHER)], axis=1)
    found = model.line_intervals(X, LINES, level=0.8, n_samples=100)
    for (lo, _, hi), true in ((found.ew, widths), (found.flux, flux)):
        assert 0.68 < np.mean((true > lo) & (true < hi)) < 0.9


def test_moments_are_those_of_the_draws(fitted):
    model, X, _, _ = fitted
    flux, std = model.predict(X[:20], return_std=True)
    np.testing.assert_array_equal(flux, model.predict(X[:20]))
    draws = model.sample(X[:20], 2000, random_state=0)
    assert np.abs(draws.mean(axis=0) - flux).max() < 0.15 * std.max()
    np.testing.assert_allclose(draws.std(axis=0), std, rtol=0.15)


def test_density_prefers_the_star(fitted):
    model, X, Y, truth = fitted
    own = model.log_prob(X, truth.astype("f4"))
    others = model.log_prob(X, np.roll(truth, 1, axis=0).astype("f4"))
    assert own.mean() > others.mean() + 1
    noisy = model.log_prob(X, Y)
    assert np.isfinite(noisy).all()
    with pytest.raises(ValueError, match="has 40 pixels, the fit had 30"):
        model.log_prob(X, X)
    with pytest.raises(ValueError, match="training target"):
        model.log_prob(X, Y.replace(wave=Y.wave + 0.5))


def test_draws_do_not_depend_on_company(fitted):
    model, X, _, _ = fitted
    all_of_them = model.sample(X, 3, random_state=5)
    some = model.sample(X[np.array([7, 50])], 3, random_state=5)
    assert (some == all_of_them[:, [7, 50]]).all()
    assert (all_of_them != model.sample(X, 3, random_state=6)).any()
    assert (model.predict(X)[7] == model.predict(X[7:8])[0]).all()
    std = model.predict(X[7:9], return_std=True)[1]
    assert (std == model.predict(X, return_std=True)[1][7:9]).all()


def test_draws_keep_to_possible_fluxes(fitted):
    model, X, *_ = fitted
    assert -0.1 < model._possible.low < 0
    assert 1.3 < model._possible.high < 1.35
    X, some = X[:20], {"n_samples": 30, "random_state": 0}
    free, bound = model.sample(X, **some), copy(model)
    low = float(np.quantile(free, 1e-3))
    bound._possible = replace(model._possible, low=low)
    drawn, again = bound.sample(X, **some), (free.min(axis=2) < low).any(axis=0)
    assert 0 < again.sum() < len(X)
    np.testing.assert_array_equal(drawn[:, ~again], free[:, ~again])
    assert drawn.min() >= low
    i = int(np.flatnonzero(again)[0])
    alone = bound.sample(X[i : i + 1], **some)[:, 0]
    np.testing.assert_array_equal(alone, drawn[:, i])


@pytest.mark.parametrize("how", [{"solver": "dpm++", "n_steps": 20}, {"n_steps": 40}])
def test_solvers_and_steps_agree(fitted, how):
    model, X, _, _ = fitted
    usual, other = (model.sample(X[:50], 40, 0, **h) for h in ({}, how))
    scale = usual.std(axis=0).mean()
    assert np.sqrt(np.mean((usual - other) ** 2)) < 0.2 * scale
    with pytest.raises(ValueError, match="expected 1 or more, and"):
        model.sample(X[:1], solver="euler")


def test_gaussian_truth_gives_gaussian_draws(rng):
    X, Y, truth = world(rng, 700, rich=0.0)
    model = DiffusionTranslator(**QUICK, lines=LINES).fit(X[:400], Y[:400])
    draws, true = depth(model.sample(X[400:], 30, random_state=0)), depth(truth[400:])
    np.testing.assert_allclose(draws.std(), true.std(), rtol=0.2)
    assert abs(np.mean((draws / draws.std()) ** 3)) < 0.2


@pytest.mark.parametrize(
    "settings",
    [
        {"n_latents": 0},
        {"n_rounds": 0},
        {"n_factors": 0},
        {"lines": None, "base": None, "solver": "dpm++"},
    ],
    ids=str,
)
def test_settings(rng, settings):
    X, Y, truth = world(rng, 200)
    model = DiffusionTranslator(**QUICK | {"lines": LINES} | settings).fit(X, Y)
    flux, std = predict_std(model, X)
    assert np.sqrt(np.mean((flux - truth) ** 2)) < 0.05
    assert (std > 0).all()
    assert sample(model, X[:3], 2, random_state=0).shape == (2, 3, Q)
    assert np.isfinite(model.log_prob(X[:3], Y[:3])).all()
    assert np.isfinite(model.line_intervals(X[:3], LINES, n_samples=9).ew).all()


def test_without_noise_draws_are_gaussian_and_of_the_observed(rng):
    X, Y, _ = world(rng, 200)
    model = DiffusionTranslator(**QUICK).fit(np.asarray(X), np.asarray(Y))
    assert not model.noise_known_
    assert not model.shape_trained_
    with pytest.raises(ValueError, match="no latents"):
        model.log_prob(np.asarray(X), np.asarray(Y))
    left = np.asarray(Y) - model.predict(np.asarray(X))
    draws = model.sample(np.asarray(X), 20, random_state=0)
    spread = (draws - model.predict(np.asarray(X))).std()
    np.testing.assert_allclose(spread, left.std(), rtol=0.2)
    with pytest.raises(ValueError, match="had no wavelengths"):
        model.line_intervals(np.asarray(X), LINES)


def test_a_diffusion_that_proves_nothing_is_not_used(rng):
    """Gaussian latents: mean and draws are those of CNNTranslator's kind."""
    X, Y, _ = world(rng, 200, rich=0.0)
    model = DiffusionTranslator(**QUICK | {"shape_rate": 0.0}).fit(X, Y)
    assert not model.shape_trained_
    cnn = CNNTranslator(3, n_members=2, n_factors=6, max_epochs=10, width=16).fit(X, Y)
    np.testing.assert_array_equal(model.predict(X), cnn.predict(X))


def test_at_other_resolving_powers(rng):
    X, Y, _ = world(rng, 200)
    power = rng.normal(2000, 150, 200)
    model = DiffusionTranslator(**QUICK).fit(X, Y.replace(resolution=power))
    draws = model.sample(X[:4], 300, 0, resolution=1500.0)
    flux, std = model.predict(X[:4], return_std=True, resolution=1500.0)
    np.testing.assert_allclose(draws.mean(axis=0), flux, atol=0.02)
    np.testing.assert_allclose(draws.std(axis=0), std, rtol=0.4)


def test_same_seed_same_bits_and_small_pickles(rng):
    X, Y, _ = world(rng, 200)
    settings = QUICK | {"max_epochs": 2, "shape_epochs": 2, "lines": LINES}
    models = [DiffusionTranslator(**settings).fit(X, Y) for _ in range(2)]
    first, second = (m.sample(X, 2, random_state=0) for m in models)
    assert (first == second).all()
    data = pickle.dumps(models[0])
    assert b"torch" not in data
    assert len(data) < 2e6
    assert (pickle.loads(data).sample(X, 2, random_state=0) == first).all()


def test_in_a_window(rng):
    X, Y, _ = world(rng, 200)
    window = TargetWindow(DiffusionTranslator(**QUICK), windows=LINES).fit(X, Y)
    draws = sample(window, X[:3], 4, random_state=0)
    inside = np.isin(np.arange(Q), np.r_[ONE, OTHER])
    assert (np.isfinite(draws).all(axis=(0, 1)) == inside).all()


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from specxfer.neural import DiffusionTranslator, _checkpoint
from test_diffusion_translator import QUICK, world

X, Y, _ = world(np.random.default_rng(3), 100)
write = _checkpoint.Checkpoints.write


def deadly(self, epoch, state):
    write(self, epoch, state)
    if self.folder.name == "shape-1" and epoch == 3:
        os.kill(os.getpid(), signal.SIGKILL)


_checkpoint.Checkpoints.write = deadly
DiffusionTranslator(**QUICK, checkpoint_dir=sys.argv[2]).fit(X, Y)
"""


def test_killed_and_resumed_to_the_same_bits(tmp_path):
    here = Path(__file__).parent
    command = [sys.executable, "-c", KILLED, str(here), str(tmp_path / "kept")]
    path = os.pathsep.join([str(here.parents[1]), os.environ.get("PYTHONPATH", "")])
    died = subprocess.run(command, check=False, env={**os.environ, "PYTHONPATH": path})
    assert died.returncode == -signal.SIGKILL
    X, Y, _ = world(np.random.default_rng(3), 100)
    kept = DiffusionTranslator(**QUICK, checkpoint_dir=tmp_path / "kept").fit(X, Y)
    unbroken = DiffusionTranslator(**QUICK).fit(X, Y)
    assert (
        kept.shape_history_["valid_loss"] == unbroken.shape_history_["valid_loss"]
    ).all()
    assert (kept.sample(X, 1, random_state=0) == unbroken.sample(X, 1, 0)).all()
