import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone, is_regressor
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags

import specxfer
from specxfer import Spectra, air_to_vacuum
from specxfer.compose import TargetWindow
from specxfer.linear import PCARidge
from specxfer.lines import Line
from specxfer.metrics import equivalent_width
from specxfer.preprocessing import GapMasker, WindowCropper

WAVE_OUT = np.concatenate([np.arange(6490, 6500, 0.25), np.arange(6600, 6610, 0.25)])
BA = Line("Ba II 6497", "Ba", "Ba II", 6496.897, "air", 6496.0, 6497.3)
WINDOWS = [BA, (6601.0, 6602.1)]
HALF = 0.125  # of a pixel, Å: those that the edges cut are used too
INSIDE = ((WAVE_OUT + HALF > 6496) & (WAVE_OUT - HALF < 6497.3)) | (
    (WAVE_OUT + HALF > 6601) & (WAVE_OUT - HALF < 6602.1)
)


@pytest.fixture(scope="module")
def pair():
    """Sixty stars, three things that vary, 40 pixels in and 80 out."""
    rng = np.random.default_rng(5)
    labels = rng.normal(size=(60, 3))
    X = 1 + 0.05 * labels @ rng.normal(size=(3, 40))
    y = 1 + 0.05 * labels @ rng.normal(size=(3, 80))
    sigma_in, sigma_out = 0.01, 0.02
    ids = [f"star{i:02d}" for i in range(60)]
    return (
        Spectra(
            X + rng.normal(size=X.shape) * sigma_in,
            np.full(X.shape, sigma_in**-2),
            wave=15_000.0 + np.arange(40),
            medium="vacuum",
            ids=ids,
            meta={"teff": np.arange(60)},
        ),
        Spectra(
            y + rng.normal(size=y.shape) * sigma_out,
            np.full(y.shape, sigma_out**-2),
            wave=WAVE_OUT,
            medium="air",
            ids=ids,
        ),
    )


class TestPrediction:
    def test_windows_are_predicted_and_the_rest_is_nan(self, pair):
        X, y = pair
        model = TargetWindow(Ridge(), windows=WINDOWS).fit(X, y)
        assert_array_equal(model.pixels_, INSIDE)
        flux = model.predict(X)
        assert flux.shape == y.shape
        assert np.isnan(flux[:, ~INSIDE]).all()
        expected = Ridge().fit(X.flux, y.flux[:, INSIDE]).predict(X.flux)
        assert_allclose(flux[:, INSIDE], expected)

    def test_the_target_is_cropped_with_its_noise(self, pair):
        class Spy(DummyRegressor):
            def fit(self, X, y):
                self.seen_ = y
                return super().fit(X, np.asarray(y))

        X, y = pair
        seen = TargetWindow(Spy(), windows=WINDOWS).fit(X, y).estimator_.seen_
        assert isinstance(seen, Spectra)
        assert_array_equal(seen.wave, WAVE_OUT[INSIDE])
        assert_array_equal(seen.ivar, y.ivar[:, INSIDE])
        plain = TargetWindow(Spy(), windows=WINDOWS, wave=WAVE_OUT, medium="air")
        assert_array_equal(plain.fit(X, y.flux).estimator_.seen_, y.flux[:, INSIDE])

    def test_lines_are_converted_to_the_medium_of_the_target(self, pair):
        X, y = pair
        y = y.replace(wave=air_to_vacuum(WAVE_OUT), medium="vacuum")
        model = TargetWindow(Ridge(), windows=BA, pad=0.03).fit(X, y)
        inside = (WAVE_OUT >= 5.97 + 6490) & (WAVE_OUT <= 6497.33)
        assert_array_equal(model.pixels_, inside)

    def test_pixels_pad_and_neither(self, pair):
        X, y = pair
        model = TargetWindow(Ridge(), pixels=slice(3, 5)).fit(X, y)
        assert_array_equal(np.flatnonzero(model.pixels_), [3, 4])
        model = TargetWindow(Ridge(), windows=(6496, 6497), pad=0.3).fit(X, y)
        assert_array_equal(WAVE_OUT[model.pixels_][[0, -1]], [6495.75, 6497.25])
        everything = TargetWindow(Ridge()).fit(X, y)
        assert_allclose(everything.predict(X), Ridge().fit(X, y.flux).predict(X))

    def test_equivalent_widths_are_those_of_the_whole_spectrum(self, pair):
        X, y = pair
        window = (6496.1, 6497.4)  # the edges cut pixels whose centres are outside
        grid = {"wave": WAVE_OUT, "medium": "air"}
        whole = equivalent_width(Ridge().fit(X, y.flux).predict(X), window, **grid)[0]
        model = TargetWindow(Ridge(), windows=window).fit(X, y)
        found = equivalent_width(model.predict(X), window, **grid)[0]
        assert_allclose(found, whole, rtol=1e-9)

    def test_one_pixel(self, pair):
        X, y = pair
        for regressor in (Ridge(), KNeighborsRegressor()):
            model = TargetWindow(regressor, pixels=[7]).fit(X, y)
            flux = model.predict(X)
            assert flux.shape == y.shape
            assert_array_equal(np.flatnonzero(np.isfinite(flux[0])), [7])

    def test_float32_stays(self, pair):
        X, y = (
            s.replace(flux=s.flux.astype(np.float32), ivar=s.ivar.astype(np.float32))
            for s in pair
        )
        model = TargetWindow(PCARidge(n_components=3), windows=WINDOWS).fit(X, y)
        assert model.predict(X).dtype == np.float32
        assert specxfer.translate(model, X).dtype == np.float32

    def test_a_masked_array_keeps_its_mask(self, pair):
        X, y = pair
        masked = np.ma.array(y.flux, mask=np.zeros(y.shape, bool))
        masked[:, 5] = np.ma.masked
        model = TargetWindow(PCARidge(n_components=3), pixels=[4, 5, 6])
        flux = model.fit(X, masked).predict(X)
        assert_array_equal(np.flatnonzero(np.isfinite(flux[0])), [4, 6])


