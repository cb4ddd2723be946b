"""Targets of many resolving powers: learnt at one, written at any."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from specxfer import Spectra, predict_std, sample, translate
from specxfer.baselines import NullTranslator
from specxfer.compose import Augmented, TargetWindow
from specxfer.linear import PCARidge
from specxfer.metrics import equivalent_width, line_flux_scorer
from specxfer.preprocessing import GapMasker

X_WAVE = 15000 * np.exp(np.arange(60) * 1.4e-5)
Y_WAVE = 6540 + 0.063 * np.arange(320)
CENTRES = (6545.0, 6550.3, 6555.0)
CHIP = (np.arange(320) >= 120).astype(int)
WINDOW = (6549.7, 6550.9)


def target(depths, resolution):
    """Gaussian lines, 5 km/s wide by themselves, at each star's resolving power."""
    flux = np.ones((len(depths), len(Y_WAVE)))
    for centre, depth in zip(CENTRES, depths.T):
        intrinsic = 5.0 / 299_792.458 / 2.3548
        sigma = centre * np.hypot(intrinsic, 1 / np.asarray(resolution) / 2.3548)
        shape = np.exp(-0.5 * ((Y_WAVE - centre) / sigma[:, None]) ** 2)
        flux -= 0.15 * depth[:, None] / sigma[:, None] / 2.5066 * shape
    return flux


def pairs(rng, n=300, snr=200.0, spread=1500.0, own=0.0):
    """Stars whose source tells the depths of three lines, but not the spectrograph.

    `own` is the scatter of the last line's depth that the source does not tell.
    """
    depths = 1 + 0.2 * rng.standard_normal((n, 3))
    resolution = rng.normal(25_000, spread, n).clip(20_000, 30_000)
    x = 1 - depths @ np.repeat(np.eye(3), 20, axis=1) * 0.2
    depths[:, 2] += own * rng.standard_normal(n)
    truth = target(depths, resolution)
    X = Spectra(
        (x + rng.normal(0, 0.002, x.shape)).astype("f4"),
        np.full(x.shape, 0.002**-2, "f4"),
        wave=X_WAVE,
        medium="vacuum",
        resolution=22_500.0,
        meta={"depth": depths[:, 0]},
    )
    y = Spectra(
        (truth + rng.normal(0, 1 / snr, truth.shape)).astype("f4"),
        np.full(truth.shape, snr**2, "f4"),
        wave=Y_WAVE,
        medium="air",
        resolution=resolution,
        chip=CHIP,
    )
    return X, y, truth, depths


def rms(a):
    return float(np.sqrt(np.mean(np.square(a))))


@pytest.fixture
def fitted(rng):
    X, y, _, _ = pairs(rng)
    return PCARidge(3, n_products=0).fit(X, y)


def test_knowing_the_resolution_takes_its_share_off_the_error(rng):
    X, y, _, _ = pairs(rng)
    X_new, y_new, truth, _ = pairs(rng)
    blind = PCARidge(3, n_products=0).fit(X, y.replace(resolution=None))
    knowing = PCARidge(3, n_products=0).fit(X, y)
    at_own = knowing.predict(X_new, resolution=y_new.resolution)
    assert rms(at_own - truth) < 0.4 * rms(blind.predict(X_new) - truth)
    assert rms(knowing.scatter_) < 0.4 * rms(blind.scatter_)


def test_writes_the_spectrum_at_the_resolution_asked_for(rng, fitted):
    X, _, _, depths = pairs(rng)
    low, high = 21_000.0, 28_000.0
    for resolution in (low, high):
        expected = target(depths, np.full(len(X), resolution))
        assert rms(fitted.predict(X, resolution=resolution) - expected) < 0.003
    change = target(depths, np.full(len(X), low)) - target(
        depths, np.full(len(X), high)
    )
    assert rms(change) > 0.01


