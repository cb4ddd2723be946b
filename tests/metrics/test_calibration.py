import numpy as np
import pytest
from astropy.table import Table
from scipy.special import ndtr

from specxfer import Spectra
from specxfer.covariance import LowRankCovariance
from specxfer.metrics import (
    coverage,
    interval_coverage,
    pit_histogram,
    sbc_ranks,
    sharpness,
)

WAVE = np.arange(5000.0, 5040)
LINES = [(5005, 5009), (5020, 5024)]
ALL = {"all": np.ones(1500, dtype=bool)}


def world(error=0.01, noise=0.02, n=1500, seed=0, together=0.0):
    """Truth, observed spectra and a prediction with errors of known size."""
    rng = np.random.default_rng(seed)
    truth = 1 - 0.2 * rng.random((n, 40))
    alone = np.sqrt(1 - together**2) * rng.standard_normal(truth.shape)
    flux = truth + error * (alone + together * rng.standard_normal((n, 1)))
    y = Spectra(
        truth + noise * rng.standard_normal(truth.shape),
        np.full(truth.shape, noise**-2),
        wave=WAVE,
        medium="air",
    )
    return truth, y, flux


class TestCoverage:
    @pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
    def test_it_is_that_of_a_gaussian(self, scale):
        truth, _, flux = world()
        std = np.full(flux.shape, 0.01 * scale)
        table = coverage(truth, flux, std, LINES, noise="none", wave=WAVE, medium="air")
        assert table["line"].tolist()[::2] == [
            "all windows",
            "5005.00-5009.00",
            "5020.00-5024.00",
        ]
        assert table["n_pixels"].tolist() == [15000, 15000, *[7500] * 4]
        for row in table:
            z = {0.6827: 1.0, 0.9545: 2.0}[row["level"]] * scale
            expected = 1 - 2 * ndtr(-z)
            assert row["coverage"] == pytest.approx(expected, abs=0.015)
            assert row["lo"] < row["coverage"] <= row["hi"]

    def test_known_noise_is_added(self):
        _, y, flux = world()
        std = np.full(flux.shape, 0.01)
        table = coverage(y, flux, std, LINES)
        assert table["coverage"][0] == pytest.approx(0.6827, abs=0.015)
        without = coverage(y, flux, std, LINES, noise="none")
        expected = 1 - 2 * ndtr(-0.01 / np.hypot(0.01, 0.02))
        assert without["coverage"][0] == pytest.approx(expected, abs=0.015)

    def test_noise_is_needed_or_denied(self):
        truth, _, flux = world(n=10)
        with pytest.raises(ValueError, match=r"no ivar.*noise=\"none\""):
            coverage(truth, flux, flux)

    def test_masked_pixels_do_not_count(self):
        _, y, flux = world()
        bad = np.random.default_rng(1).random(y.shape) < 0.3
        masked = y.replace(flux=np.where(bad, 9.0, y.flux), ivar=y.ivar * ~bad)
        table = coverage(masked, flux, np.full(flux.shape, 0.01), LINES)
        assert table["coverage"][0] == pytest.approx(0.6827, abs=0.015)
        assert table["n_pixels"][0] < 0.75 * 15000

    def test_intervals_hold_when_pixels_err_together(self):
        """Pixels of a star are one draw where they err as one."""
        hits, half = [], []
        for seed in range(200):
            truth, _, flux = world(n=60, seed=seed, together=1.0)
            std = np.full(flux.shape, 0.01)
            row = coverage(truth, flux, std, levels=0.9545, noise="none")[0]
            hits.append(row["lo"] <= 0.9545 <= row["hi"])
            half.append((row["hi"] - row["lo"]) / 2)
        assert 0.9 <= np.mean(hits) <= 1
        assert np.mean(half) > 1.5 * np.sqrt(0.9545 * 0.0455 / 60)

    def test_spectra_of_a_star_are_one_draw(self):
        truth, _, flux = world(n=50)
        std = np.full(flux.shape, 0.01)
        once = coverage(truth, flux, std, noise="none")
        thrice = coverage(
            *(np.tile(a, (3, 1)) for a in (truth, flux, std)),
            noise="none",
            groups=np.tile(np.arange(50), 3),
        )
        for name in ("n_stars", "coverage", "lo", "hi"):
            np.testing.assert_allclose(thrice[name], once[name])

    def test_domains(self):
        truth, _, flux = world()
        giant = np.arange(1500) < 500
        std = np.where(giant[:, None], 0.005, 0.01) * np.ones(40)
        domains = Table({"giant": giant})
        table = coverage(truth, flux, std, noise="none", domains=domains, levels=0.6827)
        assert table["domain"].tolist() == ["giant", "dwarf"]
        assert table["n_stars"].tolist() == [500, 1000]
        expected = [1 - 2 * ndtr(-0.5), 0.6827]
        np.testing.assert_allclose(table["coverage"], expected, atol=0.015)

    def test_memory_maps_are_read_in_blocks(self, tmp_path):
        _, y, flux = world()
        std = np.full(flux.shape, 0.01)
        maps = {}
        for name, values in {"flux": y.flux, "ivar": y.ivar}.items():
            np.save(tmp_path / name, values)
            maps[name] = np.load(tmp_path / f"{name}.npy", mmap_mode="r")
        lazy = Spectra(maps["flux"], maps["ivar"], wave=WAVE, medium="air")
        assert lazy.is_lazy
        lazily, plain = (coverage(s, flux, std, LINES) for s in (lazy, y))
        assert (lazily["coverage"] == plain["coverage"]).all()

    def test_translations_bring_their_own_errors(self):
        truth, y, flux = world()
        translated = y.replace(flux=flux, ivar=np.full(flux.shape, 1e4))
        table = coverage(y.replace(flux=truth), translated, None, LINES, noise="none")
        assert table["coverage"][0] == pytest.approx(0.6827, abs=0.015)

    @pytest.mark.parametrize("noise", ["add", "none"])
    def test_widths_need_the_covariance(self, noise):
        truth, y, flux = world(together=1.0, noise=0.005)
        covariance = LowRankCovariance(
            np.full((1500, 1, 1), 1e-4), np.ones((1, 40)), np.zeros(40)
        )
        translated = y.replace(flux=flux, covariance=covariance)
        if noise == "none":
            y = y.replace(flux=truth)
        table = coverage(y, translated, None, LINES, quantity="ew", noise=noise)
        assert table["n_pixels"].tolist() == [3000, 3000, *[1500] * 4]
        assert table["coverage"][0] == pytest.approx(0.6827, abs=0.03)
        assert table["coverage"][1] == pytest.approx(0.9545, abs=0.015)
        with pytest.raises(ValueError, match="covariance"):
            coverage(y, flux, None, LINES, quantity="ew")
        with pytest.raises(ValueError, match="std is of pixels"):
            coverage(y, translated, flux, LINES, quantity="ew")

    def test_what_is_not_predicted_is_an_error(self):
        truth, _, flux = world(n=20)
        std = np.full(flux.shape, 0.01)
        std[3, 6] = np.nan
        grid = {"wave": WAVE, "medium": "air", "noise": "none"}
        with pytest.raises(ValueError, match="NaN in 1 pixels"):
            coverage(truth, flux, std, LINES, **grid)
        assert len(coverage(truth, flux, std, LINES[1], **grid)) == 4
        with pytest.raises(ValueError, match="negative in 800"):
            coverage(truth, flux, -np.ones(flux.shape), **grid)
        with pytest.raises(ValueError, match="between 0 and 1"):
            coverage(truth, flux, std, levels=68, **grid)
        with pytest.raises(ValueError, match="no standard deviation"):
            coverage(truth, flux, **grid)


