"""Write spectra as the four CCD files of GALAH DR4."""

import hashlib
import os
import re
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table
from tqdm import tqdm

from specxfer._grids import GALAH_PIXELS, galah_chip, galah_wave
from specxfer._version import __version__
from specxfer.resampling import resample
from specxfer.spectra import Spectra

__all__ = ["write_galah"]

COUNTS = 10_000.0  # of the continuum, in HDU0
UNKNOWN = (1.0, 1e10)  # flux and relative error where nothing is known
FAINTEST = 2e-6  # a relative error of no flux would be infinite; readers drop 1e-6
SAME_PIXEL = 1e-3  # pixels by which a wavelength may be off
TMASS = re.compile(r"2M\d{8}[+-]\d{7}")
SOBJECT_ID = re.compile(r"[1-9]\d{14}")

PARTS = (  # of a DR4 file, after HDU0
    *("normalized", "relative_error", "sky", "teluric", "scattered"),
    *("cross_talk", "resolution_profile"),
)
EMPTY = {"sky": 0.0, "teluric": 1.0, "scattered": 0.0, "cross_talk": 0.0}

NUMBERS = {  # card: column of meta, comment
    "TEFF_R": ("teff", "T_eff in K"),
    "LOGG_R": ("logg", "log g in log cm/s^2"),
    "FE_H_R": ("fe_h", "Iron abundance in dex ([Fe/H])"),
    "A_FE_R": ("alpha_fe", "Alpha abundance in dex ([alpha/Fe])"),
    "VBROAD_R": ("vbroad", "Broadening velocity in km/s"),
    "RV_SRC": ("rv_com", "Velocity of the source spectrum in km/s"),
    "SUPPORT": ("support", "Distance from training stars, >1: unlike them"),
}


def write_galah(spectra, folder, *, sobject_ids=None, overwrite=False, verbose=0):
    """Write spectra as files that pipelines for GALAH DR4 read.

    One file a CCD, ``{sobject_id}{ccd}.fits``, with the parts of a DR4 file: flux,
    normalized, relative_error, sky, teluric, scattered, cross_talk and
    resolution_profile, on the pixels of `galah_wave`, in air. The wavelengths are at
    rest, so the velocity in the header (RVCOM) is 0. Headers say that the spectra are
    translated and not observed.

    Parameters
    ----------
    spectra : Spectra of shape (n_spectra, n_pixels)
        In the rest frame, with their noise: normally from `specxfer.translate`.
        Pixels of `galah_wave`, all or some, in air, are written as they are. Other
        grids, and wavelengths in vacuum, are resampled onto them (flux is conserved
        and the noise of neighbours becomes correlated).
    folder : path
        Made if it is not there.
    sobject_ids : array-like of shape (n_spectra,), optional
        15 digits for each spectrum, all different. By default those of
        ``meta["sobject_id"]``, else of `ids` that are 15 digits, else made up: see
        Notes.
    overwrite : bool, default=False
        Whether to replace files that are there already.
    verbose : int, default=0
        Above 0, show a progress bar.

    Returns
    -------
    Table
        One row a spectrum: file, id, sobject_id, status ("written" or "skipped"),
        reason, n_good (pixels). A spectrum without any known pixel on the CCDs is
        skipped.

    Raises
    ------
    TypeError
        If `spectra` are no `Spectra`.
    ValueError
        If they have no noise, no wavelengths or none on a HERMES CCD, or if names of
        files are missing, repeated or malformed.
    FileExistsError
        If a file is there already and `overwrite` is False. Nothing is written then.

    Notes
    -----
    A made-up sobject_id is 9999 and eleven digits that follow from the star's id, the
    same in every call (and from how many spectra of the star come before this one in
    the call). It cannot be a real one, which begins with the date, yymmdd.

    Unknown pixels have flux 1 and relative error 10¹⁰, so that a pipeline that knows no
    mask gives them no weight; `read_galah` returns them as NaN. A file is written only
    for the CCDs on which a spectrum has known pixels. Flux of less than 2×10⁻⁶ is
    written as ±2×10⁻⁶. `read_galah` never takes an error as less than 10⁻⁴.

    HDU0 is the normalised flux times 10,000: there are no counts. The sky, scattered
    light and cross-talk are 0, the telluric transmission 1. The resolution profile is
    λ/R with R of `spectra.resolution`, and 0 where that is unknown; the boxiness (B) is
    that of ``meta["lsf_boxiness"]``. SNR is the median of flux over error. The errors
    of a translation are correlated between pixels and the files cannot say how: for
    errors of equivalent widths use the covariance of the `Spectra`.

    References
    ----------
    Buder, S. et al. 2025, PASA 42, e051 (GALAH DR4).

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from specxfer import Spectra
    >>> from specxfer.io import galah_wave, read_galah, write_galah
    >>> y = Spectra(np.full((1, 4096), 0.9), np.full((1, 4096), 1e4),
    ...             wave=galah_wave(3), medium="air", ids=["2M00000000+0000001"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = write_galah(y, folder)
    ...     again, _ = read_galah(folder)
    >>> written["status"][0], again.ids[0], again.meta["translated"][0]
    (np.str_('written'), np.str_('2M00000000+0000001'), np.int64(1))
    """
    _check(spectra)
    pixels = _GalahPixels(spectra)
    names = _names(spectra, sobject_ids)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if not overwrite:
        _check_free(folder, names, pixels.ccds)
    templates = {ccd: _Template(ccd) for ccd in pixels.ccds}
    lines = []
    with tqdm(total=len(spectra), disable=not verbose, unit="spectrum") as progress:
        for rows, block in spectra.replace(covariance=None).iter_blocks():
            flux, ivar = pixels.of(block)
            for i, name in enumerate(names[rows]):
                lines.append(
                    _write_star(folder, name, block[i], flux[i], ivar[i], templates)
                )
                progress.update()
    columns = list(zip(*lines)) or [()] * 5
    report = Table()
    report["file"] = np.array(columns[0], "U")
    report["id"] = np.array(
        names if spectra.ids is None else spectra.ids.astype("U"), "U"
    )
    report["sobject_id"] = np.array(names, np.int64)
    for name, values in zip(("status", "reason"), columns[1:3]):
        report[name] = np.array(values, "U")
    report["n_good"] = np.array(columns[3], int)
    return report


