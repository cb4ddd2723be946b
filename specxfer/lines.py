"""Absorption lines, the windows that measure them, and tables of both."""

import csv
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files

import numpy as np

from specxfer.wavelengths import MEDIA, air_to_vacuum, vacuum_to_air

__all__ = [
    "KEY_LINES",
    "Line",
    "as_windows",
    "load_lines",
    "window_names",
    "window_pixels",
]

#: The eight heavy-element lines that summaries report: strong and little blended.
KEY_LINES = (
    "Ba II 5854",
    "Ba II 6497",
    "Y II 4884",
    "Zr I 4772",
    "La II 4749",
    "Ce II 4774",
    "Nd II 4811",
    "Eu II 6645",
)

_SURVEYS = ("apogee", "galah")


@dataclass(frozen=True, repr=False)
class Line:
    """An absorption line and the wavelength interval that measures it.

    Parameters
    ----------
    name : str
        Species and wavelength in air to the nearest Å, such as "Ba II 6497".
    element, species : str
        "Ba" and "Ba II".
    wave : float
        Å, in `medium`.
    medium : {"air", "vacuum"}
        What `wave`, `lo` and `hi` are measured in.
    lo, hi : float
        The window in Å; NaN if the line has none.
    ep : float
        Excitation potential of the lower level, eV.
    loggf : float
        Oscillator strength times statistical weight, logarithmic.
    purity_giant, purity_dwarf : float
        Rough share of the atomic absorption in the window that is the element's
        own, at 4750 K and in the Sun: to choose clean lines, no more.
    blend : str
        The strongest contaminant.
    note : str
        What to know before using the line.
    source : str
        Where the numbers come from.

    Examples
    --------
    >>> from specxfer.lines import Line
    >>> line = Line("Ba II 6497", "Ba", "Ba II", 6496.897, "air", 6496.70, 6497.28)
    >>> line
    Line('Ba II 6497', 6496.7 to 6497.28 Å, air)
    >>> line.window
    (6496.7, 6497.28)
    >>> line.to_medium("vacuum").wave
    6498.692
    """

    name: str
    element: str
    species: str
    wave: float
    medium: str
    lo: float = np.nan
    hi: float = np.nan
    ep: float = np.nan
    loggf: float = np.nan
    purity_giant: float = np.nan
    purity_dwarf: float = np.nan
    blend: str = ""
    note: str = ""
    source: str = ""

    def __repr__(self):
        window = f"{self.lo} to {self.hi} Å" if self.has_window else "no window"
        return f"{type(self).__name__}({self.name!r}, {window}, {self.medium})"

    @property
    def has_window(self):
        """Whether the line can be measured as it stands."""
        return self.lo < self.hi

    @property
    def window(self):
        """(lo, hi) in Å, in the line's own medium; an error if there is none."""
        if not self.has_window:
            why = f" ({self.note})" if self.note else ""
            raise ValueError(
                f"{self.name} has no window{why}. Give it one with "
                "line.with_window(lo, hi), or leave the line out."
            )
        return self.lo, self.hi

    def with_window(self, lo, hi):
        """The same line with another window.

        Parameters
        ----------
        lo, hi : float
            Å, in the line's medium.

        Returns
        -------
        Line
        """
        if not lo < hi:
            raise ValueError(f"window ({lo}, {hi}): expected lo < hi, in Å.")
        return replace(self, lo=float(lo), hi=float(hi))

    def to_medium(self, medium):
        """The same line with its wavelengths in air or in vacuum.

        Parameters
        ----------
        medium : {"air", "vacuum"}

        Returns
        -------
        Line
        """
        _check_medium(medium)
        if medium == self.medium:
            return self
        wave, lo, hi = (
            float(w) for w in _convert([self.wave, self.lo, self.hi], medium)
        )
        return replace(self, wave=wave, lo=lo, hi=hi, medium=medium)