class TestIntervalCoverage:
    def test_it_agrees_with_that_of_errors(self):
        _, y, flux = world()
        std = np.full(flux.shape, 0.01)
        half = np.hypot(0.01, 0.02)
        table = interval_coverage(y, flux - half, flux + half, LINES, level=0.6827)
        both = coverage(y, flux, std, LINES, levels=0.68268949)
        np.testing.assert_allclose(table["coverage"], both["coverage"], atol=1e-3)

    def test_infinite_ends_cover_and_unknown_ones_are_an_error(self):
        _, y, flux = world(n=20)
        ends = np.full(flux.shape, -np.inf), np.full(flux.shape, np.inf)
        assert interval_coverage(y, *ends, level=0.5)["coverage"][0] == 1
        ends[0][0, 0] = np.nan
        with pytest.raises(ValueError, match="NaN in 1"):
            interval_coverage(y, *ends, level=0.5)
        with pytest.raises(ValueError, match="lo <= hi"):
            interval_coverage(y, flux, flux - 1, level=0.5)


class TestPit:
    @pytest.mark.parametrize("by", ["std", "draws"])
    def test_uniform_if_calibrated_and_high_at_the_ends_if_too_sure(self, by):
        _, y, flux = world()
        rng = np.random.default_rng(3)
        for scale in (1.0, 0.2):
            std = np.full(flux.shape, 0.01 * scale)
            if by == "std":
                table = pit_histogram(y, flux, std, LINES)
            else:
                draws = flux + std * rng.standard_normal((99, *flux.shape))
                table = pit_histogram(y, None, None, LINES, draws=draws)
            density = table["density"][:10]
            assert np.mean(density) == pytest.approx(1)
            if scale == 1:
                np.testing.assert_allclose(density, 1, atol=0.11)
                assert (table["lo"][:10] < 1).sum() >= 8
            else:
                z = np.hypot(0.01, 0.02) / np.hypot(0.002, 0.02)
                ends = 10 * 2 * ndtr(-1.2815516 / z)
                assert density[0] + density[9] == pytest.approx(ends, abs=0.12)

    def test_a_bias_is_a_slope(self):
        truth, _, flux = world()
        table = pit_histogram(
            truth, flux + 0.01, np.full(flux.shape, 0.01), noise="none", bins=2
        )
        assert table["density"][0] == pytest.approx(2 * ndtr(1.0), abs=0.02)

    def test_one_of_two(self):
        truth, _, flux = world(n=5)
        with pytest.raises(ValueError, match="one of the two"):
            pit_histogram(truth, flux, flux, draws=flux[None], noise="none")
        with pytest.raises(ValueError, match="n_draws"):
            pit_histogram(truth, draws=flux, noise="none")


