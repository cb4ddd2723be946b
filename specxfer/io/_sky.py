"""Positions on the sky: moved to one epoch, and matched."""

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord, search_around_sky
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

__all__ = ["components", "join", "near", "positions", "same_epoch", "separations"]


def positions(ra, dec):
    """Unit-sphere coordinates of rows (degrees); only of rows that have them."""
    return SkyCoord(ra * u.deg, dec * u.deg)


def same_epoch(source, target):
    """Positions of two catalogues at one epoch, as far as that is known.

    The catalogue that has proper motions is moved to the epoch of the other: the
    source's stars if both have them. Great circles, no parallax.

    Parameters
    ----------
    source, target : SurveyTable

    Returns
    -------
    source, target : tuple of ndarray of shape (n,)
        Right ascension and declination in degrees; NaN where there is none.
    remark : str
        What could not be done; "" if nothing.
    """
    both = [(t.numbers("ra"), t.numbers("dec")) for t in (source, target)]
    epochs = [t.epoch() for t in (source, target)]
    common = [_one_epoch(epoch) for epoch in epochs]
    moving = [("pmra" in t.columns and "pmdec" in t.columns) for t in (source, target)]
    if None in common:
        return *both, "an epoch is unknown: positions are compared as they are"
    mover = 0 if moving[0] else 1
    if common[0] == common[1] and all(len(np.unique(e)) < 2 for e in epochs):
        return *both, ""
    if not any(moving):
        return *both, (
            f"positions of {common[0]:g} and {common[1]:g}, and no proper motions: "
            "fast stars are missed"
        )
    table, other = (source, target)[mover], common[1 - mover]
    pm = table.numbers("pmra"), table.numbers("pmdec")
    both[mover] = _moved(*both[mover], *pm, other - epochs[mover])
    still = int((np.isfinite(both[mover][0]) & ~np.isfinite(pm[0] + pm[1])).sum())
    remark = f"{still} rows of {table.label} have no proper motion" if still else ""
    return *both, remark


def _one_epoch(epoch):
    """The epoch most rows are of; None if it is unknown."""
    known = epoch[np.isfinite(epoch)]
    if not len(known):
        return None
    values, counts = np.unique(known, return_counts=True)
    return float(values[counts.argmax()])


def _moved(ra, dec, pmra, pmdec, years):
    """Positions after so many years; those without proper motion stay."""
    ra, dec = ra.copy(), dec.copy()
    go = np.isfinite(ra + dec + pmra + pmdec + years)
    path = np.hypot(pmra[go], pmdec[go]) * years[go] * u.mas
    towards = np.arctan2(pmra[go], pmdec[go]) * u.rad
    new = positions(ra[go], dec[go]).directional_offset_by(towards, path)
    ra[go], dec[go] = new.ra.deg, new.dec.deg
    return ra, dec


def separations(source, target, i, j):
    """Arcseconds between rows i of one and j of the other; NaN where unknown."""
    found = np.full(len(i), np.nan)
    known = (
        np.isfinite(source[0] + source[1])[i] & np.isfinite(target[0] + target[1])[j]
    )
    a = positions(source[0][i[known]], source[1][i[known]])
    b = positions(target[0][j[known]], target[1][j[known]])
    found[known] = a.separation(b).arcsec
    return found


def near(source, target, radius):
    """All pairs of positions within `radius` arcseconds: i, j."""
    rows = [np.flatnonzero(np.isfinite(ra + dec)) for ra, dec in (source, target)]
    if min(map(len, rows)) == 0:
        return np.zeros(0, int), np.zeros(0, int)
    a, b = (positions(p[0][r], p[1][r]) for p, r in zip((source, target), rows))
    i, j, _, _ = search_around_sky(a, b, radius * u.arcsec)
    return rows[0][i], rows[1][j]


def components(n, *edges):
    """A number for each of n things, the same for those that edges tie together.

    Parameters
    ----------
    n : int
    *edges : tuple of ndarray of int
        Pairs of things: (i, j).
    """
    i = np.concatenate([e[0] for e in edges] or [np.zeros(0, int)])
    j = np.concatenate([e[1] for e in edges] or [np.zeros(0, int)])
    graph = coo_array((np.ones(len(i), bool), (i, j)), shape=(n, n))
    return connected_components(graph, directed=False)[1]


def join(a, b):
    """All pairs of places at which two arrays hold the same: i, j."""
    order = np.argsort(b, kind="stable")
    lo, hi = (np.searchsorted(b[order], a, side) for side in ("left", "right"))
    count = hi - lo
    i = np.repeat(np.arange(len(a)), count)
    start = np.repeat(lo - np.r_[0, np.cumsum(count)[:-1]] if len(a) else lo, count)
    return i, order[start + np.arange(len(i))]
