"""How spectra change with the resolving power: against lines of known width."""

import pickle

import numpy as np
import pytest

from specxfer import Spectra
from specxfer._resolution import ResolutionChange
from specxfer.io import galah_wave

WAVE = galah_wave(3)[1000:2000]
CHIP = np.zeros(len(WAVE), int)
EVERYWHERE = np.ones(len(WAVE), bool)
REFERENCE = 25_000.0
INTRINSIC = 4.0 / 299_792.458 / 2.3548  # σ over λ of a line that is 4 km/s wide


def lines(resolution, wave=WAVE, centres=(6545.0, 6550.3, 6560.01, 6590.0)):
    """Gaussian lines seen at a resolving power; their equivalent widths stay."""
    flux = np.ones(len(wave))
    for i, centre in enumerate(centres):
        sigma = centre * np.hypot(INTRINSIC, 1 / resolution / 2.3548)
        shape = np.exp(-0.5 * ((wave - centre) / sigma) ** 2) / sigma / 2.5066
        flux -= 0.05 * (1 + i) / 4 * shape
    return flux


def rms(a):
    return float(np.sqrt(np.mean(np.square(a))))


def change(reference=REFERENCE, chip=CHIP, seen=EVERYWHERE, wave=WAVE, **options):
    n_chips = chip[-1] + 1
    return ResolutionChange(wave, chip, seen, np.full(n_chips, reference), **options)


@pytest.mark.parametrize(
    ("resolution", "error"),
    [(12_000, 3e-6), (20_000, 3e-6), (24_000, 3e-6), (28_000, 3e-4), (31_000, 1e-3)],
)
def test_lines_become_what_they_are_at_the_other_resolving_power(resolution, error):
    assert np.ptp(lines(REFERENCE)) > 0.1
    found = change().apply(lines(REFERENCE)[None], np.array([resolution]))[0]
    assert np.abs(found - lines(resolution)).max() < error
    assert np.abs(lines(REFERENCE) - lines(resolution)).max() > 10 * error


def test_one_matrix_and_interpolation_agree():
    resolution = np.array([21_000.0])
    delta = change().delta(resolution)[0]
    flux = lines(REFERENCE)[None]
    np.testing.assert_allclose(
        change().apply(flux, resolution), change().at(delta, flux), atol=1e-6
    )


def test_nodes_interpolate_what_the_matrices_give():
    resolution = np.array([21_000.0, 24_500.0, 28_000.0, np.nan])
    flux = lines(REFERENCE)
    nodes, weights = change().nodes(resolution)
    at_nodes = [change().at(node, flux[None])[0] for node in nodes]
    mixed = np.einsum("mnc,mp->np", weights, at_nodes)
    expected = change().apply(np.tile(flux, (4, 1)), resolution)
    np.testing.assert_allclose(mixed, expected, atol=3e-5)
    np.testing.assert_allclose(weights.sum(axis=0), 1, rtol=1e-12)


def test_equivalent_widths_and_the_continuum_stay(rng):
    flux = lines(REFERENCE)
    found = change().apply(flux[None], np.array([18_000.0]))[0]
    assert (1 - found).sum() == pytest.approx((1 - flux).sum(), rel=1e-9)
    level = np.full((1, len(WAVE)), 0.7)
    np.testing.assert_allclose(change().apply(level, np.array([18_000.0])), 0.7)


def test_rows_at_the_reference_or_of_unknown_resolution_keep_their_bits():
    flux = np.tile(lines(REFERENCE), (2, 1)).astype("f4")
    found = change().apply(flux, np.array([np.nan, REFERENCE]))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, flux)


def test_each_chip_changes_by_its_own():
    chip = (np.arange(len(WAVE)) >= 500).astype(int)
    flux = lines(REFERENCE)[None]
    found = change(chip=chip).apply(flux, np.array([[np.nan, 20_000.0]]))[0]
    np.testing.assert_array_equal(found[:500], flux[0, :500])
    far = np.arange(len(WAVE)) > 530
    np.testing.assert_allclose(found[far], lines(20_000)[far], atol=1e-5)


