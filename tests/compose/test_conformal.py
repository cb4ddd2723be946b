import pickle
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

import specxfer
from specxfer import Spectra, Translator
from specxfer.baselines import NullTranslator
from specxfer.compose import CalibrationWarning, ConformalTranslator, TargetWindow
from specxfer.compose._conformal_scores import quantiles_of, stars_needed
from specxfer.compose._error_scale import error_factors, excess_sums, groups_of
from specxfer.covariance import LowRankCovariance
from specxfer.linear import PCARidge
from specxfer.metrics import coverage, equivalent_width, interval_coverage
from specxfer.preprocessing import GapMasker

WAVE = 6490 + 0.25 * np.arange(64)
LINES = [(6494.9, 6497.1), (6501.9, 6503.1)]
BOTH = (0.6827, 0.9545)


class Stated(Translator):
    """Says that lines are as in the source, and how far it errs; both may be wrong."""

    _parameter_constraints = {}

    def __init__(self, std=0.01, together=0.5):
        self.std = std
        self.together = together

    def _fit(self, X, y, sample_weight):
        pass

    def _predict_block(self, X):
        return X.flux.copy()

    def _covariance_block(self, X):
        n, p = X.shape
        shared = np.full((n, 1, 1), self.together * self.std**2)
        alone = np.full((n, p), (1 - self.together) * self.std**2)
        return LowRankCovariance(shared, np.ones((1, p)), alone)


def stars(n, error=(0.02, 0.01), noise=0.02, seed=0, together=0.5, student=False):
    """A source, noisy targets and their truth; the target errs by domain."""
    rng = np.random.default_rng(seed)
    giant = np.arange(n) % 2 == 0
    source = 1 - 0.3 * rng.random((n, len(WAVE)))
    size = np.where(giant, *error)[:, None]
    draws = rng.standard_t(3, source.shape) / np.sqrt(3) if student else None
    if draws is None:
        draws = np.sqrt(1 - together) * rng.standard_normal(source.shape)
        draws += np.sqrt(together) * rng.standard_normal((n, 1))
    truth = source + size * draws
    grid = {
        "wave": WAVE,
        "medium": "air",
        "ids": [f"s{seed}-{i}" for i in range(n)],
        "meta": {"giant": giant},
    }
    X = Spectra(source, **grid)
    sigma = noise * rng.uniform(0.5, 1.5, (n, 1)) * np.ones(len(WAVE))
    flux = truth + sigma * rng.standard_normal(truth.shape)
    y = Spectra(flux, sigma**-2, **grid)
    return X, y, Spectra(truth, **grid)


@pytest.fixture(scope="module")
def calibrated():
    X, y, _ = stars(1600)
    model = ConformalTranslator(Stated(), calibration_size=0.75, lines=LINES)
    return model.fit(X, y)


@pytest.fixture(scope="module")
def by_line():
    X, y, _ = stars(1600)
    model = ConformalTranslator(
        Stated(), calibration_size=0.75, lines=LINES, per="line"
    )
    return model.fit(X, y)


