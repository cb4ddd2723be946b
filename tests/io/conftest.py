"""Writers of small files in the survey formats: real layout, made-up stars."""

from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits

C = 299_792.458  # km/s
SDSS_ID = 54392544
CHIPS = ((246, 3274), (3585, 6080), (6344, 8335))
CCDS = {  # CRVAL1, CDELT1 of a star in motion, as in the survey's files
    1: (4713.50, 0.04595, 4790.0),
    2: (5648.10, 0.05469, 5760.0),
    3: (6477.20, 0.06316, 6600.0),
    4: (7584.10, 0.07357, 7800.0),
}


def wcs(start, step, pixel=1.0):
    header = fits.Header()
    header["CRVAL1"], header["CDELT1"], header["CRPIX1"] = start, step, pixel
    return header


def apogee_lines(pixel):
    """A giant of one line every 100 pixels of the common grid."""
    return 1 - 0.3 * np.exp(-0.5 * ((pixel % 100 - 50) / 2.0) ** 2)


def apogee_flux():
    """A giant, and 0 in the gaps; and which pixels are on a chip."""
    on_chip = np.zeros(8575, bool)
    for start, stop in CHIPS:
        on_chip[start:stop] = True
    return np.where(on_chip, apogee_lines(np.arange(8575)), 0).astype(">f4"), on_chip


def apogee_continuum(pixel):
    """In the survey's unit, 1e-17 erg/s/cm²/Å: what a reader must divide out."""
    x = (pixel - 4287) / 4287
    return 300 * (1 - 0.2 * x + 0.1 * x**2)


def lsf(sigma, size):
    """26 coefficients: a Gaussian of `sigma` pixels over pixels of `size`, no wings."""
    orders, wings = [5, 1, 1, 1, 1, 1, 0], [1, 2, 0, 0, 0.0, 1.0]
    return np.array([size, 4287, *orders, sigma, *np.zeros(10), *wings])


def aspcapstar(path, *, flux=None, error=None, obj="2M00000000+0000001", table=True):
    plain, on_chip = apogee_flux()
    flux = plain if flux is None else flux
    error = np.where(on_chip, 0.01, 0).astype(">f4") if error is None else error
    primary = fits.PrimaryHDU()
    primary.header["OBJ"] = obj
    primary.header["SNR"] = 120.5
    primary.header["VHELIO"] = -42.5
    primary.header["NVISITS"] = 3
    grid = wcs(4.179, 6e-6)
    hdus = [primary, *(fits.ImageHDU(a, grid) for a in (flux, error, plain))]
    if table:
        param = np.array([4500, 2.1, 0.2, -0.3, 0.1, 0.2, 0.15, 1.0, 0.0])
        columns = [
            fits.Column("FILE", "26A", array=[f"apStar-r6-{obj}"]),
            fits.Column("BITS", "11X", array=np.zeros((1, 11), bool)),
            fits.Column("APOGEE_ID", "18A", array=[obj]),
            fits.Column("PARAM", "9E", array=param[None]),
            fits.Column("STARFLAG", "J", array=[512]),
            fits.Column("ASPCAPFLAG", "J", array=np.array([-(2**31)], np.int32)),
        ]
        hdus.append(fits.BinTableHDU.from_columns(columns))
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path