def test_chips_and_gaps_do_not_leak():
    wave = np.delete(WAVE, np.s_[400:450])
    flux = np.where(np.arange(len(wave)) < 400, 1.0, 0.2)
    found = change(chip=np.zeros(950, int), seen=np.ones(950, bool), wave=wave).apply(
        flux[None], np.array([15_000.0])
    )
    np.testing.assert_allclose(found[0], flux)


def test_pixels_that_are_not_seen_do_not_matter():
    seen = EVERYWHERE.copy()
    seen[[300, 301, 700]] = False
    flux = np.ones(len(WAVE))
    junk = np.where(seen, flux, np.nan)
    found = change(seen=seen).apply(junk[None], np.array([20_000.0]))[0]
    np.testing.assert_allclose(found[seen], 1)


def test_a_row_owes_nothing_to_its_company():
    resolution = np.array([26_000.0, 21_000.0, 17_000.0])
    flux = np.tile(lines(REFERENCE), (3, 1))
    together = change().apply(flux, resolution)
    for i in range(3):
        alone = change().apply(flux[i : i + 1], resolution[i : i + 1])
        np.testing.assert_array_equal(alone[0], together[i])


def test_noise_is_amplified_by_a_bounded_factor(rng):
    """Sharpening ends where the line-spread function transmits nothing."""
    noise = rng.standard_normal((50, len(WAVE)))
    sharper = change().apply(noise, np.full(50, 30_000.0))
    assert 1 < sharper[:, 50:-50].std() < np.exp(-np.log(0.003) * (1 - (25 / 30) ** 2))


def test_typical_and_highest_resolving_power_of_targets():
    power = np.array([[20_000.0, np.nan], [30_000.0, np.nan], [np.nan, np.nan]])
    chip = (np.arange(len(WAVE)) >= 500).astype(int)
    y = Spectra(
        np.ones((3, 1000)), wave=WAVE, medium="air", resolution=power, chip=chip
    )
    found = ResolutionChange.of(y, np.ones(3), EVERYWHERE)
    # the mean of the variances of the line-spread functions
    typical = ((20_000.0**-2 + 30_000.0**-2) / 2) ** -0.5
    assert found.reference[0] == pytest.approx(typical)
    assert found.highest[0] == pytest.approx(1.25 * typical)
    assert np.isnan(found.reference[1])
    np.testing.assert_array_equal(found.delta(power)[:, 1], 0)
    np.testing.assert_array_equal(found.delta(power)[2], 0)
    assert np.isnan(found.written(22_000.0, 1)[0, 1])
    with pytest.raises(ValueError, match="that of no training target is known"):
        found.asked([[22_000.0, 22_000.0]], 1)
    with pytest.raises(ValueError, match="expected 29417"):
        found.asked(31_000.0, 1)


@pytest.mark.parametrize(
    "changes",
    [{"resolution": None}, {"wave": None, "medium": None, "resolution": None},
     {"resolution": [np.nan, np.nan]}],
)  # fmt: skip
def test_nothing_to_know(changes):
    grid = {"wave": WAVE, "medium": "air", "resolution": 2 * [25_000.0], **changes}
    y = Spectra(np.ones((2, 1000)), **grid)
    assert ResolutionChange.of(y, np.ones(2), EVERYWHERE) is None


def test_pickles_without_its_matrices():
    big = change()
    big.apply(lines(REFERENCE)[None], np.array([22_000.0]))
    assert big._cache
    again = pickle.loads(pickle.dumps(big))
    assert not again._cache
    flux = lines(REFERENCE)[None]
    at = np.array([22_000.0])
    np.testing.assert_array_equal(again.apply(flux, at), big.apply(flux, at))


def boxy_line(resolution, boxiness, centre=6560.0):
    """A narrow line seen through ``exp(-ln 2 |2x/FWHM|**B)``, on the pixels."""
    x = np.arange(-1.2, 1.2, 0.002)
    profile = np.exp(-np.log(2) * np.abs(2 * x * resolution / centre) ** boxiness)
    intrinsic = np.exp(-0.5 * (x / (centre * INTRINSIC)) ** 2)
    seen = np.convolve(intrinsic / intrinsic.sum(), profile / profile.sum(), "same")
    return 1 - 0.06 * np.interp(WAVE - centre, x, seen / 0.002, left=0, right=0)


