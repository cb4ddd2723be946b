"""Draws learnt from noisy spectra: their spread must not contain the noise.

Simulated pairs around the key lines, whose truth is known; the same stars, once with
targets at S/N 30 and once at S/N 200. Velocity and continuum of the targets are right,
and draws are at the resolving power of each, so that noise is all that is between them
and the truth. Printed for giants and dwarfs, of test stars, for the pixels of the key
lines and for their equivalent widths:

- the root mean square of what the mean misses of the truth, which is the spread that
  draws should have; the rms standard deviation of the draws; and what that would be if
  the noise of the targets were contained in it.
- the standard deviation of z, (truth − mean) / standard deviation of the draws. The
  bar: within 0.15 of 1 at S/N 30, too.
- how often the truth is in the central 68% and 95% of the draws.

Last the ratio of the spreads at S/N 30 and 200, beside that of the errors.

    OMP_NUM_THREADS=1 python -m benchmarks.diffusion_noise
"""

import argparse
import sys
import time

import numpy as np

from specxfer.datasets import make_paired_spectra
from specxfer.lines import KEY_LINES, load_lines
from specxfer.metrics._equivalent_width import window_widths
from specxfer.neural import DiffusionTranslator

SNR = 30, 200
N_DRAWS, BLOCK = 127, 64
BAR = 0.15
CLEAN = {"continuum_error": (0.003, 0.0), "rv_error": (0.1, 0.0)}


class Found:
    """What draws say of pixels or widths, and what is true.

    Parameters
    ----------
    draws : ndarray of shape (n_draws, n_stars, m)
    truth : ndarray of shape (n_stars, m)
    noise : float or ndarray of shape (m,)
        Standard deviation of the targets' noise.
    """

    def __init__(self, draws, truth, noise):
        self.missed = truth - draws.mean(axis=0)
        self.std = draws.std(axis=0, ddof=1)
        self.noise = np.broadcast_to(noise, truth.shape)
        below = ((draws < truth).sum(axis=0) + 0.5) / (len(draws) + 1)
        self.inside = [np.abs(below - 0.5) < level / 2 for level in (0.68, 0.95)]

    def of(self, stars):
        """Error, spread, spread with noise, std of z and coverage of some stars."""
        error = np.sqrt(np.square(self.missed[stars]).mean())
        spread = np.sqrt(np.square(self.std[stars]).mean())
        noisy = np.sqrt(np.square(self.std[stars]).mean() + self.noise[0].mean() ** 2)
        z = (self.missed[stars] / self.std[stars]).std()
        inside = (100 * part[stars].mean() for part in self.inside)
        return error, spread, noisy, z, *inside


def drawn(model, X, resolution, pixels, widths):
    """Draws of the pixels of lines, and of equivalent widths."""
    flux, ew = [], []
    for start in range(0, len(X), BLOCK):
        some = slice(start, start + BLOCK)
        draws = model.sample(X[some], N_DRAWS, 0, resolution=resolution[some])
        flux.append(draws[:, :, pixels])
        ew.append((1 - np.nan_to_num(draws, nan=1)) @ widths)
    return np.concatenate(flux, axis=1), np.concatenate(ew, axis=1)


def main(n_train, n_test):
    """Print the tables; 1 if the bar is missed."""
    lines = [line for line in load_lines("galah") if line.name in KEY_LINES]
    met, spreads = True, {}
    for snr in SNR:
        X, y, truth = make_paired_spectra(
            n_train + n_test, size="small", snr_target=snr, random_state=0, **CLEAN
        )
        start = time.perf_counter()
        model = DiffusionTranslator(random_state=0).fit(X[:n_train], y[:n_train])
        test = slice(n_train, None)
        true = np.asarray(truth)[test]
        widths, _ = window_widths(lines, truth)
        pixels = widths.any(axis=1) & np.isfinite(true).all(axis=0)
        widths = np.where(pixels[:, None], widths, 0)
        flux, ew = drawn(model, X[test], truth[test].resolution, pixels, widths)
        true_ew = (1 - np.where(pixels, true, 1)) @ widths
        noise_ew = np.sqrt(np.square(widths).sum(axis=0)) / snr
        tables = {
            "flux": Found(flux, true[:, pixels], 1 / snr),
            "EW, mÅ": Found(ew, true_ew, noise_ew),
        }
        giant = np.asarray(truth.meta["giant"], bool)[test]
        print(
            f"\nS/N {snr}, {n_train} stars, {time.perf_counter() - start:.0f} s; "
            f"diffusion used: {model.shape_trained_}"
        )
        print("                   error   spread  with noise  std of z    68%    95%")
        for what, found in tables.items():
            for domain, stars in (("giants", giant), ("dwarfs", ~giant)):
                error, spread, noisy, z, *inside = found.of(stars)
                spreads[snr, what, domain] = spread, error
                met &= abs(z - 1) < BAR
                print(
                    f"{what:8} {domain}  {error:8.4f} {spread:8.4f}    {noisy:8.4f}  "
                    f"{z:8.2f}  {inside[0]:5.1f}  {inside[1]:5.1f}",
                    flush=True,
                )
    print(f"\nspread at S/N {SNR[0]} over that at S/N {SNR[1]}, and errors alike")
    for _, what, domain in list(spreads)[: len(spreads) // 2]:
        pairs = (spreads[snr, what, domain] for snr in SNR)
        spread, error = (a / b for a, b in zip(*pairs))
        print(f"{what:8} {domain}  {spread:.2f}  {error:.2f}")
    return int(not met)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n-train", type=int, default=2000)
    parser.add_argument("--n-test", type=int, default=1000)
    sys.exit(main(**vars(parser.parse_args())))
