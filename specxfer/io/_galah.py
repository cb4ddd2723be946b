"""Read GALAH spectra: the four CCD files of DR3 and DR4, and DR4's fit product."""

import os
import re
from dataclasses import dataclass
from functools import partial

import numpy as np

from specxfer._grids import SPEED_OF_LIGHT, galah_chip, galah_wave
from specxfer.io._collect import Reading, collect, mask_pixels, meta_table, refused
from specxfer.io._errors import ReadError
from specxfer.io._evenly_spaced import resample_detectors
from specxfer.io._files import find_files
from specxfer.io._galah_files import read_ccds
from specxfer.resampling import pixel_edges
from specxfer.spectra import Spectra

__all__ = ["groups_of", "names_of", "read_galah"]

ERROR_FLOOR = 1e-4  # no HERMES spectrum is known better
SAME_VELOCITY = 0.01  # km/s; the CCDs of a spectrum agree to 1e-5
SOBJECT_ID = re.compile(r"\d{15}")
NAME = re.compile(r"(?P<id>.*?)(?P<ccd>[1-4])?(?:\.fits?)?(?:\.gz)?")
ID_IN_NAME = re.compile(r"\d{15}(?!\d)")  # 150411003101372_allstar_fit_spectrum.fits

META = {
    "sobject_id": (np.int64, None),
    "tmass_id": ("U", None),
    "gaia_id": ("U", None),
    "object": ("U", None),
    "survey": ("U", None),
    "release": ("U", None),
    "snr": (float, None),
    "rv_com": (float, "km/s"),
    "rv_error": (float, "km/s"),
    "rv_ok": (int, None),
    "wave_ok": (int, None),
    "parameters_ok": (int, None),
    "teff": (float, "K"),
    "logg": (float, None),
    "fe_h": (float, None),
    "alpha_fe": (float, None),
    "vbroad": (float, "km/s"),
    "fit_chi2": (float, None),
    "translated": (int, None),
    "support": (float, None),
}


def read_galah(
    paths,
    ids=None,
    *,
    wave=None,
    n_jobs=None,
    verbose=0,
    on_error="skip",
    max_error=1.0,
    max_flux=2.0,
    min_transmission=0.5,
):
    """Read GALAH spectra of DR3 and DR4, at rest and on one grid.

    The files of one spectrum, ``{sobject_id}{ccd}.fits`` with ccd 1 to 4, are put
    together. The fit product of DR4, ``{sobject_id}_allstar_fit_spectrum.fits``, holds
    a spectrum of its own. What a file is, is told by what it holds, not by its name
    or folder.

    Parameters
    ----------
    paths : path or list of paths
        Files, folders (searched to any depth) or patterns.
    ids : list of int or str, optional
        Read only these sobject_ids; those without a file are reported.
    wave : array-like of shape (n_pixels,), optional
        Å in air, in the rest frame of the star: the grid to put spectra on. By
        default `specxfer.io.galah_wave()`, 4096 pixels for each CCD.
    n_jobs : int, optional
        Spectra read at the same time, as in joblib.
    verbose : int, default=0
        Above 0, show a progress bar.
    on_error : {"skip", "raise"}, default="skip"
        What to do with a file that cannot be read: report it and go on, or raise
        the `ReadError`. A missing CCD is reported and never raised.
    max_error : float, default=1.0
        Pixels with a larger error (continuum units) are bad.
    max_flux : float or None, default=2.0
        Pixels more than 5σ above it, and their neighbours, are bad (cosmic rays, sky
        lines: neither release has a mask), as are those more than 5σ below 0. None
        keeps them, as strong emission lines may need.
    min_transmission : float, default=0.5
        DR4: pixels where less of the light came through the Earth's atmosphere are
        bad; telluric lines are divided out, but not to within the noise. DR3 and the
        fit product do not say.

    Returns
    -------
    spectra : Spectra of shape (n_read, n_pixels)
        In air. Bad pixels, missing CCDs and pixels the star's own do not cover
        are NaN with ivar 0. `ids` name the star: ``2M`` and the 2MASS designation
        as in APOGEE where the file has it, else its Gaia id, else the sobject_id.
        `resolution` is λ/FWHM for each CCD, NaN for DR3 and the fit product, whose
        files do not say.
        `meta` holds sobject_id, tmass_id, gaia_id, object, survey, release, snr (per
        pixel, median of the CCDs), rv_com (km/s, the shift that was removed),
        rv_error, rv_ok, wave_ok, parameters_ok, teff, logg, fe_h, alpha_fe, vbroad
        (of the reduction pipeline), fit_chi2 (reduced χ² of the fit product's model
        over the pixels it was fitted to), translated (1 for a file by `write_galah`,
        which no telescope observed, else 0) and its support, file, and `snr_ccd` and
        `lsf_boxiness` for each CCD; NaN, or -1, where the file does not say.
    report : astropy.table.Table
        One row a spectrum, or a file that belongs to none: status ("read", "partial"
        or "refused"), reason, id, file, format, n_good (pixels). Rows that are not
        refused are the rows of `spectra`, in order. "partial": a CCD is missing,
        was refused, lacks its telluric spectrum or resolution profile, or has another
        velocity than the others.

    Raises
    ------
    FileNotFoundError
        If a path that is no pattern does not exist, whatever `on_error`.
    ReadError
        With ``on_error="raise"``, for the first file that cannot be read.

    Notes
    -----
    The wavelength of pixel i, counted from 0, is CRVAL1 + (i + 1 − CRPIX1) CDELT1.
    DR3 gives the normalised flux (HDU4) its own wavelengths, at rest; DR4 does not,
    and its wavelengths are divided by 1 + RVCOM/c. The error is the relative error of
    the counts times the normalised flux. Resampling conserves flux and leaves the
    noise of neighbouring pixels correlated (see `specxfer.resampling.resample`).

    The fit product is at rest, normalised to its own model, lacks CCD4 below about
    7679 Å (telluric oxygen), and does not say what velocity was removed: `rv_com` is
    NaN. Where its wavelengths show that this was beyond ±1000 km/s, the survey's fit
    has failed, and the file is refused. Its column `mob` is no mask of bad pixels (it
    leaves out what the model cannot fit) and is used for `fit_chi2` only.

    References
    ----------
    Buder, S. et al. 2021, MNRAS 506, 150 (DR3); Buder, S. et al. 2025, PASA 42, e051
    (DR4); Kos, J. et al. 2017, MNRAS 464, 1259 (reduction).

    Examples
    --------
    >>> from specxfer.io import read_galah
    >>> spectra, report = read_galah("no_such_*.fits")
    >>> len(spectra), report["status"][0]
    (0, np.str_('refused'))
    """
    wave = checked_wave(wave)
    rules = {
        "max_error": max_error,
        "max_flux": max_flux,
        "min_transmission": min_transmission,
    }
    flux, ivar, readings, report = collect(
        partial(_read_star, edges=pixel_edges(wave), rules=rules),
        _group(find_files(paths), ids),
        wave.size,
        n_jobs=n_jobs,
        verbose=verbose,
        on_error=on_error,
    )
    return as_spectra(flux, ivar, readings, wave), report


