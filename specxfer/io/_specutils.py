"""`to_specutils` and `from_specutils`: to and from Astropy's spectra."""

import numpy as np
from astropy import units as u
from astropy.nddata import InverseVariance, UnknownUncertainty
from astropy.table import Table

from specxfer.spectra import Spectra

__all__ = ["from_specutils", "to_specutils"]


def to_specutils(spectra, medium=None):
    """Hand spectra over to specutils, one `specutils.Spectrum` each.

    Needs the package specutils (``pip install "specxfer[specutils]"``).

    Parameters
    ----------
    spectra : Spectra
        With wavelengths.
    medium : {"air", "vacuum"}, optional
        Of the wavelengths; by default as they are. specutils keeps no record of it
        but what stands in ``meta["medium"]``.

    Returns
    -------
    specutils.SpectrumList
        Of `Spectrum` with dimensionless flux, wavelengths in Å, `InverseVariance` if
        the noise is known, and a mask that is True where a pixel has no weight. Their
        `meta` has ``medium``; ``id``, ``resolution`` (one number, or one a chip, with
        ``chip`` of each pixel), and the labels, by name, as far as known.

    Raises
    ------
    ImportError
        If specutils is not installed.
    TypeError, ValueError
        If `spectra` are no `Spectra`, or have no wavelengths.

    Notes
    -----
    The covariance between pixels has no place there and is left behind.

    Examples
    --------
    >>> import pytest; _ = pytest.importorskip("specutils")
    >>> import numpy as np
    >>> from specxfer import Spectra
    >>> from specxfer.io import from_specutils, to_specutils
    >>> X = Spectra(np.ones((2, 3)), wave=[5000, 5001, 5002], medium="air",
    ...             ids=["a", "b"])
    >>> one = to_specutils(X)[1]
    >>> one.meta["id"], one.spectral_axis.unit.to_string()
    ('b', 'Angstrom')
    >>> from_specutils(one).ids
    array(['b'], dtype='<U1')
    """
    specutils = _specutils()
    if not isinstance(spectra, Spectra):
        raise TypeError(f"spectra is a {type(spectra).__name__}; expected Spectra.")
    spectra._require_wave("to_specutils")
    if medium is not None:
        spectra = spectra.to_medium(medium)
    axis = spectra.wave * u.AA
    made = specutils.SpectrumList()
    for _, block in spectra.replace(covariance=None).iter_blocks():
        valid = block.valid()
        for i in range(len(block)):
            noise = None
            if block.has_noise:
                noise = InverseVariance(np.where(valid[i], block.ivar[i], 0))
            made.append(
                specutils.Spectrum(
                    flux=block.flux[i] * u.dimensionless_unscaled,
                    spectral_axis=axis,
                    uncertainty=noise,
                    mask=~valid[i],
                    meta=_meta_of(block, i),
                )
            )
    return made


def _meta_of(block, i):
    meta = {}
    if block.meta is not None:
        meta = {name: block.meta[name][i] for name in block.meta.colnames}
    meta["medium"] = block.medium
    if block.ids is not None:
        meta["id"] = block.ids[i].item()
    if block.resolution is not None:
        meta["resolution"] = block.resolution[i]
        if block.resolution.ndim == 2:
            meta["chip"] = block.chip
    return meta


def from_specutils(spectrum, medium=None, ids=None):
    """Take spectra over from specutils.

    Needs the package specutils (``pip install "specxfer[specutils]"``).

    Parameters
    ----------
    spectrum : specutils.Spectrum, SpectrumCollection or list of these
        On one grid, in units of the continuum.
    medium : {"air", "vacuum"}, optional
        Of the wavelengths, where ``meta["medium"]`` does not say it. Axes of frequency,
        energy or wavenumber are in vacuum.
    ids : array-like of shape (n_spectra,), optional
        The star of each spectrum; by default ``meta["id"]``.

    Returns
    -------
    Spectra
        Masked pixels are NaN and without weight, as are those whose uncertainty is 0,
        infinite or NaN. Wavelengths are in Å, increasing, and divided by 1 + z where
        the spectrum says its redshift or radial velocity. Plain values of `meta` that
        all spectra have become columns of ``meta``, ``resolution`` the resolution.

    Raises
    ------
    ImportError
        If specutils is not installed.
    TypeError, ValueError
        If it is no spectrum, on several grids, in units of flux, of more than two
        dimensions, of unknown medium, or has an uncertainty of unknown kind.

    Examples
    --------
    >>> import pytest; specutils = pytest.importorskip("specutils")
    >>> import numpy as np
    >>> from astropy import units as u
    >>> from astropy.nddata import StdDevUncertainty
    >>> from specxfer.io import from_specutils
    >>> one = specutils.Spectrum(np.ones(3) * u.one, [0.5, 0.6, 0.7] * u.um,
    ...                          uncertainty=StdDevUncertainty([0.1, 0.1, 0.2]))
    >>> X = from_specutils(one, medium="vacuum")
    >>> X.wave, X.ivar
    (array([5000., 6000., 7000.]), array([[100., 100.,  25.]]))
    """
    specutils = _specutils()
    if isinstance(spectrum, specutils.Spectrum | specutils.SpectrumCollection):
        parts = [spectrum]
    elif isinstance(spectrum, list | tuple):
        parts = list(spectrum)
    else:
        raise TypeError(
            f"spectrum is a {type(spectrum).__name__}; expected specutils.Spectrum, "
            "SpectrumCollection, or a list of these."
        )
    if not parts:
        raise ValueError("the list is empty: give at least one spectrum.")
    made = Spectra.concatenate(
        [_rows(part, medium, f"spectrum {i}") for i, part in enumerate(parts)]
        if len(parts) > 1
        else [_rows(parts[0], medium, "spectrum")]
    )
    meta = _shared_meta(parts, len(made))
    if ids is None and "id" in meta:
        ids = meta["id"]
    meta.pop("id", None)
    resolution, chip = meta.pop("resolution", None), meta.pop("chip", None)
    if resolution is not None and np.ndim(resolution) == 2:
        chip = np.asarray(chip[0]) if chip is not None else None
        if chip is None or chip.shape != (made.shape[1],):
            raise ValueError(
                "meta['resolution'] is one number a chip, and meta['chip'] does not "
                "name the chip of each pixel: slice Spectra before to_specutils, or "
                "delete meta['resolution']."
            )
        made = made.replace(chip=chip)
    return made.replace(
        ids=ids, resolution=resolution, meta=Table(meta) if meta else None
    )