class TestQuantiles:
    def test_rank_by_hand(self):
        scores = np.array([[5.0, 1], [3, 2], [1, np.nan], [2, 3], [4, np.nan]])
        member = np.array([[True] * 5, [True, True, False, False, False]])
        found = quantiles_of(scores, member, (0.5, 0.8, 0.9))
        # ⌈6 × 0.5⌉ = 3rd, ⌈6 × 0.8⌉ = 5th, ⌈6 × 0.9⌉ = 6th of five: none
        assert_array_equal(found[0, :, 0], [3, 5, np.inf])
        assert_array_equal(found[0, :, 1], [2, np.inf, np.inf])
        assert_array_equal(found[1, :, 0], [5, np.inf, np.inf])

    def test_stars_needed(self):
        assert stars_needed(0.5) == 1
        assert stars_needed(0.95) == 19
        assert stars_needed(0.9545) == 21
        for level in (0.3, 0.68, 0.9, 0.99):
            n = stars_needed(level)
            for count, finite in ((n, True), (n - 1, False)):
                scores = np.arange(float(count))[:, None]
                member = np.ones((1, count), bool)
                found = quantiles_of(scores, member, (level,))
                assert np.isfinite(found[0, 0, 0]) == finite

    @pytest.mark.parametrize("n", [5, 20, 99])
    def test_the_guarantee_holds_for_any_number_of_stars(self, n):
        """Expected coverage is ⌈(n + 1) level⌉ / (n + 1), however scores scatter."""
        rng = np.random.default_rng(n)
        level = 0.8
        scores = rng.lognormal(0, 2, (n, 20_000)).astype(np.float32)
        found = quantiles_of(scores, np.ones((1, n), bool), (level,))[0, 0]
        covered = np.mean(rng.lognormal(0, 2, 20_000) <= found)
        expected = np.ceil((n + 1) * level) / (n + 1)
        assert covered == pytest.approx(expected, abs=0.01)


class TestObservedFlux:
    @pytest.mark.parametrize("student", [False, True])
    def test_it_holds_in_each_domain_whatever_is_stated(self, student):
        X, y, _ = stars(3000, student=student)
        X_test, y_test, _ = stars(2000, seed=1, student=student)
        model = ConformalTranslator(Stated(std=0.003), calibration_size=0.7).fit(X, y)
        for level in BOTH:
            ends = model.predict_interval(X_test, level, ivar=y_test.ivar)
            table = interval_coverage(y_test, *ends, level=level)
            assert table["domain"].tolist() == ["giant", "dwarf"]
            assert_allclose(table["coverage"], level, atol=0.02)

    def test_typical_noise_is_the_default(self, calibrated):
        X, _, _ = stars(10, seed=2)
        assert_allclose(calibrated.typical_ivar_**-0.5, 0.02, rtol=0.15)
        default = calibrated.predict_interval(X)
        same = calibrated.predict_interval(X, ivar=calibrated.typical_ivar_)
        assert_allclose(default, same)
        wide = calibrated.predict_interval(X, ivar=1.0)
        assert (wide[0] < default[0]).all()
        ivar = np.ones(64)
        ivar[3] = 0
        lo, hi = calibrated.predict_interval(X, ivar=ivar)
        assert np.isinf(lo[:, 3]).all()
        assert np.isinf(hi[:, 3]).all()
        assert np.isfinite(lo[:, :3]).all()

    def test_a_star_of_unknown_kind_gets_the_wider_interval(self, calibrated):
        X, _, _ = stars(2, seed=3)
        lo, hi = calibrated.predict_interval(X)
        lo_unknown, hi_unknown = calibrated.predict_interval(X.replace(meta=None))
        width, width_unknown = hi - lo, hi_unknown - lo_unknown
        assert (width_unknown >= width * (1 - 1e-6)).all()
        assert_allclose(
            width_unknown, np.broadcast_to(width.max(axis=0), width.shape), rtol=1e-5
        )

    def test_masked_pixels_do_not_count(self, calibrated):
        X, y, _ = stars(1600)
        bad = np.random.default_rng(4).random(y.shape) < 0.3
        masked = y.replace(
            flux=np.where(bad, np.nan, y.flux), ivar=np.where(bad, 0, y.ivar)
        )
        model = clone(calibrated).fit(X, masked)
        assert_allclose(
            model.quantiles_.mean(), calibrated.quantiles_.mean(), rtol=0.05
        )

    def test_too_few_stars_are_said_and_give_infinite_intervals(self):
        X, y, _ = stars(120)
        with pytest.warns(CalibrationWarning, match="fewer than 21") as seen:
            model = ConformalTranslator(Stated()).fit(X, y)
        assert len(seen) == 2  # one for each domain
        assert np.isfinite(model.predict_interval(X, 0.6827)).all()
        lo, hi = model.predict_interval(X, 0.9545)
        assert np.isneginf(lo).all()
        assert np.isposinf(hi).all()
        assert np.isfinite(model.predict(X, return_std=True)).all()

    def test_a_domain_without_stars(self):
        X, y, _ = stars(200)
        dwarfs = np.flatnonzero(~np.asarray(X.meta["giant"]))
        model = ConformalTranslator(Stated(), levels=0.8, calibration_size=0.5)
        with pytest.warns(CalibrationWarning, match="'giant' .fewest 0"):
            model.fit(X[dwarfs], y[dwarfs])
        lo, _ = model.predict_interval(X[:2])
        assert np.isneginf(lo[0]).all()  # a giant
        assert np.isfinite(lo[1]).all()
        lo, _ = model.predict_interval(X[:2].replace(meta=None))
        assert np.isfinite(lo).all()
        assert np.isfinite(model.predict(X, return_std=True)).all()


