"""Abundances from translated spectra, and whether they are any."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline

from specxfer import Translator
from specxfer.abundances import AbundanceRegressor
from specxfer.abundances._label_columns import abundances_of
from specxfer.covariance import LowRankCovariance
from specxfer.datasets import make_paired_spectra
from specxfer.linear import PCARidge
from specxfer.lines import load_lines, window_pixels
from specxfer.model_selection import StarKFold
from specxfer.preprocessing import Rebinner

N_TRAIN = 500
LABELS = ("teff", "logg", "fe_h", "alpha_fe")
GIANTS = {"size": "small", "giant_fraction": 1, "random_state": 0}


@pytest.fixture(scope="module")
def pairs():
    X, y, _ = make_paired_spectra(800, **GIANTS)
    cerium = [(line.wave - 6, line.wave + 6) for line in load_lines("apogee", "Ce")]
    return X[:, window_pixels(cerium, X.wave, X.medium, outside="ignore")], y


@pytest.fixture(scope="module")
def model(pairs):
    X, y = (s[:N_TRAIN] for s in pairs)
    return regressor(["Ce", "Eu"]).fit(X, y)


def regressor(elements, translator=None, **options):
    translator = PCARidge(12) if translator is None else translator
    return AbundanceRegressor(
        translator, elements, **{"labels": LABELS, "cv": 3, **options}
    )


def truth_of(X, elements):
    return np.column_stack([X.meta[f"{e.lower()}_fe"] for e in elements])


def rms(a):
    return np.sqrt(np.mean(np.square(a), axis=0))


def test_cerium_is_measured_and_europium_is_not(pairs, model):
    """The source has lines of Ce; Eu shares but a part of its origin."""
    X, _ = (s[N_TRAIN:] for s in pairs)
    truth = truth_of(X, model.elements)
    error = rms(model.predict(X) - truth)
    assert error[0] < 0.5 * truth[:, 0].std()
    assert error[1] > 0.8 * truth[:, 1].std()
    ce, eu = model.skill_
    assert (ce["element"], ce["domain"]) == ("Ce", "giant")
    assert ce["informed"]
    assert ce["skill"] > 0.6
    assert eu["skill"] < 0.3
    assert ce["rms"].to_value("dex") == pytest.approx(error[0], rel=0.3)
    table = model.predict_table(X[:3])
    assert table.colnames[:4] == ["id", "ce_fe", "e_ce_fe", "ce_fe_informed"]
    assert table["ce_fe_informed"].all()
    assert (table["eu_fe_informed"] == eu["informed"]).all()
    assert_array_equal(table["ce_fe"].value, model.predict(X[:3])[:, 0])


def test_what_it_states_is_what_it_errs(pairs, model):
    X, _ = (s[N_TRAIN:] for s in pairs)
    x_fe, std = model.predict(X, return_std=True)
    z = (x_fe - truth_of(X, model.elements)) / std
    inside = np.mean(np.abs(z) < 1, axis=0)
    assert ((inside > 0.6) & (inside < 0.82)).all()


def test_noisier_stars_have_larger_errors(pairs, model):
    X, _ = (s[N_TRAIN : N_TRAIN + 50] for s in pairs)
    noise = np.random.default_rng(1).standard_normal(X.shape) / 20
    noisy = X.replace(
        flux=X.flux + noise.astype("f4"), ivar=X.ivar / (1 + X.ivar / 400)
    )
    good, poor = (model.predict(s, return_std=True)[1][:, 0] for s in (X, noisy))
    assert (poor > 1.2 * good).mean() > 0.9


def test_errors_of_labels_are_taken_off(pairs):
    """Twice as wrong labels, and as large stated errors, leave the same scatter."""
    X, y = (s[:N_TRAIN] for s in pairs)
    meta = y.meta.copy()
    meta["ce_fe"] += np.random.default_rng(3).normal(0, 0.15, N_TRAIN)
    meta["e_CE_FE"] = np.full(N_TRAIN, 0.15)
    noisy = regressor(["Ce"]).fit(X, y.replace(meta=meta))
    test = pairs[0][N_TRAIN:]
    x_fe, std = noisy.predict(test, return_std=True)
    error = rms(x_fe - truth_of(test, ["Ce"]))[0]
    assert error < 0.12
    assert 0.6 < np.sqrt(np.mean(std**2)) / error < 1.5
    assert noisy.skill_["rms"][0].value == pytest.approx(error, abs=0.05)


def test_flagged_labels_change_nothing(pairs):
    X, y = (s[:200] for s in pairs)
    found = []
    for wrong in (np.nan, 1e3):
        meta = y.meta.copy()
        meta["Flag_Ce_Fe"] = (np.arange(200) % 7 == 0).astype(int)
        meta["ce_fe"][::7] = wrong
        model = regressor(["Ce"], PCARidge(5), cv=2).fit(X, y.replace(meta=meta))
        found.append(model.predict(X[:20], return_std=True))
    assert_array_equal(found[0], found[1])


class Memorising(Translator):
    """Returns a training star's own target, and for others the mean."""

    _parameter_constraints = {}

    def _fit(self, X, y, sample_weight):
        self.known_ = {row.tobytes(): flux for row, flux in zip(X.flux, y.flux)}

    def _predict_block(self, X):
        return np.array(
            [self.known_.get(row.tobytes(), self.y_mean_) for row in X.flux]
        )

    def _covariance_block(self, X):
        n, p = len(X), self.n_pixels_out_
        return LowRankCovariance(
            np.zeros((n, 1, 1)), np.zeros((1, p)), np.full((n, p), 1e-4)
        )


