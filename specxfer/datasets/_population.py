"""Stars: where they are in the Kiel diagram and what they are made of."""

import numpy as np

from specxfer.datasets._atoms import ELEMENTS, HEAVY, atoms

__all__ = ["N_NORMAL", "N_UNIFORM", "population", "shifted"]

#: Random numbers that one star takes: fixed, so that switches change nothing else.
N_NORMAL = 16 + len(ELEMENTS)
N_UNIFORM = 8

S_SCATTER, R_SCATTER, OWN_SCATTER = 0.12, 0.12, 0.04  # dex
S_RICH, R_RICH = 0.03, 0.03  # shares of stars strongly enhanced in either

#: Labels beside [X/Fe] that can be changed on their own: spectra follow from them.
SHIFTABLE = ("teff", "logg", "fe_h", "vmic", "vmac", "s_process", "r_process")

VELOCITY_SPREAD = 40.0  # km/s, along the line of sight

# How [X/Fe] of light elements follows [α/Fe] (first) and [Fe/H] (second), with the
# scatter of their own (third), dex.
TRENDS = {
    "C": (0.35, -0.05, 0.06),
    "N": (0.00, 0.10, 0.08),
    "O": (1.20, 0.00, 0.04),
    "Na": (0.30, 0.05, 0.06),
    "Mg": (1.00, 0.00, 0.02),
    "Al": (0.70, 0.00, 0.05),
    "Si": (0.75, 0.00, 0.02),
    "S": (0.75, 0.00, 0.03),
    "K": (0.50, 0.00, 0.04),
    "Ca": (0.60, 0.00, 0.02),
    "Sc": (0.30, 0.00, 0.05),
    "Ti": (0.75, 0.00, 0.02),
    "V": (0.25, 0.00, 0.05),
    "Cr": (0.00, 0.00, 0.02),
    "Mn": (-0.40, 0.20, 0.04),
    "Co": (0.20, 0.00, 0.04),
    "Ni": (0.05, 0.02, 0.015),
    "Cu": (-0.20, 0.15, 0.06),
}

DREDGED_UP = {"C": -0.12, "N": 0.25}  # CN-cycled gas on the surface of giants


def population(normal, uniform, *, giant_fraction=0.5, heavy_scatter=True):
    """Labels of stars from their random numbers.

    Parameters
    ----------
    normal : ndarray of shape (n, N_NORMAL)
    uniform : ndarray of shape (n, N_UNIFORM)
    giant_fraction : float, default=0.5
    heavy_scatter : bool, default=True
        Whether the s- and r-process abundances vary from star to star beyond what
        [Fe/H] and [α/Fe] say. Without, every heavy element is a function of the two.

    Returns
    -------
    dict of str to ndarray of shape (n,)
        ``giant``, ``teff`` (K), ``logg``, ``fe_h``, ``alpha_fe``, ``vmic``, ``vmac``
        and ``velocity`` (km/s), ``s_process``, ``r_process`` (dex), and [X/Fe] of all
        elements but H and Fe as ``ba_fe`` ….
    """
    z, u = iter(normal.T), iter(uniform.T)
    giant = next(u) < giant_fraction
    fe_h, alpha = _composition(next(u), next(z), next(z))
    evolution, clump, age = next(u), next(u), next(u)
    jitter, width = next(z), next(z)
    cool, bright = _giant_branch(evolution, clump < 0.3, fe_h, jitter)
    warm, faint = _main_sequence(evolution, age, fe_h, jitter)
    teff, logg = np.where(giant, cool, warm), np.where(giant, bright, faint)
    vmic = np.where(giant, 1.95 - 0.2 * logg, 0.9 + 2.2e-4 * np.maximum(teff - 4800, 0))
    vmac = np.where(giant, 3.0, 1.2 + 1.6e-3 * np.maximum(teff - 5000, 0))
    labels = {
        "giant": giant,
        "teff": teff,
        "logg": logg,
        "fe_h": fe_h,
        "alpha_fe": alpha,
        "vmic": vmic * np.exp(0.08 * next(z)),
        "vmac": vmac * np.exp(0.2 * width),
        "velocity": VELOCITY_SPREAD * next(z),
    }
    s, r = 0.02 + 0 * alpha, 0.7 * alpha  # the r-process goes with α in the mean
    s_z, r_z, rich, excess = next(z), next(z), next(u), next(u)
    if heavy_scatter:
        s_rich, r_rich = rich < S_RICH, rich > 1 - R_RICH
        s = s + S_SCATTER * s_z + s_rich * (0.4 + 0.6 * excess)
        r = r + R_SCATTER * r_z + r_rich * (0.3 + 0.5 * excess)
    labels["s_process"], labels["r_process"] = s, r
    own = dict(zip(ELEMENTS, normal[:, -len(ELEMENTS) :].T, strict=True))
    for element, (per_alpha, per_fe, scatter) in TRENDS.items():
        x_fe = per_alpha * alpha + per_fe * fe_h + scatter * own[element]
        labels[f"{element.lower()}_fe"] = x_fe + giant * DREDGED_UP.get(element, 0.0)
    labels["li_fe"] = _lithium(giant, teff, own["Li"]) - fe_h
    for element in HEAVY:
        own_scatter = OWN_SCATTER * heavy_scatter
        x_fe = _captured(element, s, r) + own_scatter * own[element]
        labels[f"{element.lower()}_fe"] = x_fe
    return labels