def apstar(path, n_visits=2, *, obj="2M00000000+0000001", edit=None, **cards):
    """Visits of S/N 100; `edit` is given the list of HDUs before it is written."""
    plain, on_chip = apogee_flux()
    scale = np.array([1.0, 1.0, *(0.8 + 0.1 * np.arange(n_visits))])
    flux = scale[:, None] * plain * apogee_continuum(np.arange(8575))
    error = 0.01 * flux * np.r_[[n_visits**-0.5] * 2, np.ones(n_visits)][:, None]
    error = np.where(on_chip, error, 1e10)
    mask = np.zeros(flux.shape, ">i2")
    mask[:, ~on_chip] = 1
    arrays = [flux, error, mask, flux, np.where(on_chip, error, np.inf), flux, error]
    if n_visits == 1:
        arrays = [a[0] for a in arrays]
    header = {"OBJID": obj, "NVISITS": n_visits, "TELESCOP": "apo25m", "SNR": 140.0}
    header |= {"VRAD": 0.0, "VHELIO": -72.95, "VSCATTER": 0.006, "STARFLAG": 512}
    for i in range(1, n_visits + 1):
        header |= {
            f"SFILE{i}": f"apVisit-r6-6896-{56375 + i}-{240 + i}.fits",
            f"JD{i}": 2456376.0 + i,
            f"FIBER{i}": 240 + i,
            f"BC{i}": 29.0 + i,
            f"VRAD{i}": -102.0,
            f"VHELIO{i}": -73.0 + i,
            f"SNRVIS{i}": 100.0 + i,
            f"FLAG{i}": 1 << i,
        }
    hdus = [fits.PrimaryHDU()]
    hdus[0].header.update({**header, **cards})
    for data in arrays:
        kind = ">i2" if data.dtype.kind == "i" else ">f4"
        hdus.append(fits.ImageHDU(data.astype(kind), wcs(4.179, 6e-6)))
    hdus += [fits.ImageHDU(lsf(1.3, 1.0)), fits.BinTableHDU(np.zeros(1, [("A", "f4")]))]
    if edit is not None:
        edit(hdus)
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path


def apvisit(
    path, velocity=83.0, *, n_pixels=4096, obj="2M00000000+0000001", edit=None, **cards
):
    """A visit at `velocity` km/s against the spectrograph, red to blue, descending."""
    ends = ((16955, 16473), (16435, 15857), (15810, 15143))
    x = np.linspace(0, 1, n_pixels)
    wave = np.array([a + (b - a) * (x + 0.1 * (x**2 - x)) for a, b in ends])
    pixel = (np.log10(wave / (1 + velocity / C)) - 4.179) / 6e-6
    flux = apogee_continuum(pixel) * apogee_lines(pixel)
    mask = np.zeros(flux.shape, ">i2")
    mask[:, :5] = 129
    arrays = [flux, 0.01 * flux, mask, wave, *[flux] * 4, np.zeros((3, 14))]
    arrays.append(np.array([lsf(s, 4096 / n_pixels) for s in (2.7, 2.3, 1.9)]))
    header = {"OBJID": obj, "TELESCOP": "apo25m", "PLATE": "5095", "MJD5": 55844}
    header |= {"FIBERID": 128, "SNR": 45.0, "STARFLAG": 512, "CCPEAK": 0.5}
    header |= {"BC": 11.25, "VRAD": velocity, "VHELIO": velocity + 11.25}
    hdus = [fits.PrimaryHDU()]
    for key, value in {**header, **cards}.items():
        if value is not None:
            hdus[0].header[key] = value
    for i, data in enumerate(arrays, 1):
        kind = ">i2" if i == 3 else ">f8" if i in (4, 9, 10) else ">f4"
        hdus.append(fits.ImageHDU(data.astype(kind)))
    columns = [
        fits.Column("APOGEE_ID", "18A", array=[obj]),
        fits.Column("FILE", "31A", array=["apVisit-r8-5095-55844-128.fits"]),
        fits.Column("VREL", "E", array=[velocity]),
        fits.Column("VHELIO", "E", array=[velocity + 11.25]),
        fits.Column("BC", "E", array=[11.25]),
    ]
    hdus.append(fits.BinTableHDU.from_columns(columns))
    if edit is not None:
        edit(hdus)
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path


