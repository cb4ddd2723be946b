"""One table for all translators."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.pipeline import make_pipeline

from specxfer import Spectra
from specxfer.baselines import NullTranslator
from specxfer.compose import TargetWindow
from specxfer.datasets import make_paired_spectra
from specxfer.linear import PCARidge
from specxfer.metrics import line_table
from specxfer.preprocessing import Rebinner
from specxfer.validation import compare_translators, to_markdown
from specxfer.validation._compare_translators import _default_null

N, P, NOISE = 240, 60, 0.02
WAVE = 6000 + 0.05 * np.arange(P)
LINES = [(6000.5, 6001.0), (6001.8, 6002.2)]


class Off(RegressorMixin, BaseEstimator):
    """What the source holds, times a factor: an error that can be computed."""

    def __init__(self, shift=0.0):
        self.shift = shift

    def fit(self, X, y):
        self.fitted_ = True
        return self

    def predict(self, X):
        return np.asarray(X)[:, :P] + self.shift


@pytest.fixture
def pairs(rng):
    """The source is the truth behind the target."""
    depth = rng.uniform(0.1, 0.5, (N, 1))
    profile = np.exp(-0.5 * ((WAVE - 6000.75) / 0.1) ** 2)
    truth = 1 - depth * profile
    meta = {"teff": np.where(np.arange(N) % 2, 4500.0, 6000.0), "logg": np.full(N, 3.0)}
    X = Spectra(truth, wave=WAVE + 9000, medium="vacuum", meta=meta)
    y = truth + NOISE * rng.standard_normal(truth.shape)
    y = Spectra(y, np.full(y.shape, NOISE**-2), wave=WAVE, medium="air", meta=meta)
    return X, y


def test_errors_are_those_that_were_made(pairs):
    found = compare_translators(
        {"right": Off(), "off": Off(0.03)}, *pairs, LINES, cv=3, null=Off(0.06)
    )
    table = found.table
    assert set(table["domain"]) == {"giant", "dwarf"}
    assert table["line"][0] == "all"
    for name, error in {"right": 0, "off": 0.03, "null": 0.06}.items():
        rows = table[table["model"] == name]
        squared = np.asarray(rows["rms"]) * np.abs(rows["rms"])
        np.testing.assert_allclose(squared, error**2, atol=6e-5, rtol=0.05)
    off = table[(table["model"] == "off") & (table["line"] != "all")]
    np.testing.assert_allclose(off["skill"], 0.75, atol=0.05)
    width = 1000 * 0.03 * 0.5  # mÅ
    first = off["ew_rms"][off["line"] == "6000.50-6001.00"].to_value("mAngstrom")
    np.testing.assert_allclose(first, width, rtol=0.1)
    assert np.isnan(off["coverage_68"]).all()


def test_it_agrees_with_the_line_table_of_the_same_predictions(pairs):
    X, y = pairs
    found = compare_translators({"off": Off(0.03)}, X, y, LINES, null=Off(0.06)).table
    flux = {"off": X.flux + 0.03, "null": X.flux + 0.06}
    expected = line_table(y, flux, LINES)
    for name in flux:
        rows = found[found["model"] == name]
        for end in ("", "_lo", "_hi"):
            np.testing.assert_allclose(
                rows[f"rms{end}"], expected[f"{name}{end}"], atol=1e-6
            )


def test_coverage_of_translators_is_nominal(pairs):
    X, y = pairs
    noisy = X.flux + 0.01 * np.random.default_rng(1).standard_normal(X.shape)
    X = X.replace(flux=noisy, ivar=np.full(X.shape, 1e4))
    models = {
        "pipeline": make_pipeline(Rebinner(2), PCARidge(3)),
        "window": TargetWindow(PCARidge(3), LINES, pad=0.1),
    }
    found = compare_translators(models, X, y, LINES, cv=3)
    lines = found.table[found.table["line"] != "all"]
    ours = lines[lines["model"] != "null"]
    np.testing.assert_allclose(ours["coverage_68"], 0.683, atol=0.05)
    np.testing.assert_allclose(ours["coverage_95"], 0.954, atol=0.03)
    assert "all" not in found.table["line"]  # one predicts windows alone
    assert list(found.summary["model"]) == ["pipeline", "window", "null"]
    assert (found.summary["fit_time"] > 0).all()
    assert (found.summary["size"] > 0).all()


def test_the_null_knows_the_labels_that_there_are(pairs):
    X, y = pairs
    found = compare_translators({"off": Off()}, X, y, LINES, cv=2)
    named = compare_translators(
        {"off": Off()}, X, y, LINES, cv=2,
        null=NullTranslator("labels", labels=["teff", "logg"]),
    )  # fmt: skip
    np.testing.assert_array_equal(found.table["rms_null"], named.table["rms_null"])
    mean = compare_translators(
        {"off": Off()}, X.replace(meta=None), y, LINES, cv=2, domains=y.meta
    )
    null = compare_translators(
        {"off": Off()}, X, y, LINES, cv=2, null=NullTranslator("mean")
    )
    np.testing.assert_array_equal(mean.table["rms_null"], null.table["rms_null"])


def test_as_markdown(pairs):
    found = compare_translators({"off": Off(0.03)}, *pairs, LINES, cv=2)
    rows = found.to_markdown().splitlines()
    assert len(rows) == 2 + 2
    assert rows[2].startswith("| off | 0.03")
    assert "fit_time [s]" in rows[0]
    whole = found.to_markdown("table").splitlines()
    assert len(whole) == 2 + len(found.table)
    assert len({row.count("|") for row in whole}) == 1
    assert to_markdown(found.summary) == found.to_markdown()
    with pytest.raises(ValueError, match=r"which is .all.; expected"):
        found.to_markdown("all")


def test_names_and_noise_are_checked(pairs):
    X, y = pairs
    with pytest.raises(ValueError, match=r"no translators"):
        compare_translators({}, X, y, LINES)
    with pytest.raises(ValueError, match=r'the name "null"'):
        compare_translators({"null": Off()}, X, y, LINES)
    with pytest.raises(ValueError, match=r"y_true has no ivar"):
        compare_translators({"off": Off()}, X, y.replace(ivar=None), LINES)


@pytest.mark.parametrize("name", ["alpha_fe", "alpha"])
def test_the_null_knows_alpha_by_either_name(name):
    X, _, _ = make_paired_spectra(20, size="small", random_state=0)
    X.meta.rename_column("alpha_fe", name)
    assert _default_null(X).labels == ["teff", "logg", "fe_h", name]
