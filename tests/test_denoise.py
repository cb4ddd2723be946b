"""Both spectra of a star against dense algebra, limits that are known, and truth."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

import specxfer
from specxfer import BandedCovariance, LowRankCovariance, Spectra, denoise, translate
from specxfer._denoise import _posterior
from specxfer.compose import TargetWindow
from specxfer.linear import PCARidge
from specxfer.metrics import equivalent_width
from specxfer.preprocessing import GapMasker

N, R, P = 5, 3, 9
WAVE = 6490 + 0.1 * np.arange(P)
GRID = {"wave": WAVE, "medium": "air"}


def expected(rng, dtype=float, rank=R):
    """What a model may say of some spectra, and an observation of them."""
    half = rng.normal(size=(N, R, rank))
    covariance = LowRankCovariance(
        half @ half.transpose(0, 2, 1),
        rng.normal(size=(R, P)),
        rng.uniform(0.1, 1, (N, P)),
    )
    covariance = LowRankCovariance(
        *(a.astype(dtype) for a in (covariance.core, covariance.basis)),
        covariance.diagonal.astype(dtype),
    )
    flux = rng.normal(size=(N, P)).astype(dtype)
    ivar = rng.uniform(0.5, 5, (N, P)).astype(dtype)
    prior = Spectra(flux, **GRID, covariance=covariance)
    return prior, Spectra(rng.normal(size=(N, P)).astype(dtype), ivar, **GRID)


def dense(covariance, i):
    scale = 1 if covariance.scale is None else covariance.scale[i]
    basis = covariance.basis * scale
    diagonal = np.broadcast_to(covariance.diagonal, covariance.shape)[i]
    return basis.T @ covariance.core[i] @ basis + np.diag(diagonal)


def by_hand(prior, observed, i):
    """Gaussian conditioning on the pixels seen, with matrices of pixels × pixels."""
    sigma = dense(prior.covariance, i)
    seen = observed.valid()[i]
    gain = np.linalg.solve(
        sigma[np.ix_(seen, seen)] + np.diag(1 / observed.ivar[i, seen]), sigma[seen]
    ).T
    difference = (observed.flux - prior.flux)[i, seen]
    return prior.flux[i] + gain @ difference, sigma - gain @ sigma[seen]


@pytest.mark.parametrize("rank", [R, 1], ids=["full", "singular"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_it_is_what_dense_matrices_give(rng, dtype, rank):
    prior, observed = expected(rng, dtype, rank)
    ivar = observed.ivar.copy()
    ivar[1, 2:5] = ivar[2] = 0
    flux = observed.flux.copy()
    flux[3, 0] = np.nan
    observed = observed.replace(flux=flux, ivar=ivar)
    mean, covariance = _posterior(prior, observed)
    assert mean.dtype == covariance.variance().dtype == dtype
    tolerance = 1e-10 if dtype == np.float64 else 2e-4
    for i in range(N):
        flux, sigma = by_hand(prior, observed, i)
        assert_allclose(mean[i], flux, atol=tolerance)
        assert_allclose(dense(covariance, i), sigma, atol=tolerance)


def test_a_prior_with_a_shared_diagonal(rng):
    prior, observed = expected(rng)
    shared = LowRankCovariance(
        prior.covariance.core, prior.covariance.basis, np.linspace(0, 1, P)
    )
    prior = prior.replace(covariance=shared)
    mean, covariance = _posterior(prior, observed)
    flux, sigma = by_hand(prior, observed, 2)
    assert_allclose(mean[2], flux)
    assert_allclose(dense(covariance, 2), sigma, atol=1e-12)


@pytest.mark.parametrize("largest", [1e3, 1e6, 1e12])
def test_noise_that_spans_many_orders_of_magnitude(rng, largest):
    prior, observed = expected(rng)
    ivar = np.logspace(0, np.log10(largest), P)
    observed = observed.replace(
        ivar=np.array([rng.permutation(ivar) for _ in range(N)])
    )
    mean, covariance = _posterior(prior, observed)
    for i in range(N):
        flux, sigma = by_hand(prior, observed, i)
        assert_allclose(mean[i], flux, atol=1e-6)
        assert_allclose(covariance.variance()[i], np.diag(sigma), atol=1e-6)


# --------------------------------------------------------------- with a translator
def pairs(n=400, p=30, q=40, seed=0, snr=50.0):
    """Stars whose two spectra share two numbers, and whose target has a third."""
    rng = np.random.default_rng(seed)
    u = rng.standard_normal((n, 3))
    lines = np.exp(-0.5 * ((np.arange(q) - [[8], [20], [31]]) / 2.0) ** 2)
    source = 0.1 * np.random.default_rng(99).standard_normal((2, p))
    truth = (1 - 0.3 * lines.sum(axis=0) + 0.05 * u @ lines).astype("f4")
    x = 1 + u[:, :2] @ source + 0.1 * rng.standard_normal((n, p))
    ivar = np.full((n, q), snr**2, "f4")
    grid = {"wave": 6490 + 0.1 * np.arange(q), "medium": "air"}
    ids = np.array([f"star {i}" for i in range(n)])
    X = Spectra(
        x.astype("f4"),
        np.full((n, p), 100, "f4"),
        wave=15000 + 0.2 * np.arange(p),
        medium="vacuum",
        ids=ids,
    )
    noise = (rng.standard_normal((n, q)) / snr).astype("f4")
    y = Spectra(truth + noise, ivar, **grid, ids=ids, meta={"teff": np.arange(n)})
    return X, y, truth


@pytest.fixture(scope="module")
def fitted():
    X, y, _ = pairs(1500, seed=1)
    return PCARidge(3, n_products=0).fit(X, y)


def test_both_spectra_are_better_than_either(fitted):
    X, y, truth = pairs(2000)
    both, alone = denoise(fitted, X, y), translate(fitted, X)
    cores = [7, 8, 9, 19, 20, 21, 30, 31, 32]
    for flux in (y.flux, alone.flux):
        worse = ((flux - truth) ** 2).mean(axis=0)
        assert (((both.flux - truth) ** 2).mean(axis=0) < worse)[cores].all()
    assert (both.ivar >= np.maximum(alone.ivar, y.ivar) * (1 - 1e-5)).all()
    assert both.dtype == np.float32


def test_its_errors_are_those_it_states(rng):
    """Truth drawn from the prior: chi², and equivalent widths, by their covariance."""
    n = 4000
    prior, _ = expected(rng, np.float32)
    known = prior.covariance
    repeated = LowRankCovariance(
        np.repeat(known.core[:1], n, axis=0), known.basis, known.diagonal[0]
    )
    mean = np.repeat(prior.flux[:1], n, axis=0)
    truth = mean + known.draw(0, n, rng).astype(np.float32)
    ivar = rng.uniform(0.1, 9, (n, P)) * (rng.random((n, P)) > 0.2)
    noise = rng.standard_normal((n, P)) / np.sqrt(np.where(ivar > 0, ivar, 1))
    found, covariance = _posterior(
        Spectra(mean, **GRID, covariance=repeated),
        Spectra(truth + noise.astype("f4"), ivar, **GRID),
    )
    error = found - truth
    assert_allclose(
        np.std(error / np.sqrt(covariance.variance()), axis=0), 1, atol=0.05
    )
    width = rng.uniform(0, 1, (P, 2))
    stated = np.sqrt(covariance.functional_variance(width))
    assert_allclose(np.std(error @ width / stated, axis=0), 1, atol=0.05)
    chi2 = [e @ np.linalg.solve(dense(covariance, i), e) for i, e in enumerate(error)]
    assert_allclose(np.mean(chi2), P, atol=5 * np.sqrt(2 * P / n))


def test_correlated_noise_is_allowed_for_by_a_lower_ivar(rng):
    """With ivar / (1 + 2 ρ) the errors stated of sums are large enough."""
    n, rho = 4000, 0.5
    prior, _ = expected(rng)
    known = prior.covariance
    core = np.repeat(known.core[:1] / 20, n, axis=0)
    repeated = LowRankCovariance(core, known.basis, known.diagonal[0] / 20)
    mean = np.repeat(prior.flux[:1], n, axis=0)
    truth = mean + repeated.draw(0, n, rng)
    white = rng.standard_normal((n, P + 1))
    noise = (white[:, 1:] + white[:, :-1]) / np.sqrt(2)  # variance 1, correlation ρ
    prior = Spectra(mean, **GRID, covariance=repeated)
    scatter = []
    for ivar in (1, 1 / (1 + 2 * rho)):
        observed = Spectra(truth + noise, np.full((n, P), ivar), **GRID)
        found, covariance = _posterior(prior, observed)
        stated = np.sqrt(covariance.functional_variance(np.ones((P, 1)))[:, 0])
        scatter.append(np.std((found - truth).sum(axis=1) / stated))
    assert scatter[0] > 1.05
    assert scatter[1] < 1.02


def test_noise_known_to_be_correlated_is_taken_for_what_it_is(rng):
    """As matched spectra carry it: errors of sums are neither too small nor absurd."""
    n, rho = 4000, 0.5
    prior, _ = expected(rng)
    known = prior.covariance
    core = np.repeat(known.core[:1] / 20, n, axis=0)
    repeated = LowRankCovariance(core, known.basis, known.diagonal[0] / 20)
    mean = np.repeat(prior.flux[:1], n, axis=0)
    prior = Spectra(mean, **GRID, covariance=repeated)
    ivar, pixel = np.ones((n, P)), np.arange(P)
    banded = BandedCovariance(ivar, np.ones((n, 1, 2)), pixel, 0 * pixel)
    assert_allclose(banded.correlation()[0, 0], [1, rho])
    noise = np.stack([banded.draw(0, 1, rng)[0] for _ in range(n)])
    truth = mean + repeated.draw(0, n, rng)
    observed = Spectra(truth + noise, ivar, **GRID, covariance=banded)
    found, covariance = _posterior(prior, observed)
    white = observed.replace(covariance=None, ivar=ivar / (1 + 2 * rho))
    assert_allclose(found, _posterior(prior, white)[0])
    stated = np.sqrt(covariance.functional_variance(np.ones((P, 1)))[:, 0])
    assert 0.7 < np.std((found - truth).sum(axis=1) / stated) < 1.02


def test_the_errors_of_a_fitted_model_are_those_it_states(fitted):
    X, y, truth = pairs(3000)
    both = denoise(fitted, X, y)
    pull = (both.flux - truth) * np.sqrt(both.ivar)
    assert_allclose(np.mean(pull**2), 1, atol=0.12)
    lines = [(6490.4, 6491.2), (6491.5, 6492.5), (6492.6, 6493.6)]
    found, error = equivalent_width(both, lines)
    true, _ = equivalent_width(both.replace(flux=truth, ivar=None), lines)
    scatter = np.std((found - true) / error, axis=0)
    assert ((scatter > 0.8) & (scatter < 1.1)).all()


def test_a_perfect_observation_is_kept_and_a_useless_one_makes_no_difference(fitted):
    X, y, _ = pairs(20)
    alone = translate(fitted, X)
    perfect = denoise(fitted, X, y.replace(ivar=np.full(y.shape, 1e14)))
    assert_allclose(perfect.flux, y.flux, atol=1e-5)
    assert (perfect.ivar > 1e10).all()
    useless = denoise(fitted, X, y.replace(ivar=np.full(y.shape, 1e-10)))
    assert_allclose(useless.flux, alone.flux, atol=1e-6)
    assert_allclose(useless.ivar, alone.ivar, rtol=1e-5)
    masked = denoise(fitted, X, y.replace(ivar=np.zeros(y.shape)))
    assert_allclose(masked.flux, alone.flux, atol=1e-6)
    assert_allclose(masked.ivar, alone.ivar, rtol=1e-5)


def test_a_star_without_a_source_spectrum_is_expected_to_be_like_the_mean(fitted):
    X, y, truth = pairs(200)
    empty = X.replace(flux=np.full(X.shape, np.nan))
    with_mean, both = denoise(fitted, empty, y), denoise(fitted, X, y)
    error = [np.mean((s.flux - truth) ** 2) for s in (both, with_mean, y)]
    assert error[0] < error[1] < error[2]


def test_a_masked_line_is_told_by_its_neighbours(fitted):
    """Pixels of one line err together: half of it tells the other half."""
    X, y, truth = pairs()
    ivar = y.ivar.copy()
    ivar[:, 31:] = 0  # half of the line that the source does not know
    both, alone = denoise(fitted, X, y.replace(ivar=ivar)), translate(fitted, X)
    half = slice(31, 34)
    left = [np.std((s.flux - truth)[:, half]) for s in (both, alone)]
    assert left[0] < 0.6 * left[1]


def test_pixels_that_the_model_does_not_know_are_as_observed():
    X, y, _ = pairs()
    flux, ivar = y.flux.copy(), y.ivar.copy()
    flux[:, 3] = np.nan
    model = PCARidge(3, n_products=0).fit(X, y.replace(flux=flux))
    assert not model.seen_[3]
    ivar[:5, 3] = 0
    both = denoise(model, X, y.replace(ivar=ivar))
    assert_array_equal(both.flux[5:, 3], y.flux[5:, 3])
    assert np.isnan(both.flux[:5, 3]).all()
    assert_allclose(both.ivar[:, 3], ivar[:, 3], rtol=1e-6)
    width = np.zeros((y.shape[1], 2))
    width[3, 0] = width[3:5] = 1
    unknown = np.isnan(both.covariance.functional_variance(width))
    assert_array_equal(unknown.sum(axis=0), [5, 5])


def test_what_it_carries(fitted):
    X, y, _ = pairs(20)
    both = denoise(fitted, X, y)
    assert_array_equal(both.ids, y.ids)
    assert both.meta.colnames == ["teff", "support", "supported"]
    assert y.meta.colnames == ["teff"]
    assert_allclose(both.meta["support"], fitted.support(X))
    assert_allclose(both.ivar, 1 / both.covariance.variance(), rtol=1e-6)
    bare = denoise(fitted, X.replace(ids=None), y.replace(ids=None, meta=None))
    assert bare.meta.colnames == ["support", "supported"]
    again = pickle.loads(pickle.dumps(both))
    assert_array_equal(again.covariance.scale, both.covariance.scale)


def test_a_star_does_not_depend_on_its_company(fitted, monkeypatch):
    X, y, _ = pairs(30)
    whole = denoise(fitted, X, y)
    monkeypatch.setattr("specxfer._denoise.BLOCK_ROWS", 7)
    blocks = denoise(fitted, X, y)
    alone = denoise(fitted, X[8:9], y[8:9])
    for part, one in ((blocks[8:9], alone), (whole[8:9], alone)):
        assert_array_equal(part.flux, one.flux)
        assert_array_equal(part.ivar, one.ivar)
    assert_array_equal(whole.covariance.scale, blocks.covariance.scale)


def test_it_sees_through_compositions():
    X, y, truth = pairs()
    model = PCARidge(3, n_products=0)
    direct = denoise(model.fit(X, y), X, y)
    pipeline = make_pipeline(GapMasker(), PCARidge(3, n_products=0)).fit(X, y)
    assert_allclose(denoise(pipeline, X, y).flux, direct.flux, atol=1e-6)
    search = GridSearchCV(model, {"n_products": [0]}, cv=2).fit(X, y)
    assert_allclose(denoise(search, X, y).flux, direct.flux, atol=1e-6)
    window = TargetWindow(model, (6491.5, 6492.5)).fit(X, y)
    part = denoise(window, X, y)
    outside = ~window.pixels_
    assert_array_equal(part.flux[:, outside], y.flux[:, outside])
    errors = [np.std((s.flux - truth)[:, window.pixels_]) for s in (part, y)]
    assert errors[0] < 0.8 * errors[1]


def test_each_spectrum_is_denoised_at_its_own_resolving_power():
    X, y, _ = pairs(300)
    power = np.random.default_rng(0).normal(25_000, 1500, len(y))
    y = y.replace(resolution=power)
    model = PCARidge(3, n_products=0).fit(X, y)
    poor = y.replace(ivar=np.full(y.shape, 1e-8))
    both = denoise(model, X, poor)
    assert_array_equal(both.resolution, power)
    at = translate(model, X, resolution=power)
    assert_allclose(both.flux, at.flux, atol=1e-6)
    assert_allclose(both.ivar, at.ivar, rtol=1e-4)


def test_plain_arrays_as_a_source(fitted):
    X, y, _ = pairs(60)
    model = PCARidge(3, n_products=0).fit(X.flux, y)
    with_array = denoise(model, X.flux, y)
    assert_array_equal(with_array.ids, y.ids)
    with_list = denoise(model, X.flux.astype(float).tolist(), y)
    assert_allclose(with_list.flux, with_array.flux, atol=1e-6)


def test_what_it_refuses(fitted):
    X, y, _ = pairs(20)
    with pytest.raises(ValueError, match="y_obs has no ivar"):
        denoise(fitted, X, y.replace(ivar=None))
    with pytest.raises(ValueError, match="y_obs has no ivar"):
        denoise(fitted, X, y.flux)
    with pytest.raises(ValueError, match="X has 19 rows and y_obs has 20"):
        denoise(fitted, X[1:], y)
    with pytest.raises(ValueError, match="first in row 0") as refused:
        denoise(fitted, X[::-1], y)
    assert "np.str_" not in str(refused.value)
    with pytest.raises(ValueError, match="y_obs has 39 pixels"):
        denoise(fitted, X, y[:, 1:])
    with pytest.raises(ValueError, match="no rows"):
        denoise(fitted, X[:0], y[:0])
    with pytest.raises(TypeError, match="give the observed ones"):
        denoise(fitted, X, denoise(fitted, X, y))
    blind = PCARidge(3).fit(X, y.replace(ivar=None))
    for model in (blind, TargetWindow(PCARidge(3)).fit(X, y.replace(ivar=None))):
        with pytest.raises(ValueError, match="fitted to targets without ivar"):
            denoise(model, X, y)


def test_it_refuses_other_covariances(rng):
    prior, observed = expected(rng)
    kernel = np.ones((N, 1, 1))
    banded = BandedCovariance(
        np.ones((N, P)), kernel, np.arange(P), np.zeros(P, dtype=int)
    )
    with pytest.raises(TypeError, match="banded along each chip"):
        _posterior(prior.replace(covariance=banded), observed)
    with pytest.raises(TypeError, match="is unknown"):
        _posterior(prior.replace(covariance=None), observed)


def test_it_is_public():
    assert specxfer.denoise is specxfer.base.denoise