def mwmstar_table(instrument, observatory, n_rows, obj, visit=False, sdss_id=SDSS_ID):
    """An HDU of a mwmStar file, its columns named as by the survey's pipeline."""
    n_pixels = {"APOGEE": 8575, "BOSS": 4648}[instrument]
    pixel = np.arange(n_pixels)
    flux = apogee_lines(pixel) * apogee_continuum(pixel)
    ivar = (0.01 * flux) ** -2.0
    wave = 10 ** (4.179 + 6e-6 * pixel)
    if instrument == "APOGEE":
        on_chip = apogee_flux()[1]
        flux, ivar = np.where(on_chip, flux, 0), np.where(on_chip, ivar, 1e-20)
    telescope = {"APO": "apo25m", "LCO": "lco25m"}[observatory]
    values = {
        "release": ("5A", "sdss5"),
        "filetype": ("7A", "mwmStar"),
        "v_astra": ("5A", "0.6.0"),
        "healpix": ("J", 3),
        "sdss_id": ("K", sdss_id),
        "obj": ("18A", obj),
        "telescope": ("6A", telescope),
        **({"mjd": ("J", 59804)} if visit else {}),
        "min_mjd": ("J", 59804),
        "max_mjd": ("J", 59866),
        "n_visits": ("J", 4),
        "n_good_visits": ("J", 3),
        "snr": ("E", 120.0),
        "mean_fiber": ("E", 77.5),
        "spectrum_flags": ("K", 512),
        "v_rad": ("E", -12.5),
        "std_v_rad": ("E", 0.125),
        "wavelength": (f"{n_pixels}E", wave),
        "flux": (f"{n_pixels}E", flux),
        "ivar": (f"{n_pixels}E", ivar),
        "pixel_flags": (f"{n_pixels}E", np.zeros(n_pixels)),
        "continuum": (f"{n_pixels}E", np.ones(n_pixels)),
    }
    columns = []
    for name, (kind, value) in values.items():
        if n_rows == 0:  # as the pipeline writes a table without spectra
            columns.append(fits.Column(name, "0E" if np.ndim(value) else kind))
        else:
            columns.append(fits.Column(name, kind, array=[value] * n_rows))
    hdu = fits.BinTableHDU.from_columns(columns, name=f"{instrument}/{observatory}")
    if instrument == "APOGEE":
        hdu.header.update({"CRVAL": 4.179, "CDELT": 6e-6, "NPIXELS": 8575})
    return hdu


def mwmstar(
    path,
    n_rows=(1, 1),
    *,
    obj="2M00000000+0000001",
    edit=None,
    visit=False,
    sdss_id=SDSS_ID,
    gaia=None,
):
    """Rows of APOGEE at Apache Point and Las Campanas, after one of BOSS."""
    primary = fits.PrimaryHDU()
    primary.header.update({"SDSS_ID": sdss_id, "APOGEEID": obj, "V_ASTRA": "0.6.0"})
    primary.header["GAIA3_ID"] = gaia  # a card without a value where there is none
    tables = [("BOSS", "APO", 1), ("BOSS", "LCO", 0)]
    tables += [("APOGEE", "APO", n_rows[0]), ("APOGEE", "LCO", n_rows[1])]
    hdus = [primary, *(mwmstar_table(*table, obj, visit, sdss_id) for table in tables)]
    if edit is not None:
        edit(hdus)
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path


def pixels_npz(path, *, n_pixels=7514, **changes):
    arrays = {
        "normalized_flux": np.full(n_pixels, 0.9),
        "normalized_error": np.full(n_pixels, 0.01),
        "pixel_or_mask": np.zeros(n_pixels, np.uint16),
    }
    np.savez(path, **{**arrays, **changes})
    return path


def line_centre(ccd):
    """Å in air, at rest: the line of a CCD."""
    return CCDS[ccd][2]


def galah_flux(rest_wave, ccd):
    """One Gaussian line of depth 0.5, σ = 0.12 Å, on a flat continuum."""
    return 1 - 0.5 * np.exp(-0.5 * ((rest_wave - line_centre(ccd)) / 0.12) ** 2)


