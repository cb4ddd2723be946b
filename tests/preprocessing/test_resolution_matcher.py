"""`ResolutionMatcher` against truths of higher resolution and closed forms."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.fft import irfft, rfft
from scipy.interpolate import CubicSpline
from sklearn.pipeline import make_pipeline

from specxfer import LowRankCovariance, Spectra
from specxfer._grids import apogee_wave, galah_chip, galah_wave
from specxfer.linear import PCARidge
from specxfer.metrics import equivalent_width
from specxfer.preprocessing import GapMasker, ResolutionMatcher, ResolutionWarning
from specxfer.resampling import broaden, pixel_edges

NAN = np.nan
STEP = 1e-6  # of truths, in ln λ
SIGMA = 1 / np.sqrt(8 * np.log(2))  # of a Gaussian of unit FWHM
CCD3 = galah_wave(3)[:800]
CCDS = np.concatenate([galah_wave(c)[:400] for c in (1, 3)])


@pytest.fixture(scope="module")
def truth():
    """A spectrum full of lines on an even grid of ln λ around both test grids."""
    rng = np.random.default_rng(5)
    log_wave = np.arange(np.log(CCD3[0] - 4), np.log(CCD3[-1] + 4), STEP)
    tau = np.zeros(len(log_wave))
    for centre in rng.uniform(*log_wave[[0, -1]], 120):
        near = np.abs(log_wave - centre) < 6e-5
        shape = np.exp(-0.5 * ((log_wave[near] - centre) / 7e-6) ** 2)  # 2 km/s
        tau[near] += 10 ** rng.uniform(-2, 0.5) * shape
    return log_wave, np.exp(-tau)


def seen(truth, wave, resolution, boxiness=2.0):
    """The truth through a line-spread function, at the centres of pixels."""
    log_wave, flux = truth
    half = int(5 / STEP / resolution)
    x = STEP * resolution * np.arange(-half, half + 1)
    kernel = np.exp(-np.log(2) * np.abs(2 * x) ** boxiness)
    size = len(flux) + 2 * half
    seen = irfft(rfft(flux, size) * rfft(kernel / kernel.sum(), size), size)
    return CubicSpline(log_wave, seen[half : half + len(flux)])(np.log(wave))


def spectra(flux, ivar=None, wave=CCD3, **more):
    flux = np.atleast_2d(flux)
    return Spectra(flux, ivar, wave=wave, medium="air", **more)


# ------------------------------------------------------------------------ the flux
@pytest.mark.parametrize("boxiness", [2.0, 2.3, 2.5, 2.8])
def test_a_spectrum_becomes_the_truth_at_the_lower_resolution(truth, boxiness):
    X = spectra(seen(truth, CCD3, 28_000, boxiness), resolution=28_000.0)
    out = ResolutionMatcher(20_000, boxiness=boxiness).fit_transform(X)
    wanted = seen(truth, CCD3, 20_000)
    good = np.isfinite(out.flux[0])
    assert good.mean() > 0.93
    assert np.abs(X.flux[0] - wanted).max() > 0.05  # there was something to do
    assert np.abs(out.flux[0] - wanted)[good].max() < 2e-4
    assert_array_equal(out.resolution, [20_000])


def test_stars_of_different_resolution_end_up_the_same(truth):
    resolution = np.array([22_000.0, 23_500, 26_000, 28_000, 35_000])
    flux = [seen(truth, CCD3, r) for r in resolution]
    X = spectra(flux, resolution=resolution)
    assert np.ptp(X.flux, axis=0).max() > 0.05
    out = ResolutionMatcher(20_000).fit_transform(X)
    assert np.nanmax(np.ptp(out.flux, axis=0)) < 2e-4


def test_a_line_of_gaussian_shape_and_width():
    wave = apogee_wave()[3000:3600]
    sigma = wave[300] / 22_500 * SIGMA
    X = spectra(1 - 0.4 * np.exp(-0.5 * ((wave - wave[300]) / sigma) ** 2), wave=wave)
    out = ResolutionMatcher(15_000, resolution_in=22_500).fit_transform(X).flux[0]
    ratio = 22_500 / 15_000
    expected = 1 - 0.4 / ratio * np.exp(
        -0.5 * ((wave - wave[300]) / sigma / ratio) ** 2
    )
    good = np.isfinite(out)
    assert_allclose(out[good], expected[good], atol=2e-5)
    lower, upper = pixel_edges(wave)
    lost = [np.sum(((1 - f) * (upper - lower))[good]) for f in (X.flux[0], out)]
    assert_allclose(lost[1], lost[0], rtol=1e-4)  # equivalent widths do not change


def test_it_agrees_with_broaden_for_gaussians(truth):
    X = spectra(seen(truth, CCD3, 25_000), resolution=25_000.0)
    out = ResolutionMatcher(21_000).fit_transform(X).flux
    good = np.isfinite(out)
    assert_allclose(out[good], broaden(X.flux, CCD3, 21_000, 25_000)[good], atol=2e-6)


def test_what_is_far_sharper_takes_the_whole_profile():
    X = spectra(1.0 - (np.arange(len(CCD3)) == 400))
    out = ResolutionMatcher(10_000, resolution_in=np.inf).fit_transform(X).flux[0]
    step = np.diff(CCD3)[0]
    sigma = CCD3[400] / 10_000 * SIGMA
    depth = step / sigma / np.sqrt(2 * np.pi)
    expected = 1 - depth * np.exp(-0.5 * ((CCD3 - CCD3[400]) / sigma) ** 2)
    good = np.isfinite(out)
    assert_allclose(out[good], expected[good], atol=1e-4)


def test_a_spectrum_already_there_is_left_alone(rng):
    X = spectra(rng.normal(1, 0.1, (1, 800)), np.full((1, 800), 100.0))
    out = ResolutionMatcher(20_000, resolution_in=20_000).fit_transform(X)
    assert_allclose(out.flux, X.flux, atol=1e-9)
    assert_allclose(out.ivar, 100, rtol=1e-9)
    rounded = X.replace(resolution=np.float32([20_000 * (1 - 3e-8)]))
    assert_allclose(ResolutionMatcher(20_000).fit_transform(rounded).flux, X.flux)


def test_wavelengths_with_steps_of_any_kind(truth):
    wave = np.concatenate([CCD3[:300], CCD3[300:600:1] + 0.011, CCD3[610:]])
    wave[350:] += 1e-4 * np.arange(len(wave) - 350)  # steps grow; ten are missing
    X = spectra(seen(truth, wave, 28_000), wave=wave, resolution=28_000.0)
    X = X.replace(chip=np.zeros(len(wave), int))
    out = ResolutionMatcher(20_000).fit_transform(X).flux[0]
    good = np.isfinite(out)
    assert good.mean() > 0.9
    assert not good[597:603].any()  # the hole begins at 600
    # where the step jumps, a pixel is no longer as far away as the kernel has it
    smooth = good & (np.abs(np.arange(len(wave)) - 300) > 8)
    assert np.abs(out - seen(truth, wave, 20_000))[smooth].max() < 5e-4


# ---------------------------------------------------------------- masks, gaps, ends
def test_no_flux_is_wrong_beside_masked_pixels_and_ends(truth, rng):
    flux = seen(truth, CCD3, 28_000)
    masked = rng.random(800) < 0.01
    ivar = np.where(masked, 0, 1e4)[None]
    X = spectra(np.where(masked, 99.0, flux), ivar, resolution=28_000.0)
    wanted = seen(truth, CCD3, 20_000)
    out = ResolutionMatcher(20_000).fit_transform(X)
    good = np.isfinite(out.flux[0])
    assert_array_equal(good, out.ivar[0] > 0)
    assert not good[masked].any()
    assert good.mean() > 0.8
    assert np.abs(out.flux[0] - wanted)[good].max() < 1e-3
    assert_array_equal(
        out.flux,
        ResolutionMatcher(20_000)
        .fit_transform(spectra(np.where(masked, NAN, flux), ivar, resolution=28_000.0))
        .flux,
    )
    more = ResolutionMatcher(20_000, min_coverage=0.7).fit_transform(X)
    assert np.isfinite(more.flux).sum() > good.sum()


def test_chips_do_not_mix():
    flux = np.where(CCDS < 5000, 1.0, 2.0)[None]
    X = spectra(flux, wave=CCDS, resolution=28_000.0)
    out = ResolutionMatcher(15_000, min_coverage=0.5).fit_transform(X).flux
    assert np.isfinite(out).all()
    assert_allclose(out, flux, atol=1e-12)


def test_a_chip_of_one_pixel_is_an_error():
    X = spectra(np.ones((1, 800)), resolution=28_000.0)
    X = X.replace(chip=np.arange(800) // 799)
    with pytest.raises(ValueError, match=r"chip 1 has 1 feature\(s\)"):
        ResolutionMatcher(20_000).fit(X)


# -------------------------------------------------------------- never sharpened
def two_chips(resolution, **more):
    n = len(resolution)
    flux, ivar = np.ones((n, len(CCDS))), np.ones((n, len(CCDS)))
    return spectra(flux, ivar, wave=CCDS, resolution=resolution, **more)


def test_what_is_below_becomes_nan_and_is_reported():
    X = two_chips([[28_000, 26_000], [28_000, 19_000], [18_000, 17_000.0]])
    with pytest.warns(ResolutionWarning, match=r"2 of 3 spectra .*lowest: 17000.*\n?3"):
        out = ResolutionMatcher(20_000).fit_transform(X)
    reached = np.array([[True, True], [True, False], [False, False]])
    assert_array_equal(out.resolution, np.where(reached, 20_000, NAN))
    for c in (0, 1):
        on = out.chip == c
        assert_array_equal(np.isfinite(out.flux[:, on]).any(axis=1), reached[:, c])
        assert_array_equal((out.ivar[:, on] > 0).any(axis=1), reached[:, c])


def test_unknown_resolution_is_reported_but_a_chip_without_data_is_not():
    X = two_chips([[28_000, NAN], [28_000, 28_000.0]])
    with pytest.warns(ResolutionWarning, match="1 of 2 spectra have no known"):
        ResolutionMatcher(20_000).fit_transform(X)
    flux = np.where((X.chip == 1) & (np.arange(2)[:, None] == 0), NAN, 1.0)
    out = ResolutionMatcher(20_000).fit_transform(X.replace(flux=flux))  # no warning
    assert_array_equal(np.isnan(out.resolution), [[False, True], [False, False]])


def test_one_resolution_a_spectrum_stays_one_a_spectrum():
    X = two_chips([28_000.0, 19_000])
    with pytest.warns(ResolutionWarning, match="1 of 2"):
        out = ResolutionMatcher(20_000).fit_transform(X)
    assert_array_equal(out.resolution, [20_000, NAN])


def test_a_boxy_profile_needs_room():
    X = two_chips([20_400.0])
    ResolutionMatcher(20_000).fit_transform(X)
    with pytest.warns(ResolutionWarning, match="too close"):
        ResolutionMatcher(20_000, boxiness=2.5).fit_transform(X)
    wide = ResolutionMatcher(20_000, boxiness=2.5, tolerance=0.02)
    with pytest.warns(ResolutionWarning, match="too close"):  # still amplifies
        wide.fit_transform(two_chips([20_050.0]))
    wide.fit_transform(two_chips([21_000.0]))


def test_noise_is_never_amplified(rng):
    noise = rng.normal(size=(20, 800))
    for resolution, boxiness in [(20_100, 2), (21_500, 2.5), (28_000, 2.8)]:
        X = spectra(noise, np.ones_like(noise), resolution=float(resolution))
        out = ResolutionMatcher(20_000, boxiness=boxiness).fit_transform(X)
        assert (out.ivar[out.ivar > 0] >= 1 - 1e-6).all()


# ------------------------------------------------------------------------ profiles
def test_the_profile_comes_from_meta(truth):
    boxiness = np.array([2.0, 2.5, 2.8, NAN])
    used = [2.0, 2.5, 2.8, 2.0]
    X = spectra(
        [seen(truth, CCD3, 28_000, b) for b in used],
        resolution=28_000.0,
        meta={"lsf_boxiness": boxiness, "b": np.full(4, 2.0)},
    )
    out = ResolutionMatcher(20_000).fit_transform(X).flux
    assert np.nanmax(np.ptp(out, axis=0)) < 3e-4
    other = ResolutionMatcher(20_000, boxiness="b").fit_transform(X).flux
    assert np.nanmax(np.ptp(other, axis=0)) > 3e-3
    for row, b in enumerate(used):
        one = ResolutionMatcher(20_000, boxiness=b).fit_transform(X[row]).flux
        assert_array_equal(one[0], out[row])


def test_the_profile_may_be_of_each_chip():
    X = two_chips([28_000.0, 28_000], meta={"lsf_boxiness": [[2.0, 2.5], [9.0, 11.0]]})
    X = X.replace(flux=np.random.default_rng(0).normal(size=X.shape))
    with pytest.warns(ResolutionWarning, match="1 of 2 spectra have no known"):
        out = ResolutionMatcher(20_000).fit_transform(X)
    assert_array_equal(out.resolution, [[20_000, 20_000], [20_000, NAN]])
    both = ResolutionMatcher(20_000, boxiness=[2.0, 2.5]).fit_transform(X[0])
    assert_array_equal(both.flux[0], out.flux[0])


def test_resolution_in_and_boxiness_of_other_chips_are_errors():
    X = two_chips([28_000.0], meta={"lsf_boxiness": [[2.0, 2.1, 2.2, 2.3]]})
    with pytest.raises(ValueError, match=r"boxiness is of 1 × 4 .* 2 chips"):
        ResolutionMatcher(20_000).fit(X)
    with pytest.raises(ValueError, match=r"resolution_in is of 1 × 3 .* 2 chips"):
        ResolutionMatcher(20_000, resolution_in=[1e4, 2e4, 3e4]).fit(X)
    with pytest.raises(ValueError, match="must be positive"):
        ResolutionMatcher(20_000, resolution_in=[-1.0, 2e4], boxiness=2).fit(X)


def test_what_it_needs_to_know():
    with pytest.raises(ValueError, match="needs wavelengths"):
        ResolutionMatcher(20_000, resolution_in=np.inf).fit(np.ones((2, 20)))
    with pytest.raises(ValueError, match="resolution of the input is not known"):
        ResolutionMatcher(20_000).fit(spectra(np.ones((1, 800))))


# --------------------------------------------------------------------------- noise
def draws(rng, n, sigma, correlation=0.0):
    """Noise of neighbours so correlated: a moving average of white noise."""
    white = rng.normal(size=(n, len(sigma) + 1))
    theta = 0.0
    if correlation:
        theta = (1 - np.sqrt(1 - 4 * correlation**2)) / (2 * correlation)
    return sigma * (white[:, 1:] + theta * white[:, :-1]) / np.hypot(1, theta)


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.5])
@pytest.mark.parametrize("boxiness", [2.0, 2.5])
def test_noise_has_the_stated_ivar_and_correlation(rng, boxiness, correlation):
    n = 400
    sigma = 0.02 * rng.uniform(0.6, 1.6, 800) * (1 + 0.5 * np.sin(np.arange(800) / 60))
    masked = rng.random(800) < 0.005
    flux = 1 + draws(rng, n, sigma, correlation)
    ivar = np.broadcast_to(np.where(masked, 0, sigma**-2), flux.shape)
    X = spectra(flux, ivar, resolution=28_000.0)
    out = ResolutionMatcher(
        20_000, boxiness=boxiness, noise_correlation=correlation
    ).fit_transform(X)
    good = out.ivar[0] > 0
    pull = ((out.flux - 1) * np.sqrt(out.ivar))[:, good]
    assert abs(pull.std() - 1) < 0.02
    # no pixel is off by more than chance: 400 draws know a variance to 7%
    assert np.abs(pull.var(axis=0) - 1).max() < 5 * np.sqrt(2 / n)
    starts = [s for s in range(20, 770, 16) if good[s - 1 : s + 15].all()]
    windows = [(CCD3[s], CCD3[s + 13]) for s in starts]
    ew, error = equivalent_width(out, windows)
    _, alone = equivalent_width(out.replace(covariance=None), windows)
    scatter = np.sqrt(ew.var(axis=0).mean())
    assert len(windows) > 10
    assert abs(np.sqrt((error**2).mean()) / scatter - 1) < 0.05
    assert np.sqrt((alone**2).mean()) < 0.6 * scatter


def test_ivar_is_the_sum_over_the_kernel(rng):
    ivar = rng.uniform(10, 1000, 800)
    flux = np.eye(800)[[400]]
    matcher = ResolutionMatcher(20_000, resolution_in=28_000)
    out = matcher.fit_transform(spectra(flux, ivar[None]))
    impulses = spectra(np.eye(800)[350:451])
    kernel = matcher.fit(impulses).transform(impulses).flux[:, 400]
    assert_allclose(1 / out.ivar[0, 400], np.sum(kernel**2 / ivar[350:451]), rtol=1e-5)


def test_correlation_of_white_noise_is_that_of_gaussians():
    X = spectra(np.ones((1, 800)), np.ones((1, 800)), resolution=28_000.0)
    out = ResolutionMatcher(20_000).fit_transform(X)
    width = CCD3[400] / np.diff(CCD3)[0] * SIGMA * np.sqrt(20e3**-2.0 - 28e3**-2.0)
    lag = np.arange(8)
    expected = np.exp(-(lag**2) / (4 * width**2))
    assert_allclose(out.covariance.correlation()[0, 0, :8], expected, atol=2e-3)


def test_two_steps_state_the_noise_of_one(rng):
    sigma = 0.02 * (1 + 0.5 * np.sin(np.arange(800) / 60))
    X = spectra(1 + draws(rng, 2, sigma), np.tile(sigma**-2, (2, 1)), resolution=28e3)
    once = ResolutionMatcher(18_000).fit_transform(X)
    first = ResolutionMatcher(23_000).fit_transform(X)
    twice = ResolutionMatcher(18_000).fit_transform(first)
    good = (twice.ivar > 0) & (once.ivar > 0)
    assert_allclose(twice.flux[good], once.flux[good], atol=1e-3)
    # the first step's covariance takes the noise as even over a kernel
    assert_allclose(twice.ivar[good], once.ivar[good], rtol=0.01)
    rho = [s.covariance.correlation()[0, 0, :10] for s in (once, twice)]
    assert_allclose(rho[1], rho[0], atol=2e-3)
    careless = ResolutionMatcher(18_000).fit_transform(first.replace(covariance=None))
    assert (careless.ivar[good] > 1.5 * once.ivar[good]).all()


def test_a_covariance_it_does_not_know_is_refused():
    cov = LowRankCovariance(np.ones((1, 1, 1)), np.ones((1, 800)), np.ones(800))
    X = spectra(np.ones((1, 800)), np.ones((1, 800)), resolution=28e3, covariance=cov)
    with pytest.raises(ValueError, match="low rank"):
        ResolutionMatcher(20_000).fit_transform(X)


def test_without_noise_there_is_no_covariance():
    out = ResolutionMatcher(20_000).fit_transform(
        spectra(np.ones((1, 800)), resolution=28e3)
    )
    assert out.ivar is None
    assert out.covariance is None


# ---------------------------------------------------------------------- composition
def test_the_covariance_follows_pixels_rows_and_pickles(rng):
    X = two_chips([28_000.0, 26_000, 25_000])
    out = ResolutionMatcher(20_000).fit_transform(X)
    assert "banded" in repr(out)
    assert np.shares_memory(
        out.covariance.ivar, out.ivar
    )  # no second copy of a large array
    window = (CCDS[100], CCDS[115])
    _, expected = equivalent_width(out, window)
    cropped = out[1:, 60:300]
    assert_allclose(equivalent_width(cropped, window)[1], expected[1:])
    assert_allclose(
        equivalent_width(GapMasker().fit_transform(out), window)[1], expected
    )
    again = pickle.loads(pickle.dumps(cropped))
    assert_array_equal(again.covariance.variance(), cropped.covariance.variance())
    stacked = Spectra.concatenate([out[:1], out[1:]])
    assert_array_equal(equivalent_width(stacked, window)[1], expected)
    # kernels of other lengths stack too
    boxy = ResolutionMatcher(20_000, boxiness=2.5).fit_transform(X)
    mixed = Spectra.concatenate([out, boxy])
    assert_allclose(equivalent_width(mixed, window)[1][:3], expected)


def test_in_a_pipeline_before_a_translator(truth, rng):
    resolution = rng.uniform(22_000, 28_000, 40)
    strength = rng.uniform(0.3, 1.0, 40)
    profile = np.array([seen(truth, CCD3, r) for r in resolution])
    X = spectra(1 - strength[:, None] * (1 - profile), np.full((40, 800), 1e4),
                resolution=resolution)  # fmt: skip
    y = 1 - np.outer(strength, [0.1, 0.5, 0.2])
    model = make_pipeline(
        ResolutionMatcher(20_000), GapMasker(), PCARidge(3, alpha=1e-3)
    )
    model.fit(X[:30], y[:30])
    error = np.abs(model.predict(X[30:]) - y[30:]).max()
    plain = make_pipeline(GapMasker(), PCARidge(3, alpha=1e-3)).fit(X[:30], y[:30])
    assert error < 0.5 * np.abs(plain.predict(X[30:]) - y[30:]).max()


def test_the_grid_of_galah_is_four_chips(rng):
    flux = rng.normal(1, 0.01, (2, 16384)).astype("f4")
    X = Spectra(
        flux,
        np.full_like(flux, 1e4),
        wave=galah_wave(),
        medium="air",
        chip=galah_chip(),
        resolution=rng.uniform(25_000, 28_000, (2, 4)),
    )
    out = ResolutionMatcher(20_000).fit_transform(X)
    assert out.dtype == out.ivar.dtype == np.float32
    for c in range(4):  # the ends of each CCD, and nothing else
        lost = np.flatnonzero(np.isnan(out.flux[0, X.chip == c]))
        assert 4 <= len(lost) <= 16
        assert ((lost < 8) | (lost > 4087)).all()