COMPOSITIONS = {
    "bare": lambda: TargetWindow(PCARidge(n_components=3), windows=WINDOWS),
    "around a pipeline": lambda: TargetWindow(
        make_pipeline(GapMasker(), PCARidge(n_components=3)), windows=WINDOWS
    ),
    "inside a pipeline": lambda: make_pipeline(
        WindowCropper((15_000, 15_050)),
        TargetWindow(PCARidge(n_components=3), windows=WINDOWS),
    ),
    "around a search": lambda: TargetWindow(
        GridSearchCV(PCARidge(), {"n_components": [3]}, cv=2), windows=WINDOWS
    ),
    "inside a search": lambda: GridSearchCV(
        TargetWindow(PCARidge(n_components=3)), {"windows": [WINDOWS]}, cv=2
    ),
    "nested": lambda: GridSearchCV(
        make_pipeline(
            GapMasker(),
            TargetWindow(
                make_pipeline(
                    WindowCropper(), TargetWindow(PCARidge(n_components=3), WINDOWS)
                )
            ),
        ),
        {"gapmasker__fill": ["mean"]},
        cv=2,
    ),
}


@pytest.mark.parametrize("composition", COMPOSITIONS)
class TestThroughCompositions:
    @pytest.fixture
    def fitted(self, pair, composition):
        return COMPOSITIONS[composition]().fit(*pair)

    @pytest.fixture
    def reference(self, pair):
        X, y = pair
        return PCARidge(n_components=3).fit(X, y[:, INSIDE])

    def test_predict_and_std(self, fitted, reference, pair):
        X, _ = pair
        for full, part in zip(
            (fitted.predict(X), *specxfer.predict_std(fitted, X)),
            (reference.predict(X), *reference.predict(X, return_std=True)),
        ):
            assert_allclose(full[:, INSIDE], part, rtol=1e-10)
            assert np.isnan(full[:, ~INSIDE]).all()

    def test_translate(self, fitted, reference, pair):
        X, y = pair
        full, part = specxfer.translate(fitted, X), reference.translate(X)
        assert_array_equal(full.wave, y.wave)
        assert full.medium == "air"
        assert_array_equal(full.chip, y.chip)
        assert_array_equal(full.ids, X.ids)
        assert_array_equal(full.meta["support"], part.meta["support"])
        assert_allclose(full.ivar[:, INSIDE], part.ivar, rtol=1e-10)
        assert_array_equal(np.isnan(full.flux), np.broadcast_to(~INSIDE, y.shape))
        assert (full.ivar[:, ~INSIDE] == 0).all()

    def test_covariance(self, fitted, reference, pair):
        X, _ = pair
        full = specxfer.translate(fitted, X).covariance
        part = reference.translate(X).covariance
        variance = full.variance()
        assert_allclose(variance[:, INSIDE], part.variance(), rtol=1e-10)
        assert np.isnan(variance[:, ~INSIDE]).all()
        weights = np.zeros((len(INSIDE), 1))
        weights[INSIDE] = 0.25
        assert_allclose(
            full.functional_variance(weights),
            part.functional_variance(weights[INSIDE]),
            rtol=1e-10,
        )
        weights[0] = 0.25  # a sum that needs what is not known
        assert np.isnan(full.functional_variance(weights)).all()

    def test_sample_and_support(self, fitted, reference, pair):
        X, y = pair
        draws = specxfer.sample(fitted, X, n_samples=2, random_state=3)
        assert draws.shape == (2, *y.shape)
        assert np.isnan(draws[..., ~INSIDE]).all()
        assert_array_equal(
            draws, specxfer.sample(fitted, X, n_samples=2, random_state=3)
        )
        assert_allclose(specxfer.support(fitted, X), reference.support(X), rtol=1e-10)

    def test_score_is_the_estimators_own_on_the_full_target(
        self, fitted, reference, pair
    ):
        X, y = pair
        assert_allclose(
            fitted.score(X, y), reference.score(X, y[:, INSIDE]), rtol=1e-10
        )

    def test_pickle(self, fitted, pair):
        again = pickle.loads(pickle.dumps(fitted))
        assert_array_equal(again.predict(pair[0]), fitted.predict(pair[0]))