def _check(spectra):
    if not isinstance(spectra, Spectra):
        raise TypeError(
            f"spectra is a {type(spectra).__name__}; expected Spectra, such as "
            "specxfer.translate returns."
        )
    spectra._require_wave("write_galah")
    if not spectra.has_noise:
        raise ValueError(
            "these spectra have no noise, and a GALAH file states its relative error: "
            "give spectra.replace(ivar=...)."
        )


# -------------------------------------------------------------------------- pixels
class _GalahPixels:
    """Where the pixels of some spectra are on the grid of `galah_wave`."""

    def __init__(self, spectra):
        self.wave = galah_wave()
        air = spectra.to_medium("air").wave
        nearest = np.searchsorted((self.wave[1:] + self.wave[:-1]) / 2, air)
        step = np.gradient(galah_wave().reshape(4, -1), axis=1).ravel()[nearest]
        off = np.abs(air - self.wave[nearest])
        self.place = nearest if (off < SAME_PIXEL * step).all() else None
        self.air = air
        # a CCD that the grid does not reach has no file, for any star
        known = np.zeros(self.wave.size, bool)
        known[nearest[off < 2 * step]] = True
        self.ccds = [int(c) + 1 for c in np.unique(galah_chip()[known])]
        if not self.ccds:
            raise ValueError(
                f"wavelengths from {spectra.wave[0]:.6g} to {spectra.wave[-1]:.6g} Å "
                f"in {spectra.medium} are on no CCD of HERMES (4714 to 7886 Å): give "
                "spectra translated to GALAH."
            )

    def of(self, block):
        """Flux and ivar of a block on the 16384 pixels: NaN and 0 where unknown."""
        valid = block.valid()
        flux = np.where(valid, block.flux, np.nan).astype(np.float32)
        ivar = np.where(valid, block.ivar, 0).astype(np.float32)
        if self.place is None:
            return resample(flux, self.air, self.wave, ivar)
        out = np.full((2, len(flux), self.wave.size), np.nan, np.float32)
        out[1] = 0
        out[0][:, self.place], out[1][:, self.place] = flux, ivar
        return out


