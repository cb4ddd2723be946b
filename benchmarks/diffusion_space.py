"""DiffusionTranslator in latent and in pixel space, beside Gaussian draws.

The pairs of `benchmarks.lte_pairs`; what is predicted are the pixels within 1 Å of
Ba II 5854 and 6497, which are one element's and lie apart. Fewer stars are trained on
than in `benchmarks.diffusion`, and the U-Net in fewer rounds and epochs than are the
default. All three models begin with one and the same mean and predictive covariance;
they differ in what is drawn. Everything is compared with the noise-free truth of test
stars. Printed for giants, dwarfs and the stars rich in elements of the s-process:

- how often the truth lies within the central 68% and 95% of the draws, mean over the
  pixels of the two lines;
- CRPS of these pixels, and energy score of both equivalent widths; the difference
  from Gaussian draws with its standard error;
- the correlation of what is missed in the two equivalent widths: of draws, and of the
  truth;

and draws a second on one core, and seconds of the fit.

    OMP_NUM_THREADS=1 python -m benchmarks.diffusion_space --data DIR
"""

import argparse
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from benchmarks.diffusion import BARIUM, N_DRAWS, Judged, difference, kept
from benchmarks.lte_pairs import Pairs
from specxfer.compose import TargetWindow
from specxfer.lines import load_lines, window_pixels
from specxfer.neural import CNNTranslator, DiffusionTranslator

PAD = 1.0  # Å beside each line
SPACES = "latent", "pixel"


def main(data, fold, n_train, n_test, epochs, rounds, keep):
    """Print all."""
    pairs = Pairs(data / "lte/pairs_dev.npz", n_train, fold)
    lines = load_lines("galah", names=BARIUM)
    grid = pairs.truth.wave, pairs.truth.medium
    task = SimpleNamespace(pairs=pairs, pixels=window_pixels(lines, *grid))
    fits = {"Gaussian": CNNTranslator(random_state=0)}
    for space in SPACES:
        more = {"shape_epochs": epochs, "n_rounds": rounds} if space == "pixel" else {}
        fits[space] = DiffusionTranslator(space=space, random_state=0, **more)
    judged = {}
    for name, model in fits.items():
        start = time.perf_counter()
        window = TargetWindow(model, lines, pad=PAD)
        window = kept(
            keep,
            f"space-{name}-{fold}-{n_train}",
            lambda w=window: w.fit(pairs.X, pairs.y),
        )
        fitted = time.perf_counter() - start
        judged[name] = found = Judged(task, window, lines, n_test)
        per_second = N_DRAWS * n_test / found.seconds
        print(
            f"{name}: {window.pixels_.sum()} pixels, fitted in {fitted:.0f} s, "
            f"{per_second:.0f} draws a second",
            flush=True,
        )
        if name in SPACES:
            tell(window.estimator_)
    meta = pairs.truth.meta[:n_test]
    giant, rich = (np.asarray(meta[name], bool) for name in ("giant", "s_rich"))
    base = judged["Gaussian"]
    for group, stars in {"giants": giant, "dwarfs": ~giant, "s-rich": rich}.items():
        print(f"\n{group} ({stars.sum()})   68%    95%   CRPS      energy  correlation")
        for name, found in judged.items():
            inside = 100 * found.inside[:, stars].mean(axis=1)
            score, usual = found.energy(base.unit), base.energy(base.unit)
            drawn = found.ew[:, stars]
            drawn = (drawn - drawn.mean(axis=0)).reshape(-1, 2)
            print(
                f"  {name:9} {inside[0]:5.1f}  {inside[1]:5.1f}  "
                f"{found.crps[stars].mean():.6f}  {score[stars].mean():.4f}  "
                f"{np.corrcoef(drawn.T)[0, 1]:.2f} "
                f"(true {np.corrcoef(found.missed[stars].T)[0, 1]:.2f})  "
                f"CRPS {difference(found.crps, base.crps, stars)}  "
                f"energy {difference(score, usual, stars)}"
            )


def tell(model):
    """Whether the diffusion proved better, and by how much."""
    gain, error = (
        np.round(model.shape_history_[name], 3)
        for name in ("score_gain", "score_gain_error")
    )
    used = "used" if model.shape_trained_ else "not used"
    print(f"  gain in logarithmic score by round: {gain} ± {error}: {used}", flush=True)


if __name__ == "__main__":
    root = Path(__file__).resolve().parents[1]
    shared = os.environ.get("SPECXFER_SHARED", root.parent / "shared")
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path(shared), help="survey files")
    parser.add_argument("--fold", type=int, default=1, choices=range(5))
    parser.add_argument("--n-train", type=int, default=2500)
    parser.add_argument("--n-test", type=int, default=300)
    parser.add_argument("--epochs", type=int, default=20, help="in pixel space")
    parser.add_argument("--rounds", type=int, default=2, help="in pixel space")
    parser.add_argument("--keep", type=Path, help="folder for fitted models")
    sys.exit(main(**vars(parser.parse_args())))
