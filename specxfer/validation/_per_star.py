"""What the tests keep of every prediction: sums per star and window, in each domain."""

import warnings
from dataclasses import dataclass, field
from typing import NamedTuple

import astropy.units as u
import numpy as np
from astropy.table import QTable
from sklearn.utils import check_random_state

from specxfer._compositions import predict_like
from specxfer._stars import star_codes
from specxfer.lines import as_windows, each_window, window_names
from specxfer.metrics._compare import _checked_domains
from specxfer.metrics._sums import known_truth, squared_sums
from specxfer.spectra import Spectra

DIGITS = {"flux": ".4f", "ew": ".2f"}


@dataclass
class SquaredErrors:
    """A judge: squared errors of each spectrum over each window, noise taken off.

    Parameters
    ----------
    lines : list of Line or (lo, hi)
    options : dict
        What `squared_sums` takes besides.
    maskers : dict of str to transformer
        Fitted; further predictions are judged, from spectra that each has changed.
    """

    lines: list
    options: dict
    maskers: dict = field(default_factory=dict)

    def __call__(self, model, X, y):
        known_truth(y, self.options["noise"])
        found = self._errors("", model, X, y)
        for name, masker in self.maskers.items():
            found |= self._errors(f"{name}_", model, masker.transform(X), y)
        return found

    def _errors(self, prefix, model, X, y):
        predicted = predict_like(model, X, y)
        known = np.isfinite(predicted).any(axis=1)
        sums = np.full((2, len(y), len(self.lines)), np.nan)
        sums[:, known] = squared_sums(
            y[known], predicted[known], self.lines, **self.options
        )
        return {f"{prefix}top": sums[0], f"{prefix}bottom": sums[1]}


class Domain(NamedTuple):
    """Sums over the spectra of each star of a domain, each (n_stars, n_windows)."""

    name: str
    top: dict  # of each model
    bottom: np.ndarray


def by_domain(tops, bottom, domains, stars):
    """Sum over each star's spectra, domain by domain.

    Spectra that no fold tests are left out, and those that one of the models cannot
    predict, such as a star whose labels the null lacks: what is compared must be the
    same.

    Parameters
    ----------
    tops : dict of str to ndarray of shape (n, n_windows)
        Of each model; NaN in rows that it did not predict.
    bottom : ndarray of shape (n, n_windows)
    domains : dict of str to ndarray of bool of shape (n,)
    stars : ndarray of int of shape (n,)

    Returns
    -------
    list of Domain
    """
    known = {name: np.isfinite(top).all(axis=1) for name, top in tops.items()}
    both = np.all([*known.values()], axis=0)
    lost = np.any([*known.values()], axis=0) & ~both
    if lost.any():
        by = {name: int((lost & ~of).sum()) for name, of in known.items()}
        warnings.warn(
            f"{int(lost.sum())} of {len(both)} spectra are left out, because not "
            f"every model predicts them (lacking: {by}).",
            UserWarning,
            stacklevel=3,
        )
    found = []
    for name, mask in domains.items():
        mask = mask & both
        if not mask.any():
            raise ValueError(
                f"no spectrum of domain {name!r} was tested: leave it out of domains=, "
                "or check cv=."
            )
        of = np.unique(stars[mask], return_inverse=True)[1]
        sums = {model: over_stars(top[mask], of) for model, top in tops.items()}
        found.append(Domain(name, sums, over_stars(bottom[mask], of)))
    return found


def over_stars(values, stars):
    """Sums over the rows of each star, (n_stars, n_windows)."""
    sums = np.zeros((int(stars.max()) + 1, values.shape[1]))
    np.add.at(sums, stars, values)
    return sums


def checked_lines(lines):
    """The windows as a list; an error now rather than after the fits."""
    as_windows(lines)
    names = window_names(lines)
    repeated = {name for name in names if names.count(name) > 1}
    if repeated:
        raise ValueError(f"lines name {sorted(repeated)} more than once.")
    return each_window(lines)


def checked_pairs(X, y, domains, groups):
    """The domains and the star of each row; y must be Spectra."""
    if not isinstance(y, Spectra):
        raise ValueError(
            "y is a plain array, and lines are in Å: give Spectra(flux, ivar, wave=…, "
            "medium=…)."
        )
    found = _checked_domains(domains, y)
    if domains is None and set(found) == {"all"} and isinstance(X, Spectra):
        found = _checked_domains(None, X)
    if not isinstance(domains, dict):  # the rule's domains may be empty, not the user's
        found = {name: mask for name, mask in found.items() if mask.any()}
    return found, star_codes(X, y, groups, len(y))


def seeds(random_state, n):
    """An independent generator for each domain."""
    seed = check_random_state(random_state).randint(np.iinfo(np.int32).max)
    return [np.random.default_rng([seed, i]) for i in range(n)]


def as_table(rows, lines, quantity, meta):
    """A QTable in the order of the lines, with units and formats."""
    order = {name: i for i, name in enumerate(window_names(lines))}
    rows = sorted(rows, key=lambda row: order[row["line"]])  # stable
    table = QTable(rows)
    for name in table.colnames:
        if name.startswith("rms"):
            if quantity == "ew":
                table[name] = table[name] * u.mAA
            table[name].info.format = DIGITS[quantity]
        elif name in ("p", "q"):
            table[name].info.format = ".4f"
        elif table[name].dtype.kind == "f":
            table[name].info.format = ".2f"
    table.meta = {"quantity": quantity, **meta}
    return table


def fill(rows, **columns):
    """Give each row its value of each column."""
    for name, values in columns.items():
        for row, value in zip(rows, values):
            row[name] = value.item()