# --------------------------------------------------------------------------- names
def _names(spectra, sobject_ids):
    """15 digits for each spectrum, all different."""
    if sobject_ids is not None:
        names = [str(i) for i in sobject_ids]
        if len(names) != len(spectra):
            raise ValueError(
                f"{len(names)} sobject_ids for {len(spectra)} spectra: give one each."
            )
        for name in names:
            if not SOBJECT_ID.fullmatch(name):
                raise ValueError(
                    f"sobject_id {name!r} is no number of 15 digits that GALAH could "
                    "have given."
                )
    else:
        names = _own_or_made_up(spectra)
    if len(set(names)) < len(names):
        seen, twice = set(), ""
        for name in names:
            twice = twice or (name if name in seen else "")
            seen.add(name)
        raise ValueError(
            f"two spectra would both be {twice}: give sobject_ids that are all "
            "different."
        )
    return names


def _own_or_made_up(spectra):
    own = _column(spectra, "sobject_id", "")
    ids = [""] * len(spectra) if spectra.ids is None else spectra.ids.astype("U")
    names, count = [], {}
    for row, (number, star) in enumerate(zip(own, ids)):
        found = next(
            (i for i in map(str, (number, star)) if SOBJECT_ID.fullmatch(i)), ""
        )
        if not found and not star:
            raise ValueError(
                f"spectrum {row} has neither an id nor a sobject_id to name its files "
                "by: give sobject_ids, or spectra.replace(ids=...)."
            )
        if not found:
            count[star] = count.get(star, -1) + 1
            digest = hashlib.blake2b(f"{star}\n{count[star]}".encode()).digest()
            found = f"9999{int.from_bytes(digest[:8], 'big') % 10**11:011d}"
        names.append(found)
    return names


def _check_free(folder, names, ccds):
    paths = [folder / f"{name}{ccd}.fits" for name in names for ccd in ccds]
    there = [path for path in paths if path.exists()]
    if there:
        raise FileExistsError(
            f"{there[0]} and {len(there) - 1} more of {len(paths)} files are there "
            "already: choose another folder, or overwrite=True."
        )


# --------------------------------------------------------------------------- files
class _Template:
    """What all files of a CCD share."""

    def __init__(self, ccd):
        self.ccd = ccd
        self.wave = galah_wave(ccd)
        self.step = (self.wave[-1] - self.wave[0]) / (GALAH_PIXELS - 1)
        self.on = galah_chip() == ccd - 1
        self.headers = {name: self._extension(name) for name in PARTS}
        self.constant = {
            name: _padded(np.full(GALAH_PIXELS, value)) for name, value in EMPTY.items()
        }

    def grid(self, header):
        header["CRVAL1"], header["CDELT1"] = self.wave[0], self.step
        header["CRPIX1"], header["CTYPE1"] = 1.0, "LINEAR"
        header["CUNIT1"] = "angstroms"
        return header

    def _extension(self, name):
        header = fits.ImageHDU(np.zeros(GALAH_PIXELS, ">f4")).header
        header["EXTNAME"] = name
        return self.grid(header).tostring().encode("ascii")

    def content(self, header, normalized, relative, fwhm):
        """The bytes of a file."""
        own = {
            "normalized": normalized,
            "relative_error": relative,
            "resolution_profile": fwhm,
        }
        parts = [header.tostring().encode("ascii"), _padded(COUNTS * normalized)]
        for name in PARTS:
            parts.append(self.headers[name])
            parts.append(self.constant[name] if name in EMPTY else _padded(own[name]))
        return b"".join(parts)


def _padded(values):
    data = values.astype(">f4").tobytes()
    return data + b"\0" * (-len(data) % 2880)


