import pickle

import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.model_selection import GridSearchCV, cross_validate

from specxfer import Spectra
from specxfer.compose import TargetWindow
from specxfer.linear import PCARidge
from specxfer.lines import load_lines
from specxfer.metrics import chi2_scorer, line_ew_scorer, line_flux_scorer
from specxfer.model_selection import StarKFold

WAVE = np.arange(5840.0, 5870, 0.1)
BARIUM = load_lines("galah", names="Ba II 5854")


class Copier(RegressorMixin, BaseEstimator):
    """Predicts X itself plus an offset, in some pixels."""

    def __init__(self, offset=0.0, first=0):
        self.offset = offset
        self.first = first

    def fit(self, X, y):
        self.fitted_ = True
        return self

    def predict(self, X):
        predicted = np.array(X) + self.offset
        predicted[:, : self.first] = np.nan
        return predicted


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    truth = 1 - 0.3 * rng.random((60, len(WAVE)))
    flux = truth + 0.02 * rng.standard_normal(truth.shape)
    ids = np.arange(60) // 2
    X = Spectra(truth, wave=WAVE, medium="air", ids=ids)
    y = X.replace(flux=flux, ivar=np.full(flux.shape, 0.02**-2))
    return X, y


def scorers(**options):
    return {
        "flux": line_flux_scorer(BARIUM, **options),
        "ew": line_ew_scorer(BARIUM, **options),
    }


def test_scores_are_minus_the_mean_squared_error(pair):
    X, y = pair
    model = Copier(0.03).fit(X, y)
    line = BARIUM[0]
    width = 1000 * (line.hi - line.lo)
    assert scorers()["flux"](model, X, y) == pytest.approx(-9e-4, rel=0.15)
    assert scorers()["ew"](model, X, y) == pytest.approx(
        -((0.03 * width) ** 2), rel=0.2
    )
    assert chi2_scorer()(model, X, y) == pytest.approx(-(1 + 1.5**2), rel=0.05)
    assert chi2_scorer(BARIUM)(Copier().fit(X, y), X, y) == pytest.approx(-1, rel=0.2)


@pytest.mark.parametrize(
    "scoring",
    [*scorers().values(), chi2_scorer(), chi2_scorer(BARIUM)],
    ids=repr,
)
def test_grid_search_finds_the_right_model(pair, scoring):
    X, y = pair
    grid = {"offset": [-0.02, 0.0, 0.03]}
    search = GridSearchCV(Copier(), grid, scoring=scoring, cv=StarKFold(3))
    search.fit(X, y)
    assert search.best_params_ == {"offset": 0.0}
    assert search.score(X, y) == search.scorer_(search.best_estimator_, X, y)


def test_plain_arrays_with_wave_and_medium(pair):
    X, y = pair
    flux = np.asarray(y)
    given = scorers(noise="none", wave=WAVE, medium="air")
    found = cross_validate(Copier(0.03), np.asarray(X), flux, scoring=given, cv=3)
    assert (found["test_flux"] < -9e-4).all()  # the noise is still in it
    model = Copier(0.03).fit(X, y)
    of_spectra = scorers(noise="none")["flux"](model, X, y)
    assert given["flux"](model, X, flux) == pytest.approx(of_spectra)
    with pytest.raises(ValueError, match="wave="):
        line_flux_scorer(BARIUM, noise="none")(model, X, flux)
    for scorer in (line_flux_scorer(BARIUM), chi2_scorer()):
        with pytest.raises(ValueError, match="no ivar"):
            scorer(model, X, flux)


def test_a_line_that_is_not_predicted_is_an_error(pair):
    X, y = pair
    model = Copier(first=141).fit(X, y)  # ends inside the barium line
    for scoring in (*scorers().values(), chi2_scorer(BARIUM)):
        with pytest.raises(ValueError, match="Ba II 5854"):
            scoring(model, X, y)
    with pytest.raises(ValueError, match="all pixels"):
        chi2_scorer()(model, X, y)
    beyond = line_flux_scorer([(5860, 5865)])
    assert np.isfinite(beyond(model, X, y))


def test_a_line_that_is_not_observed_is_an_error(pair):
    X, y = pair
    model = Copier().fit(X, y)
    both = load_lines("galah", "Ba")
    for scoring in (line_flux_scorer(both), line_ew_scorer(both), chi2_scorer(both)):
        with pytest.raises(ValueError, match="Ba II 6497"):
            scoring(model, X, y)
    ivar = y.ivar.copy()
    ivar[:, 130:145] = 0
    for scoring in scorers().values():
        with pytest.raises(ValueError, match=r"no spectrum of y observes.*5854"):
            scoring(model, X, y.replace(ivar=ivar))


def test_lines_without_a_window_fail_when_the_scorer_is_made():
    with pytest.raises(ValueError, match="with_window"):
        line_flux_scorer(load_lines("galah", names="Nd II 6740"))


def test_scorers_pickle_and_show_themselves(pair):
    X, y = pair
    model = Copier(0.01).fit(X, y)
    for scoring in (*scorers(wave=WAVE, medium="air").values(), chi2_scorer()):
        copy = pickle.loads(pickle.dumps(scoring))
        assert copy(model, X, y) == scoring(model, X, y)
        assert repr(copy) == repr(scoring)
    shown = "line_flux_scorer(lines=['Ba II 5854'], noise='none', error_floor=0.02)"
    assert repr(line_flux_scorer(BARIUM, noise="none", error_floor=0.02)) == shown


def test_y_on_another_grid_than_the_translators_is_an_error(pair):
    X, y = pair
    for model in (PCARidge(3), TargetWindow(PCARidge(3), BARIUM, pad=1.0)):
        model.fit(X, y)
        for scorer in scorers().values():
            assert np.isfinite(scorer(model, X, y))
            for wrong in (y.replace(medium="vacuum"), y.replace(wave=WAVE + 0.3)):
                with pytest.raises(ValueError, match=r"training target|grid"):
                    scorer(model, X, wrong)
