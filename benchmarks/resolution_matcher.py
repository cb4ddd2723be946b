"""ResolutionMatcher against a truth of high resolution, and against a plain filter.

The bar: at R = 28,000 → 20,000 no flux is wrong by more than 1e-3; the stated ivar is
within 2% of the scatter of 400 draws, and the error of equivalent widths from the
covariance within 5%; 30,000 spectra of 16,384 pixels take minutes. The peer is
`scipy.ndimage.gaussian_filter1d` with one width for each CCD.

    python -m benchmarks.resolution_matcher --data DIR
"""

import argparse
import os
from pathlib import Path

import numpy as np
from scipy.fft import irfft, rfft
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d

from specxfer import Spectra
from specxfer._grids import galah_chip, galah_wave
from specxfer.preprocessing import ResolutionMatcher
from specxfer.resampling import pixel_edges

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


def flux_errors(stars, rng):
    """Errors on the grid of GALAH, of ours and of the peer."""
    wave, chip = galah_wave(), galah_chip()
    for name, truths in stars.items():
        wanted = galah_seen(truths, R_OUT)
        cases = [(28_000, b) for b in (2.0, 2.5, 2.8)]
        cases += [(r, b) for r in (22_000, 24_000, 26_000) for b in (2.0, 2.5)]
        for resolution, boxiness in cases:
            seen = galah_seen(truths, resolution, boxiness)[None]
            X = Spectra(seen, wave=wave, medium="air", chip=chip)
            model = ResolutionMatcher(
                R_OUT, resolution_in=resolution, boxiness=boxiness
            )
            ours = model.fit_transform(X).flux
            peer = one_sigma(seen, wave, chip, resolution)
            inside = np.isfinite(ours)
            print(
                f"  {name:22} R {resolution:,}  B {boxiness}:  ours "
                f"{errors(ours, wanted[None])}  |  peer "
                f"{errors(peer[inside], wanted[None][inside])}"
            )


def main(data):
    rng = np.random.default_rng(1)
    stars = {"synthetic, 2 km/s": [synthetic(galah_wave(c), rng) for c in (1, 2, 3, 4)]}
    for star, file in (("Sun", "solar.20190819"), ("Arcturus", "arct.20190830")):
        atlas = np.loadtxt(data / f"real/atlas/{file}.txt")
        stars[f"{star}, H band moved"] = list(relabelled(atlas))
    print(f"Flux after matching to R = {R_OUT:,}, against the truth (bar: max 1e-3)")
    flux_errors(stars, rng)


if __name__ == "__main__":
    shared = os.environ.get("SPECXFER_SHARED", ROOT.parent / "shared")
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path(shared), help="survey files")
    main(**vars(parser.parse_args()))