class TestNoiseFreeFlux:
    @pytest.mark.parametrize("std", [0.003, 0.01, 0.04])
    def test_errors_are_brought_to_their_size(self, std):
        X, y, _ = stars(3000)
        X_test, _, truth = stars(2000, seed=1)
        model = ConformalTranslator(Stated(std), calibration_size=0.7).fit(X, y)
        assert_allclose(model.scale_.mean(axis=1), [0.02 / std, 0.01 / std], rtol=0.05)
        flux, calibrated = model.predict(X_test, return_std=True)
        table = coverage(truth, flux, calibrated, noise="none")
        assert_allclose(table["coverage"], [*BOTH, *BOTH], atol=0.025)
        ends = model.predict_interval(X_test, 0.5, kind="noise-free")
        table = interval_coverage(truth, *ends, level=0.5)
        assert_allclose(table["coverage"], 0.5, atol=0.025)

    def test_translate_sample_and_predict_agree(self, calibrated):
        X, _, _ = stars(4, seed=5)
        flux, std = calibrated.predict(X, return_std=True)
        found = specxfer.translate(calibrated, X)
        assert_allclose(found.flux, flux)
        assert_allclose(found.ivar, std**-2, rtol=1e-5)
        assert_allclose(found.covariance.variance(), std**2, rtol=1e-5)
        draws = specxfer.sample(calibrated, X, 4000, random_state=0)
        assert_allclose(draws.std(axis=0), std, rtol=0.08)
        assert_allclose(draws.mean(axis=0), flux, atol=0.002)
        _, ew_err = equivalent_width(found, LINES)
        grid = {"wave": WAVE, "medium": "air"}
        widths = [equivalent_width(Spectra(d, **grid), LINES)[0] for d in draws]
        assert_allclose(np.std(widths, axis=0), ew_err, rtol=0.08)

    def test_rows_do_not_depend_on_their_company(self, calibrated):
        X, _, _ = stars(40, seed=6)
        together = calibrated.predict(X, return_std=True)[1]
        alone = [calibrated.predict(X[[i]], return_std=True)[1][0] for i in range(3)]
        assert_array_equal(together[:3], alone)
        both = specxfer.translate(calibrated, X), specxfer.translate(calibrated, X[:1])
        assert_array_equal(*(t.covariance.variance()[0] for t in both))

    def test_one_domain_keeps_one_basis(self):
        X, y, _ = stars(400)
        X = X.replace(meta=None)
        model = ConformalTranslator(Stated(), calibration_size=0.5).fit(X, y)
        assert model.domains_ == ["all"]
        assert specxfer.translate(model, X).covariance.scale is None

    def test_observations_join_calibrated_translations(self):
        """`denoise` with a scale for each star, against one basis for all."""
        X, y, truth = stars(1000)
        apart = ConformalTranslator(Stated(), calibration_size=0.5).fit(X, y)
        assert specxfer.translate(apart, X[:1]).covariance.scale is not None
        error = np.asarray(specxfer.denoise(apart, X, y)) - truth.flux
        assert error.std() < min(0.02, (X.flux - truth.flux).std())
        apart.scale_[:] = 1.5
        one = ConformalTranslator(FrozenEstimator(Stated().fit(X, y)), levels=0.5)
        one.calibrate(X.replace(meta=None), y)
        one.scale_[:] = 1.5
        X = X[:20].replace(meta=None)
        same = (specxfer.denoise(m, X, y[:20]) for m in (apart, one))
        first, second = same
        assert first.covariance.scale is not None
        assert_allclose(first.flux, second.flux, rtol=1e-6)
        assert_allclose(first.ivar, second.ivar, rtol=1e-5)

    def test_without_noise_there_is_no_such_product(self):
        X, y, _ = stars(400)
        y = y.replace(ivar=None)
        model = ConformalTranslator(Stated(), calibration_size=0.5).fit(X, y)
        assert model.typical_ivar_ is None
        lo, hi = model.predict_interval(X)
        assert interval_coverage(y, lo, hi, level=0.68)["coverage"].min() > 0.62
        with pytest.raises(ValueError, match="came without noise"):
            model.predict_interval(X, kind="noise-free")
        with pytest.raises(ValueError, match="Leave ivar= out"):
            model.predict_interval(X, ivar=1.0)