class TestRanks:
    @pytest.mark.parametrize("quantity", ["ew", "flux"])
    def test_uniform_for_the_right_sampler_alone(self, quantity):
        """The truth is a draw like the others; the spectra are noisy."""
        rng = np.random.default_rng(0)
        p_right, p_sure = [], []
        for _ in range(40):
            n, s = 200, 39
            centre = 1 - 0.2 * rng.random((n, 40))
            everything = centre + 0.02 * rng.standard_normal((s + 1, n, 1))
            y = Spectra(
                everything[0] + 0.02 * rng.standard_normal((n, 40)),
                np.full((n, 40), 2500.0),
                wave=WAVE,
                medium="air",
            )
            draws = everything[1:]
            seed = int(rng.integers(1000))
            options = {"quantity": quantity, "random_state": seed}
            right = sbc_ranks(y, draws, LINES[0], **options)
            p_right.append([right.table["p_chi2"][0], right.table["p_ks"][0]])
            sure = centre + 0.2 * (draws - centre)
            p_sure.append(sbc_ranks(y, sure, LINES[0], **options).table["p_chi2"][0])
        assert right.ranks.min() >= 0
        assert right.ranks.max() <= 39
        rejected = (np.array(p_right) < 0.05).mean(axis=0)
        assert (rejected <= 0.15).all()
        assert np.mean(np.array(p_sure) < 0.05) > 0.5

    def test_without_the_noise_of_the_observed_the_right_sampler_is_rejected(self):
        rng = np.random.default_rng(2)
        everything = 1 + 0.01 * rng.standard_normal((40, 400, 40))
        y = Spectra(
            everything[0] + 0.02 * rng.standard_normal((400, 40)),
            np.full((400, 40), 2500.0),
            wave=WAVE,
            medium="air",
        )
        for noise, passes in (("add", True), ("none", False)):
            table = sbc_ranks(y, everything[1:], LINES, noise=noise).table
            assert ((table["p_chi2"] > 0.01) == passes).all()

    def test_ties_are_broken_at_random(self):
        ones = np.ones((400, 40))
        found = sbc_ranks(
            ones,
            np.ones((19, 400, 40)),
            LINES[0],
            noise="none",
            wave=WAVE,
            medium="air",
        )
        assert set(found.ranks[:, 0]) == set(range(20))
        assert found.table["p_chi2"][0] > 0.01

    def test_masked_lines_have_no_rank_and_repeats_count_once(self):
        rng = np.random.default_rng(4)
        flux = 1 + 0.1 * rng.standard_normal((60, 40))
        flux[0, 5:10] = np.nan
        draws = 1 + 0.1 * rng.standard_normal((9, 60, 40))
        found = sbc_ranks(
            flux,
            draws,
            LINES,
            noise="none",
            wave=WAVE,
            medium="air",
            groups=np.arange(60) // 2,
        )
        assert found.ranks[0, 0] == -1
        assert found.ranks[0, 1] >= 0
        assert found.table["n_stars"][1] == 30


class TestSharpness:
    def test_mean_of_what_is_stated(self):
        std = np.full((6, 40), 0.01)
        std[3:, 5:10] = 0.03
        table = sharpness(
            std,
            LINES,
            domains={"a": np.arange(6) < 3, "b": np.arange(6) >= 3},
            wave=WAVE,
            medium="air",
        )
        np.testing.assert_allclose(table["std"], [0.01, 0.02, 0.01, 0.03, 0.01, 0.01])
        assert table["domain"].tolist() == ["a", "b"] * 3

    def test_widths_and_translations(self):
        covariance = LowRankCovariance(
            np.full((4, 1, 1), 1e-4), np.ones((1, 40)), np.zeros(40)
        )
        ones = np.ones((4, 40))
        X = Spectra(ones, 1e4 * ones, wave=WAVE, medium="air", covariance=covariance)
        assert sharpness(X)["std"][0] == pytest.approx(0.01)
        table = sharpness(X, LINES[0], quantity="ew")
        np.testing.assert_allclose(table["std"], 0.01 * 4000)
        with pytest.raises(ValueError, match="covariance"):
            sharpness(X.replace(covariance=None), LINES, quantity="ew")
