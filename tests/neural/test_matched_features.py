"""MatchedFeatures: scores of unit variance, the telling ones first."""

import numpy as np
import pytest

from specxfer import Spectra
from specxfer.linear import MatchedScores
from specxfer.neural._matched_features import MatchedFeatures, left_out_scores

N, P, Q, K = 400, 60, 40, 4


@pytest.fixture
def pairs(rng):
    world = np.random.default_rng(5)
    # each parameter is told by the target more weakly than the one before
    to_y = world.normal(0, 1, (K, Q)) * (0.1 * 0.5 ** np.arange(K))[:, None]
    to_x = world.normal(0, 0.02, (K, P))
    u = rng.standard_normal((N, K))
    X = 0.9 + u @ to_x + rng.normal(0, 0.005, (N, P))
    y = 0.9 + u @ to_y + rng.normal(0, 0.005, (N, Q))
    X = Spectra(X, np.full((N, P), 4e4), wave=15_000.0 + np.arange(P), medium="vacuum")
    y = Spectra(y, np.full((N, Q), 4e4), wave=6000.0 + np.arange(Q), medium="air")
    return X, y


@pytest.fixture
def fitted(pairs):
    X, y = pairs
    matched = MatchedScores(K, cv=3)
    X, parts = matched._learnt(X, y)
    scores, misfit = left_out_scores(matched, X, parts)
    told = np.asarray(matched.target_.transform(y), float)
    told = told * np.sqrt((matched.target_._model.loadings**2).sum(axis=1))
    return X, parts, matched, scores, misfit, told


def test_left_out_scores_are_those_of_fit_transform(pairs, fitted):
    _, _, _, scores, misfit, _ = fitted
    expected = MatchedScores(K, cv=3).fit_transform(*pairs)
    np.testing.assert_array_equal(scores, expected)
    assert np.median(misfit) == pytest.approx(1, abs=0.2)


def test_perturbed_spectra_have_the_scores_of_those(fitted):
    X, parts, matched, scores, *_ = fitted
    flat, _ = left_out_scores(
        matched, X, parts, lambda block: block.replace(ivar=np.zeros_like(block.ivar))
    )
    assert np.ptp(flat, axis=0).max() < 1e-1 * np.ptp(scores, axis=0).min()


@pytest.mark.parametrize("weighted", [False, True])
def test_mean_and_variance(fitted, rng, weighted):
    *_, matched, scores, _, told = fitted
    weight = rng.random(N) if weighted else np.ones(N)
    features = MatchedFeatures.of(matched, scores, told, weight).turned(scores)
    mean = np.average(features, axis=0, weights=weight)
    variance = np.average((features - mean) ** 2, axis=0, weights=weight)
    np.testing.assert_allclose(mean, 0, atol=1e-9)
    np.testing.assert_allclose(variance, 1, rtol=1e-9)


def test_the_first_tells_most(fitted):
    *_, matched, scores, _, told = fitted
    features = MatchedFeatures.of(matched, scores, told, np.ones(N)).turned(scores)
    left = told - told.mean(axis=0)
    explained = ((features.T @ left / N) ** 2).sum(axis=1)
    assert explained.argmax() == 0
    assert explained[0] > 3 * explained[-1]


def test_a_score_that_never_varies_becomes_no_feature(fitted):
    *_, matched, scores, _, told = fitted
    scores = scores.copy()
    scores[:, 2] = 0.3
    features = MatchedFeatures.of(matched, scores, told, np.ones(N)).turned(scores)
    assert np.isfinite(features).all()
    variance = features.var(axis=0)
    assert np.allclose(np.sort(variance)[1:], 1)
    assert variance.min() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("kind", ["noise", "no noise", "gaps"])
def test_new_spectra(fitted, kind, rng):
    X, _, matched, scores, _, told = fitted
    if kind != "noise":
        gaps = (rng.random(X.shape) < 0.1) & (np.arange(N)[:, None] % 7 == 0)
        flux = np.where(gaps & (kind == "gaps"), np.nan, X.flux)
        X = X.replace(flux=flux, ivar=None)
    found = MatchedFeatures.of(matched, scores, told, np.ones(N))
    features, covariance = found.moments(X)
    np.testing.assert_allclose(features, found.features(X), atol=1e-6)
    by_hand = matched.transform(X)
    np.testing.assert_allclose(features, found.turned(np.asarray(by_hand)), atol=1e-6)
    expected = found.turn.T @ by_hand.covariance @ found.turn
    np.testing.assert_allclose(covariance, expected, atol=1e-8)


def test_misfit_is_one_for_the_training_stars(fitted):
    X, _, matched, scores, _, told = fitted
    misfit = MatchedFeatures.of(matched, scores, told, np.ones(N)).misfit(X)
    assert 0.7 < misfit.mean() < 1.1  # they were fitted to
    emission = np.where(np.arange(X.shape[1]) % 20 == 0, 1.5, X.flux)
    other = X.replace(flux=emission)
    worse = MatchedFeatures.of(matched, scores, told, np.ones(N)).misfit(other)
    assert (worse > 2 * misfit).all()
