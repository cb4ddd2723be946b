"""Read one file of a GALAH spectrum: a CCD of DR3 or DR4, or DR4's fit product."""

from dataclasses import dataclass

import numpy as np

from specxfer._grids import GALAH_CCDS, SPEED_OF_LIGHT
from specxfer.io._collect import TINY
from specxfer.io._errors import ReadError, damage_is_a_refusal
from specxfer.io._files import identify, number, refusal, text
from specxfer.io._fits import read_parts, shape_of
from specxfer.io._galah_fit import table_of_fit

__all__ = ["CCD", "ccd_of", "read_ccds", "snr_of"]

DR4_PARTS = ("normalized", "relative_error", "teluric", "resolution_profile")
DISAGREEMENT = 0.5  # km/s, between the wavelengths that the parts of a file state
FASTEST = 5_000.0  # km/s; the survey itself fits up to 2,500


@dataclass
class CCD:
    """One CCD of one spectrum, as in its file."""

    number: int
    format: str
    wave: np.ndarray  # Å in air, observed (DR4) or at rest (DR3, the fit product)
    flux: np.ndarray
    error: np.ndarray
    good: np.ndarray
    velocity: float  # km/s; still to be removed if `observed`
    observed: bool
    resolution: float
    boxiness: float
    snr: float
    labels: dict
    lacks: tuple = ()  # names of the parts that a whole file has


def read_ccds(path, min_transmission):
    """The CCDs in a file; a `ReadError` where there is none."""
    with damage_is_a_refusal(path):
        parts = read_parts(path)
        format = identify(parts)
        if format == "GALAH DR4 fit":
            return _read_fit(path, parts[1])
        if format == "GALAH DR4":
            return [_read_dr4(path, parts, min_transmission)]
        if format == "GALAH DR3":
            return [_read_dr3(path, parts)]
        raise refusal(path, format)


def _read_dr3(path, parts):
    format = "GALAH DR3"
    if len(parts) < 5 or shape_of(parts[4]) == ():
        raise ReadError(
            path,
            "it has no normalised flux (HDU4), as 227 stars of DR3: nothing to read",
            format,
        )
    flux, relative = _image(path, parts, 4, format), _image(path, parts, 1, format)
    wave, ccd = _wavelengths(path, parts[4].header, flux, format)
    header = parts[0].header
    observed, _ = _wavelengths(path, header, flux, format)
    velocity = float((observed[0] / wave[0] - 1) * SPEED_OF_LIGHT)
    # a shift stretches the steps as much, or one of the wavelengths is damaged
    stretch = (np.ptp(observed) / np.ptp(wave) - 1) * SPEED_OF_LIGHT
    _check_agreement(path, abs(stretch - velocity), format)
    good = np.isfinite(relative) & (relative > TINY)
    return CCD(
        number=ccd,
        format=format,
        wave=wave,
        flux=flux,
        error=np.abs(relative * flux),
        good=good,
        velocity=velocity,
        observed=False,
        resolution=np.nan,
        boxiness=np.nan,
        snr=snr_of(relative, good),
        labels=_header_labels(header),
    )


def _read_dr4(path, parts, min_transmission):
    format = "GALAH DR4"
    place = {part.name: i for i, part in enumerate(parts)}
    lacks = tuple(name for name in DR4_PARTS if name not in place)
    for name in lacks:
        if name in ("normalized", "relative_error"):
            raise ReadError(path, f"it has no HDU named {name}", format)
    header = parts[0].header
    flux = _image(path, parts, place["normalized"], format)
    relative = _image(path, parts, place["relative_error"], format)
    wave, ccd = _wavelengths(path, parts[place["normalized"]].header, flux, format)
    own, _ = _wavelengths(path, header, flux, format)
    ends = (own / wave - 1)[[0, -1]] * SPEED_OF_LIGHT
    _check_agreement(path, np.abs(ends).max(), format)
    # negative where the counts are: no light was measured
    good = np.isfinite(relative) & (relative > TINY)
    if "teluric" in place:
        good &= _image(path, parts, place["teluric"], format) >= min_transmission
    resolution = np.nan
    if "resolution_profile" in place:
        fwhm = _image(path, parts, place["resolution_profile"], format)
        resolution = _resolving_power(wave, fwhm)
    velocity = number(header, "RVCOM")
    if abs(velocity) > FASTEST:
        raise ReadError(path, f"its RVCOM is {velocity:g} km/s", format)
    snr = number(header, "SNR")
    return CCD(
        number=ccd,
        format=format,
        wave=wave,
        flux=flux,
        error=np.abs(relative * flux),
        good=good,
        velocity=velocity,
        observed=True,
        resolution=resolution,
        boxiness=number(header, "B"),
        snr=snr if np.isfinite(snr) else snr_of(relative, good),
        labels=_header_labels(header),
        lacks=lacks,
    )


