"""Models side by side, line by line, and the difference between two."""

import numpy as np
from astropy.table import Table

from specxfer._checks import known_labels
from specxfer._stars import star_codes
from specxfer.lines import window_names
from specxfer.metrics._continuum import checked_prediction
from specxfer.metrics._errors import signed_root
from specxfer.metrics._sums import (
    Sums,
    UncoveredError,
    known_truth,
    mean_over_stars,
    squared_sums,
)
from specxfer.spectra import Spectra

__all__ = ["giants_and_dwarfs", "line_table", "paired_difference"]

_FORMATS = {"flux": (".4f", ".2e"), "ew": (".2f", ".3g")}


def line_table(
    y_true,
    predictions,
    lines=None,
    *,
    quantity="flux",
    domains=None,
    reference=None,
    noise="subtract",
    noise_correlation=0.0,
    error_floor=None,
    continuum_degree=None,
    confidence=0.95,
    groups=None,
    wave=None,
    medium=None,
    ivar=None,
):
    """Error of several models at each line, for giants and dwarfs apart.

    Parameters
    ----------
    y_true : Spectra or array of shape (n, p)
        Observed flux.
    predictions : dict of str to array of shape (n, p)
        Predicted flux of each model.
    lines : Line, (lo, hi) in Å, or list of these, optional
        The windows; None for the row "all" alone, over the pixels that every model
        predicts.
    quantity : {"flux", "ew"}, default="flux"
        Error of the flux in the window, or of the equivalent width in mÅ.
    domains : dict of str to bool array of shape (n,), or Table, optional
        The rows of each domain, or labels to tell giants from dwarfs by. By default
        the labels of y_true, where it has them; else all spectra as one.
    reference : str, optional
        The model that the others are compared with; by default the first.
    noise, error_floor, continuum_degree, wave, medium, ivar
        As in `mse`. The floor is 0.01 for the flux and 5 mÅ for equivalent widths.
    noise_correlation : float, default=0
        As in `equivalent_width`: what is taken off the errors of equivalent widths
        depends on it.
    confidence : float, default=0.95
        Of the intervals.
    groups : array-like of shape (n,), optional
        The star of each row; by default the ids of y_true.

    Returns
    -------
    Table
        A row for each line and domain; for the flux also rows "all", over all
        pixels, if every model predicts them. Columns ``line``, ``domain``,
        ``n_stars``; for each model its rms error (signed root of the
        noise-corrected mean square) as ``model``, ``model_lo``, ``model_hi``; for
        each model but the reference the paired difference of mean squares, model −
        reference, as ``d_model``, ``d_model_lo``, ``d_model_hi``. A model is worse
        than the reference where ``d_model_lo`` > 0.

    Raises
    ------
    ValueError
        As in `mse`.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer.metrics import line_table
    >>> rng = np.random.default_rng(0)
    >>> truth = 1 - 0.1 * rng.random((50, 40))
    >>> models = {"good": truth + 0.01, "poor": truth + 0.02}
    >>> wave = np.arange(5000.0, 5040)
    >>> table = line_table(truth, models, [(5003, 5009)], noise="none", wave=wave,
    ...                    medium="air")
    >>> print(table["line", "n_stars", "good", "poor", "d_poor"])
          line      n_stars  good   poor   d_poor
    --------------- ------- ------ ------ --------
                all      50 0.0100 0.0200 3.00e-04
    5003.00-5009.00      50 0.0100 0.0200 3.00e-04
    """
    y = known_truth(y_true, noise, wave, medium, ivar)
    reference = _checked_reference(predictions, reference)
    options = {
        "quantity": quantity,
        "noise": noise,
        "noise_correlation": noise_correlation,
        "error_floor": error_floor,
        "continuum_degree": continuum_degree,
    }
    sums = _sums_of_each(y, predictions, lines, options)
    names = ["all"] if lines is None else window_names(lines)
    if lines is not None and quantity == "flux":
        over_all = _over_all(y, predictions, options)
        if over_all is not None:
            names = ["all", *names]
            sums = {m: _side_by_side(over_all[m], sums[m]) for m in sums}
    stars = star_codes(y, groups=groups)
    rows_of = _checked_domains(domains, y)
    rows = []
    for domain, mask in rows_of.items():
        rows += _domain_rows(domain, mask, sums, names, stars, reference, confidence)
    rows.sort(key=lambda row: names.index(row["line"]))  # stable: domains in order
    return _formatted(Table(rows), quantity, reference)