class TestScale:
    def test_moments_of_gaussians(self):
        rng = np.random.default_rng(0)
        std = rng.uniform(0.5, 2, (4000, 6))
        noise = rng.uniform(0.1, 3, std.shape)
        true = np.array([1.0, 1, 2, 2, 0.5, 3])
        r = true * std * rng.standard_normal(std.shape)
        r += np.sqrt(noise) * rng.standard_normal(std.shape)
        sums = excess_sums(r, std, noise, np.ones(r.shape, bool))
        assert_allclose(error_factors(*sums), true, rtol=0.08)

    def test_what_cannot_be_told_apart_is_the_mean(self):
        rng = np.random.default_rng(1)
        std = np.full((300, 200), 0.3)
        r = 2 * std * rng.standard_normal(std.shape) + rng.standard_normal(std.shape)
        sums = excess_sums(r, std, np.ones(r.shape), np.ones(r.shape, bool))
        each = np.sqrt(np.maximum(sums[0].sum(axis=0) / sums[1].sum(axis=0), 0))
        assert error_factors(*sums).std() < 0.3 * each.std()

    def test_groups_end_at_chips_and_windows(self):
        chip = np.repeat([0, 1], [50, 14])
        window = np.zeros(64, bool)
        window[20:25] = True
        start = groups_of(chip, [window])
        assert {0, 20, 25, 50} <= set(start)
        assert np.diff(np.r_[start, 64]).max() <= 16
        assert np.diff(start).min() >= 1


class TestLines:
    def test_widths_hold_and_their_errors_are_right(self, by_line):
        X, y, truth = stars(2000, seed=7)
        ew, error = equivalent_width(specxfer.translate(by_line, X), LINES)
        true, _ = equivalent_width(truth, LINES)
        for giant in (True, False):
            mask = np.asarray(X.meta["giant"]) == giant
            ratio = np.sqrt(np.mean(((ew - true) / error)[mask] ** 2, axis=0))
            assert_allclose(ratio, 1, atol=0.1)
        observed, _ = equivalent_width(y, LINES)
        for kind, widths in (("observed", observed), ("noise-free", true)):
            ivar = y.ivar if kind == "observed" else None
            for level in BOTH:
                lo, hi = by_line.predict_width_interval(X, level, kind=kind, ivar=ivar)
                share = np.mean((lo <= widths) & (widths <= hi), axis=0)
                assert_allclose(share, level, atol=0.06)

    def test_errors_of_the_flux_are_scaled_within_windows(self, by_line):
        inside = (WAVE > 6494.8) & (WAVE < 6497.2)
        expected = by_line.width_scale_[:, :1]
        assert_allclose(by_line.scale_[:, inside], np.repeat(expected, 9, 1), rtol=1e-6)

    def test_what_was_not_calibrated(self, by_line, calibrated):
        X, _, _ = stars(4)
        with pytest.raises(ValueError, match='per="pixel"'):
            by_line.predict_interval(X)
        with pytest.raises(ValueError, match='per="line"'):
            calibrated.predict_width_interval(X)
        assert np.isfinite(by_line.predict_interval(X, kind="noise-free")).all()
        with pytest.raises(ValueError, match="needs lines"):
            ConformalTranslator(Stated(), per="line").fit(X, X)