class TestAsAnEstimator:
    def test_windows_are_searched(self, pair):
        X, y = pair
        grid = {
            "windows": [BA, WINDOWS, None],
            "pad": [0.0, 0.5],
            "estimator__alpha": [0.1, 10.0],
        }
        search = GridSearchCV(TargetWindow(Ridge()), grid, cv=3, error_score="raise")
        search.fit(X, y)
        assert len(set(search.cv_results_["mean_test_score"])) >= 10
        assert search.predict(X).shape == y.shape

    def test_cross_validation(self, pair):
        X, y = pair
        model = TargetWindow(PCARidge(n_components=3), windows=WINDOWS)
        assert (cross_val_score(model, X, y, cv=3) > 0.5).all()
        flux = cross_val_predict(model, X, y, cv=3)
        assert_array_equal(np.isfinite(flux[0]), INSIDE)

    def test_the_estimator_given_is_left_alone(self, pair):
        inner = Ridge()
        model = TargetWindow(inner, windows=WINDOWS).fit(*pair)
        assert model.estimator is inner
        assert not hasattr(inner, "coef_")
        assert not hasattr(clone(model), "estimator_")

    def test_tags_are_those_of_the_estimator(self):
        assert is_regressor(TargetWindow(Ridge()))
        assert get_tags(TargetWindow(PCARidge())).input_tags.allow_nan
        assert not get_tags(TargetWindow(Ridge())).input_tags.allow_nan

    def test_features_are_those_of_the_estimator(self, pair):
        pd = pytest.importorskip("pandas")
        X, y = pair
        frame = pd.DataFrame(X.flux, columns=[f"p{i}" for i in range(40)])
        model = TargetWindow(Ridge(), windows=WINDOWS).fit(frame, y)
        assert model.n_features_in_ == 40
        assert model.feature_names_in_[3] == "p3"
        model.fit(X, y)
        assert not hasattr(model, "feature_names_in_")

    def test_sample_weight_reaches_the_estimator(self, pair):
        X, y = pair
        weight = np.where(np.arange(60) < 30, 1.0, 0.0)
        model = TargetWindow(LinearRegression(), windows=WINDOWS)
        model.fit(X[:, :5], y, sample_weight=weight)
        half = TargetWindow(LinearRegression(), windows=WINDOWS)
        half.fit(X[:30, :5], y[:30])
        assert_allclose(model.predict(X[:, :5]), half.predict(X[:, :5]))
        assert_allclose(
            model.score(X[:, :5], y, sample_weight=weight),
            half.score(X[:30, :5], y[:30]),
        )

    def test_sample_weight_of_a_step(self, pair):
        X, y = pair
        weight = 1.0 + 5 * (np.arange(60) % 2)
        inner = make_pipeline(StandardScaler(with_mean=False), Ridge())
        model = TargetWindow(inner, windows=WINDOWS)
        plain = model.fit(X, y).predict(X)
        weighted = model.fit(X, y, ridge__sample_weight=weight).predict(X)
        assert np.nanmax(np.abs(plain - weighted)) > 1e-3
        assert_array_equal(model.fit(X, y, sample_weight=weight).predict(X), weighted)
        search = GridSearchCV(inner, {"ridge__alpha": [1.0]}, cv=2)
        model = TargetWindow(search, windows=WINDOWS).fit(X, y, sample_weight=weight)
        assert_array_equal(model.predict(X), weighted)

    def test_metadata_routing(self, pair):
        X, y = pair
        weight = 1.0 + 5 * (np.arange(60) % 2)
        with config_context(enable_metadata_routing=True):
            inner = Ridge().set_fit_request(sample_weight=True)
            inner.set_score_request(sample_weight=True)
            routed = GridSearchCV(
                TargetWindow(inner), {"windows": [WINDOWS]}, cv=2, refit=True
            ).fit(X, y, sample_weight=weight)
        direct = TargetWindow(Ridge(), WINDOWS).fit(X, y, sample_weight=weight)
        assert_allclose(routed.predict(X), direct.predict(X))

    def test_a_plain_regressor_cannot_translate(self, pair):
        X, y = pair
        model = TargetWindow(Ridge(), windows=WINDOWS).fit(X, y)
        with pytest.raises(TypeError, match="Ridge"):
            specxfer.translate(model, X)


