"""Read APOGEE spectra: combined, of single visits, of SDSS-V; and the 7514 pixels."""

import os
import re
from functools import partial

import numpy as np

from specxfer._grids import APOGEE_PIXELS, APOGEE_R, apogee_chip, apogee_wave
from specxfer.io._apogee_files import id_in, read_aspcapstar, read_npz
from specxfer.io._apogee_pixels import expand, good_pixels, grid_pixels, normalise
from specxfer.io._apstar import ROWS, read_apstar
from specxfer.io._apvisit import read_apvisit
from specxfer.io._collect import collect, meta_table, refused
from specxfer.io._errors import ReadError, damage_is_a_refusal
from specxfer.io._files import find_files, identify, refusal
from specxfer.io._fits import ZIP, first_bytes, read_parts
from specxfer.io._mwmstar import read_mwmstar
from specxfer.spectra import Spectra

__all__ = ["apogee_from_pixels", "names_in", "read_apogee"]

READERS = {  # by format; an apStar has several rows to choose from
    "aspcapStar": read_aspcapstar,
    "apVisit": read_apvisit,
    "mwmStar": read_mwmstar,
}

SDSS_FILE = re.compile(r"mwmStar-.*-(\d+)\.fits(?:\.gz)?")
AT_A_TIME = 8  # files
META = {
    "apogee_id": ("U", None),
    "sdss_id": (np.int64, None),
    "gaia_id": ("U", None),
    "survey": ("U", None),
    "release": ("U", None),
    "telescope": ("U", None),
    "row": ("U", None),
    "visit": (int, None),
    "mjd": (int, None),
    "plate": ("U", None),
    "fiber": (int, None),
    "normalised_by": ("U", None),
    "snr": (float, None),
    "rv_com": (float, "km/s"),
    "rv_scatter": (float, "km/s"),
    "n_visits": (int, None),
    "starflag": (int, None),
    "aspcapflag": (int, None),
    "teff": (float, "K"),
    "logg": (float, None),
    "fe_h": (float, None),
    "alpha_fe": (float, None),
}


