"""`make_paired_spectra` as its users meet it."""

import numpy as np
import pytest
from scipy.interpolate import CubicSpline

from specxfer import air_to_vacuum
from specxfer.datasets import make_paired_spectra
from specxfer.datasets._atoms import HEAVY
from specxfer.io._apogee import META as APOGEE
from specxfer.io._galah import META as GALAH
from specxfer.validation._null_test import LABELS

IDEAL = {
    "snr_source": None,
    "snr_target": None,
    "rv_error": 0,
    "continuum_error": 0,
    "bad_pixels": 0,
    "resolution_scatter": 0,
    "gaps": False,
}
SOURCE = np.arange(15_785.0, 15_793.0, 0.2)
TARGET = np.arange(6494.0, 6501.0, 0.06)
OWN = {"source_wave": SOURCE, "target_wave": TARGET}


def same(a, b):
    return np.array_equal(a.flux, b.flux, equal_nan=True)


def test_full_size_is_the_grid_of_both_surveys():
    X, y, truth = make_paired_spectra(2, random_state=0)
    assert X.shape == (2, 8575)
    assert y.shape == truth.shape == (2, 16_384)
    assert (X.medium, y.medium) == ("vacuum", "air")
    assert X.dtype == y.dtype == X.ivar.dtype == truth.dtype == np.float32
    np.testing.assert_allclose(X.wave, 10 ** (4.179 + 6e-6 * np.arange(8575)))
    assert np.isfinite(truth.flux).all()
    assert not truth.has_noise
    # the three chips of APOGEE have 7514 pixels, some are masked
    assert (X.valid().sum(axis=1) < 7514 + 60).all()
    assert (X.valid().sum(axis=1) > 7000).all()
    assert truth.flux.min() > 0
    assert truth.flux.max() < 1.001
    assert np.median(truth.flux) > 0.9


@pytest.mark.parametrize("random_state", [3, np.random.default_rng(3)])
def test_random_state_makes_it_repeatable(random_state):
    again = 3 if isinstance(random_state, int) else np.random.default_rng(3)
    first = make_paired_spectra(3, **OWN, random_state=random_state)
    second = make_paired_spectra(3, **OWN, random_state=again)
    assert all(same(a, b) for a, b in zip(first, second, strict=True))
    other = make_paired_spectra(3, **OWN, random_state=4)
    assert not same(first[2], other[2])


def test_without_random_state_the_stars_are_new():
    a, b = (make_paired_spectra(1, **OWN)[2] for _ in range(2))
    assert not same(a, b)


def test_a_star_does_not_depend_on_the_others_or_on_threads():
    many = make_paired_spectra(40, **OWN, repeats=0.3, random_state=1, n_jobs=2)
    few = make_paired_spectra(33, **OWN, repeats=0.3, random_state=1)
    n = len(few[0])
    for a, b in zip(many, few, strict=True):
        assert same(a[:n], b)
        np.testing.assert_array_equal(a.ids[:n], b.ids)
    np.testing.assert_array_equal(many[1].ivar[:n], few[1].ivar)


def test_switches_change_nothing_else():
    noisy = make_paired_spectra(4, **OWN, random_state=2)
    silent = make_paired_spectra(4, **OWN, random_state=2, **IDEAL)
    for label in ("teff", "ba_fe", "velocity"):
        np.testing.assert_array_equal(noisy[1].meta[label], silent[1].meta[label])
    no_mask = make_paired_spectra(4, **OWN, random_state=2, bad_pixels=0)
    both = noisy[0].valid()
    np.testing.assert_array_equal(noisy[0].flux[both], no_mask[0].flux[both])


def test_without_errors_the_data_are_the_truth():
    X, y, truth = make_paired_spectra(3, **OWN, random_state=0, **IDEAL)
    assert same(y, truth)
    assert not X.has_noise
    assert not y.has_noise
    np.testing.assert_array_equal(y.resolution, 25_000)
    np.testing.assert_array_equal(X.meta["rv_offset"], 0)