def load_lines(survey, elements=None, species=None, *, names=None, measurable=True):
    """The bundled lines of a survey, in order of wavelength.

    Heavy elements (Rb to Yb), and Li I 6708 as a line that no other spectral region
    can predict.

    Parameters
    ----------
    survey : {"galah", "apogee"}
        GALAH lines are in air, APOGEE lines in vacuum.
    elements : str or list of str, optional
        Keep these elements, such as "Ba" or ["Ba", "Eu"].
    species : str or list of str, optional
        Keep these species, such as "Y II".
    names : str or list of str, optional
        These lines, in this order; `KEY_LINES` are the eight that summaries report.
    measurable : bool, default=True
        Leave out lines without a window. Lines asked for by name stay.

    Returns
    -------
    list of Line

    Raises
    ------
    ValueError
        If the survey, or an element, species or name asked for, is not in the table.

    References
    ----------
    GALAH: Buder et al. 2021, MNRAS 506, 150; Buder et al. 2025, PASA 42, e051.
    APOGEE: Hasselquist et al. 2016, ApJ 833, 81 (Nd); Cunha et al. 2017, ApJ 844,
    145 (Ce); Smith et al. 2021, AJ 161, 254; Montelius et al. 2022, A&A 665, A135
    (Yb).

    Examples
    --------
    >>> from specxfer.lines import load_lines
    >>> [line.name for line in load_lines("galah", elements=["Ba", "Eu"])]
    ['Eu II 5819', 'Ba II 5854', 'Ba II 6497', 'Eu II 6645']
    >>> load_lines("apogee", "Yb")[0].window
    (16502.28, 16503.88)
    """
    if survey not in _SURVEYS:
        raise ValueError(f"survey is {survey!r}; there are tables for {_SURVEYS}.")
    table = _read_table(survey)
    if names is None:
        lines = [line for line in table if line.has_window or not measurable]
    else:
        by_name = {line.name: line for line in table}
        lines = [by_name[name] for name in _known(names, by_name, "names", survey)]
    for field, wanted in (("element", elements), ("species", species)):
        if wanted is not None:
            table_has = {getattr(line, field) for line in table}
            wanted = _known(wanted, table_has, field, survey)
            lines = [line for line in lines if getattr(line, field) in wanted]
    return lines


def as_windows(windows, medium=None):
    """Windows given in any of the accepted ways, as an array.

    Parameters
    ----------
    windows : Line, (lo, hi) in Å, or a list of these
        Pairs are taken to be in `medium`; lines know their own.
    medium : {"air", "vacuum"}, optional
        The medium of the result. Without it, lines keep theirs.

    Returns
    -------
    ndarray of shape (n_windows, 2)

    Examples
    --------
    >>> from specxfer.lines import as_windows
    >>> as_windows([(5853.4, 5854.0), (6496.7, 6497.3)])
    array([[5853.4, 5854. ],
           [6496.7, 6497.3]])
    """
    if medium is not None:
        _check_medium(medium)
    pairs = []
    for window in each_window(windows):
        if isinstance(window, Line):
            window = (window if medium is None else window.to_medium(medium)).window
        elif not _is_pair(window):
            hint = ""
            if isinstance(window, str):
                hint = f" load_lines(survey, names={window!r}) gives lines by name."
            raise TypeError(
                f"{window!r} is no window; expected a Line or (lo, hi) in Å.{hint}"
            )
        pairs.append([_in_angstrom(edge) for edge in window])
    if not pairs:
        raise ValueError("no window: give at least one Line or (lo, hi) in Å.")
    pairs = np.array(pairs)
    bad = ~(pairs[:, 0] < pairs[:, 1]) | ~np.isfinite(pairs).all(axis=1)
    if bad.any():
        lo, hi = pairs[bad][0]
        raise ValueError(f"window ({lo:g}, {hi:g}): expected finite lo < hi, in Å.")
    return pairs


def window_names(windows):
    """What to call each window: its line, or its limits.

    Parameters
    ----------
    windows : Line, (lo, hi) in Å, or a list of these

    Returns
    -------
    list of str

    Examples
    --------
    >>> from specxfer.lines import load_lines, window_names
    >>> window_names([*load_lines("galah", "Ba"), (6560, 6566)])
    ['Ba II 5854', 'Ba II 6497', '6560.00-6566.00']
    """
    return [
        window.name
        if isinstance(window, Line)
        else "{:.2f}-{:.2f}".format(*as_windows(window)[0])
        for window in each_window(windows)
    ]


