"""The same stars as apStar and aspcapStar: how far apart are the two forms?

The survey made one from the other: it divided each chip by a polynomial of degree 4,
gave the errors a floor of 0.005 and enlarged them where the sky is bright. So the
difference of the two, once a polynomial is between them, is no noise at all: what is
left says what the reader, the masks and the two continua do. Printed for each star, in
units of aspcapStar's error (which is the noise of both): reduced χ², median
|difference|/σ and the fraction of pixels beyond 3σ,

- as read, each with its own continuum;
- with both through one `ContinuumNormalizer`, learned from the aspcapStar files;
- with the polynomial of each chip that brings them closest.

Then the signal-to-noise ratio, in which the continuum cancels, and the pixels that only
one form has.

    python -m benchmarks.apogee_forms --data DIR
"""

import argparse
import os
from pathlib import Path

import numpy as np
from numpy.polynomial.legendre import legvander

from specxfer.io import apogee_chips, read_apogee
from specxfer.preprocessing import ContinuumNormalizer

ROOT = Path(__file__).resolve().parents[1]
DEGREE = 4  # of the survey's own normalisation


def closest(flux, target, weight, degree=DEGREE):
    """`flux` times the polynomial of each chip that brings it closest to `target`."""
    out = np.full(flux.shape, np.nan)
    for start, stop in apogee_chips():
        basis = legvander(np.linspace(-1, 1, stop - start), degree)
        f, t, w = (a[start:stop].astype(float) for a in (flux, target, weight))
        use = np.isfinite(f) & np.isfinite(t)
        root = np.sqrt(w[use])[:, None]
        terms = (basis * f[:, None])[use] * root
        solution = np.linalg.lstsq(terms, t[use] * root[:, 0], rcond=None)[0]
        out[start:stop] = f * (basis @ solution)
    return out


def figures(flux, target, ivar):
    """Reduced χ², median |difference|/σ, and the fraction beyond 3σ."""
    deviation = (flux - target) * np.sqrt(ivar)
    deviation = np.abs(deviation[np.isfinite(deviation)])
    return np.mean(deviation**2), np.median(deviation), np.mean(deviation > 3)


def pairs(folder):
    """Rows of stars in both forms: star, apStar, aspcapStar; and all aspcapStar."""
    X, _ = read_apogee(str(folder / "apStar*"))
    Y, _ = read_apogee(str(folder / "aspcapStar*"))
    return [
        (star, X[i : i + 1], Y[np.flatnonzero(Y.ids == star)[:1]])
        for i, star in enumerate(X.ids)
        if star in Y.ids
    ], Y


def main(data):
    """Print a table."""
    found, everything = pairs(data / "real" / "apogee_dr13")
    normalizer = ContinuumNormalizer(degree=DEGREE).fit(everything)
    names = ("as read", "one ContinuumNormalizer", f"polynomial of degree {DEGREE}")
    print(f"{'':20}" + "".join(f"{name:>26}" for name in names))
    head = f"{'χ²':>10}{'median':>8}{'>3σ':>8}"
    print(f"{'star':20}{head * 3}   S/N ratio   only in apStar, aspcapStar")
    for star, a, b in found:
        ivar = b.ivar[0]
        same_a, same_b = normalizer.transform(a), normalizer.transform(b)
        columns = [
            figures(a.flux[0], b.flux[0], ivar),
            figures(same_a.flux[0], same_b.flux[0], same_b.ivar[0]),
            figures(closest(a.flux[0], b.flux[0], ivar), b.flux[0], ivar),
        ]
        in_a, in_b = a.valid()[0], b.valid()[0]
        both = in_a & in_b & (b.ivar[0] < 0.99 / 0.005**2)  # above the floor
        ratio = (b.flux[0] / a.flux[0] * np.sqrt(b.ivar[0] / a.ivar[0]))[both]
        text = "".join(f"{c:10.5f}{m:8.4f}{f:8.4f}" for c, m, f in columns)
        print(
            f"{star:20}{text}{np.median(ratio):12.4f}"
            f"{(in_a & ~in_b).sum():10}{(in_b & ~in_a).sum():8}"
        )


if __name__ == "__main__":
    shared = os.environ.get("SPECXFER_SHARED", ROOT.parent / "shared")
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path(shared), help="survey files")
    main(**vars(parser.parse_args()))
