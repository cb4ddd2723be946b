"""augment: each difference has the size stated, and leaves the rest alone."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from specxfer import Spectra
from specxfer.preprocessing import augment
from specxfer.resampling import broaden

C = 299_792.458
OFF = {
    "velocity": 0,
    "resolution": 0,
    "line_strength": 0,
    "missing_lines": 0,
    "continuum": 0,
}
LN_WAVE = np.log(15_000) + 1.4e-5 * np.arange(900)
WAVE = np.exp(np.concatenate([LN_WAVE[:500], LN_WAVE[500:] + 0.01]))
R = 22_500.0
CENTRES = np.log(WAVE[[100, 250, 400, 600, 700, 800]])


def profile(shift=0.0, power=R, depth=0.4):
    """Six lines as wide as the line-spread function; `shift` in ln λ."""
    sigma = 1 / power / np.sqrt(8 * np.log(2))
    away = np.log(WAVE) - CENTRES[:, None] - shift
    return 1 - depth * (R and power / R) * np.exp(-0.5 * (away / sigma) ** 2).sum(
        axis=0
    )


def copies(n=400, flux=None, ivar=None, **more):
    """The same star `n` times over."""
    flux = np.tile(profile() if flux is None else flux, (n, 1))
    ivar = None if ivar is None else np.broadcast_to(ivar, flux.shape)
    resolution = np.full(n, R)
    return Spectra(
        flux, ivar, wave=WAVE, medium="vacuum", resolution=resolution, **more
    )


@pytest.mark.parametrize("noise", [None, 100.0])
def test_nothing_on_changes_no_bit(rng, noise):
    X = copies(5, ivar=noise, ids=list("abcde"), meta={"teff": np.arange(5)})
    flux = X.flux.copy()
    flux[rng.uniform(size=flux.shape) < 0.1] = np.nan
    X = X.replace(flux=flux)
    out = augment(X, **OFF)
    assert_array_equal(out.flux, X.flux)
    if noise is None:
        assert out.ivar is None
    else:
        assert_array_equal(out.ivar, X.weights())
    assert_array_equal(out.ids, X.ids)
    assert_array_equal(out.meta["teff"], X.meta["teff"])
    assert_array_equal(out.resolution, X.resolution)
    assert_array_equal(augment(X, **dict.fromkeys(OFF)).flux, X.flux)


@pytest.mark.parametrize("velocity", [0.5, 6.0])
def test_velocity(velocity):
    out = augment(copies(), **{**OFF, "velocity": velocity})
    shifts = []
    for centre in CENTRES:
        near = np.abs(np.log(WAVE) - centre) < 40 * 1.4e-5
        depth = 1 - out.flux[:, near]
        shifts.append(C * (depth @ (np.log(WAVE[near]) - centre)) / depth.sum(axis=1))
    shifts = np.array(shifts)
    assert_allclose(shifts, np.tile(shifts[0], (6, 1)), atol=0.02 * velocity)
    assert abs(shifts[0].mean()) < 4 * velocity / np.sqrt(400)
    assert shifts[0].std() == pytest.approx(velocity, rel=4 / np.sqrt(800))
    # and the lines keep their shape
    expected = [profile(s / C) for s in shifts.mean(axis=0)]
    known = np.isfinite(out.flux)
    assert known.mean() > 0.99
    assert_allclose(out.flux[known], np.array(expected)[known], atol=0.003)


def test_resolution():
    out = augment(copies(), **{**OFF, "resolution": 0.05})
    near = np.abs(np.log(WAVE) - CENTRES[0]) < 40 * 1.4e-5
    depth = 1 - out.flux[:, near]
    offset = np.log(WAVE[near]) - CENTRES[0]
    assert_allclose(depth.sum(axis=1), (1 - profile()[near]).sum(), rtol=1e-6)
    # the depth of an unresolved line goes as the resolving power
    power = R * depth[:, np.abs(offset).argmin()] / (1 - profile()[near]).max()
    assert (power / R).std() == pytest.approx(0.05, rel=0.15)
    assert abs((power / R).mean() - 1) < 0.01
    # a broader copy is what broadening gives
    i = np.argmin(np.abs(power / R - 0.95))
    assert_allclose(out.flux[i], broaden(profile(), WAVE, power[i], R), atol=0.004)


def test_resolution_of_oversampled_noise_does_not_blow_up(rng):
    noise = rng.normal(1, 0.01, (50, len(WAVE)))
    X = copies(50).replace(flux=noise, resolution=np.full(50, R / 8))
    out = augment(X, **{**OFF, "resolution": 0.05})
    assert out.flux.std() < 1.1 * 0.01


def test_line_strength():
    out = augment(copies(), **{**OFF, "line_strength": 0.1})
    assert_allclose(out.flux[:, profile() > 1 - 1e-9], 1, atol=1e-8)
    core = np.array([np.argmin(np.abs(np.log(WAVE) - c)) for c in CENTRES])
    change = (1 - out.flux[:, core]) / (1 - profile()[core]) - 1
    assert_allclose(change.std(axis=0), 0.1, rtol=0.15)
    assert np.abs(change.mean(axis=0)).max() < 4 * 0.1 / 20
    between = np.corrcoef(change.T)[np.triu_indices(6, 1)]
    assert np.abs(between).max() < 0.25  # lines err independently
    within = (1 - out.flux[:, core + 1]) / (1 - profile()[core + 1]) - 1
    # noise through a Gaussian: correlation exp(−d²/4σ²)
    sigma = 1 / R / np.sqrt(8 * np.log(2)) / 1.4e-5
    for i in range(6):
        found = np.corrcoef(change[:, i], within[:, i])[0, 1]
        assert found == pytest.approx(np.exp(-0.25 / sigma**2), abs=0.06)


def test_missing_lines():
    out = augment(copies(), **{**OFF, "missing_lines": 0.01})
    change = out.flux - profile()
    assert change.std() == pytest.approx(0.01, rel=0.02)
    assert abs(change.mean()) < 3e-4
    assert abs(np.corrcoef(change[:, 100], change[:, 120])[0, 1]) < 0.2
    assert np.corrcoef(change[:, 100], change[:, 101])[0, 1] > 0.8


def test_continuum():
    out = augment(copies(ivar=1e4), **{**OFF, "continuum": 0.01}, continuum_length=0.1)
    level = out.flux / profile() - 1
    assert_allclose(level.std(axis=0), 0.01, rtol=0.2)
    assert level.std() == pytest.approx(0.01, rel=0.06)
    for chip, n in ((slice(0, 500), 500), (slice(500, 900), 400)):
        part = level[:, chip]
        lag = int(0.1 * n)
        found = (part[:, lag:] * part[:, :-lag]).mean() / (part**2).mean()
        assert found == pytest.approx(np.exp(-0.25), abs=0.05)
        assert np.abs(np.diff(part, 2)).max() < 1e-3 * 0.05  # smooth
    ends = np.corrcoef(level[:, 499], level[:, 500])[0, 1]
    assert abs(ends) < 0.2  # each chip errs on its own
    assert_allclose(out.ivar, 1e4 / (1 + level) ** 2)


@pytest.mark.parametrize("ivar", [None, 2500.0])
def test_noise_and_an_honest_ivar(ivar):
    noise = 0 if ivar is None else ivar**-0.5
    X = copies(ivar=ivar)
    start = np.random.default_rng(8).normal(profile(), noise, X.shape)
    out = augment(X.replace(flux=start), **OFF, snr=100)
    assert np.std(out.flux - start) == pytest.approx(0.01, rel=0.01)
    chi2 = ((out.flux - profile()) ** 2 * out.ivar).mean()
    assert chi2 == pytest.approx(1, abs=0.01)
    pixels = (out.flux - start)[:, :-1] * (out.flux - start)[:, 1:]
    assert abs(pixels.mean()) < 1e-6  # white


def test_bad_pixels():
    out = augment(copies(ivar=100.0), **OFF, bad_pixels=0.03)
    assert np.isnan(out.flux).mean() == pytest.approx(0.03, rel=0.05)
    assert_array_equal(out.ivar == 0, np.isnan(out.flux))
    good = np.isfinite(out.flux)
    assert_array_equal(out.flux[good], copies().flux[good])


def test_masked_pixels_stay_masked_and_do_not_leak(rng):
    mask = rng.uniform(size=(20, len(WAVE))) < 0.05
    X = copies(20)
    results = []
    for junk in (np.nan, 50.0, -3.0):
        flux = np.where(mask, junk, X.flux)
        one = X.replace(flux=flux, ivar=np.where(mask, 0, 1e4))
        results.append(augment(one, snr=200))
    for out in results:
        assert_array_equal(out.ivar == 0, mask)
        assert_array_equal(out.flux[~mask], results[0].flux[~mask])
    assert_array_equal(np.isnan(results[0].flux), mask)
    assert np.isfinite(results[1].flux).all()  # fill-ins stay filled


def test_what_comes_from_beyond_the_chip_is_masked():
    out = augment(copies(200, ivar=1.0), **{**OFF, "velocity": 30.0})
    lost = np.isnan(out.flux)
    assert_array_equal(out.ivar == 0, lost)
    assert lost[:, [0, 499, 500, 899]].mean() > 0.3
    assert not lost[:, 250].any()
    # as many pixels at the blue end of both chips as the star moved to the red
    assert_array_equal(lost[:, :60].sum(axis=1), lost[:, 500:560].sum(axis=1))
    within_a_pixel = augment(copies(200), **{**OFF, "velocity": 0.5})
    assert np.isfinite(within_a_pixel.flux).all()


def test_a_row_depends_on_its_number_alone():
    X = copies(600, ivar=1e4)
    out = augment(X, snr=100, random_state=3)
    assert_array_equal(out.flux, augment(X, snr=100, random_state=3).flux)
    assert_array_equal(out.flux[:7], augment(X[:7], snr=100, random_state=3).flux)
    assert len(np.unique(out.flux[:, 100])) == 600
    other = augment(X, snr=100, random_state=4)
    assert np.abs(out.flux - other.flux).min(axis=0).max() > 0
    fresh = [augment(X[:1], random_state=None).flux for _ in range(2)]
    assert (fresh[0] != fresh[1]).any()
    # one difference does not change the draws of another
    noise = augment(X, **OFF, snr=100, random_state=3).flux - X.flux
    both = {**OFF, "continuum": 1e-9}
    assert_allclose(
        augment(X, **both, snr=100, random_state=3).flux - X.flux, noise, atol=1e-7
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arrays_and_number_formats(dtype):
    X = copies(4)
    flux = X.flux.astype(dtype)
    out = augment(flux, wave=WAVE, medium="vacuum", resolving_power=R)
    assert type(out) is np.ndarray
    assert out.dtype == dtype
    assert_array_equal(out, augment(X.replace(flux=flux)).flux)
    assert augment(flux, **{**OFF, "continuum": 0.1}, snr=9).shape == flux.shape


def test_memory_maps_and_read_only_input(tmp_path):
    X = copies(5, ivar=1e4)
    maps = []
    for name in ("flux", "ivar"):
        np.save(tmp_path / name, getattr(X, name))
        maps.append(np.load(tmp_path / f"{name}.npy", mmap_mode="r"))
    out = augment(X.replace(flux=maps[0], ivar=maps[1]), snr=50)
    assert_array_equal(out.flux, augment(X, snr=50).flux)


def test_resolution_of_each_chip():
    X = copies(400).replace(resolution=np.tile([R, R / 6], (400, 1)))
    change = augment(X, **{**OFF, "missing_lines": 0.01}).flux - profile()
    for pixel, expected in ((100, 0.26), (700, 0.96)):  # three pixels on
        found = np.corrcoef(change[:, pixel], change[:, pixel + 3])[0, 1]
        assert found == pytest.approx(expected, abs=0.12)


def test_what_is_not_known_is_an_error_that_says_so():
    flux = copies(3).flux
    with pytest.raises(ValueError, match=r"velocity and .* need wavelengths"):
        augment(flux)
    bare = Spectra(flux, wave=WAVE, medium="vacuum")
    with pytest.raises(ValueError, match=r"3 of 3 spectra .* resolving_power=R"):
        augment(bare)
    augment(bare, resolution=0, line_strength=0, missing_lines=0)
    augment(bare, resolving_power=R)
    partly = bare.replace(resolution=[R, np.nan, R])
    with pytest.raises(ValueError, match="1 of 3 spectra"):
        augment(partly)


@pytest.mark.parametrize(
    "bad", [{"velocity": -1}, {"snr": 0}, {"bad_pixels": 1.0}, {"continuum_length": 0}]
)
def test_bad_sizes(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        augment(copies(2), **bad)