def window_pixels(windows, wave, medium, *, pad=0.0, outside="raise"):
    """Which pixels the windows hold, together.

    A pixel belongs to a window if its centre does. A window so narrow that it holds
    no centre takes the pixel that its middle falls on.

    Parameters
    ----------
    windows : Line, (lo, hi) in Å, or a list of these
        Pairs are in the medium of the grid, lines are converted to it.
    wave : array-like of shape (n_pixels,)
        Wavelengths in Å, increasing.
    medium : {"air", "vacuum"}
        The medium of `wave`.
    pad : float, default=0.0
        Å by which each window grows on both sides.
    outside : {"raise", "ignore"}, default="raise"
        What to do with a window in which there is no pixel.

    Returns
    -------
    ndarray of bool of shape (n_pixels,)

    Raises
    ------
    ValueError
        If a window lies outside the grid or in a gap of it.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer.lines import window_pixels
    >>> window_pixels((5001, 5002), np.arange(5000.0, 5004.0), "air")
    array([False,  True,  True, False])
    """
    if wave is None:
        raise ValueError(
            "windows are in Å and there are no wavelengths: give Spectra, or wave= "
            "and medium=."
        )
    if medium is None:
        raise ValueError('give medium= with wave=: "air" or "vacuum".')
    wave = np.asarray(wave, dtype=float)
    inside = np.zeros(len(wave), dtype=bool)
    windows = each_window(windows)
    edges = as_windows(windows, medium) + np.array([-pad, pad])
    for window, (lo, hi) in zip(windows, edges):
        start, stop = np.searchsorted(wave, [lo, np.nextafter(hi, np.inf)])
        if start == stop:
            start, stop = _pixel_at((lo + hi) / 2, wave)
        if start == stop and outside == "raise":
            runs = f"from {wave[0]:.2f} to {wave[-1]:.2f} Å" if len(wave) else "nowhere"
            raise ValueError(
                f"no pixel in {_described(window, lo, hi, medium)}: the grid runs "
                f"{runs} ({medium}), or has a gap there. Leave the window out, or "
                "check its medium and units (Å)."
            )
        inside[start:stop] = True
    return inside


def _described(window, lo, hi, medium):
    """A window by the name and the numbers that its author knows."""
    here = f"{lo:.2f} to {hi:.2f} Å"
    if not isinstance(window, Line):
        return here
    if window.medium == medium:
        return f"{window.name}, {here}"
    own = f"{window.lo:.2f} to {window.hi:.2f} Å in {window.medium}"
    return f"{window.name}, {own}, which is {here} in {medium}"


def _pixel_at(x, wave):
    """The one pixel that `x` falls on, as start and stop; none in a gap."""
    if len(wave) < 2:
        return 0, 0
    nearest = int(np.abs(wave - x).argmin())
    step = np.diff(wave)[max(nearest - 1, 0) : nearest + 1].min()
    return nearest, nearest + (abs(wave[nearest] - x) <= step / 2)


@cache
def _read_table(survey):
    table = files("specxfer").joinpath("data", "lines", f"{survey}.csv")
    with table.open(encoding="utf-8", newline="") as stream:
        return tuple(_as_line(row) for row in csv.DictReader(stream))


def _as_line(row):
    text = {"name", "element", "species", "medium", "blend", "note", "source"}
    return Line(**{k: v if k in text else float(v or "nan") for k, v in row.items()})


def _known(wanted, known, what, survey):
    wanted = [wanted] if isinstance(wanted, str) else list(wanted)
    unknown = [w for w in wanted if w not in known]
    if unknown and what != "names":
        named = {line.name for line in _read_table(survey)}
        if named.intersection(unknown):
            raise ValueError(
                f"{what} {unknown}: these are names of lines: give names=, as in "
                f"load_lines({survey!r}, names=...)."
            )
    if unknown:
        raise ValueError(
            f"{what} {unknown} not in the {survey} table, which has {sorted(known)}."
        )
    return wanted


def _check_medium(medium):
    if medium not in MEDIA:
        raise ValueError(f'medium is {medium!r}; expected "air" or "vacuum".')


def _convert(wave, medium):
    return air_to_vacuum(wave) if medium == "vacuum" else vacuum_to_air(wave)


def each_window(windows):
    """The windows as a list, also where only one was given."""
    one = isinstance(windows, str | Line) or _is_pair(windows)
    return [windows] if one else [*windows]


def _in_angstrom(edge):
    return float(edge.to_value("Angstrom") if hasattr(edge, "to_value") else edge)


def _is_pair(window):
    if isinstance(window, str | Line) or not hasattr(window, "__len__"):
        return False
    return len(window) == 2 and not any(
        isinstance(edge, Line) or np.ndim(edge) > 0 for edge in window
    )
