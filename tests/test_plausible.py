"""A fit says what can hardly be meant: σ given as ivar, flux that is not normalised."""

import warnings
from functools import partial

import numpy as np
import pytest

from specxfer import ImplausibleWarning, Spectra, translate
from specxfer.baselines import NullTranslator
from specxfer.compose import TargetWindow
from specxfer.linear import MatchedScores, PCARidge, PCARidgeCV


def spectra(rng, p=30, scale=1.0, sigma=0.01, ivar="right", around=1.0):
    n = 60
    u = np.random.default_rng(1).standard_normal((n, 2))
    flux = around + 0.1 * u @ rng.normal(size=(2, p)) + sigma * rng.normal(size=(n, p))
    error = np.full((n, p), sigma * scale)
    given = {"right": 1 / error**2, "sigma": error, "variance": error**2, None: None}
    return Spectra(scale * flux, given[ivar], wave=5000.0 + np.arange(p), medium="air")


def said(model, X, y):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, y)
    return [str(w.message) for w in caught if w.category is ImplausibleWarning]


@pytest.mark.parametrize("kind", ["sigma", "variance"])
@pytest.mark.parametrize("side", ["X", "y"])
def test_errors_given_as_ivar(kind, side, rng):
    sides = {"X": spectra(rng), "y": spectra(rng), side: spectra(rng, ivar=kind)}
    (message,) = said(PCARidge(2), *sides.values())
    assert f"pixels of {side}" in message
    assert "ivar=1/sigma**2" in message


@pytest.mark.parametrize("scale", [1e4, 1e-17, 0.01])
def test_flux_that_is_not_normalised(scale, rng):
    X, y = spectra(rng, scale=scale), spectra(rng)
    (message,) = said(NullTranslator("mean"), X, y)
    assert f"flux of X is {scale:.1g}"[:18] in message
    assert "ContinuumNormalizer" in message


@pytest.mark.parametrize(
    "given",
    [
        {"ivar": "right"},
        {"ivar": None},
        {"sigma": 0.3},  # S/N 3 a pixel
        {"around": 0.0},  # differences of spectra
        {"around": 0.0, "ivar": "sigma"},
    ],
)
def test_silence_where_all_is_well(given, rng):
    assert not said(PCARidge(2), spectra(rng, **given), spectra(rng, **given))


def test_arrays_may_hold_anything(rng):
    X, y = 1e4 * rng.normal(1, 0.1, (40, 5)), rng.normal(0, 1, (40, 3))
    assert not said(PCARidge(2), X, y)


def test_masked_pixels_do_not_count(rng):
    X, y = spectra(rng), spectra(rng)
    ivar, flux = X.ivar.copy(), X.flux.copy()
    ivar[:, ::2], flux[:, ::2] = 0, 1e5
    assert not said(PCARidge(2), X.replace(ivar=ivar, flux=flux), y)


@pytest.mark.parametrize(
    "model",
    [
        TargetWindow(PCARidge(2), windows=(5003, 5010)),
        PCARidgeCV(n_components=2, n_products=0, cv=2),
        NullTranslator("shuffled", estimator=PCARidge(2), labels=["teff"]),
    ],
    ids=lambda model: type(model).__name__,
)
def test_once_however_many_fits_are_inside(model, rng):
    X, y = spectra(rng, ivar="sigma"), spectra(rng)
    X = X.replace(meta={"teff": np.linspace(4000, 6000, len(X))})
    assert len(said(model, X, y)) == 1


def test_scores_of_the_source_are_no_target(rng):
    assert not said(MatchedScores(2, cv=2), spectra(rng, ivar="sigma"), spectra(rng))


def test_the_warning_points_at_the_call(rng):
    X, y = spectra(rng, ivar="sigma"), spectra(rng)
    for model in (PCARidge(2), PCARidgeCV(n_components=2, n_products=0, cv=2)):
        with pytest.warns(ImplausibleWarning) as caught:
            model.fit(X, y)
        assert caught[0].filename == __file__


def test_flux_lost_in_rounding_is_refused_with_a_hint(rng):
    X = spectra(rng, scale=1e-17)
    with (
        pytest.warns(ImplausibleWarning, match="is 1e-17; expected about 1"),
        pytest.raises(ValueError, match=r"than rounding.*ContinuumNormalizer"),
    ):
        PCARidge(2).fit(X, spectra(rng))


@pytest.mark.parametrize("wrong", [lambda w: w / 10, lambda w: w / 1e4, np.log10])
def test_wavelengths_that_are_not_in_angstrom(wrong, rng):
    X, y = spectra(rng), spectra(rng)
    infrared = np.linspace(15_140.0, 16_960.0, X.shape[1])
    X = X.replace(wave=infrared, medium="vacuum")
    assert not said(PCARidge(2), X, y)
    (message,) = said(PCARidge(2), X.replace(wave=wrong(infrared)), y)
    assert "wavelengths of X run from" in message
    assert "units.nm" in message


@pytest.mark.parametrize("how", ["predict", "support", "translate"])
def test_new_stars_are_looked_at_as_well(how, rng):
    X, y = spectra(rng), spectra(rng)
    wrong = X.replace(ivar=X.ivar**-0.5)
    model = PCARidge(2).fit(X, y)
    call = {"translate": partial(translate, model)}.get(how) or getattr(model, how)
    with pytest.warns(ImplausibleWarning, match=r"ivar=1/sigma\*\*2") as caught:
        call(wrong)
    if how != "translate":
        assert caught[0].filename == __file__
    with pytest.warns(ImplausibleWarning, match="expected about 1"):
        call(X.replace(flux=1e3 * X.flux, ivar=1e-6 * X.ivar))
    call(X)
    call(wrong[:3])  # which may be poor spectra
