"""PixelTraining: what is learnt through noise, in worlds that are known."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from specxfer.covariance import LowRankCovariance
from specxfer.neural._pixel_errors import PixelErrors, Told
from specxfer.neural._pixel_shape import PixelShape
from specxfer.neural._pixel_training import NoisyPixels, PixelTraining, check_room

P, N, SIZE = 8, 400, 0.02
LINE = SIZE * np.hanning(P + 2)[1:-1] / np.hanning(P + 2)[1:-1].max()
NOISE = 0.0125
SETTINGS = {
    "n_rounds": 2,
    "shape_width": 12,
    "shape_epochs": 9,
    "shape_rate": 5e-3,
    "checkpoint_dir": None,
    "verbose": 0,
}


def foretold(n):
    """A line of one strength, and what pixels have alone."""
    diagonal = np.full((n, P), (0.2 * SIZE) ** 2)
    return LowRankCovariance(np.ones((n, 1, 1)), LINE[None], diagonal)


def training(rng, strength, noise=NOISE, **settings):
    """Of stars whose line is `strength` times the one foretold."""
    n, size = len(strength), (len(strength), P)
    flux = strength[:, None] * LINE + 0.2 * SIZE * rng.standard_normal(size)
    flux += noise * rng.standard_normal(size)
    ivar = np.full(size, noise**-2.0)
    hidden = rng.random(size) < 0.1
    flux[hidden], ivar[hidden] = np.nan, 0
    told = Told.of(PixelErrors.of(foretold(n)), ivar, flux)
    conditions = rng.standard_normal((n, 2)).astype("f4")
    return PixelTraining(
        SimpleNamespace(**SETTINGS | settings),
        PixelShape(np.arange(P), 2),
        told,
        conditions,
        np.arange(n),
        np.ones(n),
        torch.device("cpu"),
        0,
    )


def drawn(learning, shape, rng):
    """Errors of 100 stars, 40 draws of each, continuum units."""
    errors = learning.information.errors[:100]
    white = rng.standard_normal((100, 40, errors.n_white))
    draws = shape.drawn(errors.spread(white), learning.conditions[:100], 6, "heun")
    return (draws * errors.unit[:, None]).reshape(-1, P)


def test_draws_have_the_covariance_behind_the_noise(rng):
    """Foretold were lines of 0.6 times the strength they vary by."""
    learning = training(rng, rng.standard_normal(500) / 0.6, shape_epochs=8)
    shape, history = learning.train()
    assert shape.trained
    assert history["score_gain"][0] == 0  # before the first round
    assert (history["score_gain"][1:] > 0).all()
    found = np.cov(drawn(learning, shape, rng).T)
    truth = np.outer(LINE, LINE) / 0.6**2 + np.eye(P) * (0.2 * SIZE) ** 2
    along = LINE / np.linalg.norm(LINE)
    np.testing.assert_allclose(along @ found @ along, along @ truth @ along, rtol=0.2)
    others = np.linalg.svd(along[None])[2][1:]
    across = others @ found @ others.T
    np.testing.assert_allclose(np.trace(across), 7 * (0.2 * SIZE) ** 2, rtol=0.4)
    assert np.trace(across) < 0.2 * 7 * NOISE**2


def test_what_was_foretold_right_is_not_made_worse(rng):
    """Nothing is to be learnt: the Gaussian stays, or what is no worse."""
    learning = training(rng, rng.standard_normal(N), n_rounds=1, shape_epochs=4)
    shape, _ = learning.train()
    found, dense = np.cov(drawn(learning, shape, rng).T), foretold(1).dense()[0]
    unit = np.sqrt(np.outer(np.diag(dense), np.diag(dense)))
    np.testing.assert_allclose(found / unit, dense / unit, atol=0.15)


def test_two_kinds_of_star_seen_through_noise_are_two(rng):
    """Lines are weak or strong, in one star in four."""
    strength = np.where(rng.random(500) < 0.25, 1.71, -0.57)
    strength += 0.15 * rng.standard_normal(500)
    learning = training(rng, strength, noise=0.008, n_rounds=1, shape_epochs=32)
    shape, _ = learning.train()
    draws = drawn(learning, shape, rng) @ LINE / (LINE @ LINE)
    weak, middle, strong = (
        np.mean(np.abs(draws - at) < 0.3) for at in (-0.57, 0.57, 1.71)
    )
    assert middle < 0.08  # a Gaussian has 0.2
    assert weak > 0.4  # a Gaussian has 0.2
    assert strong > 2 * middle


def test_epochs_are_what_their_numbers_say(rng):
    errors = PixelErrors.of(foretold(20))
    draws = rng.standard_normal((20, 2, P)).astype("f4")
    told, weight = rng.standard_normal((20, 3)).astype("f4"), np.ones(20)
    rows = np.arange(5, 20)
    batches = NoisyPixels(told, draws, errors, weight, rows, 4, 7, "cpu")
    first, again, other = (list(batches.epoch(i)) for i in (0, 0, 1))
    assert len(first) == len(batches) == 4
    for (inputs, _), (same, _), (new, _) in zip(first, again, other):
        assert (inputs["noise"] == same["noise"]).all()
        assert (
            inputs["noise"].shape != new["noise"].shape
            or (inputs["noise"] != new["noise"]).any()
        )
    seen = np.concatenate([i["conditions"].numpy() for i, _ in first])
    assert {tuple(row) for row in seen} == {tuple(row) for row in told[rows]}


def test_room_is_checked():
    check_room(3000, 100, 60, 2**30)
    with pytest.raises(ValueError, match="6000 stars and 16384 pixels needs"):
        check_room(6000, 16384, 60, 2**30)


def test_broken_off_and_resumed_to_the_same_bits(rng, tmp_path):
    settings = {"n_rounds": 1, "shape_epochs": 2, "checkpoint_dir": tmp_path}
    learning = training(rng, 1.5 * rng.standard_normal(N), **settings)
    whole = learning.train()[1]
    *_, newest = sorted((tmp_path / "shape-1").glob("epoch-*.ckpt"))
    newest.unlink()
    resumed = learning.train()[1]
    assert (tmp_path / "shape-1" / newest.name).exists()
    for name in ("train_loss", "valid_loss", "score_gain"):
        np.testing.assert_array_equal(resumed[name], whole[name])
