"""TargetScores: sums over components that stand for sums over pixels."""

import numpy as np
import pytest
import torch

from specxfer import Spectra
from specxfer.linear import SpectralPCA
from specxfer.networks import QuadraticError
from specxfer.neural._target_scores import TargetScores

N, P, K = 300, 80, 3
WAVE = 5000 + 0.1 * np.arange(P)


def world(rng, n=N, noise=0.02, known=True, masked=0.1):
    """Spectra of K components, and the noise-free flux."""
    to_y = np.random.default_rng(5).normal(0, 0.03, (K, P))
    truth = 0.9 + rng.standard_normal((n, K)) @ to_y
    sigma = noise * rng.uniform(0.5, 2, (n, P))
    flux = truth + sigma * rng.standard_normal((n, P))
    mask = rng.random((n, P)) < masked
    ivar = np.where(mask, 0, sigma**-2) if known else None
    flux = np.where(mask, np.nan, flux)
    return Spectra(flux, ivar, wave=WAVE, medium="air"), truth


def pixel_weights(y, pca):
    """1 / (noise + misfit) by hand, 0 where the flux is unknown."""
    model = pca._model
    valid = np.isfinite(y.flux)
    if y.ivar is None:
        return np.where(valid, 1 / (model.misfit + model.noise), 0)
    with np.errstate(divide="ignore"):
        return np.where(y.ivar > 0, 1 / (1 / y.ivar + model.misfit), 0)


def quadratic(scores, outputs):
    """What coefficients (n, n_members, k) add to the loss of the last part."""
    targets = {f"gram {i}": torch.tensor(gram) for i, gram in enumerate(scores.grams)}
    targets["projection"] = torch.tensor(scores.projection)
    return QuadraticError().of_parts(torch.tensor(outputs), targets)[-1].numpy()


@pytest.fixture
def fitted(rng):
    y, truth = world(rng)
    pca = SpectralPCA(K).fit(y)
    return y, truth, pca, TargetScores.of(y, pca)


@pytest.mark.parametrize(
    ("known", "masked"), [(True, 0.0), (True, 0.2), (False, 0.0), (False, 0.2)]
)
def test_against_sums_over_pixels(rng, known, masked):
    y, _ = world(rng, 200, known=known, masked=masked)
    pca = SpectralPCA(K).fit(y)
    scores, model = TargetScores.of(y, pca), pca._model
    w = pixel_weights(y, pca)
    left, basis = np.nan_to_num(y.flux - model.mean), model.loadings
    b = (w * left) @ basis.T
    gram = np.einsum("kp,np,lp->nkl", basis, w, basis)
    unit = scores.unit[:, None]
    np.testing.assert_allclose(scores.projection * unit[:, 0], b, rtol=2e-3, atol=0.1)
    np.testing.assert_allclose(
        scores.grams[0] * unit, gram, rtol=2e-3, atol=1e-3 * gram.max()
    )
    np.testing.assert_allclose(scores.weight, w.sum(axis=1), rtol=2e-3)
    noise = 0
    if known:
        noise = (w / np.where(y.ivar > 0, y.ivar, 1)).sum(axis=1)
    excess = (w * left**2).sum(axis=1) - noise
    np.testing.assert_allclose(scores.excess, excess, rtol=1e-2, atol=1.0)


def test_unit_is_what_the_components_explain(fitted):
    *_, scores = fitted
    explained = (scores.projection * scores.posterior).sum(axis=1).mean()
    assert explained == pytest.approx(1, rel=1e-5)


def test_size_is_the_flux_of_a_coefficient(fitted):
    _, _, pca, scores = fitted
    expected = np.sqrt((pca._model.loadings.astype(float) ** 2).sum(axis=1))
    np.testing.assert_allclose(scores.size, expected, rtol=1e-6)