def checked_wave(wave):
    """The grid asked for, by default that of `galah_wave`."""
    wave = galah_wave() if wave is None else np.asarray(wave, np.float64)
    if wave.ndim != 1 or wave.size < 2 or not (np.diff(wave) > 0).all():
        raise ValueError(
            "wave must be one row of at least two wavelengths (Å) that increase; got "
            f"shape {wave.shape}."
        )
    return wave


def as_spectra(flux, ivar, readings, wave, columns=META):
    """`Spectra` of what was read."""
    meta = meta_table(readings, columns)
    for name in ("snr_ccd", "lsf_boxiness"):
        meta[name] = np.array([r.meta[name] for r in readings]).reshape(-1, 4)
    chip = galah_chip(wave)
    resolution = np.array([r.resolution for r in readings]).reshape(-1, 4)
    return Spectra(
        flux,
        ivar,
        wave=wave,
        medium="air",
        ids=np.array([_star_name(r) for r in readings], "U"),
        meta=meta,
        resolution=resolution[:, np.unique(chip)],
        chip=chip,
    )


def _star_name(reading):
    """A name shared by all spectra of a star, and with APOGEE, if the file has one."""
    given, tmass, gaia = (
        reading.meta.get(name, "") for name in ("star_id", "tmass_id", "gaia_id")
    )
    return given or (f"2M{tmass}" if tmass else gaia or reading.id)


# ------------------------------------------------------------------------ grouping
@dataclass
class Group:
    """The files of one spectrum: path and, by its name, CCD (or None) of each."""

    id: str
    files: list

    @property
    def pattern(self):
        """One name for all of them: ``…/1312160026010031.fits`` to ``…[1234].fits``."""
        (path, _), *others = self.files
        if not others:
            return path
        ccds = "".join(str(ccd) for _, ccd in self.files)
        folder, name = os.path.split(path)
        head = len(self.id)
        return os.path.join(folder, f"{self.id}[{ccds}]{name[head + 1 :]}")


def groups_of(paths):
    """The files of each spectrum, told by their names."""
    return _group(find_files(paths), None)


def names_of(group):
    """The star of a spectrum, as `read_galah` names it, and its Gaia DR3 id or "".

    From the first of its files that can be read; "refused" says why if there is none.
    """
    why = ""
    for path, _ in group.files:
        try:
            ccds = read_ccds(path, 0.0)
        except ReadError as error:
            why = why or error.reason
            continue
        labels = _labels(ccds)
        star = _star_name(Reading(path, group.id, meta=labels))
        # which release of Gaia it is of, only the files of DR4 say
        known = ccds[0].format == "GALAH DR4"
        gaia_id = labels.get("gaia_id", "") if known else ""
        return {"refused": "", "star": star, "gaia_id": gaia_id}
    return {"refused": why, "star": group.id, "gaia_id": ""}


