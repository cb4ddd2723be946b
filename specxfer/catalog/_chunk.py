"""One chunk of a catalogue: read, translated, and what is said of its stars."""

from dataclasses import dataclass

import numpy as np
from astropy import units as u
from astropy.table import QTable

from specxfer._compositions import predict_at, predict_std, support, translate
from specxfer.lines import each_window, window_names
from specxfer.metrics import equivalent_width

__all__ = ["Plan", "Result"]


@dataclass
class Result:
    """What a chunk comes to.

    Parameters
    ----------
    arrays : dict of str to ndarray
        ``flux`` and, if asked for, ``std`` and ``support``: a row a star.
    table : QTable
        A row a star.
    """

    arrays: dict
    table: QTable


@dataclass
class Plan:
    """The model, and what is wanted of every star.

    Parameters
    ----------
    model : estimator
    std, support : bool
    lines : Line, (lo, hi) or list of these, or None
    abundances : AbundanceRegressor or None
    resolution : float or ndarray or None
    """

    model: object
    std: bool = True
    support: bool = True
    lines: object = None
    abundances: object = None
    resolution: object = None

    def result(self, loaded, rows):
        """Translate the stars of a chunk.

        Parameters
        ----------
        loaded : Loaded
        rows : slice
            Where in the catalogue they are.

        Returns
        -------
        Result
        """
        arrays, widths = self.arrays(loaded, rows)
        table = QTable({"id": names_of(loaded, rows)})
        if self.support:
            distance = arrays.get("support", np.full(loaded.n, np.nan))
            table["support"] = distance
            table["supported"] = distance <= 1
        for i, name in enumerate(self._columns()):
            for j, start in enumerate(("ew", "e_ew")):
                values = None if widths is None else widths[j][:, i]
                table[f"{start}_{name}"] = spread(loaded, values) * u.mAA
        if self.abundances is not None:
            self._add_abundances(table, loaded)
        if loaded.may_miss:
            table["problem"] = [loaded.problems.get(i, "") for i in range(loaded.n)]
        return Result(arrays, table)

    def arrays(self, loaded, rows):
        """Arrays by name, and the lines' equivalent widths with their errors.

        Parameters
        ----------
        loaded : Loaded
        rows : slice or ndarray of int
            Where in the catalogue they are.

        Returns
        -------
        arrays : dict of str to ndarray
            A row a star; none if no star could be read.
        widths : tuple of ndarray of shape (n_read, n_lines), or None
        """
        X, power = loaded.spectra, self.resolution
        widths = std = distance = None
        if X is None:
            return {}, widths
        if np.ndim(power):
            power = power[rows][loaded.at]
        if self.lines is not None:
            found = translate(self.model, X, resolution=power)
            widths = equivalent_width(found, self.lines)
            flux, distance = found.flux, np.asarray(found.meta["support"])
            if self.std:
                std = np.sqrt(found.covariance.variance()).astype(flux.dtype)
                std[~np.isfinite(flux)] = np.nan
        elif self.std:
            flux, std = predict_std(self.model, X, resolution=power)
        elif power is None:
            flux = self.model.predict(X)
        else:
            flux = predict_at(self.model, X, power)
        arrays = {"flux": flux}
        if self.std:
            arrays["std"] = std
        if self.support:
            arrays["support"] = support(self.model, X) if distance is None else distance
        arrays = {name: spread(loaded, values) for name, values in arrays.items()}
        return arrays, widths

    def _columns(self):
        if self.lines is None:
            return []
        names = window_names(each_window(self.lines))
        return [
            "".join(c if c.isalnum() or c in ".-" else "_" for c in n) for n in names
        ]

    def _add_abundances(self, table, loaded):
        """The columns of `predict_table` beside the others."""
        found = None
        if loaded.spectra is not None:
            found = self.abundances.predict_table(loaded.spectra)
        for element in self.abundances.elements:
            name = f"{element.lower()}_fe"
            for each in (name, f"e_{name}"):
                values = None if found is None else found[each].value
                table[each] = spread(loaded, values) * u.dex
            informed = np.zeros(loaded.n, bool)
            if found is not None:
                informed[loaded.at] = found[f"{name}_informed"]
            table[f"{name}_informed"] = informed


def spread(loaded, values):
    """Values of the stars that could be read; NaN for the others."""
    if values is None:
        return np.full(loaded.n, np.nan)
    if len(values) == loaded.n:
        return values
    full = np.full((loaded.n, *values.shape[1:]), np.nan, values.dtype)
    full[loaded.at] = values
    return full


def _column_name(line):
    """A line's name without blanks."""
    return "".join(c if c.isalnum() or c in ".-" else "_" for c in line)


def names_of(loaded, rows):
    """Ids of the stars; the number of the row where there is none."""
    names = [str(i) for i in range(rows.start, rows.start + loaded.n)]
    X = loaded.spectra
    if X is not None and X.ids is not None:
        for i, star in zip(loaded.at, X.ids.tolist()):
            names[i] = str(star)
    return np.array(names)
