"""Gradients against differences, and contributions against what they add up to."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from specxfer import Spectra
from specxfer.baselines import NullTranslator
from specxfer.linear import PCARidge, SpectralPCA, SpectralRidge
from specxfer.metrics import equivalent_width
from specxfer.preprocessing import GapMasker, WindowCropper
from specxfer.validation import _attribution, attribution

X_WAVE = 16370 + 0.22 * np.arange(60)
Y_WAVE = 4770 + 0.05 * np.arange(40)
LINES = [(4770.2, 4770.6), (4771.0, 4771.5)]


def pairs(noise=True, dtype=np.float64, n=300, curved=0.3):
    rng = np.random.default_rng(3)
    world = np.random.default_rng(0)
    score = rng.standard_normal((n, 3))
    x = 0.9 + 0.03 * score @ world.normal(0, 1, (3, 60)) + rng.normal(0, 0.01, (n, 60))
    terms = np.column_stack([score, curved * score[:, 0] * score[:, 1]])
    y = 0.9 + 0.03 * terms @ world.normal(0, 1, (4, 40)) + rng.normal(0, 0.01, (n, 40))
    ivar = np.repeat(rng.uniform(3e3, 3e4, (n, 1)), 60, axis=1)
    x[:, 7], x[2, 11], ivar[3, 12] = np.nan, np.nan, 0
    ivar[~np.isfinite(x)] = 0
    X = Spectra(
        x.astype(dtype), ivar.astype(dtype) if noise else None, wave=X_WAVE,
        medium="vacuum",
    )  # fmt: skip
    return X, Spectra(y, np.full(y.shape, 1e4), wave=Y_WAVE, medium="air")


@pytest.mark.parametrize("noise", [True, False])
@pytest.mark.parametrize("n_products", [0, 3])
def test_closed_form_against_differences(noise, n_products):
    X, y = pairs(noise)
    model = PCARidge(4, n_products=n_products).fit(X, y)
    exact = attribution(model, X[:6], LINES)
    by_steps = attribution(make_pipeline(model), X[:6], LINES, step=0.01)
    scale = np.abs(exact.gradient).max()
    assert scale > 1
    assert_allclose(by_steps.gradient, exact.gradient, atol=1e-4 * scale)
    assert (exact.gradient[:, :, 7] == 0).all()
    assert (exact.gradient[2, :, 11] == 0).all()
    if noise:
        assert (exact.gradient[3, :, 12] == 0).all()
    if n_products:  # not the same for all stars, where products matter
        assert np.ptp(exact.gradient, axis=0).max() > 0.01 * scale


def test_beyond_their_reach_products_stay_as_they_are():
    X, y = pairs(noise=False)
    model = PCARidge(4, n_products=3).fit(X, y)
    far = X[:3].replace(flux=model.mean_ + 30 * (X.flux[:3] - model.mean_))
    exact = attribution(model, far, LINES)
    by_steps = attribution(make_pipeline(model), far, LINES)
    scale = np.abs(exact.gradient).max()
    assert_allclose(by_steps.gradient, exact.gradient, atol=1e-4 * scale)


@pytest.mark.parametrize("noise", [True, False])
def test_contributions_of_a_linear_translator_add_up(noise):
    X, y = pairs(noise)
    model = PCARidge(4, n_products=0).fit(X, y)
    some = X[:8]
    found = attribution(model, some, LINES)
    assert_array_equal(found.reference, model.mean_)
    at_reference = some.replace(flux=np.where(some.valid(), model.mean_, np.nan))
    moved = _widths(model, some) - _widths(model, at_reference)
    assert np.abs(moved).max() > 1
    assert_allclose(found.contribution.sum(axis=2), moved, rtol=1e-3, atol=2e-3)


def _widths(model, X):
    return equivalent_width(model.predict(X), LINES, wave=Y_WAVE, medium="air")[0]


def test_through_compositions():
    X, y = pairs()
    direct = PCARidge(4).fit(X, y)
    expected = attribution(direct, X[:3], LINES)
    search = GridSearchCV(PCARidge(), {"n_components": [4]}, cv=2).fit(X, y)
    assert_allclose(attribution(search, X[:3], LINES).gradient, expected.gradient)
    steps = make_pipeline(SpectralPCA(4), SpectralRidge()).fit(X, y)
    found = attribution(steps, X[:3], LINES)
    assert np.corrcoef(found.gradient.ravel(), expected.gradient.ravel())[0, 1] > 0.9
    cropped = make_pipeline(WindowCropper((16370, 16376)), PCARidge(4)).fit(X, y)
    found = attribution(cropped, X[:3], LINES)
    outside = X_WAVE > 16376
    assert (found.gradient[:, :, outside] == 0).all()
    assert (found.gradient[:, :, :7] != 0).all()


def test_scikit_learn_against_its_coefficients(monkeypatch):
    monkeypatch.setattr(_attribution, "BLOCK", 1000)  # several blocks of pixels
    X, y = pairs(noise=False)
    X = X[:, np.arange(60) != 7]
    X = X.replace(flux=np.nan_to_num(X.flux, nan=0.9))
    model = make_pipeline(PCA(5), LinearRegression()).fit(X, y)
    coef = model[1].coef_ @ model[0].components_
    width = np.zeros(40)
    width[4:13] = 50.0  # mÅ: pixels centred from 4770.2 to 4770.6
    width[[4, 12]] = 25.0
    for given in (X[:2], X.flux[:2]):
        found = attribution(model, given, LINES[0], target=y)
        assert_allclose(found.gradient, np.tile(-width @ coef, (2, 1, 1)), atol=1e-6)
    assert_allclose(found.reference, X.flux[:2].mean(axis=0))
    with pytest.raises(ValueError, match="give target="):
        attribution(model, X[:2], LINES)
    with pytest.raises(ValueError, match="predicts 40 pixels"):
        attribution(model, X[:2], LINES, target=y[:, :35])


def test_a_null_listens_to_nothing():
    X, y = pairs()
    found = attribution(NullTranslator().fit(X, y), X[:2], LINES)
    assert (found.gradient == 0).all()
    assert len(found.top(found.lines[0])) == 0


def test_single_precision_is_enough():
    X, y = pairs(dtype=np.float32)
    model = make_pipeline(GapMasker(), PCARidge(4)).fit(X, y)
    found = attribution(model, X[:2], LINES)
    exact = PCARidge(4).fit(X, y)
    expected = attribution(exact, X[:2], LINES)
    scale = np.abs(expected.gradient).max()
    assert_allclose(found.gradient, expected.gradient, atol=0.02 * scale)


def test_top_names_the_lines_it_knows():
    gradient = np.zeros((2, 1, 60))
    gradient[:, 0, 49:52] = [[5, 7, 4], [5, 9, 4]]  # 16380.95 is Ce II
    gradient[:, 0, 2] = 3
    X, _ = pairs()
    found = _attribution.Attribution(gradient, -gradient, ["a"], X[:2], np.ones(60))
    table = found.top("a", 5)
    assert_array_equal(table["pixel"], [50, 2])  # neighbours are of the same line
    assert list(table["nearest"]) == ["Ce II 16376", ""]
    assert table["gradient"].value[0] == 8
    assert_allclose(table["contribution"].value[0], np.sqrt((49 + 81) / 2))
    assert len(found.top("a", 5, apart=0.1)) == 4
    with pytest.raises(ValueError, match="is none of"):
        found.top("b")
    with pytest.raises(ValueError, match="by is"):
        found.top("a", by="flux")
    bare = _attribution.Attribution(
        gradient,
        gradient,
        ["a"],
        Spectra(X.flux[:2], wave=None, medium=None),
        X.flux[0],
    )
    assert bare.top("a", 1).colnames == ["pixel", "gradient", "contribution"]


def test_lines_that_are_not_predicted():
    X, y = pairs()
    flux = y.flux.copy()
    flux[:, 8] = np.nan
    model = PCARidge(3).fit(X, y.replace(flux=flux))
    for of in (model, make_pipeline(model)):
        with pytest.raises(ValueError, match="does not predict"):
            attribution(of, X[:2], LINES)
        assert attribution(of, X[:2], LINES[1]).gradient.any()
    with pytest.raises(ValueError, match="reference has shape"):
        attribution(model, X[:2], LINES[1], reference=np.ones(3))
    with pytest.raises(ValueError, match="step is"):
        attribution(make_pipeline(model), X[:2], LINES[1], step=0)
