"""`attribution`: which source pixels drive a target line."""

from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.table import QTable

from specxfer._compositions import translator_of
from specxfer.base import Translator
from specxfer.lines import load_lines, window_names
from specxfer.metrics._equivalent_width import window_widths
from specxfer.metrics._sums import UncoveredError
from specxfer.spectra import Spectra, as_spectra
from specxfer.validation._per_star import checked_lines

__all__ = ["Attribution", "attribution"]

BLOCK = 2**23  # pixels of perturbed spectra held at a time
NEAR = 2.0  # Å within which a line of the table is named


@dataclass(frozen=True)
class Attribution:
    """Which source pixels drive which target lines: what `attribution` finds.

    Parameters
    ----------
    gradient : ndarray of shape (n_spectra, n_lines, n_pixels_in)
        Change of the predicted equivalent width with the source flux, mÅ per unit of
        the continuum; 0 at unknown pixels.
    contribution : ndarray of shape (n_spectra, n_lines, n_pixels_in)
        The gradient times what the flux differs from `reference` by, mÅ.
    lines : list of str
        Names of the target lines.
    source : Spectra of shape (n_spectra, n_pixels_in)
        The spectra attributed.
    reference : ndarray of shape (n_pixels_in,)
        Flux that contributions are counted from.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer import Spectra
    >>> from specxfer.validation import Attribution
    >>> X = Spectra([[0.9, 0.7]], wave=[16380.9, 16383.0], medium="vacuum")
    >>> gradient = np.array([[[0.0, -100.0]]])
    >>> found = Attribution(gradient, gradient * -0.2, ["Ce II 4774"], X, np.ones(2))
    >>> found.top("Ce II 4774", 1)["pixel", "contribution"].pprint()
    pixel contribution
           mAngstrom
    ----- ------------
        1           20
    """

    gradient: np.ndarray
    contribution: np.ndarray
    lines: list
    source: Spectra
    reference: np.ndarray

    def top(self, line, n=10, *, apart=1.0, by="contribution"):
        """The source pixels that drive a line most, and the lines they may be.

        Parameters
        ----------
        line : str or Line
            One of `lines`.
        n : int, default=10
            How many, at most.
        apart : float, default=1.0
            Å (pixels, where there are no wavelengths) between any two: of the pixels
            of one source line the strongest stands for all.
        by : {"contribution", "gradient"}, default="contribution"
            What to rank by, root mean square over the spectra: what makes these
            stars differ from the reference, or what a change of flux would do.

        Returns
        -------
        QTable
            ``pixel``; ``wave``; ``gradient``, the mean over spectra (mÅ);
            ``contribution``, its root mean square (mÅ); ``nearest``, the bundled line
            of APOGEE within 2 Å, if any, and its ``distance``.
        """
        name = line if isinstance(line, str) else line.name
        if name not in self.lines:
            raise ValueError(f"line {name!r} is none of {self.lines}.")
        if by not in ("contribution", "gradient"):
            raise ValueError(f'by is {by!r}; expected "contribution" or "gradient".')
        k = self.lines.index(name)
        rms = np.sqrt(np.mean(getattr(self, by)[:, k] ** 2, axis=0))
        pixels = self._strongest(rms, n, apart)
        contribution = self.contribution[:, k, pixels]
        table = QTable({"pixel": pixels})
        if self.source.wave is not None:
            table["wave"] = self.source.wave[pixels] * u.AA
        table["gradient"] = self.gradient[:, k, pixels].mean(axis=0) * u.mAA
        table["contribution"] = np.sqrt((contribution**2).mean(axis=0)) * u.mAA
        if self.source.wave is not None:
            known = [
                (line.to_medium(self.source.medium).wave, line.name)
                for line in load_lines("apogee", measurable=False)
            ]
            near = [_nearest(wave, known) for wave in self.source.wave[pixels]]
            table["nearest"] = [name for name, _ in near]
            table["distance"] = np.array([gap for _, gap in near]) * u.AA
            table["wave"].info.format = table["distance"].info.format = ".2f"
        for column in ("gradient", "contribution"):
            table[column].info.format = ".3g"
        return table

    def _strongest(self, value, n, apart):
        wave = self.source.wave
        at = np.arange(len(value)) if wave is None else wave
        left, found = value > 0, []
        while left.any() and len(found) < n:
            pixel = int(np.where(left, value, -1).argmax())
            found.append(pixel)
            left &= np.abs(at - at[pixel]) >= apart
        return np.array(found, dtype=int)