def read_apogee(
    paths,
    rows="combined",
    *,
    n_jobs=None,
    verbose=0,
    on_error="skip",
    error_floor=0.005,
    max_error=1.0,
    max_flux=2.0,
):
    """Read APOGEE spectra, in the rest frame of the star and on one grid.

    Files are recognised by what they hold, not by their names: `aspcapStar`, `apStar`,
    `apVisit` and (SDSS-V) `mwmStar` FITS files, and npz archives with the 7514 (DR13 to
    DR17) or 7214 (DR11, DR12) pixels on the chips, or all 8575. All may be mixed in
    one call. The grid is that of the survey's combined spectra, in vacuum. Only visits
    (`apVisit`) are shifted and resampled, the others are on it.

    Parameters
    ----------
    paths : path or list of paths
        Files, folders (searched to any depth for FITS and npz files) or patterns
        like ``"spectra/aspcapStar-*.fits"``.
    rows : {"combined", "global", "visits", "all"}, default="combined"
        Which spectra of an apStar file: the combination with a weight for each pixel,
        that with one weight for each visit, every visit, or all of these. A star of
        one visit has one. All spectra of other files are read: one of each, in mwmStar
        one of each telescope.
    n_jobs : int, optional
        Files read at the same time, as in joblib.
    verbose : int, default=0
        Above 0, show a progress bar.
    on_error : {"skip", "raise"}, default="skip"
        What to do with a file that cannot be read: report it and go on, or raise
        the `ReadError`.
    error_floor : float, default=0.005
        Errors are at least this, in continuum units: what the survey's own
        normalisation assumes.
    max_error : float, default=1.0
        Pixels with a larger error are bad.
    max_flux : float or None, default=2.0
        Pixels more than 5σ above it, and their neighbours, are bad, as are those
        more than 5σ below 0.

    Returns
    -------
    spectra : Spectra of shape (n_read, 8575)
        Bad pixels and the gaps between chips are NaN with ivar 0. `ids` are the
        APOGEE ids (``2M17334253-1654573``; the SDSS-V number where there is none), the
        same for all spectra of a star. `resolution` is λ/FWHM in the middle of each
        chip by the line-spread function in apStar and apVisit files, and the nominal
        22,500 in others. `meta` holds apogee_id, sdss_id and gaia_id (of Gaia DR3; in
        mwmStar files alone), survey, release, telescope, row
        ("combined", "global" or "visit"), visit (in the apStar file, from 1), mjd,
        plate and fiber of a visit, normalised_by ("survey" or "specxfer"), snr, rv_com
        (km/s, against the Sun), rv_scatter, n_visits, starflag, aspcapflag, teff, logg,
        fe_h, alpha_fe and file; NaN, or -1, where the file does not say. Parameters
        are the calibrated ones.
    report : astropy.table.Table
        One row a spectrum, or a file that was refused: status ("read", "partial" or
        "refused"), reason, id, file, format, n_good. Rows that are not refused are
        the rows of `spectra`, in order. "partial": a spectrum without its table of
        parameters.

    Raises
    ------
    FileNotFoundError
        If a path that is no pattern does not exist, whatever `on_error`.
    ReadError
        With ``on_error="raise"``, for the first file that cannot be read.

    Notes
    -----
    A pixel is bad if its flux is 0, its error 0 or above `max_error`, or, where there
    is a mask, one of the bits 0 to 7 and 14 of APOGEE_PIXMASK is set; the other bits
    are warnings. In apStar, apVisit and mwmStar files a pixel under a strong sky line
    (bit 12) is bad too, since its error does not tell: in a bright giant's apStar file
    of DR13 these pixels lie five times as far from the survey's own model as the
    others, in units of their error. (In aspcapStar files the survey enlarges it.)
    A pixel of a combination is bad where that of every visit is, or where visits with
    a sky line hold more than 0.3 of its weight. The mask of its own row is not used:
    it is the OR of the visits' in some releases, though the bad pixels of a visit are
    left out of the combination.

    aspcapStar files are normalised by the survey. The others are in units of flux and
    are divided by `specxfer.continuum.fit_continuum`, a polynomial of degree 4 on each
    chip. Such a continuum, found from a spectrum's own high pixels, depends on its
    noise and its lines, and is not the survey's: put all spectra through one
    `specxfer.preprocessing.ContinuumNormalizer` before they are compared. After a
    polynomial, apStar and aspcapStar files of a star are the same to a small part of
    the noise (reduced χ² below 0.001 in six stars, ``benchmarks/apogee_forms.py``).

    A visit is put at rest by the velocity in its own file, the survey's first guess.
    It is refused where the velocity is missing, contradicts itself, or comes from a
    cross-correlation with a peak (CCPEAK) below 0.2: one of 0.075 was wrong by
    583 km/s. The visits in apStar files are at rest by the final velocities.

    References
    ----------
    Holtzman, J. A. et al. 2015, AJ 150, 148 (pixel masks); García Pérez, A. E. et al.
    2016, AJ 151, 144 (pseudo-normalisation); Nidever, D. L. et al. 2015, AJ 150, 173
    (visits, their velocities and combination, line-spread function).

    Examples
    --------
    >>> from specxfer.io import read_apogee
    >>> spectra, report = read_apogee("no_such_*.fits")
    >>> len(spectra), report["status"][0]
    (0, np.str_('refused'))
    """
    if rows not in ROWS:
        raise ValueError(f"rows is {rows!r}; expected one of {', '.join(ROWS)}.")
    rules = {
        "error_floor": error_floor,
        "max_error": max_error,
        "max_flux": max_flux,
    }
    files = find_files(paths)
    flux, ivar, readings, report = collect(
        partial(_read_files, rows=rows, rules=rules),
        [files[i : i + AT_A_TIME] for i in range(0, len(files), AT_A_TIME)],
        APOGEE_PIXELS,
        n_jobs=n_jobs,
        verbose=verbose,
        on_error=on_error,
    )
    spectra = _as_spectra(
        flux,
        ivar,
        np.array([r.id for r in readings], "U"),
        meta_table(readings, META),
        np.array([r.resolution for r in readings]).reshape(-1, 3),
    )
    return spectra, report


def apogee_from_pixels(
    flux,
    ivar=None,
    *,
    error=None,
    mask=None,
    ids=None,
    meta=None,
    release=None,
    error_floor=0.005,
    max_error=1.0,
    max_flux=2.0,
):
    """`Spectra` on the APOGEE grid from arrays of the pixels on the chips.

    Parameters
    ----------
    flux : array-like of shape (n_pixels,) or (n_spectra, n_pixels)
        Continuum-normalised flux: 7514 pixels (DR13 to DR17), 7214 (DR11, DR12), or
        all 8575.
    ivar, error : array-like, shape of `flux`
        Inverse variance, or 1σ error: give one of them.
    mask : array-like, shape of `flux`, optional
        APOGEE_PIXMASK bits (integers), or bool, where True is a bad pixel.
    ids : array-like of shape (n_spectra,), optional
        One name per star.
    meta : Table, optional
        One row per spectrum.
    release : str, optional
        Such as "DR14"; by default told from the number of pixels.
    error_floor, max_error, max_flux : float
        As in `read_apogee`.

    Returns
    -------
    Spectra of shape (n_spectra, 8575)

    Raises
    ------
    ValueError
        If the number of pixels is none of these, or is not that of the release.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer.io import apogee_from_pixels
    >>> X = apogee_from_pixels(np.ones((2, 7514)), error=np.full((2, 7514), 0.01))
    >>> X.shape, int(X.valid()[0].sum())
    ((2, 8575), 7514)
    """
    if (ivar is None) == (error is None):
        raise ValueError("give ivar or error, and not both.")
    flux = np.atleast_2d(np.asarray(flux))
    given = error if ivar is None else ivar
    noise = np.atleast_2d(np.asarray(given, np.float64))
    if noise.shape != flux.shape:
        raise ValueError(f"flux has shape {flux.shape}, its noise {noise.shape}.")
    if ivar is not None:
        if (noise < 0).any():
            raise ValueError(f"ivar must not be negative, got {np.nanmin(noise)}.")
        with np.errstate(divide="ignore"):
            noise = 1 / np.sqrt(noise)
    good = good_pixels(mask, flux.shape)
    pixels = grid_pixels(flux.shape[1], release)
    out = np.empty((2, len(flux), APOGEE_PIXELS), np.float32)
    for row in range(len(flux)):
        out[:, row] = expand(
            flux[row],
            noise[row],
            good[row],
            pixels,
            error_floor=error_floor,
            max_error=max_error,
            max_flux=max_flux,
        )
    return _as_spectra(*out, ids, meta, np.full((len(flux), 3), APOGEE_R))


