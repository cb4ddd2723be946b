"""The target's components, as the source shows them."""

import pickle

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline

from specxfer import Spectra, predict_std
from specxfer.linear import MatchedScores, SpectralPCA, SpectralRidge

N, P, Q = 600, 800, 60
NOISE_X, NOISE_Y = 0.01, 0.02


def world(rng, n=N, weak=0.004):
    """Two elements: one shows everywhere, one in six source pixels, barely.

    Each spectrum of the source is white noise and these; the target shows both.
    """
    u = rng.standard_normal((n, 2))
    source = np.zeros((2, P))
    source[0] = 0.02 * np.sin(np.arange(P))
    source[1, 100:700:100] = weak
    target = np.zeros((2, Q))
    target[0, :30] = 0.1
    target[1, 30:] = 0.1
    x, y = u @ source, 0.7 + u @ target
    noise = NOISE_X * rng.standard_normal(x.shape)
    return u, 0.9 + x + noise, y + NOISE_Y * rng.standard_normal(y.shape), source


def spectra(x, noise, start=15000.0, **more):
    ivar = np.full(x.shape, noise**-2.0)
    wave = start + np.arange(x.shape[1])
    return Spectra(x, ivar, wave=wave, medium="vacuum", **more)


def test_loadings_are_what_each_component_does_to_the_source(rng):
    _, x, y, source = world(rng, weak=0.02)
    model = MatchedScores(2).fit(spectra(x, NOISE_X), spectra(y, NOISE_Y, 5000.0))
    turn = np.linalg.lstsq(model.loadings_.T, source.T, rcond=None)[0]
    np.testing.assert_allclose(turn.T @ turn, np.eye(2), atol=0.15)  # a rotation
    error = (turn.T @ model.loadings_ - source)[1, 100:700:100]
    assert np.abs(error).max() < 4 * NOISE_X / np.sqrt(N)


def test_scores_are_the_posterior_of_the_dense_formula(rng):
    _, x, y, _ = world(rng)
    X = spectra(x, NOISE_X)
    X.ivar[:5, ::3] = 0
    model = MatchedScores(2).fit(X, spectra(y, NOISE_Y, 5000.0))
    scores = model.transform(X[:5])
    for i in range(5):
        found = []
        for part in model._models:
            L = part.loadings.astype(float)
            w = np.where(X.ivar[i] > 0, 1 / (NOISE_X**2 + part.misfit), 0)
            S = np.linalg.inv((L * w) @ L.T + np.eye(2))
            found.append((S @ (L * w) @ (x[i] - part.mean), S))
        want, S = (np.mean(values, axis=0) for values in zip(*found))
        np.testing.assert_allclose(scores.covariance[i], S, rtol=1e-6)
        np.testing.assert_allclose(np.asarray(scores)[i], want, rtol=1e-6, atol=1e-8)


def test_scores_are_as_large_in_training_as_later(rng):
    # a regression on the ones is to hold for the others
    _, x, y, _ = world(rng)
    _, a, b, _ = world(rng)
    model = MatchedScores(2)
    train = np.asarray(model.fit_transform(x, y))
    later = np.asarray(model.transform(a))

    def slope(scores, flux):
        design = np.column_stack([scores, np.ones(N)])
        return np.linalg.lstsq(design, flux, rcond=None)[0][:2]

    one, other = slope(train, y), slope(later, b)
    assert np.linalg.norm(one - other) < 0.15 * np.linalg.norm(one)


def test_a_weak_element_is_found_that_components_of_the_source_do_not_show(rng):
    # its variance in the source, 6 × 0.004², is below noise² √(p / n)
    u, x, y, _ = world(rng)
    assert NOISE_X**2 * np.sqrt(P / N) > 6 * 0.004**2
    v, a, _, _ = world(rng)
    X, y = spectra(x, NOISE_X), spectra(y, NOISE_Y, 5000.0)

    def told(scores, others):
        A = np.column_stack([scores, np.ones(N)])
        c = np.linalg.lstsq(A, u[:, 1], rcond=None)[0]
        return np.corrcoef(np.column_stack([others, np.ones(N)]) @ c, v[:, 1])[0, 1]

    matched, own = MatchedScores(2), SpectralPCA(2).fit(X)
    ours = told(matched.fit_transform(X, y), matched.transform(spectra(a, NOISE_X)))
    theirs = told(own.transform(X), own.transform(spectra(a, NOISE_X)))
    best = 1 / np.sqrt(1 + NOISE_X**2 / (6 * 0.004**2))  # of a filter known exactly
    assert ours > 0.75 * best
    assert theirs < 0.4 * best