def shifted(labels, shift):
    """The same stars with some labels changed, and all else as it was.

    Parameters
    ----------
    labels : dict of str to ndarray of shape (n,)
        From `population`.
    shift : dict of str to float
        What is added to Teff, log g, [Fe/H], vmic, vmac or [X/Fe]; of ``s_process``
        and ``r_process`` the heavy elements follow as they are made of both.

    Returns
    -------
    dict of str to ndarray of shape (n,)

    Raises
    ------
    ValueError
        If a label does not exist or nothing would follow from it.
    """
    elements = [f"{e.lower()}_fe" for e in ELEMENTS if f"{e.lower()}_fe" in labels]
    known = [*SHIFTABLE, *elements]
    unknown = [name for name in shift if name not in known]
    if unknown:
        raise ValueError(f"shift names {unknown}; expected some of {known}.")
    new = dict(labels)
    for name, step in shift.items():
        if not np.isfinite(step):
            raise ValueError(f"shift of {name} is {step}; expected a finite number.")
        new[name] = new[name] + step
    if {"s_process", "r_process"} & set(shift):
        for element in HEAVY:
            before, after = (
                _captured(element, of["s_process"], of["r_process"])
                for of in (labels, new)
            )
            name = f"{element.lower()}_fe"
            new[name] = new[name] + (after - before)
    return new


def _captured(element, s, r):
    """[X/Fe] of a heavy element made in both processes."""
    share = atoms()["s_fraction"][ELEMENTS.index(element)]
    return np.log10(share * 10**s + (1 - share) * 10**r)


def _composition(u, z_fe, z_alpha):
    """[Fe/H] and [α/Fe] of the thin disc, with a fifth of the stars thick disc."""
    thick = u < 0.2
    fe_h = np.where(thick, -0.5 + 0.3 * z_fe, -0.08 + 0.22 * z_fe)
    fe_h = np.clip(fe_h, -1.5, 0.4)
    mean = np.where(
        thick, 0.27 - 0.12 * np.maximum(fe_h + 0.6, 0), 0.04 - 0.1 * np.minimum(fe_h, 0)
    )
    return fe_h, mean + 0.03 * z_alpha


def _giant_branch(u, clump, fe_h, jitter):
    """Teff and logg on the red giant branch, a third of the stars in the clump."""
    logg = np.where(clump, 2.42 + 0.08 * jitter, 3.5 - 2.3 * u**1.3)
    teff = 4800 + 330 * (logg - 2.5) - 320 * fe_h + 40 * jitter
    teff = np.where(clump, 4780 - 300 * fe_h + 50 * jitter, teff)
    return np.clip(teff, 3900, 5300), logg


def _main_sequence(u, age, fe_h, jitter):
    """Teff and logg of dwarfs, the warm ones on their way to the turn-off."""
    teff = 4700 + 1800 * u + 30 * jitter
    zero_age = 4.62 - 1.1e-4 * (teff - 4700) + 0.03 * fe_h
    leave = np.clip((teff - 5300) / 1000, 0, 1)
    return teff, zero_age - 0.45 * leave * age


def _lithium(giant, teff, z):
    """[Li/H]: depleted in giants and cool dwarfs, scattered, tied to nothing else."""
    mean = np.where(giant, 0.7, np.interp(teff, [4800, 5800, 6400], [0.4, 1.7, 2.5]))
    return mean + 0.5 * z - atoms()["abundance"][ELEMENTS.index("Li")]