def test_a_translator_that_memorises_does_not_fool_it(pairs):
    X, y = (s[:N_TRAIN] for s in pairs)
    model = regressor(["Ce"], Memorising()).fit(X, y)
    assert not model.skill_["informed"][0]
    assert model.skill_["skill"][0] < 0.1


def test_it_composes(pairs, model):
    X, y = (s[:300] for s in pairs)
    composed = regressor(["Ce"], make_pipeline(Rebinner(3), PCARidge(20)), cv=2)
    scores = cross_validate(composed, X, y, cv=StarKFold(2))["test_score"]
    assert (scores > 0).all()
    grid = {"translator__pcaridge__n_components": [2, 20]}
    search = GridSearchCV(composed, grid, cv=StarKFold(2)).fit(X, y)
    assert search.best_params_["translator__pcaridge__n_components"] == 20
    assert clone(model).get_params()["labels"] == LABELS
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.predict(X[:5]), model.predict(X[:5]))


def test_a_star_without_labels_has_no_abundance(pairs, model):
    X = pairs[0][:4].replace(meta=pairs[0].meta[:4].copy())
    X.meta["fe_h"][1] = np.nan
    x_fe, std = model.predict(X, return_std=True)
    assert np.isnan(x_fe[1]).all()
    assert np.isnan(std[1]).all()
    assert np.isfinite(np.delete(x_fe, 1, axis=0)).all()


def test_what_is_missing_is_named(pairs):
    X, y = (s[:100] for s in pairs)
    with pytest.raises(ValueError, match=r"no abundances of Xe: looked for a column x"):
        regressor(["Xe"]).fit(X, y)
    with pytest.raises(ValueError, match=r"no meta has \['vmag'\]"):
        regressor(["Ce"], labels=["vmag"]).fit(X, y)
    with pytest.raises(ValueError, match=r"y must be Spectra with wavelengths"):
        regressor(["Ce"]).fit(X, y.flux)
    few = y.replace(meta=y.meta.copy())
    few.meta["flag_ce_fe"] = np.ones(100)
    with pytest.raises(ValueError, match=r"no domain has 50 stars with labels"):
        regressor(["Ce"]).fit(X, few)


def test_error_and_flag_are_those_of_the_labels_own_table(pairs):
    X, y = (s[:60] for s in pairs)
    both = X.meta.copy()
    both["flag_ce_fe"] = np.ones(60)
    both["e_ce_fe"] = np.full(60, 9.0)
    x_fe, error = abundances_of("Ce", (y, X.replace(meta=both)), 0.1)
    assert_array_equal(x_fe, y.meta["ce_fe"])
    assert_array_equal(error, np.full(60, 0.1))
    both["CE_FE"] = both["ce_fe"]
    with pytest.raises(ValueError, match=r"differ in nothing but case"):
        abundances_of("Ce", (X.replace(meta=both), y), None)


def test_domains_that_cannot_be_told_are_an_error(pairs, model):
    X = pairs[0][:3]
    meta = X.meta[["teff", "logg", "fe_h", "alpha_fe"]]
    assert np.isfinite(model.predict(X.replace(meta=meta))).all()
    few = AbundanceRegressor(PCARidge(5), ["Ce"], labels=["fe_h"], cv=2)
    few.fit(*(s[:100] for s in pairs))
    with pytest.raises(ValueError, match=r"do not tell giants from dwarfs"):
        few.predict(X.replace(meta=X.meta[["fe_h"]]))


def test_values_that_say_unknown_are_unknown(pairs, model):
    X, y = (s[:N_TRAIN] for s in pairs)
    flagged, marked = y.meta.copy(), y.meta.copy()
    flagged["ce_fe"][:40], marked["ce_fe"][:40] = np.nan, -9999.0
    of_both = [
        regressor(["Ce"]).fit(X, y.replace(meta=meta)).skill_["rms"][0]
        for meta in (flagged, marked)
    ]
    assert of_both[0] == of_both[1]
    some = pairs[0][:4].replace(meta=pairs[0].meta[:4].copy())
    some.meta["fe_h"][1] = -9999.0
    assert np.isnan(model.predict(some)[1]).all()


def test_a_star_that_was_not_seen_is_neither_supported_nor_informed(pairs, model):
    X = pairs[0][:4]
    ivar = X.ivar.copy()
    ivar[2] = 0
    table = model.predict_table(X.replace(ivar=ivar))
    assert list(table["supported"]) == [True, True, False, True]
    assert list(table["ce_fe_informed"]) == [True, True, False, True]
