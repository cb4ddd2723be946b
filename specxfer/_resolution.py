"""Spectra of one resolving power, as they look at another."""

from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
from scipy.sparse import csr_array

from specxfer._checks import checked_resolution
from specxfer._lsf import BOXINESS, lsf_transform, lsf_variance
from specxfer.resampling import _waves, pixel_edges, pixel_steps

__all__ = ["ResolutionChange"]

N_NODES = 5
LSF_SHAPE = "lsf_boxiness"  # column of `meta`
MOST_ENTRIES = 2**25  # of the matrices that are kept
SEGMENT = 0.5  # of the relative change of the LSF's variance, for one set of nodes
SHARPEST = 1.25  # times the reference: beyond it errors exceed 1e-3 of a line's depth
SILENT = 0.003  # what a line-spread function transmits where sharpening ends
FAINT = 0.03  # a frequency of which less is left is not to be divided by


@dataclass(frozen=True)
class ResolutionChange:
    r"""How noise-free spectra change with the resolving power.

    The spectrum at R has a line-spread function of the same shape as at the reference
    :math:`R_0`, and :math:`1 + \delta = (R_0/R)^2` times its variance. The change is
    linear in the spectrum, and known: nothing about it needs to be learnt.

    Parameters
    ----------
    wave : ndarray of shape (n_pixels,)
        Å.
    chip : ndarray of int of shape (n_pixels,)
        The chip of each pixel, counted from 0 without holes.
    seen : ndarray of bool of shape (n_pixels,)
        Pixels whose flux is known; the nearest of them stands for one that is not.
    reference : ndarray of shape (n_chips,)
        Resolving power at which the spectra are, on each chip; NaN if it is unknown,
        and then nothing changes there.
    boxiness : ndarray of shape (n_chips,), optional
        Exponent B of the line-spread function
        :math:`\exp(-\ln 2\,|2x/\mathrm{FWHM}|^B)` on each chip; by default 2, a
        Gaussian.
    range : (float, float), default=(-0.05, 0.05)
        Where 96% of the values of δ were that were seen, or this if that is less.

    Notes
    -----
    A spectrum may be sharpened (:math:`\delta < 0`) because it is a prediction, free
    of noise, at frequencies that its line-spread function still transmits. Where that
    leaves less than 0.3% of the amplitude the gain stays what it is there. In Fourier
    space the change is the ratio of the two line-spread functions, and where the one
    at the reference is below 0.03, as around the zeros of a boxy profile, it goes over
    to the Gaussian with the difference of the variances.

    Between nodes in :math:`\delta` spectra are interpolated by polynomials (Chebyshev
    nodes, five for each step of 0.5), to within 2e-5 of the depth of an unresolved
    line, so that a few sparse matrices serve spectra of any number of resolving powers.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer._resolution import ResolutionChange
    >>> wave = np.arange(4990.0, 5010.0, 0.04)
    >>> def line(R):
    ...     sigma = 5000 / R / 2.3548
    ...     return 1 - 0.02 / sigma * np.exp(-0.5 * ((wave - 5000) / sigma) ** 2)
    >>> change = ResolutionChange(wave, np.zeros(500, int), wave > 0, [25_000.0])
    >>> sharper = change.apply(line(25_000)[None], [[28_000.0]])
    >>> bool(np.abs(sharper - line(28_000)).max() < 2e-3)
    True
    """

    wave: np.ndarray
    chip: np.ndarray
    seen: np.ndarray
    reference: np.ndarray
    boxiness: np.ndarray | None = None
    range: tuple = (-0.05, 0.05)
    _cache: dict = field(default_factory=dict, repr=False, compare=False)

    def __getstate__(self):
        return {**self.__dict__, "_cache": {}}  # matrices are made again

    @staticmethod
    def of(y, sample_weight, seen):
        """The change from the typical resolving power of target spectra.

        Parameters
        ----------
        y : Spectra of shape (n, n_pixels)
            Where its `meta` has a column ``lsf_boxiness`` (as that of GALAH DR4), the
            line-spread functions are of that exponent.
        sample_weight : ndarray of shape (n,)
        seen : ndarray of bool of shape (n_pixels,)

        Returns
        -------
        ResolutionChange or None
            None where y does not carry its resolution, or has no wavelengths.
        """
        if y.wave is None or y.shape[1] < 2 or y.resolution is None:
            return None
        power = _by_chip(y.resolution, int(y.chip[-1]) + 1)
        known = np.isfinite(power)
        if not known.any():
            return None
        weight = known * sample_weight[:, None]
        boxiness = _boxiness(y, power.shape)
        shaped = weight * np.isfinite(boxiness)
        with np.errstate(invalid="ignore", divide="ignore"):
            usual = np.nansum(shaped * boxiness, axis=0) / shaped.sum(axis=0)
            usual = np.where(np.isnan(usual), 2.0, usual)
            alike = _alike(power, boxiness, usual)
            variance = np.nansum(weight / alike**2, axis=0)
            typical = np.sqrt(weight.sum(axis=0) / variance)
        typical = np.where(known.any(axis=0), typical, np.nan)
        change = ResolutionChange(y.wave, y.chip, seen, typical, usual)
        delta = change.delta(alike)
        # between bases far apart nothing in the middle would be interpolated well
        low, high = np.quantile(delta, [0.02, 0.98])
        return replace(change, range=(min(float(low), -0.05), max(float(high), 0.05)))

    def asked(self, resolution, n):
        """Resolving powers that are asked for, checked.

        Parameters
        ----------
        resolution : float or array-like of shape (n,) or (n, n_chips)
        n : int

        Returns
        -------
        ndarray of shape (n, n_chips)

        Raises
        ------
        ValueError
            If one is above `highest`, or on a chip where none is known.
        """
        power = _by_chip(checked_resolution(resolution, n, self.chip), self._n_chips)
        unknown = np.isnan(self.reference) & np.isfinite(power).any(axis=0)
        if unknown.any() and np.ndim(resolution) == 2:
            raise ValueError(
                f"resolution is given for chip(s) {np.flatnonzero(unknown)}, where "
                "that of no training target is known: give NaN there."
            )
        too_sharp = (power > self.highest).any(axis=0)
        if too_sharp.any():
            chip = int(np.flatnonzero(too_sharp)[0])
            raise ValueError(
                f"resolution is up to {np.nanmax(power[:, chip]):.0f} on chip {chip}; "
                f"expected {self.highest[chip]:.0f} (max_resolution_) at most: the "
                f"training targets have {self.reference[chip]:.0f} there, and what "
                "they cannot show is not invented. Ask for less."
            )
        return power

    def written(self, resolution, n):
        """The resolving powers at which spectra come out.

        Parameters
        ----------
        resolution : float, array-like of shape (n,) or (n, n_chips), or None
            What is asked for.
        n : int

        Returns
        -------
        ndarray of shape (n, n_chips)
        """
        usual = np.broadcast_to(self.reference, (n, self._n_chips))
        if resolution is None:
            return usual
        power = self.asked(resolution, n)
        return np.where(np.isnan(power) | np.isnan(usual), usual, power)

    def boxiness_written(self, n):
        """Exponents of the line-spread functions that spectra come out with.

        Parameters
        ----------
        n : int

        Returns
        -------
        ndarray of shape (n, n_chips) or None
            None where they are Gaussian, or were not known.
        """
        if (self._exponents == 2).all():
            return None
        return np.tile(self._exponents, (n, 1))

    def of_spectra(self, y):
        """At which resolving powers to predict what is to be compared with `y`.

        Parameters
        ----------
        y : Spectra of shape (n, n_pixels)

        Returns
        -------
        ndarray of shape (n, n_chips) or None
            None where y does not say; never above `highest`.
        """
        if getattr(y, "resolution", None) is None:
            return None
        power = np.minimum(self.alike(y), self.highest)
        return np.where(np.isnan(self.reference), np.nan, power)

    def alike(self, y):
        """Resolving powers of spectra, as if their LSF had the typical shape.

        Parameters
        ----------
        y : Spectra of shape (n, n_pixels)

        Returns
        -------
        ndarray of shape (n, n_chips)
        """
        power = _by_chip(y.resolution, self._n_chips)
        return _alike(power, _boxiness(y, power.shape), self._exponents)

    @property
    def _exponents(self):
        return np.full(self._n_chips, 2.0) if self.boxiness is None else self.boxiness

    @property
    def highest(self):
        """Resolving power above which nothing is written, (n_chips,)."""
        return SHARPEST * np.asarray(self.reference)

    @property
    def _n_chips(self):
        return len(self.reference)

    def delta(self, resolution):
        """Relative excess of the variance of the line-spread function.

        Parameters
        ----------
        resolution : ndarray of shape (n,) or (n, n_chips)
            Resolving powers; NaN is taken as the reference.

        Returns
        -------
        ndarray of shape (n, n_chips)
            ``(reference / resolution)**2 - 1``.
        """
        power = _by_chip(np.asarray(resolution, float), self._n_chips)
        delta = (np.asarray(self.reference) / power) ** 2 - 1
        return np.where(np.isfinite(delta), delta, 0.0)

    def apply(self, flux, resolution):
        """Spectra at the reference, as they look at other resolving powers.

        Parameters
        ----------
        flux : ndarray of shape (n, n_pixels)
            What is not `seen` is ignored.
        resolution : ndarray of shape (n,) or (n, n_chips)

        Returns
        -------
        ndarray of shape (n, n_pixels)
            In the dtype of `flux`. Rows at the reference do not change.
        """
        delta = self.delta(resolution)
        out = np.array(flux)
        values = np.where(self.seen, flux, 0)
        segment = np.floor(delta / SEGMENT).astype(int)
        for k in np.unique(segment):
            if not delta[segment == k].any():
                continue
            nodes = _chebyshev(k * SEGMENT, (k + 1) * SEGMENT)
            rows = (segment == k).any(axis=1)
            total = np.zeros((int(rows.sum()), flux.shape[1]))
            weights = _lagrange(delta[rows], nodes)
            for node, weight in zip(nodes, weights):
                total += weight[:, self.chip] * self.at(node, values[rows])
            here = (segment[rows] == k) & (delta[rows] != 0)
            out[rows] = np.where(here[:, self.chip] & self.seen, total, out[rows])
        return out

    def at(self, delta, flux):
        """Spectra at the reference with `delta` of its variance added, for all alike.

        Parameters
        ----------
        delta : float or ndarray of shape (n_chips,)
        flux : ndarray of shape (n, n_pixels)
            0 where not `seen`.

        Returns
        -------
        ndarray of shape (n, n_pixels)
        """
        key = tuple(np.atleast_1d(delta).tolist())
        operator = self._cache.get(key)
        if operator is None:
            operator = self._operator(np.asarray(delta, float))
            self._cache[key] = operator
            while sum(matrix.nnz for matrix in self._cache.values()) > MOST_ENTRIES:
                self._cache.pop(next(iter(self._cache)))
        return (operator @ flux.T).T

    def covariance(self, covariance, resolution, alike):
        """Covariance of errors that change as the spectra do.

        What is independent from pixel to pixel stays as it is: an upper limit at a
        lower resolving power.

        Parameters
        ----------
        covariance : LowRankCovariance of n spectra
            At the reference.
        resolution : ndarray of shape (n, n_chips)
        alike : bool
            Whether it is the same in all rows of the whole. If not, the bases at the
            two ends of `range` are mixed for each row.

        Returns
        -------
        LowRankCovariance
        """
        basis = np.where(self.seen, covariance.basis, 0)
        delta = self.delta(resolution)
        low, high = self.range
        if alike:
            return covariance.on(self.at(delta[0], basis)[None])
        share = np.clip((delta.mean(axis=1) - low) / (high - low), 0, 1)
        bases = [self.at(end, basis) for end in (low, high)]
        return covariance.on(np.stack(bases), np.column_stack([1 - share, share]))

    def nodes(self, resolution):
        """Nodes for spectra of these resolving powers, and the weights of each.

        Parameters
        ----------
        resolution : ndarray of shape (n,) or (n, n_chips)

        Returns
        -------
        nodes : ndarray of shape (n_nodes,)
            Values of δ.
        weights : ndarray of shape (n_nodes, n, n_chips)
            The spectra at R are the sum over nodes of weight times `at` the node.
        """
        delta = self.delta(resolution)
        nodes = _chebyshev(delta.min(), delta.max())
        return nodes, _lagrange(delta, nodes)

    def _operator(self, delta):
        """The change by `delta` as a sparse matrix, (n_pixels, n_pixels)."""
        lower, upper = pixel_edges(self.wave)
        step = np.log(upper / lower)
        fwhm = 1 / (np.asarray(self.reference, float)[self.chip] * step)  # pixels
        fwhm = np.where(np.isnan(fwhm), 0, fwhm)  # unknown: no change
        delta = np.broadcast_to(delta, np.shape(self.reference))
        reach = int(np.ceil(2.6 * fwhm.max() * max(1, np.sqrt(1 + delta.max())))) + 4
        offset = np.arange(-reach, reach + 1)
        responses = np.empty((len(self.wave), 2 * reach + 1))
        for number, (change, exponent) in enumerate(zip(delta, self._exponents)):
            on = self.chip == number
            responses[on] = _responses(fwhm[on], exponent, change, reach)
        kernels = responses @ _waves(reach)
        stand_in = self._stand_ins(offset)
        row = np.broadcast_to(np.arange(len(self.wave))[:, None], stand_in.shape)
        matrix = csr_array(
            (kernels.ravel(), (row.ravel(), stand_in.ravel())),
            shape=2 * (len(self.wave),),
        )
        matrix.sum_duplicates()
        return matrix

    def _stand_ins(self, offset):
        """Which pixel stands for each neighbour, (n_pixels, n_offsets).

        Beyond the end of a chip, or at a gap, the last pixel before it; for a pixel
        that is not seen, the nearest one that is.
        """
        n = len(self.wave)
        new_run = (np.diff(self.chip) != 0) | (pixel_steps(self.wave) > 1)
        first = np.concatenate([[0], np.flatnonzero(new_run) + 1])
        length = np.diff(np.append(first, n))
        column = np.arange(n)[:, None] + offset
        low, high = np.repeat(first, length), np.repeat(first + length - 1, length)
        column = np.clip(column, low[:, None], high[:, None])
        nearest = np.arange(n)
        for start, size in zip(first, length):
            run = np.arange(start, start + size)
            known = run[self.seen[run]]
            if 0 < len(known) < size:
                after = np.searchsorted(known, run).clip(1, max(len(known) - 1, 1))
                left, right = known[after - 1], known[np.minimum(after, len(known) - 1)]
                nearest[run] = np.where(run - left <= right - run, left, right)
        return nearest[column]


