"""ContinuumNormalizer: the same continuum whoever drew it, whatever the noise."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from specxfer import Spectra
from specxfer.continuum import fit_continuum
from specxfer.lines import load_lines, window_pixels
from specxfer.preprocessing import ContinuumNormalizer

WAVE = np.concatenate([np.linspace(5000, 5060, 600), np.linspace(5200, 5250, 500)])
CHIP = np.repeat([0, 1], [600, 500])
AT = np.concatenate([np.linspace(-1, 1, 600), np.linspace(-1, 1, 500)])


def make_stars(n=60, seed=4, **more):
    """Noise-free stars: lines of varying depth with free continuum between them."""
    rng = np.random.default_rng(seed)
    centre = np.concatenate([np.arange(5001, 5060, 2.0), np.arange(5201, 5250, 2.0)])
    depth = np.random.default_rng(0).uniform(0.1, 0.6, len(centre))
    depth = depth * rng.uniform(0.5, 1.5, (n, 1))
    lines = np.exp(-0.5 * ((WAVE - centre[:, None]) / 0.1) ** 2)
    return Spectra(1 - depth @ lines, wave=WAVE, medium="air", **more)


@pytest.fixture(scope="module")
def stars():
    return make_stars()


def tilt(coefficients):
    """A polynomial on each chip."""
    return 1 + np.polynomial.legendre.legval(AT, coefficients)


@pytest.mark.parametrize("degree", [0, 1, 2, 4])
def test_a_polynomial_of_the_degree_is_divided_out(stars, degree):
    normalizer = ContinuumNormalizer(degree).fit(stars)
    plain = normalizer.transform(stars).flux
    assert_allclose(plain, stars.flux, rtol=1e-5)
    for sign in (1, -1):
        level = tilt(sign * np.array([0.2, 0.1, -0.1, 0.05, 0.05])[: degree + 1])
        tilted = normalizer.transform(stars.replace(flux=stars.flux * level))
        assert_allclose(tilted.flux, plain, rtol=1e-5)
        if degree:  # and not a polynomial beyond it
            lower = ContinuumNormalizer(degree - 1).fit(stars)
            left = lower.transform(tilted.replace(flux=stars.flux * level)).flux
            assert np.abs(left - plain).max() > 0.01


def test_continuum_pixels_are_high_and_quiet_and_all_along_the_chip(stars):
    normalizer = ContinuumNormalizer(fraction=0.25).fit(stars)
    assert_allclose(normalizer.mean_, stars.flux.mean(axis=0))
    chosen = normalizer.continuum_
    quality = stars.flux.mean(axis=0) - stars.flux.std(axis=0)
    assert quality[chosen].min() > 0.99
    for chip in (0, 1):
        for segment in np.array_split(np.flatnonzero(chip == CHIP), 8):
            assert chosen[segment].mean() == pytest.approx(0.25, abs=0.01)
            others = quality[segment][~chosen[segment]]
            assert quality[segment][chosen[segment]].min() >= others.max() - 1e-6


def test_a_noisy_spectrum_is_not_put_higher_or_lower(stars):
    normalizer = ContinuumNormalizer().fit(stars)
    n, sigma = 400, 0.05
    level = tilt([0.1, 0.05])
    exact = normalizer.transform(stars[:1].replace(flux=stars.flux[:1] * level))
    noise = np.random.default_rng(1).normal(0, sigma, (n, len(WAVE)))
    noisy = stars[[0] * n]
    noisy = noisy.replace(
        flux=noisy.flux * level + noise, ivar=np.full(noise.shape, sigma**-2)
    )
    out = normalizer.transform(noisy).flux
    error = (out - exact.flux).mean(axis=0)
    # one number for each chip: an error of the level would be the same in all pixels
    for chip in (0, 1):
        here = chip == CHIP
        allowed = 4 * sigma / np.sqrt(n * 0.2 * here.sum())
        assert allowed < 0.0015
        assert abs(error[here].mean()) < allowed
    assert np.abs(error).max() < 5 * sigma / np.sqrt(n)


def test_ivar_follows_the_continuum(stars):
    level = tilt([-0.5])
    X = stars.replace(flux=stars.flux * level, ivar=np.full(stars.shape, 100.0))
    out = ContinuumNormalizer().fit(stars).transform(X)
    assert_allclose(out.ivar, 25.0, rtol=1e-5)


def test_what_lies_under_a_mask_does_not_matter(stars, rng):
    mask = rng.uniform(size=stars.shape) < 0.2
    normalizer = ContinuumNormalizer().fit(stars)
    results, fits = [], []
    for junk in (0.0, -7.0, 1e6):
        X = stars.replace(
            flux=np.where(mask, junk, stars.flux), ivar=np.where(mask, 0, 1e4)
        )
        results.append(np.where(mask, np.nan, normalizer.transform(X).flux))
        fits.append(ContinuumNormalizer().fit(X))
    X = stars.replace(flux=np.where(mask, np.nan, stars.flux))
    fits.append(ContinuumNormalizer().fit(X))
    out = normalizer.transform(X)
    assert_array_equal(np.isnan(out.flux), mask)
    assert_allclose(out.flux, results[0], rtol=1e-5)
    for other in results:
        assert_array_equal(other, results[0])
    for fit in fits:
        assert_array_equal(fit.continuum_, fits[0].continuum_)
        assert_array_equal(fit.mean_, fits[0].mean_)


def test_cosmic_rays_and_lines_in_the_continuum_are_clipped(stars):
    normalizer = ContinuumNormalizer().fit(stars)
    noise = np.random.default_rng(2).normal(0, 0.01, stars.shape)
    clean = normalizer.transform(stars.replace(flux=stars.flux + noise)).flux
    for size in (3.0, -0.8):
        hit = np.zeros(stars.shape)
        hit[:, np.flatnonzero(normalizer.continuum_)[::25]] = size
        out = normalizer.transform(stars.replace(flux=stars.flux + noise + hit)).flux
        assert np.abs(out - clean)[hit == 0].max() < 0.004


def test_excluded_windows_have_no_say(stars):
    windows = [(5010.0, 5020.0), (5240.0, 5245.0), (9000.0, 9001.0)]
    inside = ((WAVE >= 5010) & (WAVE <= 5020)) | ((WAVE >= 5240) & (WAVE <= 5245))
    normalizer = ContinuumNormalizer(exclude=windows).fit(stars)
    assert not normalizer.continuum_[inside].any()
    junk = np.where(inside, 0.3, stars.flux)
    again = ContinuumNormalizer(exclude=windows).fit(stars.replace(flux=junk))
    assert_array_equal(again.continuum_, normalizer.continuum_)
    out = normalizer.transform(stars.replace(flux=junk)).flux
    assert_allclose(out[:, ~inside], stars.flux[:, ~inside], rtol=1e-5)
    assert_allclose(out[:, inside], 0.3, rtol=1e-5)  # normalised like the rest
    plain = ContinuumNormalizer(exclude=windows)
    with pytest.raises(ValueError, match="give Spectra, or wave="):
        plain.fit(stars.flux)


def test_chips_are_independent(stars):
    normalizer = ContinuumNormalizer().fit(stars)
    X = stars.replace(ivar=np.full(stars.shape, 1e4))
    broken = X.flux.copy()
    broken[:, CHIP == 0] = np.nan
    whole, half = (normalizer.transform(X.replace(flux=f)) for f in (X.flux, broken))
    assert_array_equal(half.flux[:, CHIP == 1], whole.flux[:, CHIP == 1])
    assert np.isnan(half.flux[:, CHIP == 0]).all()
    assert (half.ivar[:, CHIP == 0] == 0).all()
    assert normalizer.transform(X.flux).shape == X.shape


@pytest.mark.parametrize(
    "unknown",
    [
        lambda n: np.flatnonzero(n.continuum_ & (CHIP == 0))[3:],  # three are left
        lambda n: np.flatnonzero((CHIP == 0) & (AT > 0.3)),  # nothing at one end
    ],
    ids=["few", "extrapolation"],
)
def test_an_unknown_continuum_gives_nan_and_no_number(stars, unknown):
    normalizer = ContinuumNormalizer().fit(stars)
    flux = stars.flux.copy()
    flux[3, unknown(normalizer)] = np.nan
    X = stars.replace(flux=flux, ivar=np.full(stars.shape, 1e4))
    out = normalizer.transform(X)
    lost = np.zeros(stars.shape, bool)
    lost[3] = CHIP == 0
    assert_array_equal(np.isnan(out.flux), lost)
    assert_array_equal(out.ivar == 0, lost)


def test_a_continuum_that_is_not_positive_gives_nan(stars):
    normalizer = ContinuumNormalizer().fit(stars)
    for level in (-1.0, np.linspace(-0.5, 1, len(WAVE))):
        out = normalizer.transform(stars.replace(flux=stars.flux * level))
        assert np.isnan(out.flux[:, CHIP == 0]).all()


def test_a_gap_that_no_star_has_stays_a_gap(stars):
    flux = stars.flux.copy()
    flux[:, CHIP == 1] = np.nan
    normalizer = ContinuumNormalizer().fit(stars.replace(flux=flux))
    assert np.isnan(normalizer.mean_[CHIP == 1]).all()
    out = normalizer.transform(stars)
    assert np.isnan(out.flux[:, CHIP == 1]).all()
    assert_allclose(out.flux[:, CHIP == 0], stars.flux[:, CHIP == 0], rtol=1e-5)
    with pytest.raises(ValueError, match="no chip has two continuum pixels"):
        ContinuumNormalizer().fit(stars.replace(flux=flux * np.nan))


def test_once_more_changes_little(stars):
    X = make_stars(20, seed=9)
    noise = np.random.default_rng(3).normal(0, 0.01, X.shape)
    X = X.replace(flux=(X.flux + noise) * tilt([0.1, 0.1, 0.1]))
    normalizer = ContinuumNormalizer().fit(stars)
    once = normalizer.transform(X)
    assert np.abs(once.flux - X.flux).max() > 0.05
    change = normalizer.transform(once).flux - once.flux
    assert np.sqrt(np.mean(change**2)) < 5e-4  # of a noise of 0.01
    assert np.abs(change).max() < 4e-3


def test_float32_is_float64_rounded(stars):
    X = stars.replace(
        flux=stars.flux.astype("f4"), ivar=np.full(stars.shape, 1e4, dtype="f4")
    )
    out = ContinuumNormalizer().fit(X).transform(X)
    assert out.dtype == out.ivar.dtype == np.float32
    exact = ContinuumNormalizer().fit(stars).transform(stars)
    assert_allclose(out.flux, exact.flux, rtol=1e-5)


def test_rows_labels_and_resolution_follow():
    X = make_stars(5, ids=list("abcde"), meta={"teff": np.arange(5)}, resolution=2e4)
    out = ContinuumNormalizer().fit_transform(X)[[3, 1]]
    assert list(out.ids) == ["d", "b"]
    assert list(out.meta["teff"]) == [3, 1]
    assert_array_equal(out.resolution, 2e4)


def test_unequal_limits(stars):
    hit = stars.flux.copy()
    chosen = np.flatnonzero(ContinuumNormalizer().fit(stars).continuum_)
    hit[:, chosen[::3]] -= 0.02  # nothing but absorption
    symmetric, high, one = (
        ContinuumNormalizer(degree=0, clip=clip)
        .fit(stars)
        .transform(stars.replace(flux=hit))
        for clip in (100.0, (1.0, 100.0), (100.0, 100.0))
    )
    assert_array_equal(symmetric.flux, one.flux)
    clean = np.setdiff1d(np.arange(len(WAVE)), chosen[::3])
    error = symmetric.flux - stars.flux, high.flux - stars.flux
    assert abs(np.mean(error[0][:, clean])) > 0.005  # of 0.02 / 3, put too high
    assert abs(np.mean(error[1][:, clean])) < 0.001
    default, three = (ContinuumNormalizer(clip=c).fit(stars) for c in (None, (3, 3)))
    assert_array_equal(default.transform(hit), three.transform(hit))


def test_a_spectrum_by_itself_needs_no_training_set_like_it(stars):
    level = 3e4 * tilt([0.2, 0.1, -0.1])
    alone = ContinuumNormalizer(reference=None)
    out = alone.fit(stars[:1]).transform(
        stars.replace(flux=stars.flux * level, ivar=np.full(stars.shape, 1e-4))
    )
    assert np.abs(out.flux - stars.flux).max() < 0.01
    continuum = stars.flux * level / out.flux
    assert_allclose(out.ivar, 1e-4 * continuum**2, rtol=1e-6)
    expected = fit_continuum(stars.flux * level, wave=WAVE, degree=2)
    plain = alone.transform(stars.replace(flux=stars.flux * level)).flux
    assert_allclose(plain, stars.flux * level / expected, rtol=1e-12)


def test_fixed_continuum_pixels(stars):
    windows = [(lo, lo + 0.6) for lo in np.r_[5001.7:5060:2.0, 5201.7:5250:2.0]]
    mask = window_pixels(windows, WAVE, "air")
    first = (WAVE >= 5000) & (WAVE <= 5003)
    pairs = [(5000.0, 5003.0)]
    for reference in ("mean", None):
        by_windows, by_mask, by_number = (
            ContinuumNormalizer(continuum=c, reference=reference).fit(stars)
            for c in (windows, mask, np.flatnonzero(mask).tolist())
        )
        assert_array_equal(by_windows.continuum_, mask)
        assert_array_equal(by_mask.continuum_, mask)
        assert_array_equal(by_number.continuum_, mask)
        level = tilt([0.2, 0.1])
        tilted = stars.replace(flux=stars.flux * level)
        error = by_mask.transform(tilted).flux - stars.flux
        assert np.abs(error).max() < 2e-3
        elsewhere = stars.replace(flux=np.where(mask, tilted.flux, 0.5))
        assert_array_equal(
            by_mask.transform(elsewhere).flux[:, mask],
            by_mask.transform(tilted).flux[:, mask],
        )
    line = load_lines("galah")[0]
    normalizer = ContinuumNormalizer(continuum=[*pairs, line], exclude=(5002, 5003))
    assert_array_equal(normalizer.fit(stars).continuum_, first & (WAVE < 5002))
    assert ContinuumNormalizer(continuum=slice(9)).fit(stars).continuum_.sum() == 9
    with pytest.raises(ValueError, match="no chip has two"):
        ContinuumNormalizer(continuum=line).fit(stars)
    with pytest.raises(ValueError, match=r"degree \+ 2 = 4"):
        ContinuumNormalizer(continuum=[5, 6, 7], reference=None).fit(stars)
    with pytest.raises(ValueError, match="do not fit 1100"):
        ContinuumNormalizer(continuum=[5000]).fit(stars)


def test_what_is_excluded_at_an_end_is_normalised_alone_too(stars):
    normalizer = ContinuumNormalizer(reference=None, exclude=(5000, 5008)).fit(stars)
    junk = np.where(WAVE <= 5008, 0.3, stars.flux)
    out = normalizer.transform(stars.replace(flux=junk)).flux
    assert np.abs(out - junk).max() < 0.01


@pytest.mark.parametrize("bad", [{"degree": -1}, {"fraction": 0}, {"clip": 0}])
def test_bad_parameters(stars, bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        ContinuumNormalizer(**bad).fit(stars)