def test_equivalent_widths_do_not_depend_on_the_resolution_asked_for(rng, fitted):
    X = pairs(rng, n=20)[0]
    wide = [(6543.5, 6546.5)]
    ew, error = equivalent_width(fitted.translate(X, resolution=27_000), wide)
    ew_low, error_low = equivalent_width(fitted.translate(X, resolution=21_000), wide)
    np.testing.assert_allclose(ew_low, ew, rtol=0.003)
    np.testing.assert_allclose(error_low, error, rtol=0.1)


def test_typical_resolution_is_the_default(rng, fitted):
    X = pairs(rng, n=5)[0]
    assert fitted.resolution_.shape == (2,)
    default = fitted.translate(X)
    np.testing.assert_array_equal(
        default.resolution, np.tile(fitted.resolution_, (5, 1))
    )
    again = fitted.translate(X, resolution=np.tile(fitted.resolution_, (5, 1)))
    np.testing.assert_array_equal(again.flux, default.flux)
    np.testing.assert_allclose(again.ivar, default.ivar, rtol=0.1)
    unknown = fitted.predict(X, resolution=np.full(5, np.nan))
    np.testing.assert_array_equal(unknown, default.flux)


@pytest.mark.parametrize("alike", [True, False])
def test_std_covers_the_noise_free_flux_at_its_resolution(rng, alike):
    X, y, _, _ = pairs(rng, own=0.1)
    fitted = PCARidge(3, n_products=0).fit(X, y)
    X, y, truth, depths = pairs(rng, n=1000, own=0.1)
    resolution = y.resolution
    if alike:
        resolution, truth = 23_000.0, target(depths, np.full(1000, 23_000.0))
    flux, std = fitted.predict(X, return_std=True, resolution=resolution)
    core = np.abs(Y_WAVE - CENTRES[2]) < 0.25
    assert rms((flux - truth)[:, core]) > 0.01
    assert 0.9 < rms((flux - truth)[:, core] / std[:, core]) < 1.1


def test_draws_are_about_the_spectrum_at_its_resolution(rng, fitted):
    X = pairs(rng, n=2)[0]
    flux, std = fitted.predict(X, return_std=True, resolution=22_000)
    draws = fitted.sample(X, 400, random_state=0, resolution=22_000)
    assert np.abs(draws.mean(axis=0) - flux).max() < 5 * std.max() / 20
    np.testing.assert_allclose(draws.std(axis=0), std, rtol=0.2)


def test_a_row_owes_nothing_to_its_company(rng, fitted):
    X, y, _, _ = pairs(rng, n=10)
    together = fitted.translate(X, resolution=y.resolution)
    alone = fitted.translate(X[4:5], resolution=y.resolution[4:5])
    np.testing.assert_array_equal(alone.flux[0], together.flux[4])
    np.testing.assert_array_equal(alone.ivar[0], together.ivar[4])


def test_rows_of_unknown_resolution_are_learnt_from_as_they_are(rng):
    X, y, _, _ = pairs(rng, spread=0.0)
    power = np.where(np.arange(300) % 2, np.nan, y.resolution)
    some = PCARidge(3, n_products=0).fit(X, y.replace(resolution=power))
    none = PCARidge(3, n_products=0).fit(X, y.replace(resolution=None))
    np.testing.assert_allclose(some.predict(X[:9]), none.predict(X[:9]), atol=1e-5)


def test_the_null_knows_the_resolution_too(rng):
    X, y, _, _ = pairs(rng)
    X_new, y_new, truth, _ = pairs(rng)
    null = NullTranslator().fit(X, y)
    at_own = null.predict(X_new, resolution=y_new.resolution)
    assert rms(at_own - truth) < rms(null.predict(X_new) - truth)


