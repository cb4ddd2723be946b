"""Slopes against those that Gaussian stars are made with."""

import numpy as np
import pytest

from specxfer import Spectra
from specxfer.metrics import line_table, slope_table

WAVE = np.arange(5000.0, 5008)
PROFILE = np.array([0, 0.2, 0.7, 1.0, 0.7, 0.2, 0, 0])
LINE = (5000.5, 5005.5)  # five pixels, 2.8 Å of profile


def stars(n=4000, information=0.6, noise=0.02, seed=0, gain=1.0):
    """Observed spectra, their truth, and predictions that know part of it.

    Depths have a standard deviation of 0.02; the prediction is the posterior mean given
    a measurement with reliability `information`, times `gain`.
    """
    rng = np.random.default_rng(seed)
    u = rng.standard_normal(n)
    measured = u + np.sqrt(1 / information - 1) * rng.standard_normal(n)
    best = gain * information * measured
    truth, predicted = (1 - (0.3 + 0.02 * v)[:, None] * PROFILE for v in (u, best))
    sigma = np.broadcast_to(noise, truth.shape)
    flux = truth + sigma * rng.standard_normal(truth.shape)
    y = Spectra(flux, np.broadcast_to(sigma**-2.0, flux.shape), wave=WAVE, medium="air")
    return y, truth, predicted


def test_the_best_predictor_is_calibrated_and_compressed():
    y, truth, predicted = stars()
    for of, noise in ((y, "subtract"), (y.replace(flux=truth), "none")):
        row = slope_table(of, {"best": predicted}, LINE, noise=noise)[0]
        assert row["predicted_on_truth"] == pytest.approx(0.6, abs=0.05)
        assert row["observed_on_predicted"] == pytest.approx(1, abs=0.06)
        left = 1000 * 2.8 * 0.02 * np.sqrt(1 - 0.6)  # mÅ
        assert row["rms"] == pytest.approx(left, rel=0.06)
        assert row["n_stars"] == 4000


def test_the_noise_of_the_observed_is_no_part_of_the_slope_on_truth():
    """Uncorrected, noise as large as the signal would halve it."""
    y, _, predicted = stars(noise=0.05, n=20_000)
    corrected = slope_table(y, {"a": predicted}, LINE)[0]
    blind = slope_table(y, {"a": predicted}, LINE, noise="none")[0]
    assert corrected["predicted_on_truth"] == pytest.approx(0.6, abs=0.06)
    assert blind["predicted_on_truth"] < 0.5
    name = "observed_on_predicted"
    assert blind[name] == pytest.approx(corrected[name], abs=0.03)


def test_a_gain_moves_the_two_slopes_apart_and_raises_the_error():
    y, _, best = stars()
    _, _, wide = stars(gain=1 / 0.6)
    table = slope_table(y, {"best": best, "wide": wide}, LINE)
    assert table["model"].tolist() == ["best", "wide"]
    assert table["predicted_on_truth"][1] == pytest.approx(1, abs=0.07)
    assert table["observed_on_predicted"][1] == pytest.approx(0.6, abs=0.04)
    assert table["rms"][1] > table["rms"][0]


def test_bins_of_the_source_and_domains():
    parts = [stars(2000, information=k, seed=i) for i, k in enumerate((0.3, 0.8))]
    flux, predicted = (
        np.concatenate([np.asarray(p[k]) for p in parts]) for k in (0, 2)
    )
    ivar = np.concatenate([p[0].ivar for p in parts])
    y = Spectra(flux, ivar, wave=WAVE, medium="air")
    snr = np.repeat([30.0, 100.0], 2000)
    odd = np.arange(4000) % 2 == 1
    table = slope_table(
        y,
        {"a": predicted},
        LINE,
        snr=snr,
        snr_edges=(0, 100, 200, 300),
        domains={"odd": odd, "even": ~odd},
    )
    assert table["domain"].tolist() == ["odd"] * 3 + ["even"] * 3
    assert table["snr_lo"].tolist() == [0, 100, 200] * 2
    assert table["n_stars"].tolist() == [1000, 1000, 0] * 2
    for row in table:
        if row["n_stars"]:
            known = 0.3 if row["snr_hi"] == 100 else 0.8
            assert row["predicted_on_truth"] == pytest.approx(known, abs=0.1)
        else:
            assert np.isnan(row["predicted_on_truth"])
            assert np.isnan(row["rms"])


