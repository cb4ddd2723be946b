"""Scatter that follows the strength of lines, against stars whose scatter is known."""

import numpy as np
import pytest

from specxfer import Spectra
from specxfer.linear._pixel_ridge import fit_pixel_ridge
from specxfer.linear._scatter import (
    DEPTH,
    LineScatter,
    ScatterSums,
    lines_of,
    response,
    shared_in_lines,
)

N, P, NOISE, SIGMA = 4000, 60, 0.02, 0.3


def stars(rng, n=N):
    """Predicted flux of stars with lines of different strength, (n, P)."""
    return np.exp(-rng.uniform(0.02, 0.8, (n, 1)) * np.linspace(0.3, 1, P))


def summed(flux, error, rng, blocks=1, kind=None):
    """Sums over stars observed with noise, of one kind."""
    kind = np.zeros(len(flux)) if kind is None else kind
    left = error + NOISE * rng.standard_normal(flux.shape)
    weight = np.full(flux.shape, NOISE**-4)
    sums = ScatterSums(flux.shape[1])
    for rows in np.array_split(np.arange(len(flux)), blocks):
        sums.add(flux[rows], left[rows] ** 2 - NOISE**2, weight[rows], kind[rows])
    return sums


def of_lines(flux, size, rng):
    """Errors of lines that scatter by `size` in the strongest."""
    return size * np.sqrt(response(flux)) * rng.standard_normal(flux.shape)


def test_a_line_whose_strength_scatters(rng):
    """Its variance is found in stars of weak lines and in those of strong ones."""
    flux = stars(rng)
    scatter = summed(flux, of_lines(flux, 0.03, rng), rng).solve(0.5)
    kind = np.zeros(N)
    truth = 0.03**2 * response(flux)
    for group in (flux[:, -1] > 0.8, flux[:, -1] < 0.6):
        stated = scatter.variance(flux, kind)[group]
        assert stated.mean() / truth[group].mean() == pytest.approx(1, abs=0.06)