class TestStars:
    def test_no_star_is_on_both_sides_and_each_counts_once(self):
        X, y, _ = stars(300)
        rows = np.repeat(np.arange(300), 3)
        X, y = X[rows], y[rows]
        seen = []

        class Spy(Stated):
            def _fit(self, X, y, sample_weight):
                seen.append(set(X.ids))

        model = ConformalTranslator(Spy(), calibration_size=0.5).fit(X, y)
        assert len(seen[0]) == 150
        assert model.n_calibration_.sum() == 150

    def test_a_fitted_estimator_is_taken_as_it_is(self):
        X, y, _ = stars(400)
        fitted = Stated().fit(X[:10], y[:10])
        model = ConformalTranslator(fitted, levels=0.5).calibrate(X[10:], y[10:])
        assert model.estimator_ is fitted
        assert model.n_calibration_.sum() == 390
        again = clone(model).set_params(estimator=FrozenEstimator(fitted))
        again.calibrate(X[10:], y[10:])
        assert_array_equal(again.quantiles_, model.quantiles_)
        with pytest.raises(ValueError, match="not fitted"):
            ConformalTranslator(Stated()).calibrate(X, y)

    def test_stars_of_weight_0_do_not_calibrate(self):
        X, y, _ = stars(400)
        weight = (np.arange(400) >= 100).astype(float)
        model = ConformalTranslator(Stated(), levels=0.5, calibration_size=0.5)
        n = model.fit(X, y, sample_weight=weight).n_calibration_.sum()
        assert 120 < n < 180

    def test_domains_are_asked_of_the_source(self):
        X, y, _ = stars(400)
        model = ConformalTranslator(
            Stated(), levels=0.5, calibration_size=0.5, domains=_by_depth
        ).fit(X, y)
        assert model.domains_ == ["deep", "shallow"]
        again = pickle.loads(pickle.dumps(model))
        assert_array_equal(again.predict_interval(X), model.predict_interval(X))
        with pytest.raises(ValueError, match="bool for each of the 200 rows"):
            clone(model).set_params(domains=lambda X: {"a": [True]}).fit(X, y)

    def test_memory_maps(self, tmp_path, calibrated):
        X, y, _ = stars(1600)
        maps = []
        for name, spectra in (("X", X), ("y", y)):
            np.save(tmp_path / name, spectra.flux)
            flux = np.load(tmp_path / f"{name}.npy", mmap_mode="r")
            maps.append(spectra.replace(flux=flux))
            assert maps[-1].is_lazy
        model = clone(calibrated).fit(*maps)
        assert_array_equal(model.quantiles_, calibrated.quantiles_)


def _by_depth(X):
    deep = X.flux.mean(axis=1) < 0.85
    return {"deep": deep, "shallow": ~deep}


