"""Where a table has abundances, their errors and their flags."""

import numpy as np

from specxfer._checks import known_labels
from specxfer.spectra import Spectra

__all__ = ["abundances_of", "columns_of"]


def columns_of(names, *spectra):
    """Columns of the first `meta` that has each, as floats; NaN where masked or −999.

    Parameters
    ----------
    names : sequence of str
        Upper and lower case are the same.
    *spectra : Spectra
        Row-aligned; looked through in this order.

    Returns
    -------
    ndarray of shape (n, n_names)

    Raises
    ------
    ValueError
        If no `meta` has one of them.
    """
    found = [_column(name, spectra) for name in names]
    missing = [name for name, column in zip(names, found) if column is None]
    if missing:
        raise ValueError(f"no meta has {missing}; seen are {_seen(spectra)}.")
    return np.column_stack(found) if found else np.zeros((len(spectra[0]), 0))


def abundances_of(element, spectra, label_error):
    """[X/Fe] of one element, dex, and its error; NaN where flagged or unknown.

    The columns are ``ba_fe``, ``e_ba_fe`` and ``flag_ba_fe`` for barium, in upper or
    lower case, as those of GALAH. A flag other than 0 makes a label unknown, and so
    does an error that is not above 0.

    Parameters
    ----------
    element : str
    spectra : sequence of Spectra
        Looked through in this order.
    label_error : float or None
        dex; where there is no column of errors.

    Returns
    -------
    x_fe : ndarray of shape (n,)
    error : ndarray of shape (n,) or None
        None where errors are not known.
    """
    name = f"{element.lower()}_fe"
    for each in spectra:  # error and flag are those of the table that has the label
        x_fe = _column(name, [each])
        if x_fe is not None:
            break
    else:
        raise ValueError(
            f"no abundances of {element}: looked for a column {name} in the meta of y "
            f"and of X, which have {_seen(spectra)}."
        )
    flag, error = (_column(f"{kind}_{name}", [each]) for kind in ("flag", "e"))
    unknown = np.zeros(len(x_fe), bool) if flag is None else ~(flag == 0)
    if error is None and label_error is not None:
        error = np.full(len(x_fe), float(label_error))
    if error is not None:
        unknown |= ~(np.isfinite(error) & (error > 0))
        error = np.where(unknown, np.nan, error)
    return np.where(unknown, np.nan, x_fe), error


def _column(name, spectra):
    for each in spectra:
        if not isinstance(each, Spectra) or each.meta is None:
            continue
        found = [c for c in each.meta.colnames if c.lower() == name.lower()]
        if len(found) > 1:
            raise ValueError(
                f"meta has {found}, which differ in nothing but case: keep one of them."
            )
        if found:
            return known_labels(each.meta[found[0]])
    return None


def _seen(spectra):
    return sorted(
        {
            column
            for each in spectra
            if isinstance(each, Spectra) and each.meta is not None
            for column in each.meta.colnames
        }
    )