def _boxiness(y, shape):
    """Exponent of the line-spread function of each row and chip; NaN if unknown."""
    if y.meta is None or LSF_SHAPE not in y.meta.colnames:
        return np.full(shape, np.nan)
    exponent = np.ma.filled(np.ma.asarray(y.meta[LSF_SHAPE], float), np.nan)
    if exponent.shape[1:] not in ((), (1,), (shape[1],)):
        raise ValueError(
            f"meta[{LSF_SHAPE!r}] has {exponent.shape[1]} columns, the spectra have "
            f"{shape[1]} chip(s): give their resolution per chip, so that both follow "
            "when pixels are chosen, or remove the column."
        )
    exponent = _by_chip(exponent, shape[1])
    usable = (exponent >= BOXINESS[0]) & (exponent <= BOXINESS[1])
    return np.where(usable, exponent, np.nan)


def _alike(power, boxiness, usual):
    """Resolving powers as if profiles had the usual shape; unknown ones have it."""
    own = _narrowness(np.where(np.isnan(boxiness), usual, boxiness))
    return power * own / _narrowness(usual)


def _narrowness(boxiness):
    """Resolving power of the Gaussian that is most like a profile, over its own.

    Both transmit 1/e at the same frequency: what differs between stars whose profiles
    have different shapes is smallest so, two thirds of what equal variances leave.
    """
    exponents, frequencies = _folding()
    return np.interp(boxiness, exponents, frequencies) / np.interp(
        2.0, exponents, frequencies
    )