def _group(paths, ids):
    groups = {}
    for path in paths:
        folder, name = os.path.split(path)
        parts = NAME.fullmatch(name)
        ccd = parts["ccd"]
        star = parts["id"] if ccd else name
        found = None if ccd else ID_IN_NAME.match(name)
        group = groups.setdefault(
            (folder, star), Group(found[0] if found else star, [])
        )
        group.files.append((path, int(ccd) if ccd else None))
    if ids is None:
        return list(groups.values())
    by_id = {}
    for group in groups.values():
        by_id.setdefault(group.id, []).append(group)
    wanted = dict.fromkeys(str(i) for i in ids)
    return [g for i in wanted for g in by_id.get(i, [Group(i, [])])]


# ------------------------------------------------------------------------- reading
def _read_star(group, edges, rules):
    if not group.files:
        error = ReadError(group.id, "no file of this sobject_id")
        return refused(error, id=group.id)
    ccds, errors = {}, []
    for path, named in group.files:
        try:
            for ccd in read_ccds(path, rules["min_transmission"]):
                if named and SOBJECT_ID.fullmatch(group.id) and named != ccd.number:
                    raise ReadError(
                        path,
                        f"its name says CCD {named}, its wavelengths CCD {ccd.number}",
                        ccd.format,
                    )
                if ccd.number in ccds:
                    raise ReadError(
                        path, f"a second file of CCD {ccd.number}", ccd.format
                    )
                ccds[ccd.number] = ccd
        except ReadError as error:
            errors.append(error)
    try:
        reading = assemble(group, ccds, edges, rules)
    except ReadError as error:
        reading = refused(error, id=group.id if SOBJECT_ID.fullmatch(group.id) else "")
    if errors:
        reading.errors = tuple(errors)
        reasons = [_short(e) if len(group.files) > 1 else e.reason for e in errors]
        if ccds:
            reasons.append(reading.reason)
        else:
            reading.format = errors[0].format
        reading.reason = "; ".join(filter(None, dict.fromkeys(reasons)))
    return reading


def _short(error):
    return f"{os.path.basename(error.path)}: {error.reason}"


def assemble(group, ccds, edges, rules):
    """One spectrum on the grid asked for, from the CCDs that could be read."""
    if not ccds:
        raise ReadError(group.pattern, "none of its files could be read")
    ordered = [ccds[number] for number in sorted(ccds)]
    format = ordered[0].format
    velocities = np.array([c.velocity for c in ordered])
    unknown = np.isnan(velocities).all()
    if unknown and any(ccd.observed for ccd in ordered):
        raise ReadError(
            group.pattern,
            "no radial velocity (RVCOM) in its headers: it cannot be put at rest",
            format,
        )
    # of the star: all CCDs say the same
    velocity = np.nan if unknown else float(np.nanmedian(velocities))
    detectors = []
    for ccd in ordered:
        shift = 1 + velocity / SPEED_OF_LIGHT if ccd.observed else 1.0
        error = np.maximum(ccd.error, ERROR_FLOOR)
        masked = mask_pixels(
            ccd.flux, error, ccd.good, rules["max_error"], rules["max_flux"]
        )
        detectors.append((ccd.wave / shift, *masked))
    flux, ivar = resample_detectors(detectors, edges)
    if not ivar.any():
        raise ReadError(group.pattern, "it has no good pixel on this grid", format)
    remarks = [
        f"CCD {ccd.number} has no {' and no '.join(ccd.lacks)}: truncated?"
        for ccd in ordered
        if ccd.lacks
    ]
    if (np.abs(velocities - velocity) > SAME_VELOCITY).any():
        remarks.append(f"RVCOM differs between CCDs: {velocities.round(3)} km/s")
    if len({ccd.labels.get("translated") for ccd in ordered}) > 1:
        remarks.append("some CCDs are translated, the others observed")
    missing = [str(k) for k in (1, 2, 3, 4) if k not in ccds]
    if missing:
        remarks.append(f"no CCD {', '.join(missing)}")
    reading = Reading(
        group.pattern,
        group.id,
        format,
        "partial" if remarks else "read",
        "; ".join(remarks),
        flux,
        ivar,
        {
            **_labels(ordered),
            "sobject_id": int(group.id) if SOBJECT_ID.fullmatch(group.id) else -1,
            "survey": "GALAH",
            "release": format.removeprefix("GALAH "),
            "rv_com": velocity,
            "snr_ccd": _per_ccd(ccds, "snr"),
            "lsf_boxiness": _per_ccd(ccds, "boxiness"),
        },
        _per_ccd(ccds, "resolution"),
    )
    snr = [value for value in reading.meta["snr_ccd"] if np.isfinite(value)]
    reading.meta["snr"] = float(np.median(snr)) if snr else np.nan
    return reading


def _per_ccd(ccds, name):
    return [getattr(ccds[k], name) if k in ccds else np.nan for k in (1, 2, 3, 4)]


def _labels(ordered):
    """What the headers say, from the first CCD that says it."""
    labels = {}
    for ccd in ordered:
        for key, value in ccd.labels.items():
            if labels.get(key) in (None, "", -1) or labels[key] != labels[key]:
                labels[key] = value
    labels["translated"] = max(ccd.labels["translated"] for ccd in ordered)
    return labels