def paired_difference(
    y_true,
    pred_a,
    pred_b,
    lines=None,
    *,
    quantity="flux",
    confidence=0.95,
    groups=None,
    wave=None,
    medium=None,
    ivar=None,
    error_floor=None,
    continuum_degree=None,
):
    """Mean squared error of one model minus that of another, over the same stars.

    The noise of the observed spectra is the same in both and cancels, so that no
    ivar is needed, and most of the scatter from star to star cancels too.

    Parameters
    ----------
    y_true : Spectra or array of shape (n, p)
        Observed flux.
    pred_a, pred_b : Spectra or array of shape (n, p)
        Predicted flux of the two models.
    lines : Line, (lo, hi) in Å, or list of these, optional
        The windows; None takes all pixels that both predict as one window.
    quantity : {"flux", "ew"}, default="flux"
        Error of the flux, or of equivalent widths in mÅ.
    confidence : float, default=0.95
        Of the t interval over stars.
    groups : array-like of shape (n,), optional
        The star of each row; by default the ids of y_true.
    wave, medium, ivar, error_floor, continuum_degree
        As in `mse`; ivar serves the weights alone.

    Returns
    -------
    Table
        Columns ``line``, ``difference``, ``lo``, ``hi``, ``n_stars``; negative where
        `pred_a` is better.

    Raises
    ------
    ValueError
        As in `mse`, but for the noise.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer.metrics import paired_difference
    >>> rng = np.random.default_rng(0)
    >>> observed = 1 + 0.05 * rng.standard_normal((400, 100))
    >>> found = paired_difference(observed, np.full((400, 100), 1.01),
    ...                           np.full((400, 100), 1.02))
    >>> bool(found["lo"][0] < 0.01**2 - 0.02**2 < found["hi"][0] < 0)
    True
    """
    y = known_truth(y_true, "none", wave, medium, ivar)
    options = {"quantity": quantity, "error_floor": error_floor}
    options["continuum_degree"] = continuum_degree
    options["noise"] = "subtract" if y.has_noise else "none"
    a, b = _sums_of_each(y, {"a": pred_a, "b": pred_b}, lines, options).values()
    found = mean_over_stars(
        Sums(a.top - b.top, a.bottom), star_codes(y, groups=groups), confidence
    )
    names = ["all"] if lines is None else window_names(lines)
    table = Table(
        [names, found.mean, found.lo, found.hi, found.n_stars],
        names=["line", "difference", "lo", "hi", "n_stars"],
    )
    for name in ("difference", "lo", "hi"):
        table[name].format = _FORMATS[quantity][1]
    return table


def giants_and_dwarfs(labels):
    """Giants and dwarfs, by the rule of GALAH: Teff < 5500 K and logg < 3.5.

    Parameters
    ----------
    labels : Spectra or Table
        With columns teff and logg (upper or lower case), or a bool column giant.

    Returns
    -------
    dict of str to ndarray of bool
        "giant" and "dwarf". A star with an unknown label (NaN, masked, or −999 and
        below) is in neither.

    Raises
    ------
    ValueError
        If the columns are missing.

    References
    ----------
    Buder, S. et al. 2021, MNRAS 506, 150.

    Examples
    --------
    >>> from astropy.table import Table
    >>> from specxfer.metrics import giants_and_dwarfs
    >>> giants_and_dwarfs(Table({"teff": [4800, 5800], "logg": [2.4, 4.4]}))["giant"]
    array([ True, False])
    """
    table = labels.meta if isinstance(labels, Spectra) else labels
    columns = {} if table is None else {c.lower(): table[c] for c in table.colnames}
    if "giant" in columns:
        known = ~np.ma.getmaskarray(np.ma.asarray(columns["giant"]))
        giant = np.asarray(columns["giant"], dtype=bool)
        return {"giant": giant & known, "dwarf": ~giant & known}
    if not {"teff", "logg"} <= set(columns):
        raise ValueError(
            "no labels to tell giants from dwarfs by: expected columns teff and logg, "
            f"or giant; seen {sorted(columns)}. Give domains={{name: mask}} instead."
        )
    teff, logg = (known_labels(columns[name]) for name in ("teff", "logg"))
    giant = (teff < 5500) & (logg < 3.5)
    return {"giant": giant, "dwarf": ~giant & np.isfinite(teff) & np.isfinite(logg)}


