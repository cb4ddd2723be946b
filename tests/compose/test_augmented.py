"""Augmented: copies are made inside the fit, and everything goes along with them."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline

import specxfer
from specxfer import Spectra
from specxfer.compose import Augmented, TargetWindow
from specxfer.linear import PCARidge
from specxfer.model_selection import StarKFold
from specxfer.preprocessing import ContinuumNormalizer, GapMasker, augment

N, P, Q = 80, 200, 30
WAVE = 15_000 * np.exp(1.4e-5 * np.arange(P))
WAVE_OUT = 6490 + 0.1 * np.arange(Q)
LINES = np.exp(-0.5 * ((np.arange(P) - np.array([[40], [100], [160]])) / 1.4) ** 2)
OFF = {
    "velocity": 0,
    "resolution": 0,
    "line_strength": 0,
    "missing_lines": 0,
    "continuum": 0,
}


def make_pair(n=N, seed=5):
    """Three lines that say what the target is."""
    rng = np.random.default_rng(seed)
    depth = rng.uniform(0.1, 0.5, (n, 3))
    to_y = np.random.default_rng(0).normal(0, 0.3, (3, Q))
    ids = [f"star{i:03d}" for i in range(n)]
    X = Spectra(
        (1 - depth @ LINES).astype("f4"),
        wave=WAVE,
        medium="vacuum",
        ids=ids,
        resolution=np.full(n, 22_500.0),
    )
    y = Spectra(
        (1 - depth @ to_y + rng.normal(0, 0.01, (n, Q))).astype("f4"),
        np.full((n, Q), 1e4, "f4"),
        wave=WAVE_OUT,
        medium="air",
        ids=ids,
    )
    return X, y


class Spy(DummyRegressor):
    """Remembers what it was given."""

    def fit(self, X, y, sample_weight=None, extra=None):
        self.given_ = X, y, sample_weight, extra
        return super().fit(np.asarray(X), np.asarray(y))


@pytest.fixture(scope="module")
def pair():
    return make_pair()


def test_copies_are_perturbed_and_the_rest_repeated(pair):
    X, y = pair
    weight = np.arange(N, dtype=float)
    model = Augmented(Spy(), n_copies=3, snr=100)
    model.fit(X, y, sample_weight=weight, extra="untouched")
    copies, target, weights, extra = model.estimator_.given_
    assert copies.shape == (3 * N, P)
    assert_array_equal(copies.ids, np.tile(X.ids, 3))
    assert_array_equal(target.ids, np.tile(y.ids, 3))
    assert_array_equal(target.flux, np.tile(y.flux, (3, 1)))
    assert_array_equal(target.ivar, np.tile(y.ivar, (3, 1)))
    assert_array_equal(weights, np.tile(weight, 3))
    assert extra == "untouched"
    assert_array_equal(copies.ivar > 0, np.isfinite(copies.flux))
    for one in range(3):
        change = copies.flux[one * N : (one + 1) * N] - X.flux
        assert 0.01 < np.std(change) < 0.05
        for other in range(one):  # draws of their own
            before = copies.flux[other * N : (other + 1) * N] - X.flux
            assert abs(np.corrcoef(change.ravel(), before.ravel())[0, 1]) < 0.1
    model.fit(X, y, extra=weight)
    assert_array_equal(model.estimator_.given_[3], np.tile(weight, 3))


def test_all_off_is_the_estimator_itself(pair):
    X, y = pair
    model = Augmented(PCARidge(n_components=3), n_copies=1, **OFF).fit(X, y)
    plain = PCARidge(n_components=3).fit(X, y)
    assert_array_equal(model.predict(X), plain.predict(X))
    spied = Augmented(Spy(), n_copies=2, **OFF).fit(X, y).estimator_.given_[0]
    assert_array_equal(spied.flux, np.tile(X.flux, (2, 1)))


def test_it_pays_on_spectra_with_the_differences(pair):
    X, y = pair
    X_new, y_new = make_pair(seed=6)
    real = augment(X_new, continuum=0.03, snr=100, random_state=77)
    plain = PCARidge(n_components=20)
    trained = Augmented(plain, n_copies=10, continuum=0.03, snr=100)
    errors = {
        (model, kind): np.std(model.fit(X, y.flux).predict(new.flux) - y_new.flux)
        for model in (plain, trained)
        for kind, new in (("real", real), ("clean", X_new))
    }
    assert errors[trained, "real"] < 0.9 * errors[plain, "real"]
    assert errors[trained, "clean"] > errors[plain, "clean"]  # the price


class Recorder(TransformerMixin, BaseEstimator):
    """A transformer that remembers what it was fitted to."""

    def fit(self, X, y=None):
        self.fitted_to_ = X
        return self

    def transform(self, X):
        return X


class Learner(PCARidge):
    """A translator that remembers what it learnt the source from."""

    def _fit_source(self, source, sample_weight, given):
        self.source_ = source, sample_weight, given
        super()._fit_source(source, sample_weight, given)


NESTINGS = {
    "bare": (lambda e: e, lambda m: m),
    "in a pipeline": (
        lambda e: make_pipeline(Recorder(), "passthrough", e),
        lambda m: m[-1],
    ),
    "in pipelines": (
        lambda e: make_pipeline(Recorder(), make_pipeline(Recorder(), e)),
        lambda m: m[-1][-1],
    ),
    "in a window": (lambda e: TargetWindow(e, (6490, 6493)), lambda m: m.estimator_),
    "in a window in a pipeline": (
        lambda e: make_pipeline(Recorder(), TargetWindow(e, (6490, 6493))),
        lambda m: m[-1].estimator_,
    ),
    "in a pipeline in a window": (
        lambda e: TargetWindow(make_pipeline(Recorder(), e), (6490, 6493)),
        lambda m: m.estimator_[-1],
    ),
}


@pytest.mark.parametrize("routing", [False, True])
@pytest.mark.parametrize("name", NESTINGS)
def test_what_needs_no_target_is_learnt_from_spectra_as_they_are(pair, name, routing):
    X, y = pair
    nest, inner = NESTINGS[name]
    weight = np.ones(N)
    weight[0] = 0
    with config_context(enable_metadata_routing=routing):
        learner = (
            Learner(3).set_fit_request(sample_weight=True) if routing else Learner(3)
        )
        model = Augmented(nest(learner), n_copies=2)
        model.fit(X, y, sample_weight=weight)
    source, source_weight, given = inner(model.estimator_).source_
    assert given
    assert_array_equal(source.flux, X.flux[1:])
    assert_array_equal(source_weight, weight[1:])
    assert "Frozen" not in str(model.estimator_)
    recorders = [v for v in _walk(model.estimator_) if isinstance(v, Recorder)]
    assert len(recorders) == str(model.estimator).count("Recorder")
    for recorder in recorders:
        assert_array_equal(recorder.fitted_to_.flux, X.flux)
    assert np.isfinite(model.predict(X)).any()


def _walk(estimator):
    yield estimator
    for part in getattr(estimator, "named_steps", {}).values():
        yield from _walk(part)
    if hasattr(estimator, "estimator_"):
        yield from _walk(estimator.estimator_)


def test_components_of_clean_spectra_are_worth_having():
    """A weak signal that copies hide: the reason for learning from clean spectra."""
    X, y = make_pair(n=300)
    X_new, _ = make_pair(n=300, seed=6)
    to_y = np.random.default_rng(0).normal(0, 0.3, (3, Q))
    truth = 1 - (1 - X_new.flux)[:, [40, 100, 160]] @ to_y
    options = {**OFF, "n_copies": 2, "snr": 5}
    seen = augment(X_new, **OFF, snr=5, random_state=9)
    ours = Augmented(PCARidge(3, n_products=0), **options).fit(X, y).predict(seen)
    copies = Spectra.concatenate(list(Augmented(PCARidge(), **options)._draws(X)))
    plain = PCARidge(3, n_products=0).fit(copies, Spectra.concatenate([y, y]))
    assert np.std(ours - truth) < 0.95 * np.std(plain.predict(seen) - truth)


def test_random_state(pair):
    X, y = pair
    first, same, other = (
        Augmented(PCARidge(n_components=3), random_state=seed).fit(X, y).predict(X)
        for seed in (0, 0, 1)
    )
    assert_array_equal(first, same)
    assert (first != other).any()
    given = [
        Augmented(Spy(), random_state=None).fit(X, y).estimator_.given_[0].flux
        for _ in range(2)
    ]
    assert (given[0] != given[1]).any()
    state = np.random.RandomState(3)
    Augmented(Spy(), random_state=state).fit(X, y)


COMPOSITIONS = {
    "bare": lambda a: a(PCARidge(n_components=3)),
    "around a pipeline": lambda a: a(
        make_pipeline(ContinuumNormalizer(1), GapMasker(), PCARidge(n_components=3))
    ),
    "inside a pipeline": lambda a: make_pipeline(GapMasker(), a(PCARidge())),
    "around a window": lambda a: a(TargetWindow(PCARidge(), (6490, 6493))),
    "inside a window": lambda a: TargetWindow(a(PCARidge()), (6490, 6493)),
    "around a search": lambda a: a(
        GridSearchCV(PCARidge(), {"n_components": [2, 3]}, cv=StarKFold(2))
    ),
    "inside a search": lambda a: GridSearchCV(
        a(PCARidge()), {"velocity": [0.0, 1.0], "n_copies": [1, 2]}, cv=StarKFold(2)
    ),
}


@pytest.mark.parametrize("composition", COMPOSITIONS)
def test_through_compositions(pair, composition):
    X, y = pair
    model = COMPOSITIONS[composition](lambda e: Augmented(e, n_copies=2, snr=100))
    model.fit(X, y)
    flux = model.predict(X)
    assert flux.shape == y.shape
    known = np.isfinite(flux[0])
    assert np.std((flux - y.flux)[:, known]) < 0.1
    again, std = specxfer.predict_std(model, X)
    assert_array_equal(again, flux)
    assert (std[:, known] > 0).all()
    out = specxfer.translate(model, X)
    assert_array_equal(out.flux, flux)
    assert_array_equal(out.ids, X.ids)
    assert_array_equal(out.wave, WAVE_OUT)
    draws = specxfer.sample(model, X, n_samples=2, random_state=1)
    assert draws.shape == (2, *y.shape)
    assert specxfer.support(model, X).shape == (N,)
    assert model.score(X, y) > 0.5
    assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), flux)


def test_copies_of_a_star_are_never_on_both_sides(pair):
    X, y = pair

    class Watch(Spy):
        def predict(self, X):
            new = set(X.ids) - set(self.given_[0].ids)
            assert len(X) in (N // 4, 3 * N // 4)
            if len(X) == N // 4:  # the stars left out
                assert new == set(X.ids)
            return super().predict(np.asarray(X))

        def score(self, X, y, sample_weight=None):
            self.predict(X)
            return 0.0

    scores = cross_val_score(
        Augmented(Watch()), X, y, cv=StarKFold(4), error_score="raise"
    )
    assert_array_equal(scores, 0)
    # a search inside sees the copies, and tells them apart by their ids
    copies = Augmented(Spy()).fit(X, y).estimator_.given_[0]
    for train, test in StarKFold(4).split(copies):
        assert not set(copies.ids[train]) & set(copies.ids[test])


def test_arrays_and_data_frames(pair):
    pd = pytest.importorskip("pandas")
    X, y = pair
    model = Augmented(
        Ridge(), wave=WAVE, medium="vacuum", resolving_power=22_500, n_copies=2
    )
    flux = model.fit(X.flux, y.flux).predict(X.flux)
    assert model.n_features_in_ == P
    spectra = Augmented(Ridge(), n_copies=2).fit(X, y.flux).predict(X.flux)
    assert_allclose(flux, spectra, rtol=1e-6)
    frame = pd.DataFrame(X.flux, columns=[f"p{i}" for i in range(P)])
    assert_allclose(model.fit(frame, y.flux).predict(frame), flux, rtol=1e-6)
    assert model.feature_names_in_[3] == "p3"
    masked = np.ma.array(X.flux, mask=np.zeros(X.shape, bool))
    masked[:, 0] = np.ma.masked
    given = Augmented(Spy(), **OFF).fit(masked, y.flux).estimator_.given_[0]
    assert np.isnan(given[:, 0]).all()


def test_the_weight_reaches_the_last_step(pair):
    X, y = pair
    weight = np.where(np.arange(N) < 60, 1.0, 0.0)
    X = X.replace(flux=X.flux.astype(float))
    inner = make_pipeline(GapMasker(), LinearRegression())
    options = {**OFF, "missing_lines": 0.01, "n_copies": 4}
    whole = Augmented(inner, **options).fit(X, y.flux, sample_weight=weight)
    part = Augmented(inner, **options).fit(X[:60], y.flux[:60])
    assert_allclose(whole.predict(X), part.predict(X), atol=1e-3)
    everything = Augmented(inner, **options).fit(X, y.flux)
    assert np.abs(everything.predict(X) - part.predict(X)).max() > 0.003


def test_what_is_not_known_is_an_error(pair):
    X, y = pair
    with pytest.raises(ValueError, match="need wavelengths"):
        Augmented(Ridge()).fit(X.flux, y.flux)
    with pytest.raises(ValueError, match="resolving_power=R"):
        Augmented(Ridge()).fit(X.replace(resolution=None), y.flux)
    with pytest.raises(ValueError, match="inconsistent"):
        Augmented(Ridge()).fit(X, y.flux[:-1])
    with pytest.raises(ValueError, match="n_copies"):
        Augmented(Ridge(), n_copies=0).fit(X, y.flux)
    with pytest.raises(TypeError, match="Ridge"):
        specxfer.translate(Augmented(Ridge()).fit(X, y.flux), X)


def test_the_estimator_given_is_left_alone(pair):
    inner = Ridge()
    model = Augmented(inner).fit(pair[0], pair[1].flux)
    assert model.estimator is inner
    assert not hasattr(inner, "coef_")
    assert not hasattr(clone(model), "estimator_")