class TestBadInput:
    @pytest.mark.parametrize(
        ("parameters", "message"),
        [
            ({"windows": (4000, 4001)}, "6490.00 to 6609.75"),
            ({"windows": [BA, (6550, 6551)]}, "gap"),
            ({"windows": []}, "at least one"),
            ({"pixels": [80]}, "do not fit 80 pixels"),
            ({"pad": -1}, "pad"),
            ({"estimator": "ridge"}, "estimator"),
            ({"wave": WAVE_OUT + 1, "medium": "air"}, "y has its own wavelengths"),
        ],
    )
    def test_parameters(self, pair, parameters, message):
        with pytest.raises(ValueError, match=message):
            TargetWindow(**{"estimator": Ridge(), **parameters}).fit(*pair)

    def test_windows_of_a_plain_target_need_wavelengths(self, pair):
        X, y = pair
        with pytest.raises(ValueError, match="wave="):
            TargetWindow(Ridge(), windows=BA).fit(X, y.flux)
        with pytest.raises(ValueError, match="give one"):
            TargetWindow(Ridge(), BA, wave=WAVE_OUT[1:], medium="air").fit(X, y.flux)

    def test_no_target(self, pair):
        with pytest.raises(ValueError, match="requires y"):
            TargetWindow(Ridge()).fit(pair[0], None)

    def test_score_needs_the_full_grid(self, pair):
        X, y = pair
        model = TargetWindow(Ridge(), windows=WINDOWS).fit(X, y)
        with pytest.raises(ValueError, match="full grid"):
            model.score(X, y[:, INSIDE])
        with pytest.raises(ValueError, match="vacuum"):
            model.score(X, y.to_medium("vacuum"))
        with pytest.raises(ValueError, match="differ by"):
            model.score(X, y.replace(wave=WAVE_OUT + 0.1))

    def test_resolution_of_dropped_chips_is_unknown(self):
        model = TargetWindow(Ridge(), pixels=[1])
        rng = np.random.default_rng(1)
        y = Spectra(
            rng.normal(1, 0.1, (9, 80)),
            wave=WAVE_OUT,
            medium="air",
            resolution=np.tile([28_000.0, 25_000], (9, 1)),
        )
        model.fit(rng.normal(size=(9, 4)), y)
        expanded = model._expand_resolution(y[:, :40].resolution)
        assert_array_equal(expanded, np.tile([28_000, np.nan], (9, 1)))

    def test_windows_of_one_chip_share_its_resolution(self, pair):
        X, y = pair
        power = np.random.default_rng(2).normal(25_000, 1_000, len(y))
        windows = [(6491, 6493), (6497, 6499), (6601, 6602)]
        model = TargetWindow(PCARidge(n_components=3), windows=windows)
        model.fit(X, y.replace(resolution=power))
        written = specxfer.predict_like(model, X, y.replace(resolution=power))
        assert np.isfinite(written[:, model.pixels_]).all()
        assert_array_equal(
            specxfer.translate(model, X, resolution=power).resolution,
            np.repeat(power[:, None], 2, axis=1),
        )


def test_a_line_without_pixels_is_named(pair):
    X, y = pair
    far = Line("Eu II 5819", "Eu", "Eu II", 5818.74, "air", 5818.4, 5819.0)
    with pytest.raises(ValueError, match="no pixel in Eu II 5819, 5818"):
        TargetWindow(Ridge(), windows=[BA, far]).fit(X, y)