def _checked_domains(domains, y):
    if domains is None:
        try:
            return giants_and_dwarfs(y)
        except ValueError:
            return {"all": np.ones(len(y), dtype=bool)}
    if isinstance(domains, Table):
        domains = giants_and_dwarfs(domains)
    masks = {name: np.asarray(mask) for name, mask in domains.items()}
    for name, mask in masks.items():
        if mask.shape != (len(y),) or mask.dtype != bool:
            raise ValueError(
                f"domain {name!r} has shape {mask.shape} and dtype {mask.dtype}; "
                f"expected a bool for each of the {len(y)} rows."
            )
    return masks


def _checked_reference(predictions, reference):
    if not predictions:
        raise ValueError("no predictions: give {model name: predicted flux}.")
    reference = next(iter(predictions)) if reference is None else reference
    if reference not in predictions:
        raise ValueError(
            f"reference {reference!r} is none of the models {list(predictions)}."
        )
    return reference


def _sums_of_each(y, predictions, lines, options):
    """Sums of each model; over all pixels, of those that every model predicts."""
    predictions = {m: checked_prediction(y, p) for m, p in predictions.items()}
    sums = {}
    for model, predicted in predictions.items():
        beside = [p for m, p in predictions.items() if m != model and lines is None]
        sums[model] = squared_sums(y, predicted, lines, beside=beside, **options)
    return sums


def _over_all(y, predictions, options):
    """Sums over all pixels, or None where a model leaves some out."""
    try:
        return _sums_of_each(y, predictions, None, options)
    except UncoveredError:
        return None


def _side_by_side(a, b):
    return Sums(np.hstack([a.top, b.top]), np.hstack([a.bottom, b.bottom]))


def _domain_rows(domain, mask, sums, names, stars, reference, confidence):
    """One table row for each window."""
    stars = np.unique(stars[mask], return_inverse=True)[1]
    sums = {model: Sums(s.top[mask], s.bottom[mask]) for model, s in sums.items()}
    base = sums[reference]
    rows = [{"line": name, "domain": domain} for name in names]
    _fill(rows, "n_stars", mean_over_stars(base, stars).n_stars)
    for model, s in sums.items():
        found = mean_over_stars(s, stars, confidence)
        _fill(rows, model, signed_root(found.mean))
        _fill(rows, f"{model}_lo", signed_root(found.lo))
        _fill(rows, f"{model}_hi", signed_root(found.hi))
    for model, s in sums.items():
        if model != reference:
            found = mean_over_stars(
                Sums(s.top - base.top, base.bottom), stars, confidence
            )
            _fill(rows, f"d_{model}", found.mean)
            _fill(rows, f"d_{model}_lo", found.lo)
            _fill(rows, f"d_{model}_hi", found.hi)
    return rows


def _fill(rows, column, values):
    for row, value in zip(rows, values):
        row[column] = value.item()


def _formatted(table, quantity, reference):
    for name in table.colnames[3:]:
        table[name].format = _FORMATS[quantity][name.startswith("d_")]
    table.meta = {
        "quantity": quantity,
        "unit": "flux / continuum" if quantity == "flux" else "mÅ",
        "reference": reference,
    }
    return table