def test_noise_is_what_the_inverse_variance_says():
    settings = {**IDEAL, "snr_source": 80, "snr_target": (20, 60)}
    clean = make_paired_spectra(60, **OWN, random_state=0, **IDEAL)
    noisy = make_paired_spectra(60, **OWN, random_state=0, **settings)
    for a, b in zip(clean[:2], noisy[:2], strict=True):
        chi2 = (b.ivar.astype(float) * (b.flux - a.flux.astype(float)) ** 2).mean()
        assert chi2 == pytest.approx(1, abs=5 * np.sqrt(2 / a.flux.size))
    np.testing.assert_allclose(noisy[0].ivar, 80**2, rtol=1e-6)
    snr = np.asarray(noisy[1].meta["snr"])
    np.testing.assert_allclose(noisy[1].ivar[:, 0], snr**2, rtol=1e-6)
    assert snr.min() > 20
    assert snr.max() < 60
    assert np.ptp(snr) > 20


def test_masked_pixels_are_nan_without_weight():
    X, y, truth = make_paired_spectra(30, **OWN, bad_pixels=(0.1, 0), random_state=0)
    bad = ~X.valid()
    assert 0.05 < bad.mean() < 0.15
    assert np.isnan(X.flux[bad]).all()
    assert (X.ivar[bad] == 0).all()
    assert y.valid().all()
    assert np.isfinite(truth.flux).all()


def test_gaps_move_with_the_star():
    X, y, _ = make_paired_spectra(6, bad_pixels=0, random_state=0)
    edge = y.wave[-1]
    for i, velocity in enumerate(X.meta["velocity"]):
        known = y.wave[y.valid()[i]]
        lost = max(0.0, edge * velocity / 299_792.458)
        assert edge - known[-1] == pytest.approx(lost, abs=0.1)
    closed, _, _ = make_paired_spectra(2, bad_pixels=0, gaps=False, random_state=0)
    assert closed.valid().all()


def test_velocity_error_moves_the_lines():
    still = make_paired_spectra(12, **OWN, random_state=0, **IDEAL)
    moved = make_paired_spectra(
        12, **OWN, random_state=0, **{**IDEAL, "rv_error": (0, 1.0)}
    )
    assert same(still[0], moved[0])
    assert same(still[1], moved[2])
    c = 299_792.458
    for i, velocity in enumerate(moved[1].meta["rv_offset"]):
        shifted = CubicSpline(TARGET, still[1].flux[i])(TARGET / (1 + velocity / c))
        np.testing.assert_allclose(moved[1].flux[i][5:-5], shifted[5:-5], atol=2e-3)
    assert np.std(moved[1].meta["rv_offset"]) == pytest.approx(1, abs=0.5)


def test_continuum_error_is_smooth_and_of_the_size_asked_for():
    ideal = make_paired_spectra(80, **OWN, random_state=0, **IDEAL)
    tilted = make_paired_spectra(
        80, **OWN, random_state=0, **{**IDEAL, "continuum_error": 0.02}
    )
    ratio = tilted[1].flux / ideal[1].flux - 1
    assert ratio.std() == pytest.approx(0.02, rel=0.2)
    x = np.linspace(-1, 1, ratio.shape[1])
    smooth = np.polynomial.legendre.legfit(x, ratio.T, 2)
    left = ratio.T - np.polynomial.legendre.legval(x, smooth).T
    assert np.abs(left).max() < 1e-5


def test_resolution_is_given_and_differs_between_stars():
    X, y, _ = make_paired_spectra(200, **OWN, random_state=0)
    assert y.resolution.std() == pytest.approx(0.06 * 25_000, rel=0.2)
    assert y.resolution.mean() == pytest.approx(25_000, rel=0.02)
    assert X.resolution.mean() == pytest.approx(22_500, rel=0.02)


