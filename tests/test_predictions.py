"""Predictions made block by block are those made at once."""

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline

from specxfer import Spectra, _predictions, predict_like
from specxfer._predictions import Predictions
from specxfer.linear import PCARidge
from specxfer.metrics import line_table
from specxfer.preprocessing import GapMasker

N = 50
LINES = [(5000.5, 5004.5), (5010.5, 5012.5)]


@pytest.fixture
def spectra(rng):
    """Source, and target whose resolving power differs from star to star."""
    kinds = rng.normal(size=(N, 2))
    flux = 0.9 + 0.03 * np.tanh(kinds @ rng.normal(size=(2, 30)))
    X = Spectra(flux, wave=15000.0 + np.arange(30), medium="vacuum")
    flux = 0.9 + 0.03 * np.tanh(kinds @ rng.normal(size=(2, 20)))
    flux += rng.normal(0, 0.01, flux.shape)
    flux[3, 4:9] = np.nan
    y = Spectra(
        flux,
        np.where(np.isnan(flux), 0, 1e4),
        wave=5000.0 + np.arange(20),
        medium="air",
        resolution=rng.normal(25_000, 1_000, N),
    )
    return X, y


@pytest.mark.parametrize("steps", [(), (GapMasker(),)])
def test_the_figures_are_those_of_predictions_in_memory(spectra, steps, monkeypatch):
    X, y = spectra
    model = make_pipeline(*steps, PCARidge(2)).fit(X, y)
    asked, predict = [], PCARidge.predict

    def counted(model, X, *args, **options):
        asked.append(len(X))
        return predict(model, X, *args, **options)

    monkeypatch.setattr(PCARidge, "predict", counted)
    monkeypatch.setattr(_predictions, "ROWS", 8)
    monkeypatch.setattr("specxfer.metrics._sums.BLOCK", 5 * 20)  # 5 rows
    found = line_table(y, {"model": Predictions(model, X, y)}, LINES)
    assert max(asked) == 8  # never more in memory
    assert len(asked) == 2 * 7  # once for the lines, once for all pixels
    expected = line_table(y, {"model": predict_like(model, X, y)}, LINES)
    assert found.colnames == expected.colnames
    for name in found.colnames:
        np.testing.assert_array_equal(found[name], expected[name])


@pytest.mark.parametrize("rows", [(0, 8), (3, 5), (7, 9), (2, 30), (48, 50), (0, 50)])
def test_any_rows(spectra, rows, monkeypatch):
    monkeypatch.setattr(_predictions, "ROWS", 8)
    X, y = spectra
    model = PCARidge(2).fit(X, y)
    predictions = Predictions(model, X, y)
    for _ in range(2):
        np.testing.assert_array_equal(
            predictions[slice(*rows)], predict_like(model, X, y)[slice(*rows)]
        )
