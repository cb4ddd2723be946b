"""Which lines there are: the real ones of heavy elements and a seeded background."""

from functools import cache

import numpy as np

from specxfer._grids import SPEED_OF_LIGHT
from specxfer.datasets._atoms import read_table
from specxfer.datasets._reversing_layer import LineList, ReversingLayer
from specxfer.lines import load_lines

__all__ = ["background_lines", "known_lines", "line_list"]

# The background is one fixed universe: its seed has nothing to do with random_state,
# and each tile of wavelength has its own, so that any grid sees the same lines.
UNIVERSE_SEED = 20_260_101
TILE = 50.0  # Å
INFRARED = 10_000.0  # Å: where the table of the background changes region

#: Lines per Å of the background: crowded in the blue, sparse in the red.
CROWDING = (
    (3500.0, 4700.0, 4900.0, 5650.0, 5900.0, 6600.0, 7700.0, 10_000.0, 15_000.0),
    (18.0, 13.0, 12.0, 6.0, 5.5, 3.0, 2.0, 1.0, 3.2),
)
#: The background is drawn by optical depth in these stars, between these limits; the
#: number of lines falls as depth**-SLOPE per decade.
STAR_OF_ATOMS = {"teff": 5777.0, "logg": 4.44, "fe_h": 0.0, "vmic": 1.0}
STAR_OF_MOLECULES = {"teff": 4500.0, "logg": 2.0, "fe_h": -0.1, "vmic": 1.5}
LOG_DEPTHS = (-2.3, 2.6)
SLOPE = 0.45

#: The background keeps this far (km/s) from lines that stand out in real spectra, or
#: of which the table says nothing; the others it may hide, as they are hidden there.
CLEARANCE = 32.0
CLEAN = 0.15  # share of the absorption in the window that is the line's own

#: log gf for lines whose table leaves it open: plausible, not measured.
ASSUMED = {
    "Rb I 15289": (2.40, 0.5),
    "Y I 15620": (2.0, -0.5),
    "Y I 16645": (2.0, -0.5),
    "Nd II 16304": (1.0, -2.0),
}
#: log gf that replace the table's. Eu and La: the table has one hyperfine component,
#: this is the whole line (Lawler et al. 2001, ApJ 563, 1075 and ApJ 556, 452). Yb: the
#: slab is cooler than where infrared lines form, which weakens a line from 3 eV most.
REPLACED = {
    "Eu II 5819": -1.25,
    "Eu II 6645": 0.12,
    "La II 4804": -1.49,
    "Yb II 16498": -0.2,
}


@cache
def known_lines():
    """The lines of `specxfer.lines`, heavy elements and lithium.

    Returns
    -------
    lines : LineList
    clean : ndarray of bool of shape (n_lines,)
        Whether no background line may hide it.
    """
    rows = []
    for survey in ("galah", "apogee"):
        for line in load_lines(survey, measurable=False):
            ep, loggf = line.ep, line.loggf
            if not np.isfinite(ep + loggf):
                ep, loggf = ASSUMED[line.name]
            loggf = REPLACED.get(line.name, loggf)
            wave = line.to_medium("vacuum").wave
            clean = not line.purity_giant < CLEAN
            rows.append((wave, line.species, ep, loggf, clean))
    wave, species, ep, loggf, clean = (np.array(c) for c in zip(*sorted(rows)))
    return LineList(species, wave, ep, loggf), clean


def background_lines(lo, hi):
    """The seeded lines of light elements and molecules between two wavelengths.

    Parameters
    ----------
    lo, hi : float
        Å in vacuum.

    Returns
    -------
    LineList
        In order of wavelength; the same lines whatever the limits.
    """
    tiles = range(int(lo // TILE), int(hi // TILE) + 1)
    lines = LineList.concatenate([_tile(k) for k in tiles])
    return lines[(lines.wave >= lo) & (lines.wave <= hi)]


@cache
def _tile(k):
    rng = np.random.default_rng([UNIVERSE_SEED, k])
    start = k * TILE
    region = "optical" if start < INFRARED else "infrared"
    rows = [row for row in read_table("background") if row["region"] == region]
    share = np.array([float(row["share"]) for row in rows])
    n = rng.poisson(TILE * np.interp(start, *CROWDING))
    kind = rng.choice(len(rows), size=n, p=share / share.sum())
    ep_lo, ep_hi = (
        np.array([float(row[limit]) for row in rows])[kind]
        for limit in ("ep_lo", "ep_hi")
    )
    wave = start + TILE * rng.random(n)
    lines = LineList(
        np.array([row["species"] for row in rows])[kind],
        wave,
        rng.uniform(ep_lo, ep_hi),
        np.zeros(n),
    )
    a, b = (10 ** (-SLOPE * limit) for limit in LOG_DEPTHS)
    log_depth = -np.log10(a + (b - a) * rng.random(n)) / SLOPE
    return LineList(
        lines.species, wave, lines.ep, log_depth - _log_depth_at_unit_gf(lines)
    )


def _log_depth_at_unit_gf(lines):
    """log10 of the optical depth in the star that the line is drawn for."""
    out = np.empty(len(lines))
    molecular = np.array([" " not in species for species in lines.species], dtype=bool)
    stars = ((molecular, STAR_OF_MOLECULES), (~molecular, STAR_OF_ATOMS))
    for chosen, star in stars:
        if chosen.any():
            depth, _, _ = ReversingLayer(**star).line_strengths(lines[chosen])
            out[chosen] = np.log10(depth[:, 0])
    return out


def line_list(lo, hi):
    """All lines between two wavelengths (Å in vacuum), as a `LineList`."""
    known, clean = known_lines()
    background = background_lines(lo, hi)
    distance = np.abs(np.log(background.wave[:, None] / known.wave[clean]))
    hides = (distance < CLEARANCE / SPEED_OF_LIGHT).any(axis=1)
    inside = (known.wave >= lo) & (known.wave <= hi)
    return LineList.concatenate([known[inside], background[~hides]])