@pytest.fixture(scope="module")
def linear_pair():
    """400 stars, three things that vary, of different resolving power."""
    rng = np.random.default_rng(5)
    labels = rng.normal(size=(400, 3))
    source = 1 + 0.05 * labels @ rng.normal(size=(3, 40))
    target = 1 + 0.05 * labels @ rng.normal(size=(3, 64))
    target += 0.02 * rng.standard_normal((400, 64))
    names = ("teff", "logg", "feh")
    X = Spectra(
        source + 0.01 * rng.standard_normal(source.shape),
        np.full(source.shape, 1e4),
        wave=15_000.0 + np.arange(40),
        medium="vacuum",
        meta=dict(zip(names, labels.T)),
    )
    y = Spectra(
        target + 0.02 * rng.standard_normal(target.shape),
        np.full(target.shape, 2500.0),
        wave=WAVE,
        medium="air",
        resolution=rng.normal(25_000, 1_000, 400),
    )
    return X, y


INSIDE = {
    "PCARidge": lambda: PCARidge(n_components=3),
    "mean": lambda: NullTranslator("mean"),
    "labels": lambda: NullTranslator("labels", labels=["teff", "logg", "feh"]),
    "pipeline": lambda: make_pipeline(GapMasker(), PCARidge(n_components=3)),
    "search": lambda: GridSearchCV(PCARidge(), {"n_components": [3]}, cv=2),
    "windows": lambda: TargetWindow(PCARidge(n_components=3), windows=LINES),
}


@pytest.mark.parametrize("name", INSIDE)
def test_any_translator_inside(name, linear_pair):
    X, y = linear_pair
    everyone = {"all": np.ones(200, bool)}
    with warnings.catch_warnings():  # the labels are drawn as they like
        warnings.simplefilter("ignore", CalibrationWarning)
        model = ConformalTranslator(
            INSIDE[name](), levels=0.8, calibration_size=0.6, domains=_all
        ).fit(X[:200], y[:200])
    lo, hi = model.predict_interval(
        X[200:],
        ivar=y[200:].ivar,
        resolution=specxfer._compositions.resolution_of(model, y[200:]),
    )
    table = interval_coverage(y[200:], lo, hi, LINES, level=0.8, domains=everyone)
    assert 0.74 < table["coverage"][0] < 0.87
    flux, std = specxfer.predict_std(model, X)
    assert flux.shape == std.shape == y.shape
    spectra = specxfer.translate(model, X)
    seen = np.isfinite(flux[0])
    assert_allclose(spectra.ivar[:, seen], std[:, seen] ** -2.0, rtol=1e-4)
    assert seen.sum() == (14 if name == "windows" else 64)
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.predict(X), flux)
    assert len(specxfer.support(model, X)) == 400


def _all(X):
    return {"all": np.ones(len(X), bool)}


class TestBadInput:
    @pytest.mark.parametrize(
        ("parameters", "message"),
        [
            ({"levels": 1.5}, "levels"),
            ({"levels": [0.5, 1.0]}, "between 0 and 1"),
            ({"per": "star"}, "per"),
            ({"calibration_size": 0.0}, "calibration_size"),
        ],
    )
    def test_parameters(self, parameters, message):
        X, y, _ = stars(40)
        with pytest.raises(ValueError, match=message):
            ConformalTranslator(Stated(), **parameters).fit(X, y)

    def test_levels_and_kinds(self, calibrated):
        X, _, _ = stars(4)
        with pytest.raises(ValueError, match=r"0\.9 was not calibrated"):
            calibrated.predict_interval(X, 0.9)
        with pytest.raises(ValueError, match="kind is 'truth'"):
            calibrated.predict_interval(X, kind="truth")
        with pytest.raises(ValueError, match="negative"):
            calibrated.predict_interval(X, ivar=-1.0)

    def test_nothing_to_calibrate_with(self):
        X, y, _ = stars(40)
        fitted = Stated().fit(X, y)
        blank = y.replace(ivar=np.zeros(y.shape))
        with pytest.raises(ValueError, match="masked everywhere"):
            ConformalTranslator(fitted).calibrate(X, blank)
        with pytest.raises(ValueError, match="requires y"):
            ConformalTranslator(Stated()).fit(X, None)