def galah_dr4(folder, sobject_id, rv=37.0, ccds=(1, 2, 3, 4), error=0.01, **cards):
    paths = []
    for ccd in ccds:
        start, step, _ = CCDS[ccd]
        wave = start + step * np.arange(4096)
        normalized = galah_flux(wave / (1 + rv / C), ccd)
        fwhm = (wave / 23_000).astype(">f4")
        parts = {
            "normalized": normalized,
            "relative_error": error / normalized,
            "sky": np.zeros(4096),
            "teluric": np.ones(4096),
            "scattered": np.zeros(4096, ">f4"),
            "cross_talk": np.zeros(4096),
            "resolution_profile": fwhm,
        }
        grid = wcs(start, step)
        hdus = [fits.PrimaryHDU(1000 * normalized, grid.copy())]
        header = {"SNR": 100.0 * ccd, "RVCOM": rv, "RVCOM_OK": 1, "B": 2.5}
        header |= {"2MASS_ID": "None", "GAIA_ID": "None", "TEFF_R": 5777.0}
        for key, value in {**header, **cards}.items():
            if value is not None:
                hdus[0].header[key] = value
        for name, data in parts.items():
            hdus.append(fits.ImageHDU(data, grid.copy(), name=name))
            hdus[-1].header["EXTNAME"] = name
        paths.append(folder / f"{sobject_id}{ccd}.fits")
        fits.HDUList(hdus).writeto(paths[-1], overwrite=True)
    return paths


def galah_dr3(
    folder, sobject_id, rv=-20.0, ccds=(1, 2, 3, 4), error=0.01, hdu4=True, pixel=1.0
):
    paths = []
    for ccd in ccds:
        start, step, _ = CCDS[ccd]
        z = 1 + rv / C
        wave = start + step * np.arange(4096)
        normalized = galah_flux(wave / z, ccd)
        reference = start + step * (pixel - 1)
        grid = wcs(reference, step, pixel)
        relative = (error / normalized).astype(">f4")
        hdus = [fits.PrimaryHDU((900 * normalized).astype(">f4"), grid.copy())]
        for name in ("input_sigma", "no_sky_subspectrum", "no_sky_sigma"):
            hdus.append(fits.ImageHDU(relative, grid.copy()))
            hdus[-1].header["EXTNAME"] = name
        if hdu4:
            hdus.append(fits.ImageHDU(normalized, wcs(reference / z, step / z, pixel)))
        paths.append(folder / f"{sobject_id}{ccd}.fits")
        fits.HDUList(hdus).writeto(paths[-1], overwrite=True)
    return paths


def galah_fit(path, *, rv=37.0, ccds=(1, 2, 3, 4), error=0.01, change=None):
    """The table of all CCDs, at rest; `change` edits its columns."""
    columns = {name: [] for name in ("wave", "sob", "uob", "smod", "mob")}
    for ccd in ccds:
        start, step, _ = CCDS[ccd]
        wave = (start + step * np.arange(4096)) / (1 + rv / C)
        wave = wave[wave > 7679] if ccd == 4 else wave
        flux = galah_flux(wave, ccd)
        columns["wave"].append(wave)
        columns["sob"].append(flux)
        columns["uob"].append(np.full(wave.size, error))
        columns["smod"].append(flux + error)  # chi² of 1
        columns["mob"].append(np.ones(wave.size, bool))
    columns = {name: np.concatenate(parts) for name, parts in columns.items()}
    if change:
        change(columns)
    kinds = {"mob": "L"}
    table = fits.BinTableHDU.from_columns(
        [fits.Column(n, kinds.get(n, "D"), array=a) for n, a in columns.items()]
    )
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(path, overwrite=True)
    return path


def mmu_apogee(path, n=2, **changes):
    """An APOGEE file as the MultimodalUniverse's builder writes it."""
    exponents = np.arange(4.179, 4.179 + 8575 * 6e-6, 6e-6)[:8575].astype("f4")
    keep = np.concatenate([np.arange(*chip) for chip in CHIPS])
    flux = np.tile(apogee_flux()[0][keep].astype("f4"), (n, 1))
    datasets = {
        "apogee_id": np.array([f"2M0000000{i}+0000001" for i in range(n)], "S18"),
        "object_id": np.array([f"2M0000000{i}+0000001" for i in range(n)], "S18"),
        "teff": np.full(n, 4500, "f4"),
        "logg": np.full(n, 2.1, "f4"),
        "fe_h": np.full(n, -0.3, "f4"),
        "alpha_m": np.full(n, -9999.99, "f4"),
        "snr": np.full(n, 120.5, "f4"),
        "radial_velocity": np.full(n, -42.5, "f4"),
        "vscatter": np.full(n, 0.1, "f4"),
        "nvisits": np.full(n, 3, "i2"),
        "starflag": np.full(n, 512, "i8"),
        "ra": np.linspace(10, 20, n),
        "dec": np.linspace(-5, 5, n),
        "healpix": np.full(n, 7),
        "spectrum_lambda": np.tile((10.0**exponents)[keep].astype("f4"), (n, 1)),
        "spectrum_flux": 1e3 * flux,
        "spectrum_ivar": np.ones_like(flux),
        "spectrum_lsf_sigma": np.full_like(flux, 0.3),
        "spectrum_mask": np.zeros(flux.shape, bool),
        "spectrum_pseudo_continuum_flux": flux,
        "spectrum_pseudo_continuum_ivar": np.full_like(flux, 1e4),
    }
    return _hdf5(path, datasets, changes)