def test_repeats_share_the_star_and_nothing_else():
    X, y, truth = make_paired_spectra(
        64, **OWN, repeats=0.4, resolution_scatter=0, random_state=0
    )
    assert 64 < len(X) < 64 + 50
    second = np.flatnonzero(np.asarray(X.meta["visit"]) == 1)
    np.testing.assert_array_equal(X.ids[second], X.ids[second - 1])
    assert len(np.unique(X.ids)) == 64
    np.testing.assert_array_equal(y.ids, X.ids)
    assert same(truth[second], truth[second - 1])
    assert not same(y[second], y[second - 1])
    difference = (y.flux[second] - y.flux[second - 1])[~np.isnan(y.flux[second])]
    assert np.nanstd(difference) == pytest.approx(np.sqrt(2) / 80, rel=0.15)
    none = make_paired_spectra(64, **OWN, resolution_scatter=0, random_state=0)
    first = np.asarray(X.meta["visit"]) == 0
    assert same(X[first], none[0])


def test_giants_and_dwarfs():
    _, y, _ = make_paired_spectra(400, **OWN, random_state=0)
    giant = np.asarray(y.meta["giant"])
    teff, logg = np.asarray(y.meta["teff"]), np.asarray(y.meta["logg"])
    assert giant.mean() == pytest.approx(0.5, abs=0.1)
    assert (logg[giant] < 3.6).all()
    assert (logg[~giant] > 3.8).all()
    assert teff[giant].min() >= 3900
    assert teff[giant].max() <= 5300
    assert np.polyfit(logg[giant], teff[giant], 1)[0] > 100  # the giant branch
    only, _, _ = make_paired_spectra(20, **OWN, giant_fraction=1, random_state=0)
    assert np.asarray(only.meta["giant"]).all()


def test_heavy_elements_scatter_beyond_light_ones():
    _, y, _ = make_paired_spectra(600, **OWN, random_state=0)
    for element, least in (("ba_fe", 0.1), ("eu_fe", 0.08)):
        assert residual(y.meta, element).std() > least
    s, r = np.asarray(y.meta["s_process"]), np.asarray(y.meta["r_process"])
    ba, eu, nd = (np.asarray(y.meta[f"{e}_fe"]) for e in ("ba", "eu", "nd"))
    assert np.corrcoef(ba, s)[0, 1] > 0.9
    assert np.corrcoef(eu, r)[0, 1] > 0.9
    assert np.corrcoef(nd, s)[0, 1] > np.corrcoef(eu, s)[0, 1]


def test_without_heavy_scatter_light_labels_say_all():
    X, _, _ = make_paired_spectra(
        300, **OWN, heavy_scatter=False, random_state=0, **IDEAL
    )
    for element in HEAVY:
        assert np.abs(residual(X.meta, f"{element.lower()}_fe")).max() < 2e-3
    scattered, _, _ = make_paired_spectra(300, **OWN, random_state=0, **IDEAL)
    for label in ("teff", "fe_h", "mn_fe", "li_fe"):
        np.testing.assert_array_equal(X.meta[label], scattered.meta[label])


def residual(meta, label):
    """What a cubic in [Fe/H] and [α/Fe] leaves of a label."""
    fe_h, alpha = np.asarray(meta["fe_h"]), np.asarray(meta["alpha_fe"])
    terms = [fe_h**i * alpha**j for i in range(4) for j in range(4 - i)]
    design = np.column_stack(terms)
    values = np.asarray(meta[label])
    return values - design @ np.linalg.lstsq(design, values)[0]


