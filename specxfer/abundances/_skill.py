"""Is an abundance better than what stellar parameters say of it?"""

import numpy as np
from astropy import units as u
from astropy.table import QTable

from specxfer.metrics import signed_root
from specxfer.validation._statistics import (
    benjamini_hochberg,
    bootstrap_skill,
    sign_flip_p,
)

N_FLIPS, N_BOOTSTRAP, CONFIDENCE = 9999, 2000, 0.95


def skill_table(judged, alpha, seed):
    """Errors of each element and domain beside those of its null.

    Parameters
    ----------
    judged : list of tuple
        Element, domain, data with `error` and `stars`, and the errors (n,) of stars
        left out: with the spectrum, and of the null.
    alpha : float
        False discovery rate.
    seed : int

    Returns
    -------
    QTable
    """
    rows = []
    for i, (element, domain, data, error, of_null) in enumerate(judged):
        rng = np.random.default_rng([seed, i])
        variance = 0.0 if data.error is None else data.error**2
        weight = np.ones(len(error)) if data.error is None else 1 / variance
        tops = np.stack([weight * (e**2 - variance) for e in (error, of_null)], axis=1)
        sums = np.zeros((data.stars.max() + 1, 3))
        np.add.at(sums, data.stars, np.column_stack([tops, weight]))
        mse, mse_null = sums[:, :2].sum(axis=0) / sums[:, 2].sum()
        skill, lo, hi = bootstrap_skill(
            sums[:, :1], sums[:, 1:2], N_BOOTSTRAP, CONFIDENCE, rng
        )
        gain = sums[:, 1:2] - sums[:, :1]
        rows.append(
            {
                "element": element,
                "domain": domain,
                "n_stars": len(sums),
                "rms": float(signed_root(mse)),
                "rms_null": float(signed_root(mse_null)),
                "skill": float(skill[0]),
                "skill_lo": float(lo[0]),
                "skill_hi": float(hi[0]),
                "p": float(sign_flip_p(gain, N_FLIPS, rng)[0]),
            }
        )
    table = QTable(rows)
    table["q"] = benjamini_hochberg(table["p"])
    table["informed"] = (table["q"] <= alpha) & (table["skill"] > 0)
    for name in ("rms", "rms_null"):
        table[name] = table[name] * u.dex
        table[name].info.format = ".3f"
    for name in ("skill", "skill_lo", "skill_hi"):
        table[name].info.format = ".2f"
    for name in ("p", "q"):
        table[name].info.format = ".4f"
    return table


def as_columns(table):
    """A table as plain arrays, with the unit and format of each.

    Parameters
    ----------
    table : QTable

    Returns
    -------
    list of (str, ndarray, str or None, str or None)
    """
    return [
        (
            name,
            np.asarray(column),
            str(column.unit) if isinstance(column, u.Quantity) else None,
            column.info.format,
        )
        for name, column in table.items()
    ]


def as_table(columns):
    """The table that `as_columns` took apart.

    Parameters
    ----------
    columns : list of (str, ndarray, str or None, str or None)

    Returns
    -------
    QTable
    """
    table = QTable()
    for name, values, unit, form in columns:
        table[name] = values if unit is None else u.Quantity(values, unit)
        table[name].info.format = form
    return table