def _read_fit(path, table):
    spectra, chi2 = table_of_fit(path, table)
    ccds = []
    for ccd, wave, flux, error in spectra:
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = error / np.abs(flux)
        good = np.isfinite(error) & (error > 0)
        ccds.append(
            CCD(
                number=ccd,
                format="GALAH DR4 fit",
                wave=wave,
                flux=flux,
                error=error,
                good=good,
                velocity=np.nan,
                observed=False,
                resolution=np.nan,
                boxiness=np.nan,
                snr=snr_of(relative, good & np.isfinite(relative)),
                labels={"fit_chi2": chi2, "translated": 0},
            )
        )
    return ccds


def _image(path, parts, place, format):
    """The pixels of an HDU in native double precision, as many as the flux has."""
    shape, length = shape_of(parts[place]), shape_of(parts[0])
    if shape != length or len(length) != 1 or length[0] < 16:
        raise ReadError(
            path,
            f"HDU{place} has shape {shape}, HDU0 {length}; expected both one row",
            format,
        )
    return np.asarray(parts[place].data, np.float64)


def _wavelengths(path, header, flux, format):
    """Wavelengths of the pixels, and which CCD they are on."""
    start, step, origin = (number(header, k) for k in ("CRVAL1", "CDELT1", "CRPIX1"))
    origin = 1.0 if np.isnan(origin) else origin
    wave = start + (np.arange(flux.size) + 1 - origin) * step
    return wave, ccd_of(path, wave, format)


def _check_agreement(path, difference, format):
    """The parts of a file are on the same pixels, so that a damaged card shows."""
    if difference > DISAGREEMENT:
        raise ReadError(
            path,
            f"its parts disagree about their wavelengths by {difference:.3g} km/s: it "
            "is damaged",
            format,
        )


def ccd_of(path, wave, format):
    """Which CCD the wavelengths of its pixels make one."""
    if wave[-1] > wave[0]:
        for ccd, (first, last) in enumerate(GALAH_CCDS, 1):
            if abs(wave[0] - first) < 40 and abs(wave[-1] - last) < 40:
                return ccd
    raise ReadError(
        path,
        f"its wavelengths, {wave[0]:.6g} to {wave[-1]:.6g} Å, are those of no HERMES "
        "CCD",
        format,
    )


def _resolving_power(wave, fwhm):
    power = np.where(fwhm > 0, wave / fwhm, np.nan)
    power = power[(power > 1_000) & (power < 1_000_000)]
    return float(np.median(power)) if power.size else np.nan


def snr_of(relative, good):
    return float(1 / np.median(relative[good])) if good.any() else np.nan


def _header_labels(header):
    def flag(key):
        value = number(header, key)
        return int(value) if value in (0, 1) else -1

    return {
        "tmass_id": text(header, "2MASS_ID").removeprefix("2M"),
        "gaia_id": text(header, "GAIA_ID"),
        "object": text(header, "OBJ_NAME") or text(header, "STD_NAME"),
        "rv_error": number(header, "E_RVCOM"),
        "rv_ok": flag("RVCOM_OK"),
        "wave_ok": flag("WAV_OK"),
        "parameters_ok": flag("PAR_OK"),
        "teff": number(header, "TEFF_R"),
        "logg": number(header, "LOGG_R"),
        "fe_h": number(header, "FE_H_R"),
        "alpha_fe": number(header, "A_FE_R"),
        "vbroad": number(header, "VBROAD_R"),
        "translated": int(number(header, "TRANSLAT") == 1),  # by write_galah
        "support": number(header, "SUPPORT"),
        "star_id": text(header, "STAR_ID"),
    }