def test_source_shows_the_s_process_in_giants_but_not_barium():
    # Ce II 15785 follows Ce at fixed stellar parameters
    X, y, _ = make_paired_spectra(800, **OWN, giant_fraction=1, random_state=0, **IDEAL)
    core = np.argmin(np.abs(SOURCE - 15_789.063))
    labels = [
        np.asarray(X.meta[k]) for k in ("teff", "logg", "fe_h", "alpha_fe", "vmic")
    ]
    z = np.column_stack([(v - v.mean()) / v.std() for v in labels])
    products = [z[:, [i]] * z[:, i:] for i in range(z.shape[1])]
    design = np.column_stack([np.ones(len(z)), z, *products])

    def rest(v):
        return v - design @ np.linalg.lstsq(design, v)[0]

    depth = rest(1 - X.flux[:, core].astype(float))
    cerium = rest(np.asarray(X.meta["ce_fe"]))
    assert np.corrcoef(depth, cerium)[0, 1] > 0.8
    assert 0.005 < depth @ cerium / (cerium @ cerium) < 0.1
    # and, through the s-process, tells of barium in the target
    barium = np.argmin(np.abs(air_to_vacuum(TARGET) - air_to_vacuum(6496.897)))
    assert np.corrcoef(depth, rest(1 - y.flux[:, barium].astype(float)))[0, 1] > 0.6


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"n_stars": 0}, "n_stars is 0"),
        ({"n_stars": 2.5}, "n_stars is 2.5"),
        ({"giant_fraction": 1.2}, "giant_fraction is 1.2"),
        ({"repeats": -0.1}, "repeats is -0.1"),
        ({"size": "tiny"}, "size is 'tiny'"),
        ({"snr_source": 0}, "snr_source is 0"),
        ({"snr_target": (10, -1)}, "snr_target"),
        ({"rv_error": (1, 2, 3)}, "rv_error"),
        ({"bad_pixels": 2}, "bad_pixels is 2"),
        ({"continuum_error": -1}, "continuum_error is -1"),
        ({"resolution_target": 0}, "resolution_target is 0"),
        ({"random_state": "seed"}, "random_state is 'seed'"),
        ({"target_wave": [5000.0, 4999.0, 4998.0]}, "increas"),
    ],
)
def test_wrong_parameters_say_what_was_expected(wrong, match):
    with pytest.raises(ValueError, match=match):
        make_paired_spectra(**{"n_stars": 1, **OWN, **wrong})


def test_a_shift_changes_the_labels_named_and_nothing_else():
    settings = {"size": "small", "random_state": 4, "repeats": 0.5}
    plain = make_paired_spectra(6, **settings)
    barium = make_paired_spectra(6, **settings, shift={"ba_fe": 0.3})
    for name in plain[0].meta.colnames:
        step = 0.3 if name == "ba_fe" else 0
        expected = np.asarray(plain[0].meta[name]) + step
        np.testing.assert_allclose(barium[0].meta[name], expected)
    assert same(plain[0], barium[0])  # the source has no barium line
    changed = np.abs(barium[2].flux - plain[2].flux).max(axis=0) > 0.01
    near = [np.abs(plain[2].wave - wave) < 1.5 for wave in (5853.67, 6496.90)]
    assert changed.any()
    assert not (changed & ~np.any(near, axis=0)).any()
    # noise and masks are the same: y differs as the truth does
    both = plain[1].valid() & barium[1].valid()
    np.testing.assert_array_equal(plain[1].valid(), barium[1].valid())
    quiet = both & (barium[2].flux == plain[2].flux)
    assert quiet.any()
    np.testing.assert_array_equal(plain[1].flux[quiet], barium[1].flux[quiet])


def test_heavy_elements_follow_a_shift_of_the_s_process():
    settings = {"size": "small", "random_state": 4}
    plain, _, _ = make_paired_spectra(6, **settings)
    rich, _, _ = make_paired_spectra(6, **settings, shift={"s_process": 0.3})
    s, r = (np.asarray(plain.meta[f"{of}_process"]) for of in "sr")
    for name, share in (("ba", 0.85), ("eu", 0.06), ("mg", 0)):
        more = share * 10**s * 10**0.3 + (1 - share) * 10**r
        expected = np.log10(more / (share * 10**s + (1 - share) * 10**r))
        step = rich.meta[f"{name}_fe"] - plain.meta[f"{name}_fe"]
        np.testing.assert_allclose(step, expected, atol=1e-12)
    assert not same(plain, rich)


@pytest.mark.parametrize(
    ("shift", "match"),
    [
        ({"alpha": 0.1}, "expected some of"),
        ({"Ba": 0.1}, "ba_fe"),
        ({"ba_fe": np.nan}, "finite"),
    ],
)
def test_shifts_that_mean_nothing(shift, match):
    with pytest.raises(ValueError, match=match):
        make_paired_spectra(1, **OWN, shift=shift)


def test_labels_that_nulls_are_given_are_there():
    X, _, _ = make_paired_spectra(3, size="small", random_state=0)
    assert set(LABELS) <= set(X.meta.colnames)
    assert set(LABELS) <= set(APOGEE) & set(GALAH)  # what readers call them
