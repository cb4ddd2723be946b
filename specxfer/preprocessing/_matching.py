"""Convolve single spectra, chip by chip, with kernels that change along a chip."""

from dataclasses import dataclass

import numpy as np

from specxfer._lsf import match
from specxfer.resampling import pixel_edges, pixel_steps

_PIECE = 64  # pixels that share the nodes between which kernels are interpolated
_SPREAD = 0.06  # of pixel scales in one segment: within 1e-6 of the exact kernels
REACHES = (2.4, 6.0)  # of kernels for Gaussian and for boxy profiles, in FWHM


@dataclass(frozen=True)
class Segment:
    """Pixels of one chip whose kernels are interpolated between the same nodes.

    Parameters
    ----------
    first, last : int
        Positions of the first pixel and of the last.
    place : ndarray of int of shape (n,)
        Positions of the pixels after the first.
    pixels : slice
        Which pixels of the chip these are.
    fwhm : ndarray of shape (n_nodes,)
        FWHM of the output in pixels, at the nodes.
    shares : ndarray of shape (n_nodes, n)
        How much of the kernel of each node a pixel's own has.
    """

    first: int
    last: int
    place: np.ndarray
    pixels: slice
    fwhm: np.ndarray
    shares: np.ndarray


class Chip:
    """The pixels of one chip, and how one row of them is convolved.

    Parameters
    ----------
    number : int
        The chip, as `Spectra` count it.
    wave : ndarray of shape (n,)
        Å.
    start : int
        The first pixel in the spectrum.
    resolution : float
        Resolving power of the output.
    """

    def __init__(self, number, wave, start, resolution):
        self.number = number
        self.pixels = slice(start, start + len(wave))
        if len(wave) < 2:
            raise ValueError(
                f"chip {number} has 1 feature(s), {wave[0]:.2f} Å, and the width of a "
                "lone pixel is unknown: leave it out, or give chip= to Spectra."
            )
        lower, upper = pixel_edges(wave)
        fwhm = 1 / resolution / np.log(upper / lower)
        self.reaches = [int(np.ceil(r * fwhm.max())) + 2 for r in REACHES]
        jumps = np.minimum(pixel_steps(wave), 2 * self.reaches[-1] + 1)
        self.position = np.concatenate([[0], np.cumsum(jumps)])
        self.segments = [
            _segment(self.position[a:b], slice(a, b), fwhm[a:b]) for a, b in _runs(fwhm)
        ]

    def match(self, ratio, boxiness):
        """Kernels for a resolving power `ratio` times that of the output.

        Returns
        -------
        list of Match
            One a segment.
        """
        reach = self.reaches[int(boxiness != 2)]
        return [match(s.fwhm / ratio, s.fwhm, boxiness, reach) for s in self.segments]

    def typical(self, matches):
        """The kernel in the middle of the chip."""
        kernels = matches[len(matches) // 2].kernels
        return kernels[len(kernels) // 2]

    def matched(self, flux, weight, matches, kernel_before, min_coverage):
        """One row of the chip convolved.

        Parameters
        ----------
        flux, weight : ndarray of shape (n,)
            Flux and ivar; what has no weight is unknown.
        matches : list of Match
        kernel_before : ndarray
            Kernel that made the noise of the input of white noise.
        min_coverage : float
            Part of a kernel that must lie on known pixels.

        Returns
        -------
        flux, ivar : ndarray of shape (n,)
        """
        known = weight > 0
        weight = weight.astype(float)
        unknown = self._at_positions(known.astype(float)) == 0
        seen = 1 - self._convolve(unknown, matches, outside=1)
        lost = self._convolve(unknown, matches, form=np.abs, outside=1)
        flux = np.where(known, flux, 0).astype(float)
        total = self._convolve(self._at_positions(flux), matches)
        var = np.divide(1.0, weight, out=np.zeros(len(weight)), where=known)
        rho = np.correlate(kernel_before, kernel_before, "full")[
            len(kernel_before) - 1 :
        ]
        rho = rho / rho[0]
        noise = self._convolve(self._at_positions(var), matches, _products(0))
        sigma = self._at_positions(np.sqrt(var))
        for lag in np.flatnonzero(np.abs(rho) > 1e-4)[1:]:
            pairs = np.zeros(len(sigma))
            pairs[:-lag] = sigma[:-lag] * sigma[lag:]
            noise += 2 * rho[lag] * self._convolve(pairs, matches, _products(lag))
        enough = lost <= 1 - min_coverage + 1e-9
        new = np.full(len(flux), np.nan), np.zeros(len(flux))
        new[0][enough] = total[enough] / seen[enough]
        new[1][enough] = seen[enough] ** 2 / noise[enough]
        return new

    def _convolve(self, values, matches, form=None, outside=0.0):
        """Values at all positions with every kernel, or with a `form` of it."""
        out = np.empty(len(self.position))
        for segment, found in zip(self.segments, matches):
            kernels = found.kernels if form is None else form(found.kernels)
            reach = kernels.shape[1] // 2
            start, stop = segment.first - reach, segment.last + reach + 1
            near = np.pad(
                values[max(start, 0) : stop].astype(float),
                (max(-start, 0), max(stop - len(values), 0)),
                constant_values=outside,
            )
            total = 0.0
            for kernel, share in zip(kernels, segment.shares):
                wide = np.correlate(near, kernel, "valid")
                total = total + share * wide[segment.place]
            out[segment.pixels] = total
        return out

    def _at_positions(self, values):
        """Values of the pixels, at the positions of the chip: 0 where none is."""
        if len(values) == self.position[-1] + 1:
            return values
        spread = np.zeros(self.position[-1] + 1)
        spread[self.position] = values
        return spread


def chips_of(wave, chip, resolution):
    """The chips of a grid.

    Parameters
    ----------
    wave : ndarray of shape (n_pixels,)
        Å.
    chip : ndarray of int of shape (n_pixels,)
    resolution : float
        Resolving power of the output.

    Returns
    -------
    list of Chip
    """
    starts = np.flatnonzero(np.diff(chip, prepend=-1))
    stops = np.append(starts[1:], len(chip))
    return [Chip(chip[a], wave[a:b], a, resolution) for a, b in zip(starts, stops)]


def _runs(fwhm):
    """Where segments start and stop: pieces put together as far as scales allow."""
    start, low, high = 0, np.inf, 0.0
    for a in range(0, len(fwhm), _PIECE):
        piece = fwhm[a : a + _PIECE]
        low_new, high_new = min(low, piece.min()), max(high, piece.max())
        if a > start and high_new > low_new * (1 + _SPREAD):
            yield start, a
            start, low_new, high_new = a, piece.min(), piece.max()
        low, high = low_new, high_new
    yield start, len(fwhm)


def _segment(position, pixels, fwhm):
    middle, half = (fwhm.max() + fwhm.min()) / 2, np.ptp(fwhm) / 2
    if half < 1e-6 * middle:
        nodes, shares = np.array([middle]), np.ones((1, len(fwhm)))
    else:  # Chebyshev's nodes and Lagrange's polynomials
        nodes = middle + half * np.array([-1, 0, 1]) * np.sqrt(0.75)
        others = nodes[[[1, 2], [0, 2], [0, 1]]]
        shares = np.prod(
            (fwhm[:, None] - others[:, None])
            / (nodes[:, None, None] - others[:, None]),
            axis=2,
        )
    place = position - position[0]
    return Segment(position[0], position[-1], place, pixels, nodes, shares)


def _products(lag):
    """Products of the taps so many pixels apart, at the place of the first."""

    def products(kernels):
        n_taps = kernels.shape[1]
        both = np.zeros_like(kernels)
        both[:, : n_taps - lag] = kernels[:, lag:] * kernels[:, : n_taps - lag]
        return both

    return products
