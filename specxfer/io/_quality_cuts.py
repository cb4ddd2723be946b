"""Which spectra of a catalogue to trust: cuts in its columns."""

from numbers import Integral, Real

import numpy as np

from specxfer.io._survey_tables import SurveyTable, numbers

__all__ = ["default_cuts", "made_cuts"]

APOGEE_BITS = {
    3: "VERY_BRIGHT_NEIGHBOR",
    18: "BAD_RV_COMBINATION",
    22: "RV_FAIL",
}
RULES = {  # column: the least value, or the bits that drop a row
    "APOGEE": {"snr": 50, "starflag": APOGEE_BITS},
    "SDSS-V": {"snr": 50, "spectrum_flags": APOGEE_BITS},
    "GALAH DR3": {
        "snr_c3_iraf": 30,
        "flag_sp": {
            3: "reduction issues",
            4: "emission lines",
            5: "binary",
            9: "the fit did not finish",
        },
    },
    "GALAH DR4": {
        "snr_px_ccd3": 30,
        "flag_sp": {
            0: "emission lines",
            3: "double-lined binary",
            7: "triple star",
            12: "the fit did not converge",
            14: "no results",
        },
        "flag_red": {
            4: "bad wavelengths, CCD 1",
            5: "bad wavelengths, CCD 2",
            6: "bad wavelengths, CCD 3",
            7: "bad wavelengths, CCD 4",
            12: "no radial velocity",
        },
    },
}
UNSET = (-1, -9999, -999999)  # what stands for no flag at all


def default_cuts(table):
    """The quality cuts that `crossmatch` makes in a catalogue it knows.

    Parameters
    ----------
    table : Table
        A catalogue of APOGEE (DR16, DR17), SDSS-V (Astra) or GALAH (DR3, DR4).

    Returns
    -------
    dict
        Name of a column to its cut: a number is the smallest value that is kept, a
        tuple lists the bits (counted from 0) none of which may be set. Change it, and
        give it to `crossmatch`. Empty for other catalogues.

    Notes
    -----
    What the data tell is not taken from a flag: the S/N is compared and flags of low
    S/N are ignored; bad pixels and missing CCDs are masked one by one when the spectra
    are read; and a poor fit of stellar parameters does not make a spectrum poor.
    Defaults are what no reader can see in a spectrum:

    - APOGEE and SDSS-V, ``STARFLAG`` or ``spectrum_flags``: VERY_BRIGHT_NEIGHBOR (3),
      BAD_RV_COMBINATION (18) and RV_FAIL (22), which the survey classes as bad [1]_.
      S/N at least 50, below which the survey calls it bad. No bit of ``ASPCAPFLAG``;
      ``{"ASPCAPFLAG": (23,)}`` adds STAR_BAD.
    - GALAH DR4 [2]_, ``flag_sp``: emission lines (0), double-lined (3) and triple (7)
      stars, fits that did not converge (12) or gave nothing (14), so that the velocity
      is in doubt. ``flag_red`` [3]_: a bad wavelength solution (4 to 7), no velocity
      (12). S/N of CCD 3 at least 30, as recommended for abundances.
    - GALAH DR3 [4]_, ``flag_sp``: reduction (3), emission (4), binaries (5), no
      velocity or parameters (9). S/N of CCD 3 at least 30, as recommended.

    References
    ----------
    .. [1] https://www.sdss4.org/dr17/irspec/apogee-bitmasks
    .. [2] https://www.galah-survey.org/dr4/flags
    .. [3] https://github.com/sheliak/galah_reduction, documentation/flags_description
    .. [4] https://www.galah-survey.org/dr3/flags

    Examples
    --------
    >>> from astropy.table import Table
    >>> from specxfer.io import default_cuts
    >>> apogee = Table({"APOGEE_ID": ["2M00531301-2637047"], "SNR": [210.0],
    ...                 "STARFLAG": [512]})
    >>> default_cuts(apogee) | {"SNR": 80}
    {'SNR': 80, 'STARFLAG': (3, 18, 22)}
    """
    catalogue = SurveyTable(table)
    return {
        catalogue.name_of(column): tuple(cut) if isinstance(cut, dict) else cut
        for column, cut in _rules(catalogue).items()
        if catalogue.name_of(column) is not None
    }


def _rules(catalogue):
    survey = catalogue.survey
    return RULES.get(survey, RULES.get(survey.split()[0], {}))


def made_cuts(catalogue, cuts, rows):
    """Make cuts one after the other.

    Parameters
    ----------
    catalogue : SurveyTable
    cuts : dict
        As of `default_cuts`.
    rows : ndarray of int
        The rows to look at.

    Yields
    ------
    why : str
        What was cut.
    rows : ndarray of int
        Those left.
    """
    for column, cut in cuts.items():
        name = catalogue.name_of(column)
        if name is None:
            raise ValueError(
                f"{catalogue.label} has no column {column!r} to cut in; it has "
                f"{catalogue.table.colnames}."
            )
        values = catalogue.table[name]
        if isinstance(cut, bool | np.bool_):
            wrong = np.ma.filled(np.ma.asarray(values), not cut).astype(bool) != cut
            rows = rows[~wrong[rows]]
            yield f"{name} is {not cut}, or nothing", rows
        elif isinstance(cut, Real):
            rows = yield from _least(name, numbers(values, catalogue.label), cut, rows)
        else:
            known = _rules(catalogue).get(column.lower(), {})
            names = known if isinstance(known, dict) else {}
            rows = yield from _bits(name, values, _checked_bits(name, cut), names, rows)


def _least(name, values, least, rows):
    values = values if values.ndim == 1 else np.median(values, axis=1)
    rows = rows[np.isfinite(values[rows])]
    yield f"no {name}", rows
    rows = rows[values[rows] >= least]
    yield f"{name} below {least:g}", rows
    return rows


def _bits(name, values, bits, names, rows):
    values = np.ma.asarray(values)
    if values.dtype.kind not in "iub":
        raise ValueError(
            f"column {name!r} holds {values.dtype}; expected whole numbers to look for "
            "bits in."
        )
    flags = np.ma.filled(values, 0).astype(np.int64)
    flags[np.isin(flags, UNSET)] = 0
    for bit in bits:
        rows = rows[(flags[rows] >> bit & 1) == 0]
        said = f": {names[bit]}" if bit in names else ""
        yield f"{name} bit {bit}{said}", rows
    return rows


def _checked_bits(name, bits):
    try:
        bits = tuple(bits)
        good = all(isinstance(bit, Integral) and 0 <= bit < 63 for bit in bits)
    except TypeError:
        good = False
    if not good:
        raise ValueError(
            f"the cut in {name!r} is {bits!r}; expected the smallest value, True or "
            "False, or a tuple of bits counted from 0."
        )
    return bits