def test_a_line_that_scatters_in_one_kind_of_star(rng):
    """And by a third of that in the other; no more is given to those in between."""
    flux, kind = stars(rng), np.repeat([0.0, 1.0], N // 2)
    size = np.where(kind == 1, 0.03, 0.01)[:, None]
    sums = summed(flux, of_lines(flux, size, rng), rng, kind=kind)
    scatter = sums.solve(0.5)
    truth = size**2 * response(flux)
    stated = scatter.variance(flux, kind)
    for one in (0, 1):
        ratio = stated[kind == one].mean() / truth[kind == one].mean()
        assert ratio == pytest.approx(1, abs=0.1)
    between = scatter.variance(flux, np.full(N, 0.5))
    both = scatter.variance(flux, np.zeros(N)) + scatter.variance(flux, np.ones(N))
    np.testing.assert_allclose(between, both / 2, rtol=1e-12)


def test_weak_lines_respond_in_proportion_to_their_depth_and_none_beyond_one():
    depth = np.array([[0.001, 0.002, 0.01]])
    np.testing.assert_allclose(response(1 - depth), (depth / DEPTH) ** 2, rtol=0.05)
    assert (np.diff(response(1 - np.linspace(0, 1, 20)[None])) > 0).all()
    assert response(np.array([[-9.0, 1.0, 9.0]])).round(1).tolist() == [[0.9, 0, 0]]


def test_scatter_that_all_stars_have(rng):
    flux = stars(rng)
    scatter = summed(flux, 0.01 * rng.standard_normal(flux.shape), rng).solve(0.5)
    variance = scatter.variance(flux, np.zeros(N)).mean(axis=1)
    assert variance.mean() == pytest.approx(1e-4, rel=0.05)
    assert np.ptp(variance) < 0.3 * variance.mean()


def test_noise_alone_is_no_scatter(rng):
    flux = stars(rng)
    scatter = summed(flux, 0, rng).solve(0.5)
    variance = scatter.variance(flux, np.zeros(N))
    assert variance.mean() < 2 * NOISE**2 / np.sqrt(N)


def test_stated_scatter_is_that_of_pixels_for_which_it_is_stated(rng):
    """Most pixels scatter by less than the error to which noisy stars tell it.

    Among pixels that are given much and among those given little, the true mean is what
    is stated; with sizes below 0 cut off, noise alone is given 0.4 of the error.
    """
    n, p = 1000, 4000
    flux = np.full((n, p), 0.7)
    truth = np.where(rng.random(p) < 0.2, NOISE**2 * rng.exponential(0.2, p), 0)
    left = np.sqrt(NOISE**2 + truth) * rng.standard_normal((n, p))
    weight = np.broadcast_to((NOISE**2 + truth) ** -2, (n, p))
    sums = ScatterSums(p)
    sums.add(flux, left**2 - NOISE**2, weight, np.zeros(n))
    stated = sums.mean(sums.solve(0.5))
    error = NOISE**2 * np.sqrt(2 / n)
    for group in np.array_split(np.argsort(stated), [p // 2, 9 * p // 10]):
        assert stated[group].mean() == pytest.approx(
            truth[group].mean(), rel=0.1, abs=0.15 * error
        )


def test_blocks_add_up(rng):
    flux = stars(rng, 100)
    draws = [summed(flux, 0.01, np.random.default_rng(0), m) for m in (1, 7)]
    one, many = (d.solve(0.5) for d in draws)
    np.testing.assert_allclose(one.line, many.line, rtol=1e-10)
    np.testing.assert_allclose(one.flat, many.flat, rtol=1e-10)


def test_variance_taken_off_is_that_of_all_stars(rng):
    flux = stars(rng)
    error = 0.01 * rng.standard_normal(flux.shape)
    sums = summed(flux, error, rng)
    sums.take_off(np.full(P, 1e-4))
    assert sums.mean(sums.solve(0.5)).mean() < 0.1 * 1e-4


def test_masked_pixels_and_pixels_without_stars(rng):
    flux = stars(rng, 500)
    weight = np.full(flux.shape, NOISE**-4)
    weight[:, 0] = 0
    sums = ScatterSums(P)
    sums.add(flux, np.full(flux.shape, 1e-4), weight, np.zeros(500))
    scatter = sums.solve(0.5)
    assert not scatter.variance(flux, np.zeros(500))[:, 0].any()
    np.testing.assert_allclose(sums.mean(scatter)[1:], 1e-4, rtol=0.2)


@pytest.mark.parametrize("flux", [1.5, 1.0, 0.0, -3.0, 1e30])
def test_far_fluxes_have_no_more_than_the_strongest_lines(flux):
    scatter = LineScatter(np.array([0.01]), np.array([[1.0], [2.0]]))
    strongest = response(np.zeros((1, 1)))[0, 0]
    for kind in (0.0, 1.0):
        variance = scatter.variance(np.array([[flux]]), np.array([kind]))
        expected = 0.01 if flux >= 1 else 0.01 + (1 + kind) * strongest
        assert variance == pytest.approx(expected)


def test_float32_is_kept_and_flux_is_not_changed():
    flux = np.full((1, 2), 0.5, "f4")
    assert response(flux).dtype == np.float32
    assert (flux == 0.5).all()


def test_lines_go_from_maximum_to_maximum():
    x = np.arange(100)
    flux = 1 - 0.3 * np.exp(-0.5 * ((x[:, None] - [20, 60, 80]) / 4.0) ** 2).sum(1)
    lines = lines_of(flux)
    assert lines[-1] == 2
    assert [lines[c] for c in (20, 60, 80)] == [0, 1, 2]
    assert np.flatnonzero(np.diff(lines)) + 1 == pytest.approx([40, 70], abs=1)


def test_what_pixels_of_a_line_share(rng):
    values = rng.standard_normal((5, 7))
    lines = np.array([0, 0, 0, 1, 2, 2, 2])
    pairs = (lines[:, None] == lines) & ~np.eye(7, dtype=bool)
    expected = sum(np.outer(v, v)[pairs].sum() for v in values)
    assert shared_in_lines(values, lines) == pytest.approx(expected)


def line_world(rng, n, shape, coherent):
    """Lines whose strength the one feature tells but for scatter, pixel by pixel or
    line by line. Weak lines grow with it in proportion, and strong ones saturate."""
    feature = rng.standard_normal((n, 1))
    strength = np.exp(0.7 * feature)
    n_lines = len(shape) // 20
    size = (n, n_lines) if coherent else (n, len(shape))
    scatter = 1 + SIGMA * rng.standard_normal(size)
    scatter = np.repeat(scatter, 20, axis=1) if coherent else scatter
    features = np.column_stack([feature, feature**2 - 1, feature**3 - 3 * feature])
    return features, 1 - DEPTH * np.log1p(strength * shape * scatter)


@pytest.mark.parametrize("coherent", [True, False])
def test_stated_errors_hold_in_stars_of_weak_and_of_strong_lines(rng, coherent):
    """Flux in both kinds of star, and the equivalent widths of single lines."""
    p = 400
    x = np.arange(20) - 9.5
    shape = np.tile(np.exp(-0.5 * (x / 3) ** 2), p // 20) * np.repeat(
        rng.uniform(0.5, 1, p // 20), 20
    )
    features, truth = line_world(rng, 3000, shape, coherent)
    y = truth + NOISE * rng.standard_normal(truth.shape)
    wave = 5000 + 0.04 * np.arange(p)
    y = Spectra(y, np.full(y.shape, NOISE**-2), wave=wave, medium="air")
    ridge, _ = fit_pixel_ridge(
        features, np.zeros((3, 3)), y, np.ones(3000), np.arange(3000), 1.0, 5,
        np.random.RandomState(0),
    )  # fmt: skip
    assert (ridge.coherence > 0.7) == coherent
    new, truth = line_world(rng, 2000, shape, coherent)
    error, covariance = ridge.predict(new) - truth, ridge.covariance(new)
    variance = covariance.variance()
    deep = shape > 0.3
    for group in (new[:, 0] < -0.5, new[:, 0] > 0.5):
        z2 = (error**2)[group][:, deep].sum() / variance[group][:, deep].sum()
        assert z2 == pytest.approx(1, abs=0.15)
    widths = np.kron(np.eye(p // 20), np.ones((20, 1)))
    stated = covariance.functional_variance(widths)
    assert ((error @ widths) ** 2).sum() / stated.sum() == pytest.approx(1, abs=0.15)