@lru_cache(maxsize=1)
def _folding():
    """Where profiles transmit 1/e, in radians per FWHM, for some exponents."""
    exponents = np.concatenate([np.arange(1.5, 4, 0.1), np.arange(4, 10.1, 0.5)])
    frequency = np.linspace(0, 8, 1601)
    return exponents, [
        np.interp(-np.exp(-1), -lsf_transform(frequency, b), frequency)
        for b in exponents
    ]


def _by_chip(resolution, n_chips):
    """Resolving powers of each spectrum and chip, (n, n_chips)."""
    if resolution.ndim == 1:
        resolution = resolution[:, None]
    return np.broadcast_to(resolution, (len(resolution), n_chips))


def _responses(fwhm, boxiness, delta, reach):
    """Fourier response of each pixel's kernel on a chip, (n_pixels, 2 reach + 1)."""
    taps = 2 * reach + 1
    omega = 2 * np.pi * np.arange(reach + 1) / taps * fwhm[:, None]  # rad per FWHM
    x = lsf_variance(boxiness) * omega**2  # a Gaussian would transmit exp(-x / 2)
    end = -2 * np.log(SILENT)
    held = x / (1 + (x / end) ** 4) ** 0.25 if delta < 0 else x
    gaussian = np.exp(-0.5 * delta * held)
    had = lsf_transform(omega, boxiness)
    wanted = lsf_transform(omega * np.sqrt(1 + delta), boxiness)
    floor = FAINT**2
    half = (wanted * had + floor * gaussian) / (had**2 + floor)
    return np.concatenate([half[:, :0:-1], half], axis=1)


def _chebyshev(low, high):
    """Nodes from `low` to `high`, both among them; one node if they are equal."""
    if high - low < 1e-9:
        return np.array([low])
    x = np.cos(np.pi * np.arange(N_NODES)[::-1] / (N_NODES - 1))
    return (low + high) / 2 + (high - low) / 2 * x


def _lagrange(delta, nodes):
    """Weights of the polynomial through the nodes, (n_nodes, *delta.shape)."""
    weights = np.ones((len(nodes), *delta.shape))
    for m, node in enumerate(nodes):
        for other in np.delete(nodes, m):
            weights[m] *= (delta - other) / (node - other)
    return weights