@pytest.mark.parametrize(("boxiness", "left"), [(2.0, 0.01), (2.5, 0.18), (2.8, 0.2)])
@pytest.mark.parametrize("resolution", [20_500.0, 22_000.0, 24_000.0])
def test_boxy_profiles_keep_their_shape(boxiness, left, resolution):
    """What is not changed as it should be, over the change; it vanishes at B = 2."""
    y = Spectra(
        np.ones((2, 1000)),
        wave=WAVE,
        medium="air",
        resolution=np.full((2, 1), 23_000.0),
        meta={"lsf_boxiness": np.full((2, 1), boxiness)},
    )
    known = ResolutionChange.of(y, np.ones(2), EVERYWHERE)
    assert known.reference[0] == pytest.approx(23_000)
    before, truth = boxy_line(23_000, boxiness), boxy_line(resolution, boxiness)
    found = known.apply(before[None], np.array([resolution]))[0]
    change_of_it = np.abs(before - truth).max()
    assert change_of_it > 0.005
    assert np.abs(found - truth).max() < left * change_of_it


@pytest.mark.parametrize(("usual", "own"), [(2.8, 2.55), (2.1, 2.5), (2.4, 2.0)])
def test_stars_of_other_shapes(usual, own):
    """A profile is taken for the one of usual shape that is most like it."""
    y = Spectra(
        np.ones((2, 1000)),
        wave=WAVE,
        medium="air",
        resolution=np.full((2, 1), 23_000.0),
        meta={"lsf_boxiness": np.array([[usual], [own]])},
    )
    known = ResolutionChange.of(y, np.array([1.0, 0.0]), EVERYWHERE)
    before, truth = boxy_line(23_000, usual), boxy_line(23_000, own)
    found = known.apply(before[None], known.alike(y)[1:])[0]
    assert np.abs(before - truth).max() > 0.003
    assert rms(found - truth) < 0.5 * rms(before - truth)


def test_the_shape_follows_the_chips():
    chip = (np.arange(1000) >= 500).astype(int)
    y = Spectra(
        np.ones((2, 1000)),
        wave=WAVE,
        medium="air",
        chip=chip,
        resolution=np.full((2, 2), 23_000.0),
        meta={"lsf_boxiness": np.array([[2.8, 2.0], [2.7, 2.1]])},
    )
    part = y[:, 600:]
    np.testing.assert_array_equal(part.meta["lsf_boxiness"], [[2.0], [2.1]])
    assert y.meta["lsf_boxiness"].shape == (2, 2)
    ResolutionChange.of(part, np.ones(2), EVERYWHERE[:400])


def test_an_unknown_shape_is_the_usual_one():
    y = Spectra(
        np.ones((3, 1000)),
        wave=WAVE,
        medium="air",
        resolution=np.full((3, 1), 23_000.0),
        meta={"lsf_boxiness": np.array([[2.8], [2.6], [np.nan]])},
    )
    known = ResolutionChange.of(y, np.ones(3), EVERYWHERE)
    assert known.boxiness[0] == pytest.approx(2.7)
    bare = y.replace(meta=None)
    np.testing.assert_allclose(known.alike(bare), 23_000)
    assert known.alike(y)[2, 0] == pytest.approx(23_000)


def test_far_lower_resolving_powers():
    found = change().apply(lines(REFERENCE)[None], np.array([2_500.0]))[0]
    middle = np.abs(WAVE - 6560) < 5
    assert np.abs(found - lines(2_500))[middle].max() < 1e-4


def test_a_shape_per_chip_of_chips_that_are_gone():
    y = Spectra(
        np.ones((2, 1000)),
        wave=WAVE,
        medium="air",
        resolution=[23_000.0, 24_000.0],
        meta={"lsf_boxiness": np.full((2, 4), 2.5)},
    )
    with pytest.raises(ValueError, match="has 4 columns, the spectra have 1 chip"):
        ResolutionChange.of(y, np.ones(2), EVERYWHERE)