def test_intervals_cover_the_truth_as_often_as_they_say():
    inside = []
    for seed in range(300):
        y, _, predicted = stars(200, seed=seed, noise=0.02)
        row = slope_table(y, {"a": predicted}, LINE)[0]
        inside.append(
            [
                row[f"{name}_lo"] < value < row[f"{name}_hi"]
                for name, value in (
                    ("predicted_on_truth", 0.6),
                    ("observed_on_predicted", 1),
                    ("rms", 1000 * 2.8 * 0.02 * np.sqrt(0.4)),
                )
            ]
        )
    covered = np.mean(inside, axis=0)
    assert ((covered > 0.9) & (covered < 0.99)).all()


def test_masks_leave_the_slopes_and_the_error_as_that_of_line_table():
    y, _, predicted = stars(noise=0.01)
    rng = np.random.default_rng(3)
    ivar = np.where(rng.random(y.shape) < 0.03, 0, y.ivar)
    ivar[:7] = 0
    y = y.replace(ivar=ivar)
    row = slope_table(y, {"a": predicted}, LINE)[0]
    assert row["n_stars"] < 4000 - 6
    assert row["predicted_on_truth"] == pytest.approx(0.6, abs=0.05)
    one = {"all": np.ones(4000, dtype=bool)}
    other = line_table(y, {"a": predicted}, [LINE], quantity="ew", domains=one)[0]
    assert row["rms"] == pytest.approx(other["a"], rel=1e-6)
    assert row["rms_hi"] == pytest.approx(other["a_hi"], rel=1e-6)


def test_slopes_that_cannot_be_told_are_nan():
    rng = np.random.default_rng(0)
    same = np.tile(1 - 0.3 * PROFILE, (50, 1))
    y = Spectra(
        same + 0.02 * rng.standard_normal(same.shape),
        np.full(same.shape, 2500.0),
        wave=WAVE,
        medium="air",
    )
    varied = same + 0.01 * rng.standard_normal((50, 1))
    table = slope_table(y, {"same": same, "varied": varied}, LINE)
    assert np.isnan(table["predicted_on_truth"]).all()  # the truth does not vary
    assert np.isnan(table["observed_on_predicted"]).tolist() == [True, False]
    assert np.isfinite(table["rms"]).all()


def test_repeats_of_a_star_are_one_draw():
    y, _, predicted = stars(200)
    twice = np.repeat(np.arange(200), 2)
    row = slope_table(y, {"a": predicted}, LINE)[0]
    doubled = slope_table(y[twice], {"a": predicted[twice]}, LINE, groups=twice)[0]
    for name in ("predicted_on_truth", "observed_on_predicted"):
        assert doubled[name] == pytest.approx(row[name], abs=0.003)
        assert doubled[f"{name}_hi"] == pytest.approx(row[f"{name}_hi"], abs=0.005)


def test_what_it_refuses():
    y, truth, predicted = stars(20)
    with pytest.raises(ValueError, match="no predictions"):
        slope_table(y, {}, LINE)
    with pytest.raises(ValueError, match="y_true has no ivar"):
        slope_table(truth, {"a": predicted}, LINE, wave=WAVE, medium="air")
    missing = predicted.copy()
    missing[3, 3] = np.nan
    with pytest.raises(ValueError, match="prediction of 'a' is NaN or infinite in 1"):
        slope_table(y, {"a": missing}, LINE)
    with pytest.raises(ValueError, match=r"snr has shape \(3,\)"):
        slope_table(y, {"a": predicted}, LINE, snr=[1, 2, 3])
    with pytest.raises(ValueError, match="snr_edges"):
        slope_table(y, {"a": predicted}, LINE, snr=np.ones(20), snr_edges=(3, 2))
    with pytest.raises(ValueError, match="error_floor is -1"):
        slope_table(y, {"a": predicted}, LINE, error_floor=-1)