def _as_spectra(flux, ivar, ids, meta, resolution):
    return Spectra(
        flux,
        ivar,
        wave=apogee_wave(),
        medium="vacuum",
        ids=ids,
        meta=meta,
        resolution=resolution,
        chip=apogee_chip(),
    )


def _read_files(paths, rows, rules):
    """The `Reading`s of files: one a spectrum, or one that says why there is none.

    Several files at a time, since the continua of many spectra cost little more than
    that of one.
    """
    opened = [_open(path, rows) for path in paths]
    raw = [pixels for readings, pixels in opened if _is_raw(readings)]
    if raw:
        try:
            with damage_is_a_refusal(paths[0]):
                pixels = normalise(*map(np.concatenate, zip(*raw)))
        except ReadError as error:
            if len(paths) == 1:
                return [_refused(error)]
            return [r for path in paths for r in _read_files([path], rows, rules)]
        ends = np.cumsum([len(flux) for flux, *_ in raw])[:-1]
        continua = zip(*(np.split(part, ends) for part in pixels))
    found = []
    for readings, pixels in opened:
        if _is_raw(readings):
            pixels = next(continua)
        found += _on_grid(readings, pixels, rules)
    return found


def _is_raw(readings):
    return readings[0].meta.get("normalised_by", "survey") != "survey"


def _on_grid(readings, pixels, rules):
    if pixels is None:
        return readings
    try:
        with damage_is_a_refusal(readings[0].file):
            grid = grid_pixels(pixels[0].shape[1])
            for reading, *spectrum in zip(readings, *pixels, strict=True):
                reading.flux, reading.ivar = expand(*spectrum, grid, **rules)
    except ReadError as error:
        return [_refused(error)]
    return [_refused_if_empty(reading, len(readings) > 1) for reading in readings]


def _refused(error):
    return refused(error, id=id_in(os.path.basename(error.path)))


def _open(path, rows):
    """The spectra of a file: `Reading`s, and (flux, error, good), each of many rows.

    Or one that is refused, and None.
    """
    try:
        with damage_is_a_refusal(path):
            return _spectra_in(path, rows)
    except ReadError as error:
        return [_refused(error)], None


def names_in(path):
    """The star of a file, as `read_apogee` names it, and its other identifiers.

    Each is "" if nothing says it. A file that cannot be read goes by its own name, and
    "refused" says why.
    """
    readings, _ = _open(os.fspath(path), "combined")
    first = readings[0]
    sdss_id = first.meta.get("sdss_id", -1)
    if first.status == "refused":
        named = SDSS_FILE.fullmatch(os.path.basename(path))
        sdss_id = int(named[1]) if named else -1
    return {
        "refused": first.reason if first.status == "refused" else "",
        "star": first.id or (str(sdss_id) if sdss_id > 0 else ""),
        "sdss_id": str(sdss_id) if sdss_id > 0 else "",
        "gaia_id": first.meta.get("gaia_id", ""),
    }


def _spectra_in(path, rows):
    if first_bytes(path).startswith(ZIP):
        return read_npz(path)
    parts = read_parts(path)
    format = identify(parts)
    if format == "apStar":
        return read_apstar(path, parts, rows)
    if format not in READERS:
        raise refusal(path, format)
    return READERS[format](path, parts)


def _refused_if_empty(reading, one_of_many):
    if reading.ivar.any():
        return reading
    what = reading.meta["row"] if one_of_many else "it"
    if what == "visit":
        what = f"visit {reading.meta['visit']}"
    error = ReadError(reading.file, f"{what} has no good pixel", reading.format)
    return refused(error, id=reading.id)
