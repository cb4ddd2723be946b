"""Are the lines of the spectra we read where they belong?

Measures the velocity of real spectra, as read, against templates at rest: synthetic
stars (lte/pairs_dev.npz), brought to the star's parameters by a local linear fit to the
200 nearest ones, or the observed solar atlas. The bar: the Sun within 0.3 km/s of the
template, mu Leo within 1 km/s, over all CCDs and in each. Left out are Balmer lines,
whose asymmetric observed and too shallow computed profiles outweigh all others, and the
telluric band of CCD4. Errors contain the misfit of the template, not the errors of its
line list nor of the wavelength scale.

    python -m benchmarks.line_positions --data DIR
"""

import argparse
import os
import sys
from pathlib import Path

import numpy as np

from specxfer import Spectra
from specxfer.io import apogee_wave, galah_wave, read_apogee, read_galah
from specxfer.lines import window_pixels
from specxfer.velocity import measure_velocity

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "examples"))

from translate_real_stars import ATLAS, VESTA, read_sun_in_apogee  # noqa: E402

LABELS = ("teff", "logg", "feh", "alpha")
SPREAD = (150.0, 0.3, 0.15, 0.1)  # K, dex: how far a neighbour may be
N_NEAREST = 200
SUN = (5777.0, 4.44, 0.0, 0.0)
MU_LEO = (4474.0, 2.51, 0.25, 0.0)  # of the Gaia benchmark stars
LEFT_OUT = [(4855.0, 4868.0), (6552.0, 6574.0), (7580.0, 7695.0)]
BARS = {"the Sun": 0.3, "mu Leo": 1.0}  # km/s


class Templates:
    """Synthetic spectra at any parameters."""

    def __init__(self, path):
        with np.load(path) as stored:
            self.mean, self.coef = stored["mean"], stored["coef"]
            self.basis = stored["basis"].astype(np.float32)
            self.on_chip = stored["x_good"]
            labels = stored["labels"]
        self.labels = np.stack([labels[name] for name in LABELS], axis=1).astype(float)

    def _spectrum(self, labels):
        away = (self.labels - labels) / SPREAD
        distance = (away**2).sum(axis=1)
        near = np.argsort(distance, kind="stable")[:N_NEAREST]
        weight = np.exp(-distance[near] / distance[near].max())[:, None]
        design = np.c_[np.ones(N_NEAREST), away[near]]
        coef = np.linalg.lstsq(weight * design, weight * self.coef[near], rcond=None)[0]
        return self.mean + coef[0] @ self.basis

    def apogee(self, labels):
        """On the APOGEE grid; NaN in the gaps."""
        flux = np.full((1, len(self.on_chip)), np.nan)
        flux[0, self.on_chip] = self._spectrum(labels)[: self.on_chip.sum()]
        return Spectra(flux, wave=apogee_wave(), medium="vacuum")

    def galah(self, labels):
        """On the GALAH grid; NaN at the Balmer lines and in the telluric band."""
        wave = galah_wave()
        flux = np.array(self._spectrum(labels)[None, -len(wave) :], dtype=float)
        flux[:, window_pixels(LEFT_OUT, wave, "air")] = np.nan
        return Spectra(flux, wave=wave, medium="air")


def positions(X, template, first_chip=1):
    """Velocity and error over all chips, and on each: {name: (velocity, error)}."""
    found = {"all": measure_velocity(X, template)}
    for chip in np.unique(X.chip):
        here = X.chip == chip
        found[int(chip) + first_chip] = measure_velocity(X[:, here], template[:, here])
    return {k: (float(v.velocity[0]), float(v.error[0])) for k, v in found.items()}


def bar_stars(data, templates):
    """What the bars are for: {name: positions}."""
    sun, _ = read_galah(data / "real/galah_dr4", ids=[VESTA])
    mu_leo, _ = read_galah(data / "real/galah_dr3")
    return {
        "the Sun": positions(sun, templates.galah(SUN)),
        "mu Leo": positions(mu_leo, templates.galah(MU_LEO)),
    }


def others(data, templates):
    """More spectra, for information: yields (name, positions)."""
    atlas = read_sun_in_apogee(data / ATLAS)
    yield "solar atlas, H band", positions(atlas, templates.apogee(SUN))
    stars, _ = read_galah(data / "real/galah_dr4")
    for star in stars:
        labels = [star.meta[name][0] for name in ("teff", "logg", "fe_h", "alpha_fe")]
        if star.meta["sobject_id"][0] != VESTA:
            name = f"{star.meta['sobject_id'][0]}, {labels[0]:.0f} K"
            yield name, positions(star, templates.galah(labels))
    giants, _ = read_apogee(sorted((data / "real/apogee_dr13").glob("aspcapStar*")))
    for star in giants:
        labels = [star.meta[name][0] for name in ("teff", "logg", "fe_h", "alpha_fe")]
        if labels[0] > 3500:  # the others are dwarfs too cool for the templates
            name = f"{star.ids[0]}, {labels[0]:.0f} K"
            yield name, positions(star, templates.apogee(labels))
    giant, _ = read_apogee(data / "real/apogee_dr14/apogee_dr14_example.npz")
    labels = (4500.0, 2.3, 0.0, 0.0)  # its file has none: a typical giant
    yield "apogee_dr14_example", positions(giant, templates.apogee(labels))


def print_star(name, found, bar=None):
    velocities = "".join(f"{v:+9.3f} ±{e:6.3f}" for v, e in found.values())
    worst = max(abs(v) for v, _ in found.values())
    verdict = "" if bar is None else f"   {'within' if worst < bar else 'BEYOND'} {bar}"
    print(f"{name:28}{velocities}{verdict}")


def main(data):
    """Print velocities, over all and per CCD or chip, and the bars."""
    templates = Templates(data / "lte/pairs_dev.npz")
    print(f"km/s against the template{'all':>16}" + "".join(
        f"{f'CCD {i}':>17}" for i in (1, 2, 3, 4)) + "   bar, km/s")  # fmt: skip
    for name, found in bar_stars(data, templates).items():
        print_star(name, found, BARS[name])
    print("\nFor information (APOGEE: three chips; the atlas: one)")
    for name, found in others(data, templates):
        print_star(name, found)


if __name__ == "__main__":
    shared = os.environ.get("SPECXFER_SHARED", ROOT.parent / "shared")
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path(shared), help="survey files")
    main(**vars(parser.parse_args()))