def mmu_galah(path, n=2, *, rv=-20.0, error=0.01, ccds=(1, 2, 3, 4), **changes):
    """A GALAH file as the MultimodalUniverse's builder writes it."""
    names = ("lambda", "flux", "ivar", "norm_lambda", "norm_flux", "norm_ivar")
    parts = {name: [] for name in names}
    places, end = {}, 0
    for ccd, band in enumerate("BGRI", 1):
        length = 4096 if ccd in ccds else 0
        places[f"spectrum_{band}_ind_start"] = np.full(n, end)
        places[f"spectrum_{band}_ind_end"] = np.full(n, end + length - 1)
        end += length
        if not length:
            continue
        start, step, _ = CCDS[ccd]
        z = 1 + rv / C
        flux = galah_flux((start + step * np.arange(4096)) / z, ccd)  # CRPIX1 = 1
        crpix = 1.0
        as_built = np.arange(4096) + crpix + 1  # where - crpix + 1 belongs
        parts["lambda"].append(start + step * as_built)
        parts["norm_lambda"].append((start + step * as_built) / z)
        relative = error / flux
        with np.errstate(divide="ignore"):
            parts["norm_ivar"].append(1 / (flux * relative) ** 2)
        parts["norm_flux"].append(flux)
        parts["flux"].append(900 * flux)
        parts["ivar"].append(1 / (900 * flux * relative) ** 2)
    datasets = {
        "object_id": 131216002601003 + np.arange(n),
        "timestamp": np.zeros(n, "f4"),
        "teff": np.full(n, 4540.0),
        "logg": np.full(n, 2.4),
        "fe_h": np.full(n, 0.3),
        "alpha_fe": np.full(n, np.nan),
        "vbroad": np.full(n, 6.0),
        "e_rv": np.full(n, 0.1),
        "flag_sp": np.zeros(n, "i4"),
        "ra": np.linspace(10, 20, n),
        "dec": np.linspace(-5, 5, n),
        "Li_fe": np.linspace(0, 1, n),
        **{f"snr_c{ccd}_iraf": np.full(n, 30.0 * ccd) for ccd in (1, 2, 3, 4)},
        **places,
    }
    for name, values in parts.items():
        fill = -1.0 if "lambda" in name else 0.0
        values = np.concatenate(values)
        values = np.pad(values, (0, 16384 - values.size), constant_values=fill)
        datasets[f"spectrum_{name}"] = np.tile(values.astype("f4"), (n, 1))
    return _hdf5(path, datasets, changes)


def _hdf5(path, datasets, changes):
    """Write datasets; None leaves one out, a function edits it."""
    import h5py

    for name, change in changes.items():
        datasets[name] = change(datasets[name]) if callable(change) else change
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            if values is not None:
                file.create_dataset(name, data=values)
    return path


@pytest.fixture(scope="session")
def write():
    """Functions that write a file of each format, and what they wrote."""
    return SimpleNamespace(
        aspcapstar=aspcapstar,
        apstar=apstar,
        apvisit=apvisit,
        mwmstar=mwmstar,
        apogee_lines=apogee_lines,
        pixels_npz=pixels_npz,
        galah_dr3=galah_dr3,
        galah_dr4=galah_dr4,
        galah_fit=galah_fit,
        mmu_apogee=mmu_apogee,
        mmu_galah=mmu_galah,
        apogee_flux=apogee_flux,
        line_centre=line_centre,
    )
