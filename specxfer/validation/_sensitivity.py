"""How errors grow with what surveys do differently: velocity, resolution, continuum."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from astropy import units as u
from astropy.table import QTable, Table, vstack
from numpy.polynomial.legendre import legval
from tqdm import tqdm

from specxfer._compositions import predict_like
from specxfer.continuum import chip_pixels, scaled
from specxfer.lines import as_windows, window_names, window_pixels
from specxfer.metrics import line_table, slope_table
from specxfer.metrics._continuum import continuum_factor
from specxfer.metrics._sums import known_truth
from specxfer.preprocessing._augment import sharpened
from specxfer.spectra import as_spectra
from specxfer.velocity import remove_velocity

__all__ = [
    "attenuation_curve",
    "continuum_sensitivity",
    "resolution_sensitivity",
    "velocity_sensitivity",
]

BLOCK_ROWS = 256
MARGIN = 0.3  # Å beside a window, so that its edge pixels keep their widths
SIDES = ("source", "target")


def velocity_sensitivity(
    model,
    X,
    y,
    lines,
    shifts=(-1.6, -0.8, -0.4, -0.2, 0.0, 0.2, 0.4, 0.8, 1.6),
    *,
    side="source",
    verbose=0,
    **options,
):
    """Errors as a function of an error in radial velocity.

    Parameters
    ----------
    model : estimator
        A fitted translator or any fitted regressor; X and y are to be stars that it
        has not seen.
    X : Spectra of shape (n, n_pixels_in)
    y : Spectra of shape (n, n_pixels_out)
        Observed, with ivar, or the truth with ``noise="none"``.
    lines : Line, (lo, hi) in Å, or list of these
    shifts : sequence of float, in km/s
        Redshifts that are given to the spectra, one after the other.
    side : {"source", "target"}, default="source"
        Whether the source spectra are shifted before they are translated, or the
        translated ones before they are compared: an error of the velocity that the
        source survey, or the target survey, measured.
    verbose : int, default=0
        Above 0: shows a progress bar.
    **options
        Of `specxfer.metrics.line_table`: ``domains``, ``noise``, ``error_floor``,
        ``continuum_degree``, ``confidence``, ``groups``.

    Returns
    -------
    QTable
        A row for each line, domain and shift. Columns ``shift`` (km/s), ``rms`` of the
        flux and ``ew_rms`` of equivalent widths (mÅ), noise-corrected, with ``_lo``
        and ``_hi``; ``d_mse``, the mean squared error less that of the spectra as
        they are, paired over stars; and the slopes ``predicted_on_truth`` and
        ``observed_on_predicted`` of `specxfer.metrics.slope_table`.

    See Also
    --------
    specxfer.compose.Augmented : Trains translators to bear such errors.

    Examples
    --------
    >>> from specxfer.datasets import make_paired_spectra
    >>> from specxfer.linear import PCARidge
    >>> from specxfer.lines import load_lines
    >>> from specxfer.validation import velocity_sensitivity
    >>> X, y, _ = make_paired_spectra(200, size="small", random_state=0)
    >>> model = PCARidge(10).fit(X[:150], y[:150])
    >>> found = velocity_sensitivity(
    ...     model, X[150:], y[150:], load_lines("galah", names="Ba II 6497"), [0, 5],
    ...     domains={"all": X.ids[150:] > ""},
    ... )
    >>> found["line", "shift"].pprint()
       line     shift
                km / s
    ---------- ------
    Ba II 6497    0.0
    Ba II 6497    5.0
    """
    _check_side(side)

    def moved(spectra, velocity):
        return remove_velocity(spectra, np.full(len(spectra), -velocity))

    shifts = [float(shift) for shift in shifts]
    changes = {0.0: _Change(None, None)}
    for shift in shifts:
        if shift:
            changes[shift] = _on(side, lambda s, by=shift: moved(s, by))
    return _table(
        model, X, y, lines, changes, shifts, "shift", u.km / u.s, verbose, options
    )


def resolution_sensitivity(
    model,
    X,
    y,
    lines,
    changes=(-0.1, -0.05, -0.02, 0.0, 0.02, 0.05, 0.1),
    *,
    side="source",
    resolving_power=None,
    verbose=0,
    **options,
):
    """Errors as a function of an error in the resolving power.

    Parameters
    ----------
    model : estimator
        As in `velocity_sensitivity`.
    X : Spectra of shape (n, n_pixels_in)
        With its `resolution`, unless `resolving_power` is given.
    y : Spectra of shape (n, n_pixels_out)
    lines : Line, (lo, hi) in Å, or list of these
    changes : sequence of float
        Relative: 0.05 makes spectra 5% sharper than they are said to be.
    side : {"source", "target"}, default="source"
        Whether source spectra are changed, or translated ones.
    resolving_power : float, optional
        λ/FWHM of spectra that do not carry their own.
    verbose : int, default=0
        Above 0: shows a progress bar.
    **options
        As in `velocity_sensitivity`.

    Returns
    -------
    QTable
        As that of `velocity_sensitivity`, with a column ``change``.

    Notes
    -----
    To first order in the change, a multiple of the second derivative of the flux, which
    brings a line as wide as the line-spread function to the depth that it would have
    (as `specxfer.preprocessing.augment` does it). Equivalent widths hardly change.

    Examples
    --------
    >>> from specxfer.datasets import make_paired_spectra
    >>> from specxfer.linear import PCARidge
    >>> from specxfer.lines import load_lines
    >>> from specxfer.validation import resolution_sensitivity
    >>> X, y, _ = make_paired_spectra(200, size="small", random_state=0)
    >>> model = PCARidge(10).fit(X[:150], y[:150])
    >>> found = resolution_sensitivity(
    ...     model, X[150:], y[150:], load_lines("galah", names="Ba II 6497"), [0, 0.2],
    ...     side="target", domains={"all": X.ids[150:] > ""},
    ... )
    >>> bool(found["rms"][1] > found["rms"][0])
    True
    """
    _check_side(side)

    wanted = [float(change) for change in changes]
    changed = {0.0: _Change(None, None)}
    for by in wanted:
        if by:
            changed[by] = _on(side, lambda s, by=by: sharpened(s, by, resolving_power))
    return _table(model, X, y, lines, changed, wanted, "change", None, verbose, options)


def continuum_sensitivity(
    model,
    X,
    y,
    lines,
    amplitudes=(-0.02, -0.01, -0.005, 0.0, 0.005, 0.01, 0.02),
    *,
    degree=1,
    side="source",
    verbose=0,
    **options,
):
    """Errors as a function of an error in the continuum, a low polynomial per chip.

    Parameters
    ----------
    model : estimator
        As in `velocity_sensitivity`.
    X : Spectra of shape (n, n_pixels_in)
    y : Spectra of shape (n, n_pixels_out)
    lines : Line, (lo, hi) in Å, or list of these
    amplitudes : sequence of float
        The flux of every chip is multiplied by ``1 + amplitude P(t)``, P the Legendre
        polynomial of `degree` and t from −1 to 1 along the chip.
    degree : int, default=1
        0 is one factor for all.
    side : {"source", "target"}, default="source"
        Whether source spectra are changed, or translated ones before they are
        compared. With ``continuum_degree=`` among the options, `degree` or more, the
        comparison takes the latter off again.
    verbose : int, default=0
        Above 0: shows a progress bar.
    **options
        As in `velocity_sensitivity`.

    Returns
    -------
    QTable
        As that of `velocity_sensitivity`, with a column ``amplitude``.

    Examples
    --------
    >>> from specxfer.datasets import make_paired_spectra
    >>> from specxfer.linear import PCARidge
    >>> from specxfer.lines import load_lines
    >>> from specxfer.validation import continuum_sensitivity
    >>> X, y, _ = make_paired_spectra(200, size="small", random_state=0)
    >>> model = PCARidge(10).fit(X[:150], y[:150])
    >>> found = continuum_sensitivity(
    ...     model, X[150:], y[150:], load_lines("galah", names="Ba II 6497"), [0, 0.1],
    ...     degree=0, side="target", domains={"all": X.ids[150:] > ""},
    ... )
    >>> bool(found["rms"][1] > found["rms"][0])
    True
    """
    _check_side(side)

    def tilted(spectra, amplitude):
        factor = np.ones(spectra.shape[1])
        for pixels in chip_pixels(spectra.chip):
            along = scaled(spectra.wave, pixels) if len(pixels) > 1 else np.zeros(1)
            factor[pixels] += amplitude * legval(along, [0] * degree + [1])
        factor = factor.astype(spectra.dtype)
        ivar = spectra.ivar / factor**2 if spectra.has_noise else None
        return spectra.replace(flux=spectra.flux * factor, ivar=ivar, covariance=None)

    wanted = [float(amplitude) for amplitude in amplitudes]
    changes = {0.0: _Change(None, None)}
    for by in wanted:
        if by:
            changes[by] = _on(side, lambda s, by=by: tilted(s, by))
    return _table(
        model, X, y, lines, changes, wanted, "amplitude", None, verbose, options
    )


def attenuation_curve(
    model,
    X,
    y,
    lines,
    snr=(20, 30, 50, 100, 200),
    *,
    random_state=0,
    verbose=0,
    **options,
):
    """Slopes and errors as a function of the source's signal-to-noise ratio.

    Noise of the source compresses what the best predictor says of a line, and a model
    that does not know the noise is compressed too little or too much: see
    `specxfer.metrics.slope_table` for the two slopes.

    Parameters
    ----------
    model : estimator
        As in `velocity_sensitivity`.
    X : Spectra of shape (n, n_pixels_in)
        With ivar: white noise is added until the median signal-to-noise ratio of a
        spectrum is that asked for. A spectrum that is below it already is left out
        there.
    y : Spectra of shape (n, n_pixels_out)
    lines : Line, (lo, hi) in Å, or list of these
    snr : sequence of float
        Per pixel. Infinity is the spectra as they are.
    random_state : int, default=0
        Draws the noise, the same at every ratio but for its size.
    verbose : int, default=0
        Above 0: shows a progress bar.
    **options
        As in `velocity_sensitivity`.

    Returns
    -------
    QTable
        As that of `velocity_sensitivity`, with a column ``snr`` and without
        ``d_mse``: the stars are not the same in every row.

    Raises
    ------
    ValueError
        If X has no ivar, or no spectrum is as good as is asked for.

    Notes
    -----
    Survey spectra come in bins of their own: ``slope_table(..., snr=)`` compares those
    of different stars.

    Examples
    --------
    >>> from specxfer.datasets import make_paired_spectra
    >>> from specxfer.linear import PCARidge
    >>> from specxfer.lines import load_lines
    >>> from specxfer.validation import attenuation_curve
    >>> X, y, _ = make_paired_spectra(200, size="small", random_state=0)
    >>> model = PCARidge(10).fit(X[:150], y[:150])
    >>> found = attenuation_curve(
    ...     model, X[150:], y[150:], load_lines("galah", names="Ba II 6497"), [10, 50],
    ...     domains={"all": X.ids[150:] > ""},
    ... )
    >>> bool(found["rms"][0] > found["rms"][1])
    True
    """
    X = as_spectra(X)
    if not X.has_noise:
        raise ValueError(
            "X has no ivar, so its signal-to-noise ratio is unknown: give Spectra with "
            "ivar."
        )
    has = _median_snr(X)
    noise = _Noise(has, random_state)
    domains = options.pop("domains", None)
    tables = []
    for level in tqdm(snr, "S/N", disable=not verbose):
        rows = np.flatnonzero(has >= level if np.isfinite(level) else has > 0)
        if not len(rows):
            raise ValueError(
                f"no spectrum of X has a signal-to-noise ratio of {level}; the best "
                f"has {has.max():.0f}: ask for less."
            )
        change = _Change(None, None)
        if np.isfinite(level):
            change = _Change(noise.down_to(level, rows), None)
        table = _table(
            model,
            X[rows],
            y[rows],
            lines,
            {float(level): change},
            [float(level)],
            "snr",
            None,
            0,
            {**options, "domains": _rows_of(domains, rows)},
        )
        tables.append(table)
    return _in_order(vstack(tables), lines)


# ------------------------------------------------------------------------ the work
class _Change(NamedTuple):
    """What is done to a block: to the source before, to the prediction after."""

    source: Callable | None
    target: Callable | None


class _Noise:
    """White noise that brings spectra down to a signal-to-noise ratio."""

    def __init__(self, has, random_state):
        self.has, self.seed = has, random_state

    def down_to(self, snr, rows):
        """A change of blocks of these rows, which come in order."""
        at = {"row": 0}

        def noisier(block):
            mine = rows[at["row"] : at["row"] + len(block)]
            at["row"] += len(block)
            sigma = np.sqrt(1 / snr**2 - 1 / self.has[mine] ** 2)
            draws = np.stack(
                [
                    np.random.default_rng([self.seed, row]).standard_normal(
                        block.shape[1], dtype="f4"
                    )
                    for row in mine
                ]
            )
            sigma = sigma[:, None].astype(block.dtype)
            ivar = block.weights()
            return block.replace(
                flux=block.flux + sigma * draws,
                ivar=ivar / (1 + ivar * sigma**2),
                covariance=None,
            )

        return noisier


def _median_snr(X):
    """Median of flux × ivar^½ of each spectrum; 0 where nothing is known."""
    snr = np.zeros(len(X))
    for rows, block in X.iter_blocks(BLOCK_ROWS):
        good = block.valid()
        values = np.where(good, block.flux * np.sqrt(block.weights()), np.nan)
        some = good.any(axis=1)
        snr[np.arange(rows.start, rows.stop)[some]] = np.nanmedian(values[some], axis=1)
    return snr


def _on(side, change):
    return _Change(change, None) if side == "source" else _Change(None, change)


def _check_side(side):
    if side not in SIDES:
        raise ValueError(f'side is {side!r}; expected "source" or "target".')


def _table(model, X, y, lines, changes, wanted, name, unit, verbose, options):
    """Errors at the lines under each change, as a QTable."""
    options = dict(options)
    noise = options.get("noise", "subtract")
    degree = options.pop("continuum_degree", None)
    y = known_truth(y, noise)
    X = as_spectra(X)
    if len(X) != len(y):
        raise ValueError(
            f"X has {len(X)} spectra and y {len(y)}: give the same stars in the same "
            "order."
        )
    part, predicted = _predictions(model, X, y, lines, changes, degree, verbose)
    as_they_are = 0.0 if 0.0 in changes else next(iter(changes))
    named = {f"{value:g}": flux for value, flux in predicted.items()}
    reference = f"{as_they_are:g}"
    slopes_options = {k: v for k, v in options.items() if k != "error_floor"}
    errors = line_table(part, named, lines, reference=reference, **options)
    errors = errors[errors["line"] != "all"]
    slopes = slope_table(part, named, lines, **slopes_options)
    tables = []
    for value in wanted:
        of = f"{value:g}"
        rows = QTable({"line": errors["line"], "domain": errors["domain"]})
        here = np.full(len(errors), value)
        rows[name] = here if unit is None else here * unit
        rows["n_stars"] = errors["n_stars"]
        for end in ("", "_lo", "_hi"):
            rows[f"rms{end}"] = np.asarray(errors[f"{of}{end}"])
        if len(wanted) > 1:
            for end in ("", "_lo", "_hi"):
                same = of == reference
                difference = 0.0 if same else np.asarray(errors[f"d_{of}{end}"])
                rows[f"d_mse{end}"] = np.broadcast_to(difference, len(rows)).copy()
        own = slopes[slopes["model"] == of]
        own = own[own.colnames[own.colnames.index("n_stars") + 1 :]]
        for column in own.colnames:
            values = np.asarray(own[column])
            if column.startswith("rms"):
                rows[f"ew_{column}"] = values * u.Unit("mAngstrom")
            else:
                rows[column] = values
        tables.append(rows)
    table = vstack(tables)
    for column in table.colnames:
        if column.startswith("rms"):
            table[column].info.format = ".4f"
        elif column.startswith("d_mse"):
            table[column].info.format = ".2e"
        elif column.startswith("ew_") or "_on_" in column:
            table[column].info.format = ".2f"
    return _in_order(table, lines)


def _predictions(model, X, y, lines, changes, degree, verbose):
    """The surroundings of the windows in y, and predictions of them, (n, n_cols)."""
    around = as_windows(lines, y.medium) + np.array([-MARGIN, MARGIN])
    cols = np.flatnonzero(window_pixels(around, y.wave, y.medium))
    predicted = {value: np.empty((len(y), len(cols)), y.dtype) for value in changes}
    progress = tqdm(total=len(y), disable=not verbose, unit="star")
    for rows, block in y.iter_blocks(BLOCK_ROWS):
        source = X[rows].load()
        for value, change in changes.items():
            changed = source if change.source is None else change.source(source)
            flux = np.asarray(predict_like(model, changed, block)).reshape(block.shape)
            if change.target is not None:
                as_if = block.replace(flux=flux, ivar=None, covariance=None)
                flux = change.target(as_if).flux
            if degree is not None:
                flux = flux * continuum_factor(block, flux, degree)
            predicted[value][rows] = flux[:, cols]
        progress.update(len(block))
    progress.close()
    return y[:, cols].load(), predicted


def _rows_of(domains, rows):
    if domains is None:
        return None
    if isinstance(domains, Table):
        return domains[rows]
    return {name: np.asarray(mask)[rows] for name, mask in domains.items()}


def _in_order(table, lines):
    """By line and domain, what was changed in the order asked for."""
    order = {name: i for i, name in enumerate(window_names(lines))}
    domains = list(dict.fromkeys(table["domain"]))
    keys = [(order[row["line"]], domains.index(row["domain"])) for row in table]
    return table[sorted(range(len(table)), key=lambda i: keys[i])]
