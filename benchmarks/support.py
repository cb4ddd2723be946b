"""What `support` flags: stars like those of the training set, and stars unlike them.

Source spectra of the synthetic pairs (`benchmarks.linear_calibration`), at a
signal-to-noise ratio of 100. Trained on are stars between 4200 and 6200 K with [Fe/H]
above −1, four fifths of them; the others are the training population. Each
of three measures has a limit that 99.9% of the training stars stay within, so 0.3% of
these should be flagged, and somewhat more are, at the edge of the training set, where
components fit their own stars best. Then the share flagged of

- sums of two dwarfs, apart by 30 or 60 km/s, the second as bright or half as bright;
- emission added to five lines: 2, 5, 20% of the continuum, as wide as the LSF;
- stars hotter than 6300 K, and with [Fe/H] below −1.2, which were not trained on;
- one chip of three multiplied by 0.9;
- a velocity error of 5 km/s, and one of 1 km/s;
- wavelengths of air taken for those of vacuum.

    OMP_NUM_THREADS=1 python -m benchmarks.support --data DIR
"""

import argparse
import os
from pathlib import Path

import numpy as np
from astropy.table import Table
from sklearn.pipeline import make_pipeline

from benchmarks.linear_calibration import World, like, noisy
from benchmarks.sections import Section
from specxfer import support
from specxfer.linear import PCARidge, SpectralPCA, SpectralRidge
from specxfer.preprocessing import VelocityShifter
from specxfer.wavelengths import vacuum_to_air

SNR = 100
N_STARS = 400  # of each kind, at most
EMISSION = (0.02, 0.05, 0.2)
N_LINES = 5
LIGHT = 299_792.458  # km/s


def moved(spectra, velocity):
    """Spectra of stars that recede by so many km/s more; the ends as they were."""
    found = VelocityShifter(-float(velocity)).fit_transform(spectra).flux
    return like(spectra, np.where(np.isfinite(found), found, spectra.flux))


def binaries(dwarfs, velocity, ratio, rng):
    """Sums of two dwarfs of which the second moves, normalised by their continuum."""
    second = moved(dwarfs[rng.permutation(len(dwarfs))], velocity)
    return like(dwarfs, (dwarfs.flux + ratio * second.flux) / (1 + ratio))


def emission(spectra, strength, rng):
    """Spectra with lines in emission, at places of their own."""
    flux = spectra.flux.copy()
    pixels = np.arange(flux.shape[1])
    for row in flux:
        for centre in rng.choice(flux.shape[1], N_LINES, replace=False):
            row += strength * np.exp(-0.5 * ((pixels - centre) / 1.3) ** 2)
    return like(spectra, flux)


def in_air(spectra):
    """Spectra on the wavelengths of air, put as if on those of vacuum."""
    velocity = LIGHT * (vacuum_to_air(spectra.wave) / spectra.wave - 1)
    return moved(spectra, velocity.mean())


def broken(spectra):
    """Spectra of which the second chip is too faint."""
    return like(spectra, np.where(spectra.chip == 1, 0.9, 1) * spectra.flux)


def kinds(source, like_training):
    """Noise-free spectra of each kind."""
    rng = np.random.default_rng(5)
    meta = source.meta
    test = np.flatnonzero(like_training)[-N_STARS:]
    dwarfs = source[np.flatnonzero(like_training & ~np.asarray(meta["giant"]))]
    dwarfs = dwarfs[-N_STARS:]
    X = source[test]
    yield "as in training", X
    for velocity in (30, 60):
        for ratio in (1, 0.5):
            name = f"two dwarfs, {velocity} km/s, 1:{ratio}"
            yield name, binaries(dwarfs, velocity, ratio, rng)
    for strength in EMISSION:
        name = f"{N_LINES} lines, {strength:.0%} in emission"
        yield name, emission(X, strength, rng)
    yield "hotter than 6300 K", source[np.flatnonzero(meta["teff"] > 6300)[:N_STARS]]
    yield "[Fe/H] < -1.2", source[np.flatnonzero(meta["feh"] < -1.2)[:N_STARS]]
    yield "a chip times 0.9", broken(X)
    for velocity in (5, 1):
        yield f"off by {velocity} km/s", moved(X, velocity)
    yield "air taken for vacuum", in_air(X)


def main(data, n_components=60):
    """Print the share flagged of each kind."""
    world = World.lte(data, 6400, False)
    source, target = world._source, world._target
    meta = source.meta
    teff, feh = np.asarray(meta["teff"]), np.asarray(meta["feh"])
    usual = (teff > 4200) & (teff < 6200) & (feh > -1)
    train = np.flatnonzero(usual & ~world._test)
    X = noisy(source[train], SNR, 1)
    pca = SpectralPCA(n_components, max_iter=20, tol=1e-4)
    models = {
        "PCARidge": PCARidge(n_components),
        "PCA | Ridge": make_pipeline(pca, SpectralRidge()),
    }
    for model in models.values():
        model.fit(X, target[train])
    print(f"{len(train)} training stars\n{'share flagged':36}", *models)
    test = usual & world._test
    found = []
    for i, (kind, spectra) in enumerate(kinds(source, test)):
        spectra = noisy(spectra, SNR, 10 + i)
        shares = [np.mean(support(model, spectra) > 1) for model in models.values()]
        found.append((kind, len(spectra), *shares))
        print(f"{kind:28} {len(spectra):4}", *(f"{100 * s:8.1f}%" for s in shares))
    everyone = noisy(source[np.flatnonzero(test)], SNR, 9)
    share = [np.mean(support(model, everyone) > 1) for model in models.values()]
    shares = (f"{100 * s:8.2f}%" for s in share)
    print(f"{'all held-out stars':28} {len(everyone):4}", *shares)
    found.append(("all held-out stars", len(everyone), *share))
    return Table(rows=found, names=["stars", "number", *models])


def sections(data):
    """Its section of the documentation."""
    table = main(data)
    for name in table.colnames[2:]:
        table[name].format = ".1%"
    text = (
        "Share of stars that ``support`` flags as unlike the training stars. Synthetic "
        "source spectra at S/N 100; trained on stars between 4200 and 6200 K with "
        "[Fe/H] above −1. ``PCA | Ridge`` is a pipeline of ``SpectralPCA`` and "
        "``SpectralRidge``, which sees the scores alone. Seeds 1, 5 and 9 to 25."
    )
    yield Section("What support flags", text, table)


if __name__ == "__main__":
    root = Path(__file__).resolve().parents[1]
    shared = os.environ.get("SPECXFER_SHARED", root.parent / "shared")
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path(shared), help="survey files")
    parser.add_argument("--n-components", type=int, default=60)
    main(**vars(parser.parse_args()))