def test_score_and_scorers_compare_at_the_resolution_of_y(rng, fitted):
    X, y, truth, _ = pairs(rng)
    at_typical = fitted.score(X, y.replace(resolution=None))
    assert fitted.score(X, y) > at_typical
    scorer = line_flux_scorer([WINDOW])
    search = GridSearchCV(make_pipeline(GapMasker(), PCARidge(3)), {}, cv=2).fit(X, y)
    assert scorer(search, X, y) > scorer(search, X, y.replace(resolution=None))
    inside = TargetWindow(PCARidge(3), windows=[WINDOW], pad=0.5).fit(X, y)
    assert scorer(inside, X, y) > scorer(inside, X, y.replace(resolution=None))
    plain = make_pipeline(GapMasker(), Ridge()).fit(X, truth)
    assert scorer(plain, X, y) == scorer(plain, X, y.replace(resolution=None))


@pytest.mark.parametrize("spectra", [True, False], ids=["per chip", "per star"])
def test_through_compositions(rng, spectra):
    X, y, _, _ = pairs(rng)
    power = np.column_stack([y.resolution] * 2) if spectra else y.resolution
    inner = PCARidge(3, n_products=0)
    direct = PCARidge(3, n_products=0).fit(X, y).predict(X, resolution=power)
    windows = [(6541.0, 6546.5)]  # on the first chip alone
    perturbed = {"line_strength": 0, "missing_lines": 0, "continuum": 0}
    for model, atol in (
        (GridSearchCV(make_pipeline(GapMasker(), inner), {}, cv=2), 1e-6),
        (TargetWindow(inner, windows=windows), 6e-3),
        (Augmented(inner, velocity=0, resolution=0, **perturbed), 4e-3),
    ):
        model.fit(X, y)
        out = translate(model, X, resolution=power)
        seen = np.isfinite(out.flux).any(axis=0)
        assert seen[30]
        np.testing.assert_allclose(out.flux[:, seen], direct[:, seen], atol=atol)
        flux, std = predict_std(model, X, resolution=power)
        np.testing.assert_array_equal(flux, out.flux)
        assert np.nanmin(std) > 0
        assert sample(model, X[:2], 3, 0, resolution=power[:2]).shape == (3, 2, 320)
        given = out.resolution if out.resolution.ndim == 1 else out.resolution[:, 0]
        np.testing.assert_allclose(given, y.resolution)


def test_what_cannot_be_written(rng, fitted):
    X, y, _, _ = pairs(rng, n=20)
    with pytest.raises(ValueError, match="what they cannot show is not invented"):
        fitted.predict(X, resolution=40_000)
    with pytest.raises(ValueError, match="resolution has shape"):
        fitted.predict(X, resolution=[25_000.0, 24_000.0])
    blind = PCARidge(3).fit(X, y.replace(resolution=None))
    assert blind.resolution_ is None
    assert blind.translate(X).resolution is None
    with pytest.raises(ValueError, match="fit it to y with a `resolution`"):
        translate(
            make_pipeline(GapMasker(), blind).fit(X, np.asarray(y)), X, resolution=1
        )


@pytest.mark.parametrize("known", [True, False])
def test_translated_spectra_say_the_shape_of_their_lsf(rng, known):
    """That of the target survey, never that of the source."""
    X, y, _, _ = pairs(rng, n=60)
    X.meta["lsf_boxiness"] = np.full((60, 1), 3.3)
    if known:
        power = np.column_stack([y.resolution] * 2)
        y = y.replace(
            resolution=power, meta={"lsf_boxiness": np.tile([2.8, 2.2], (60, 1))}
        )
    model = PCARidge(3, n_products=0)
    out = model.fit(X, y).translate(X[:2], resolution=23_000)
    window = TargetWindow(model, windows=[WINDOW]).fit(X, y)
    narrow = translate(window, X[:2])
    if known:
        np.testing.assert_allclose(out.meta["lsf_boxiness"], [[2.8, 2.2]] * 2)
        np.testing.assert_allclose(narrow.meta["lsf_boxiness"], [[np.nan, 2.2]] * 2)
        assert len(narrow[:, CHIP == 1].meta["lsf_boxiness"][0]) == 1
    else:
        assert "lsf_boxiness" not in out.meta.colnames
        assert "lsf_boxiness" not in narrow.meta.colnames
    assert "lsf_boxiness" in X.meta.colnames