def test_fit_transform_leaves_each_star_out_of_its_own_filters(rng):
    # nothing in the source knows the target: scores must not either
    x = 0.9 + NOISE_X * rng.standard_normal((N, P))
    y = 0.7 + 0.1 * rng.standard_normal((N, 1)) * np.ones(Q)
    model = MatchedScores(1)
    left_out = np.asarray(model.fit_transform(x, y))[:, 0]
    seen = np.asarray(model.transform(x))[:, 0]
    strength = y.mean(axis=1)
    assert abs(np.corrcoef(left_out, strength)[0, 1]) < 4 / np.sqrt(N)
    assert abs(np.corrcoef(seen, strength)[0, 1]) > 6 / np.sqrt(N)


def test_repeats_of_a_star_are_left_out_together(rng):
    _, x, y, _ = world(rng, 40)
    ids = np.repeat(np.arange(20), 2).astype(str)
    x[1::2], y[1::2] = x[::2], y[::2]
    X, y = spectra(x, NOISE_X, ids=ids), spectra(y, NOISE_Y, 5000.0, ids=ids)
    scores = np.asarray(MatchedScores(2).fit_transform(X, y))
    np.testing.assert_allclose(scores[::2], scores[1::2], rtol=1e-9)


def test_stars_without_a_target_teach_nothing_and_get_scores(rng):
    _, x, y, _ = world(rng)
    y[::4] = np.nan
    other = x.copy()
    other[::4] = 0.5 + rng.random(x[::4].shape)
    one, same = MatchedScores(2).fit(x, y), MatchedScores(2).fit(other, y)
    np.testing.assert_array_equal(one.loadings_, same.loadings_)
    assert np.isfinite(MatchedScores(2).fit_transform(x, y)).all()


def test_masked_pixels_hold_nothing(rng):
    _, x, y, _ = world(rng, 100)
    bad = rng.random(x.shape) < 0.1
    bad[:, 5] = True  # a gap
    one, other = (
        MatchedScores(2).fit(np.where(bad, np.nan, x), y).transform(x[:3])
        for _ in range(2)
    )
    np.testing.assert_array_equal(one, other)
    ivar = np.where(bad, 0, NOISE_X**-2)
    a, b = (
        MatchedScores(2).fit_transform(
            Spectra(
                np.where(bad, fill, x), ivar, wave=np.arange(P) + 5000.0, medium="air"
            ),
            y,
        )
        for fill in (7.0, np.nan)
    )
    np.testing.assert_allclose(a, b, atol=1e-9)


def test_before_a_ridge_in_a_pipeline_errors_are_calibrated(rng):
    _, x, y, _ = world(rng)
    v, a, _, _ = world(rng)
    truth = 0.7 + v @ np.where(np.arange(Q) < 30, [[0.1], [0]], [[0], [0.1]])
    model = make_pipeline(MatchedScores(2), SpectralRidge())
    model.fit(spectra(x, NOISE_X), spectra(y, NOISE_Y, 5000.0))
    flux, std = predict_std(model, spectra(a, NOISE_X))
    z = (flux - truth) / std
    assert 0.8 < np.sqrt(np.mean(z[:, 30:] ** 2)) < 1.2


def test_float32_is_kept_and_pickles_agree(rng):
    _, x, y, _ = world(rng, 100)
    model = MatchedScores(3).fit(x.astype("f4"), y.astype("f4"))
    scores = model.transform(x[:4].astype("f4"))
    assert scores.dtype == np.float32
    again = pickle.loads(pickle.dumps(model)).transform(x[:4].astype("f4"))
    np.testing.assert_array_equal(scores, again)


def test_errors_say_what_was_seen(rng):
    _, x, y, _ = world(rng, 20)
    with pytest.raises(ValueError, match="requires y"):
        MatchedScores().fit(x, None)
    with pytest.raises(ValueError, match="1 of 20"):
        MatchedScores().fit(x, np.where(np.arange(20)[:, None] < 1, y, np.nan))
    X = spectra(x, NOISE_X, ids=["a"] * 20)
    with pytest.raises(ValueError, match="1 star"):
        MatchedScores(2).fit_transform(X, y)
