"""ResolutionMatcher against a truth of high resolution, and against a plain filter.

The bar: at R = 28,000 → 20,000 no flux is wrong by more than 1e-3; the stated ivar is
within 2% of the scatter of 400 draws, and the error of equivalent widths from the
covariance within 5%; 30,000 spectra of 16,384 pixels take minutes. The peer is
`scipy.ndimage.gaussian_filter1d` with one width for each CCD.

    python -m benchmarks.resolution_matcher --data DIR
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np
from scipy.fft import irfft, rfft
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d

from specxfer import Spectra
from specxfer._grids import (
    apogee_chip,
    apogee_chips,
    apogee_wave,
    galah_chip,
    galah_wave,
)
from specxfer.metrics import equivalent_width
from specxfer.preprocessing import ResolutionMatcher
from specxfer.resampling import broaden, pixel_edges

ROOT = Path(__file__).resolve().parents[1]
STEP = 1e-6  # of the truth in ln λ: 36 points on the FWHM of R = 28,000
R_OUT = 20_000
EDGES = np.array([-1, 1])


class Truth:
    """A spectrum of very high resolution on an even grid of ln λ."""

    def __init__(self, log_wave, flux):
        even = np.arange(log_wave[0], log_wave[-1], STEP)
        self.start, self.flux = log_wave[0], CubicSpline(log_wave, flux)(even)

    def seen(self, wave, resolution, boxiness=2.0):
        """The spectrum through a line-spread function, at the centres of pixels."""
        half = int(6 / STEP / resolution)
        x = STEP * resolution * np.arange(-half, half + 1)  # in FWHM
        kernel = np.exp(-np.log(2) * np.abs(2 * x) ** boxiness)
        size = len(self.flux) + len(kernel)
        seen = irfft(rfft(self.flux, size) * rfft(kernel / kernel.sum(), size), size)
        seen = seen[half:][: len(self.flux)]
        grid = self.start + STEP * np.arange(len(seen))
        inside = slice(*np.searchsorted(grid, np.log(wave[[0, -1]]) + EDGES * 1e-4))
        return CubicSpline(grid[inside], seen[inside])(np.log(wave))


def synthetic(wave, rng, width=2.0, per_angstrom=1.5):
    """Lines of random depth, Gaussian in optical depth, `width` km/s wide (σ)."""
    log_wave = np.arange(np.log(wave[0] - 5), np.log(wave[-1] + 5), STEP)
    tau = np.zeros(len(log_wave))
    sigma = width / 299_792.458
    for centre in rng.uniform(*log_wave[[0, -1]], int(np.ptp(wave) * per_angstrom)):
        near = slice(*np.searchsorted(log_wave, centre + np.array([-6, 6]) * sigma))
        profile = np.exp(-0.5 * ((log_wave[near] - centre) / sigma) ** 2)
        tau[near] += 10 ** rng.uniform(-2, 0.5) * profile
    return Truth(log_wave, np.exp(-tau))


def relabelled(atlas, n_ccds=4):
    """Stretches of an atlas of the H band, moved to where the CCDs of GALAH are."""
    log_wave, flux = np.log(atlas[:, 0]), atlas[:, 1]
    for ccd in range(1, n_ccds + 1):
        first, last = np.log(galah_wave(ccd)[[0, -1]]) + EDGES * 1e-3
        start = log_wave[0] + 1e-4 + (ccd - 1) * 0.027
        part = (log_wave >= start) & (log_wave <= start + last - first + 1e-4)
        yield Truth(log_wave[part] - start + first, flux[part])


def one_sigma(flux, wave, chip, resolution_in):
    """The peer: one Gaussian for each CCD."""
    out = np.empty_like(flux)
    missing = np.sqrt((R_OUT**-2.0 - resolution_in**-2.0) / (8 * np.log(2)))
    for c in np.unique(chip):
        lower, upper = pixel_edges(wave[chip == c])
        width = missing / np.median(np.log(upper / lower))
        out[..., chip == c] = gaussian_filter1d(flux[..., chip == c], width, truncate=6)
    return out


def galah_seen(truths, resolution, boxiness=2.0):
    return np.concatenate(
        [t.seen(galah_wave(c), resolution, boxiness) for c, t in enumerate(truths, 1)]
    )


def errors(a, b):
    good = np.isfinite(a) & np.isfinite(b)
    away = np.abs(a - b)[good]
    return f"max {away.max():.1e}  rms {np.sqrt(np.mean(away**2)):.1e}"


def compare(name, seen, wanted, wave, chip, resolution, boxiness):
    """Print the errors of ours and of the peer, on the pixels that ours has."""
    X = Spectra(seen[None], wave=wave, medium="air", chip=chip)
    model = ResolutionMatcher(R_OUT, resolution_in=resolution, boxiness=boxiness)
    ours = model.fit_transform(X).flux[0]
    peer = np.where(np.isfinite(ours), one_sigma(seen, wave, chip, resolution), np.nan)
    print(
        f"  {name:22} R {resolution:,}  B {boxiness}: ours {errors(ours, wanted)} | "
        f"peer {errors(peer, wanted)} | as it was {errors(seen, wanted)}"
    )


CASES = [(28_000, b) for b in (2.0, 2.5, 2.8)]
CASES += [(r, b) for r in (22_000, 24_000, 26_000) for b in (2.0, 2.5)]


def flux_errors(stars, atlases):
    print(f"Flux matched to R = {R_OUT:,} against the truth (bar: 1e-3 from 28,000)")
    print(" on the grid of GALAH")
    for name, truths in stars.items():
        wanted = galah_seen(truths, R_OUT)
        for case in CASES:
            seen = galah_seen(truths, *case)
            compare(name, seen, wanted, galah_wave(), galah_chip(), *case)
    print(" on the grid of APOGEE, the chips' pixels")
    on = np.concatenate([np.arange(*chip) for chip in apogee_chips()])
    wave, chip = apogee_wave()[on], apogee_chip()[on]
    for name, truth in atlases.items():
        for case in [(28_000, 2.0), (28_000, 2.5), (22_500, 2.0)]:
            compare(
                name,
                truth.seen(wave, *case),
                truth.seen(wave, R_OUT),
                wave,
                chip,
                *case,
            )


def star_to_star(truths, rng, n=8):
    """Stars of one truth and of different R, before and after."""
    resolution = rng.uniform(22_000, 28_000, (n, 4))
    ccds = [
        np.array([truth.seen(galah_wave(ccd), r) for r in resolution[:, ccd - 1]])
        for ccd, truth in enumerate(truths, 1)
    ]
    seen = np.concatenate(ccds, axis=1)
    X = Spectra(
        seen, wave=galah_wave(), medium="air", chip=galah_chip(), resolution=resolution
    )
    wanted = np.tile(galah_seen(truths, R_OUT), (n, 1))
    print(f"{n} stars of R = 22,000 to 28,000, each CCD of its own")
    print(f"  as they are, against the truth: {errors(seen, wanted)}")
    matched = ResolutionMatcher(R_OUT).fit_transform(X).flux
    print(f"  matched, against the truth:     {errors(matched, wanted)}")
    nominal = one_sigma(seen, galah_wave(), galah_chip(), 28_000)
    print(f"  peer that takes all as 28,000:  {errors(nominal, wanted)}")


def noise(rng, n_draws=400):
    """Scatter of draws against the stated ivar and equivalent-width errors."""
    wave, chip = galah_wave(), galah_chip()
    p = len(wave)
    sigma = 0.02 * np.exp(0.4 * np.sin(np.arange(p) / 90)) * rng.uniform(0.7, 1.4, p)
    masked = rng.random(p) < 0.005
    windows = [(wave[a], wave[a + 14]) for a in range(60, p - 60, 97)]
    windows = [w for w in windows if w[1] - w[0] < 1.5]
    print(f"Noise, {n_draws} draws (bar: 2% of ivar's σ, 5% of equivalent widths')")
    for boxiness in (2.0, 2.5):
        for correlation in (0.0, 0.4):
            white = rng.normal(size=(n_draws, p + 1))
            theta = correlation and (1 - np.sqrt(1 - 4 * correlation**2)) / (
                2 * correlation
            )
            draws = (white[:, 1:] + theta * white[:, :-1]) / np.hypot(1, theta)
            X = Spectra(
                np.where(masked, np.nan, 1 + sigma * draws),
                np.tile(np.where(masked, 0, sigma**-2), (n_draws, 1)),
                wave=wave,
                medium="air",
                chip=chip,
                resolution=28_000.0,
            )
            out = ResolutionMatcher(
                R_OUT, boxiness=boxiness, noise_correlation=correlation
            ).fit_transform(X)
            good = out.ivar[0] > 0
            pull = ((out.flux - 1) * np.sqrt(out.ivar))[:, good].std()
            peer = one_sigma(sigma * draws, wave, chip, 28_000)
            peer_pull = (peer / sigma)[:, good].std()
            ew, error = equivalent_width(out, windows)
            _, alone = equivalent_width(out.replace(covariance=None), windows)
            scatter = np.sqrt(np.nanmean(ew.var(axis=0)))
            rms = [np.sqrt(np.nanmean(e**2)) / scatter for e in (error, alone)]
            print(
                f"  B {boxiness}, input correlation {correlation}: scatter / stated σ "
                f"{pull:.4f} (peer with the old ivar {peer_pull:.2f}); equivalent "
                f"widths, stated / scatter {rms[0]:.3f}, from ivar alone {rms[1]:.3f}"
            )


def speed(rng, n=200):
    wave, chip = galah_wave(), galah_chip()
    flux = rng.normal(1, 0.02, (n, len(wave))).astype(np.float32)
    boxy = rng.uniform(2.0, 2.8, (n, 4))
    print(
        f"Speed, {n} spectra of {len(wave):,} pixels, R of each row and CCD, one core"
    )
    rates = {}
    for name, meta in (("Gaussian", None), ("boxy", {"lsf_boxiness": boxy})):
        X = Spectra(
            flux,
            np.full_like(flux, 2500),
            wave=wave,
            medium="air",
            chip=chip,
            resolution=rng.uniform(24_000, 28_000, (n, 4)),
            meta=meta,
        )
        model = ResolutionMatcher(R_OUT).fit(X)
        start = time.perf_counter()
        model.transform(X)
        rates[name] = n / (time.perf_counter() - start)
    start = time.perf_counter()
    broaden(flux, wave, R_OUT, X.resolution[:, chip])
    rates["broaden, flux alone"] = n / (time.perf_counter() - start)
    start = time.perf_counter()
    one_sigma(flux, wave, chip, 28_000)
    rates["peer, flux alone"] = n / (time.perf_counter() - start)
    for name, rate in rates.items():
        print(f"  {name:20} {rate:6.0f} a second; 30,000 in {500 / rate:.1f} min")


def main(data):
    rng = np.random.default_rng(1)
    stars = {"synthetic, 2 km/s": [synthetic(galah_wave(c), rng) for c in (1, 2, 3, 4)]}
    atlases = {}
    for star, file in (("Sun", "solar.20190819"), ("Arcturus", "arct.20190830")):
        atlas = np.loadtxt(data / f"real/atlas/{file}.txt")
        atlases[star] = Truth(np.log(atlas[:, 0]), atlas[:, 1])
        stars[f"{star}, H band moved"] = list(relabelled(atlas))
    flux_errors(stars, atlases)
    star_to_star(stars["synthetic, 2 km/s"], rng)
    noise(rng)
    speed(rng)


if __name__ == "__main__":
    shared = os.environ.get("SPECXFER_SHARED", ROOT.parent / "shared")
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path(shared), help="survey files")
    main(**vars(parser.parse_args()))