def _rows(part, medium, name):
    """The spectra of one object, without what is said of them."""
    flux = part.flux
    if flux.ndim not in (1, 2):
        raise ValueError(
            f"{name} has flux of shape {flux.shape}; expected (n_pixels,) or "
            "(n_spectra, n_pixels)."
        )
    try:
        values = np.atleast_2d(flux.to_value(u.dimensionless_unscaled))
    except u.UnitConversionError:
        raise ValueError(
            f"{name} is in {flux.unit}; expected units of the continuum: divide by "
            "the continuum."
        ) from None
    wave, medium = _wavelengths(part, medium, name)
    ivar = _inverse_variance(part.uncertainty, flux.unit, values, name)
    bad = np.zeros(values.shape, bool)
    if part.mask is not None:
        bad |= np.atleast_2d(part.mask)
    values = np.where(bad, values.dtype.type(np.nan), values)
    if ivar is not None:
        ivar = np.where(bad, 0, ivar)
    if len(wave) > 1 and wave[0] > wave[-1]:
        wave, values = wave[::-1], values[:, ::-1]
        ivar = None if ivar is None else ivar[:, ::-1]
    return Spectra(values, ivar, wave=wave, medium=medium)


def _wavelengths(part, medium, name):
    """Å at rest, and in what they are measured."""
    axis = u.Quantity(part.spectral_axis)
    if axis.ndim == 2:  # a collection has one for each spectrum
        if not (axis == axis[0]).all():
            raise ValueError(
                f"{name} has a wavelength grid for each of its spectra: put them on "
                "one (specutils.manipulation)."
            )
        axis = axis[0]
    kind = axis.unit.physical_type
    said = part.meta.get("medium") if isinstance(part.meta, dict) else None
    if kind != "length":
        if "air" in (medium, said):
            raise ValueError(
                f"{name} has an axis in {axis.unit}, so its wavelengths are in vacuum, "
                'not in air: give medium="vacuum", then use to_medium("air").'
            )
        said = "vacuum"
    if said and medium and said != medium:
        raise ValueError(f"{name} is in {said} by its meta; medium is {medium!r}.")
    if not (said or medium):
        raise ValueError(
            f'{name} does not say what its wavelengths are measured in: give "air" or '
            '"vacuum" as medium.'
        )
    try:
        wave = axis.to_value(u.AA, u.spectral())
    except u.UnitConversionError:
        raise ValueError(
            f"{name} has an axis in {axis.unit}; expected wavelengths, frequencies, "
            "energies or wavenumbers."
        ) from None
    z = getattr(part, "redshift", None)
    z = np.ravel(0.0 if z is None else u.Quantity(z).to_value(u.one))
    if (z != z[0]).any():
        raise ValueError(f"{name} has several redshifts: give its spectra one by one.")
    return wave / (1 + float(z[0])), said or medium


def _inverse_variance(uncertainty, unit, flux, name):
    if uncertainty is None:
        return None
    if isinstance(uncertainty, UnknownUncertainty) or not hasattr(
        uncertainty, "represent_as"
    ):
        raise ValueError(
            f"{name} has an uncertainty of unknown kind "
            f"({type(uncertainty).__name__}); expected StdDevUncertainty, "
            "VarianceUncertainty or InverseVariance."
        )
    given = uncertainty.array
    if (np.asarray(given) < 0).any():
        raise ValueError(f"{name} has negative uncertainties.")
    ivar = uncertainty
    if not isinstance(ivar, InverseVariance):  # the way there and back rounds
        with np.errstate(divide="ignore"):
            ivar = uncertainty.represent_as(InverseVariance)
    own = ivar.unit if ivar.unit is not None else unit**-2
    values = (np.atleast_2d(ivar.array) * own).to_value(u.dimensionless_unscaled)
    values = np.where(np.isfinite(values), values, 0)  # 0 and infinity tell nothing
    return np.broadcast_to(values, flux.shape).astype(flux.dtype)


def _shared_meta(parts, n):
    """What all spectra of a list say of themselves, by name."""
    metas = [part.meta if isinstance(part.meta, dict) else {} for part in parts]
    if len(metas) != n:  # several rows in one: what is said is of no single row
        return {}
    names = [name for name in metas[0] if all(name in meta for meta in metas)]
    shared = {}
    for name in names:
        values = [meta[name] for meta in metas]
        plain = all(
            isinstance(v, str | bytes | bool | int | float | np.generic | np.ndarray)
            for v in values
        )
        if name != "medium" and plain and len({np.shape(v) for v in values}) == 1:
            shared[name] = np.array(values)
    return shared


def _specutils():
    try:
        import specutils
    except ImportError as error:
        raise ImportError(
            'this needs specutils: pip install "specxfer[specutils]".'
        ) from error
    return specutils