def test_estimates_are_weighted_least_squares(fitted):
    y, _, pca, scores = fitted
    w, model = pixel_weights(y, pca), pca._model
    values, ivar = scores.estimates()
    for i in range(5):
        root = np.sqrt(w[i])
        left = root * np.nan_to_num(y.flux[i] - model.mean)
        basis = (root * model.loadings).T.astype(float)
        expected = np.linalg.lstsq(basis, left, rcond=None)[0]
        np.testing.assert_allclose(values[i], expected, atol=2e-3)
        variance = np.diag(np.linalg.inv(basis.T @ basis))
        np.testing.assert_allclose(ivar[i], 1 / variance, rtol=0.01)


@pytest.mark.parametrize("noise", [0.02, 0.2])
def test_missed_is_the_covariance_of_what_was_not_predicted(rng, noise):
    pca = SpectralPCA(K).fit(world(rng, 300)[0])
    clean = rng.standard_normal((2000, K))
    flux = pca._model.mean + clean @ pca._model.loadings
    sigma = noise * rng.uniform(0.5, 2, (2000, P))
    y = Spectra(flux + sigma * rng.standard_normal(flux.shape), sigma**-2, wave=WAVE,
                medium="air")  # fmt: skip
    scores = TargetScores.of(y, pca)
    root = 0.4 * rng.normal(size=(K, K))
    predicted = clean - rng.standard_normal((2000, K)) @ root.T
    found = scores.missed(predicted, np.ones(2000))
    expected = root @ root.T
    assert np.abs(found - expected).max() < 0.1 * np.trace(expected)
    assert np.linalg.eigvalsh(found).min() > -1e-12


def test_missed_is_nothing_where_noise_is_more_than_the_difference(rng):
    y, _ = world(rng, 300)
    pca = SpectralPCA(K).fit(y)
    scores = TargetScores.of(y, pca)
    clean = scores.estimates()[0]
    assert np.abs(scores.missed(clean, np.ones(300))).max() < 0.01


@pytest.mark.parametrize("known_error", [0.01, 0.05])
def test_error_is_that_of_the_noise_free_flux(rng, known_error):
    y, _ = world(rng, 300, 0.02, masked=0.1)
    pca = SpectralPCA(K).fit(y)
    scores, model = TargetScores.of(y, pca), pca._model
    true = np.asarray(scores.estimates()[0])
    flux = model.mean + true @ model.loadings
    sigma = 0.02 * rng.uniform(0.5, 2, y.shape)
    y = y.replace(flux=flux + sigma * rng.standard_normal(y.shape), ivar=sigma**-2)
    scores = TargetScores.of(y, pca)
    off = rng.standard_normal((300, 2, K))
    size = np.sqrt(np.mean((off @ model.loadings) ** 2))
    off *= known_error / size
    w = pixel_weights(y, pca)
    square = (w[:, None] * (off @ model.loadings) ** 2).sum(axis=(0, 2))
    expected = np.sqrt(square / w.sum())
    loss = quadratic(scores, true[:, None] + off)
    for member in range(2):
        found = scores.error(loss[:, member], np.ones(300))
        assert found == pytest.approx(expected[member], rel=0.1)
    some = np.arange(20, 300, 3)
    judges = np.zeros(300)
    judges[some] = 1 + some / 300
    assert scores.error(loss[some, 0], judges[some], some) == pytest.approx(
        scores.error(loss[:, 0], judges), rel=1e-9
    )
    assert scores.error(loss[:, 0], np.zeros(300)) == 0


def test_parts_stand_beside_each_other(rng):
    y, _ = world(rng)
    part = y[:, 20:50]
    whole = TargetScores.of(y, SpectralPCA(K).fit(y))
    lines = TargetScores.of(part, SpectralPCA(2).fit(part))
    both = whole.beside(lines)
    assert both.parts == [slice(0, K), slice(K, K + 2)]
    assert both.grams == (whole.grams[0], lines.grams[0])
    loss, judges = rng.random((2, N))
    assert both.error(loss, judges) == lines.error(loss, judges)
    for found, one, other in zip(
        both.estimates(), whole.estimates(), lines.estimates()
    ):
        expected = np.concatenate([one, other], axis=1)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