def _write_star(folder, name, star, flux, ivar, templates):
    """Write the files of one spectrum; its line of the report."""
    header = _star_header(star)
    written, n_good = [], 0
    for ccd, template in templates.items():
        known = ivar[template.on] > 0
        if not known.any():
            continue
        normalized = flux[template.on].astype(np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            error = 1 / np.sqrt(ivar[template.on].astype(np.float64))
            small = np.abs(normalized) < FAINTEST
            normalized[small] = np.copysign(FAINTEST, normalized[small])
            relative = error / np.abs(normalized)
        own = _ccd_header(header, template, star, np.median(1 / relative[known]))
        normalized[~known], relative[~known] = UNKNOWN
        power = _resolving_power(star, ccd)
        fwhm = template.wave / power if np.isfinite(power) else 0 * template.wave
        _write(
            folder / f"{name}{ccd}.fits",
            template.content(own, normalized, relative, fwhm),
        )
        written.append(str(ccd))
        n_good += int(known.sum())
    if not written:
        return "", "skipped", "it has no known pixel on a CCD of HERMES", 0
    file = os.path.join(folder, f"{name}[{''.join(written)}].fits")
    return file, "written", "", n_good


def _write(path, content):
    """All of a file or none: it takes its name when it is whole."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


# ------------------------------------------------------------------------- headers
def _star_header(star):
    """The cards of a star, the same on every CCD."""
    header = fits.PrimaryHDU(np.zeros(GALAH_PIXELS, ">f4")).header
    header["EXTEND"] = True
    header["ORIGIN"] = (f"specxfer {__version__}", "Written by")
    header["TRANSLAT"] = (True, "Translated from another survey, NOT observed")
    id = "" if star.ids is None else str(star.ids[0])
    tmass = _text(star, "tmass_id") or (id if TMASS.fullmatch(id) else "")
    header["STAR_ID"] = (_ascii(id), "Name of the star")
    header["2MASS_ID"] = (_ascii(tmass).removeprefix("2M") or "None", "2MASS id")
    header["GAIA_ID"] = (_text(star, "gaia_id") or "None", "Gaia source_id")
    header["OBJ_NAME"] = (_text(star, "object") or _ascii(id) or "None", "Object name")
    header["RVCOM"] = (0.0, "km/s: the wavelengths are at rest")
    header["RVCOM_OK"] = (1, "1: RVCOM is what is to be removed")
    header["E_RVCOM"] = ("None", "It was not measured")
    for card, (column, comment) in NUMBERS.items():
        value = float(_column(star, column, np.nan)[0])
        header[card] = (value if np.isfinite(value) else "None", comment)
    header["HISTORY"] = (
        "This spectrum was translated by a model from the spectrum that another survey "
        "took of the star. It was not observed by GALAH."
    )
    header["HISTORY"] = (
        "HDU0 is the normalised flux times 10000. relative_error is the model's, each "
        "pixel's own; errors are correlated between pixels. 1e10: unknown pixel."
    )
    return header


def _ccd_header(header, template, star, snr):
    header = template.grid(header.copy())
    header["SNR"] = (float(snr), "Median flux over error, per pixel")
    header["SNR_AA"] = (float(snr) / np.sqrt(template.step), "The same per Angstrom")
    power = _resolving_power(star, template.ccd)
    middle = template.wave[GALAH_PIXELS // 2]
    known = np.isfinite(power)
    header["RES"] = (float(middle / power) if known else "None", "FWHM in Angstroms")
    boxiness = np.ravel(_column(star, "lsf_boxiness", np.nan)[0])
    box = float(boxiness[template.ccd - 1]) if boxiness.size == 4 else np.nan
    header["LSF"] = ("exp(-0.693147|2x/fwhm|^B)", "Line spread function")
    header["B"] = (box if np.isfinite(box) else "None", "Boxiness parameter for LSF")
    return header


def _resolving_power(star, ccd):
    """R of one spectrum on a CCD; NaN where it is not known."""
    if star.resolution is None:
        return np.nan
    if star.resolution.ndim == 1:
        return float(star.resolution[0])
    on = galah_chip(star.wave) == ccd - 1
    values = star.resolution[0, np.unique(star.chip[on])]
    values = values[np.isfinite(values)]
    return float(np.median(values)) if values.size else np.nan


def _column(spectra, name, missing):
    """A column of meta, or as many of what stands for its absence."""
    if spectra.meta is None or name not in spectra.meta.colnames:
        return [missing] * len(spectra)
    return np.ma.filled(spectra.meta[name], missing)


def _text(star, column):
    value = _ascii(str(_column(star, column, "")[0]))
    return "" if value in ("None", "nan", "-1") else value


def _ascii(text):
    """What a FITS card can hold of a name."""
    return "".join(c for c in text if 32 <= ord(c) < 127)[:60].strip()