def attribution(model, X, lines, *, reference=None, step=0.01, target=None):
    """Which pixels of the source spectrum drive predicted lines.

    A translator that has learnt barium from its sisters in the s-process listens to
    the Ce II and Nd II lines; one that guesses it from iron listens to iron.

    Parameters
    ----------
    model : estimator
        A fitted translator, or any composition around one, or any fitted regressor.
    X : Spectra or array-like of shape (n_spectra, n_pixels_in)
        Some source spectra; the result has one value for each of their pixels and
        each line, so give tens, not thousands.
    lines : Line, (lo, hi) in Å, or list of these
        The windows in the target.
    reference : array-like of shape (n_pixels_in,), optional
        Flux that contributions are counted from. By default the mean training source
        (``mean_`` of the translator) or, where the model keeps none, the mean of X.
    step : float, default=0.01
        Change of the flux, in units of the continuum, for gradients by differences.
    target : Spectra, optional
        Any spectra on the target grid, for a model that does not know its own.

    Returns
    -------
    Attribution

    Raises
    ------
    ValueError
        If the target grid is not known, or the model does not predict a line.

    Notes
    -----
    `specxfer.linear.PCARidge` knows its gradients. All else is differentiated by
    central differences, pixel by pixel, which is exact up to rounding for models that
    are linear or quadratic in the flux, and takes two predictions per pixel and
    spectrum. In a Pipeline the gradient is by the flux that enters it.

    For a translator that is linear in the flux the contributions add up to what the
    predicted equivalent width of the star differs from that of the reference by, seen
    with the star's noise and masks. Elsewhere they are the first order of it.

    Neighbouring pixels share a line, and lines of an element vary together: a large
    gradient says that the model listens, not that it must. `leakage_test` tells what is
    lost without.

    Examples
    --------
    >>> from specxfer.datasets import make_paired_spectra
    >>> from specxfer.linear import PCARidge
    >>> from specxfer.lines import load_lines
    >>> from specxfer.validation import attribution
    >>> X, y, _ = make_paired_spectra(400, size="small", giant_fraction=1,
    ...                               random_state=0)
    >>> model = PCARidge(20).fit(X, y)
    >>> found = attribution(model, X[:10], load_lines("galah", names="Ce II 4774"))
    >>> found.top("Ce II 4774", 2, by="gradient")["nearest"].tolist()
    ['Ce II 15785', 'Ce II 16376']
    """
    lines = checked_lines(lines)
    while hasattr(model, "best_estimator_"):
        model = model.best_estimator_
    source = as_spectra(X).load()
    weights = -_widths(model, target, lines)
    known = isinstance(model, Translator) and model._gradient_block is not None
    if known:
        source = model._check_source(X, reset=False).load()
        unseen = (weights != 0).any(axis=1) & ~model.seen_
        _check_predicted(~weights[unseen].any(axis=0), lines)
        parts = [
            model._gradient_block(block, weights)
            for _, block in source.iter_blocks(_rows(source, lines))
        ]
    else:
        if not step > 0:
            raise ValueError(f"step is {step!r}; expected more than 0.")
        plain = not isinstance(X, Spectra)
        predict = _Widths(model, weights, plain)
        _check_predicted(np.isfinite(predict(source[:1])).all(axis=0), lines)
        parts = [_by_differences(predict, row, step) for row in source]
    gradient = np.concatenate(parts)
    reference = _checked_reference(reference, model if known else None, source)
    away = np.where(source.valid(), source.flux, np.nan) - reference
    away = np.where(np.isfinite(away), away, 0)
    contribution = gradient * away[:, None]
    return Attribution(gradient, contribution, window_names(lines), source, reference)


def _widths(model, target, lines):
    """How much of each window lies in each target pixel, mÅ."""
    if target is None:
        try:
            translator, _ = translator_of(model, None, "attribution", transform=False)
        except TypeError:
            translator = None
        wave = getattr(translator, "wave_out_", None)
        if wave is None:
            raise ValueError(
                "the model does not know the wavelengths that it predicts: give "
                "target=, any Spectra on the target grid."
            )
        target = Spectra(
            np.empty((0, len(wave))), wave=wave, medium=translator.medium_out_,
            chip=getattr(translator, "chip_out_", None),
        )  # fmt: skip
    return window_widths(lines, target)[0]


class _Widths:
    """Predicts equivalent widths (less a constant) from source spectra."""

    def __init__(self, model, weights, plain):
        self.model, self.plain = model, plain
        self.used = weights.any(axis=1)
        self.weights = weights[self.used]

    def __call__(self, X):
        flux = np.asarray(self.model.predict(X.flux if self.plain else X))
        if flux.shape[1] != len(self.used):
            raise ValueError(
                f"the model predicts {flux.shape[1]} pixels and target has "
                f"{len(self.used)}: give spectra on the grid that it was fitted to."
            )
        return flux[:, self.used].astype(float) @ self.weights


def _by_differences(predict, X, step):
    """Gradients of one spectrum, (1, n_windows, n_pixels), by central differences."""
    known = np.flatnonzero(X.valid()[0])
    gradient = np.zeros((1, predict.weights.shape[1], X.shape[1]))
    size = max(1, BLOCK // (2 * X.shape[1]))
    for start in range(0, len(known), size):
        pixels = known[start : start + size]
        m = len(pixels)
        flux = np.repeat(X.flux, 2 * m, axis=0)
        flux[np.arange(m), pixels] += flux.dtype.type(step)
        flux[m + np.arange(m), pixels] -= flux.dtype.type(step)
        moved = flux[np.arange(m), pixels].astype(float)
        moved -= flux[m + np.arange(m), pixels]
        both = predict(X[np.zeros(2 * m, dtype=int)].replace(flux=flux))
        gradient[0, :, pixels] = (both[:m] - both[m:]) / moved[:, None]
    return gradient


def _rows(source, lines):
    return max(1, BLOCK // (len(lines) * source.shape[1]))


def _checked_reference(reference, translator, source):
    if reference is None:
        reference = getattr(translator, "mean_", None)
    if reference is None:
        count = source.valid().sum(axis=0)
        total = np.where(source.valid(), source.flux, 0).sum(axis=0, dtype=float)
        return np.divide(total, count, where=count > 0, out=np.full(len(count), np.nan))
    reference = np.asarray(reference, dtype=float)
    if reference.shape != (source.shape[1],):
        raise ValueError(
            f"reference has shape {reference.shape}; expected the flux of one source "
            f"spectrum, ({source.shape[1]},)."
        )
    return reference


def _check_predicted(predicted, lines):
    if not predicted.all():
        lost = [name for name, p in zip(window_names(lines), predicted) if not p]
        raise UncoveredError(
            f"the model does not predict all pixels of {lost}: leave these lines out."
        )


def _nearest(wave, known):
    """Name and distance of the nearest line, if it is near."""
    gap, name = min((abs(wave - at), name) for at, name in known)
    return (name, gap) if gap <= NEAR else ("", np.nan)
