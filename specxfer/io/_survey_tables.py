"""What the columns of a survey's catalogue mean."""

import numpy as np
from astropy.table import Table
from astropy.units import Unit, UnitConversionError

from specxfer.io._star_names import gaia_ids, plain_text, tmass_ids

__all__ = ["SurveyTable", "numbers"]

ROLES = {  # in order of preference; upper and lower case are the same
    "gaia_dr3": (
        *("gaiadr3_source_id", "gaia_dr3_source_id", "gaiaedr3_source_id"),
        "dr3_source_id",
    ),
    "gaia_dr2": ("gaiadr2_source_id", "gaia_dr2_source_id", "dr2_source_id"),
    "gaia": ("source_id", "gaia_source_id", "gaia_id"),  # of which release?
    "tmass": ("tmass_id", "apogee_id", "sdss4_apogee_id", "star_id", "2mass"),
    "ra": ("ra", "ra_dr2", "ra_icrs"),
    "dec": ("dec", "dec_dr2", "dec_icrs"),
    "pmra": ("pmra", "gaiaedr3_pmra", "gaia_pmra"),
    "pmdec": ("pmdec", "pmde", "gaiaedr3_pmdec", "gaia_pmdec"),
    "epoch": ("ref_epoch",),
    "snr": ("snr_px_ccd3", "snr_c3_iraf", "snr"),
    "teff": ("teff",),
    "logg": ("logg",),
    "fe_h": ("fe_h",),
}
UNITS = {"ra": "deg", "dec": "deg", "pmra": "mas/yr", "pmdec": "mas/yr", "epoch": "yr"}
FOUND_BY = (  # what names the files of a spectrum
    *("sobject_id", "apogee_id", "sdss_id", "telescope", "field", "location_id"),
    *("file", "release", "setup"),
)
SPECTRUM = (  # what no two spectra share; the first that is there is taken
    ("sobject_id",),
    ("spectrum_pk",),
    ("apogee_id", "telescope", "field"),
    ("sdss_id", "telescope"),
)
GAIA_EPOCHS = {"dr2": 2015.5, "dr3": 2016.0}  # Julian years


class SurveyTable:
    """A catalogue, its columns known by what they mean.

    Parameters
    ----------
    table : Table or anything it accepts
    columns : dict, optional
        Name of the column for a role, where it is not one of the survey's own names.
        "epoch" may be a number instead: a Julian year.
    label : str
        What to call it in errors.
    """

    def __init__(self, table, columns=None, label="table"):
        frame = hasattr(table, "iloc") and not isinstance(table, Table)
        table = Table.from_pandas(table) if frame else Table(table, copy=False)
        self.table, self.label = table, label
        self._lower = {}
        for name in table.colnames:
            self._lower.setdefault(name.lower(), name)
        self.survey = self._survey()
        self.columns = {}
        for role, names in ROLES.items():
            found = next((n for n in names if n in self._lower), None)
            if found is not None:
                self.columns[role] = self._lower[found]
        for role, name in (columns or {}).items():
            self._give(role, name)
        self._settle_gaia(columns or {})

    def __len__(self):
        return len(self.table)

    def name_of(self, column):
        """The name of a column as the table spells it; None where it has none."""
        return self._lower.get(column.lower())

    def _survey(self):
        has = self._lower.__contains__
        if has("sobject_id"):
            dr4 = has("gaiadr3_source_id") or has("flag_red") or has("snr_px_ccd3")
            dr3 = has("star_id") or has("snr_c3_iraf") or has("dr3_source_id")
            return "GALAH DR4" if dr4 else "GALAH DR3" if dr3 else "GALAH"
        if has("apogee_id"):
            release = " DR17" if has("gaiaedr3_source_id") else ""
            return "APOGEE" + (" DR16" if has("gaia_source_id") else release)
        return "SDSS-V" if has("sdss_id") else "unknown"

    def _give(self, role, name):
        if role not in ROLES:
            raise ValueError(
                f"{self.label} has no role {role!r}; expected one of {sorted(ROLES)}."
            )
        if role == "epoch" and not isinstance(name, str):
            self.columns[role] = float(name)
            return
        if name not in self.table.colnames:
            raise ValueError(
                f"{self.label} has no column {name!r} for {role!r}; it has "
                f"{self.table.colnames}."
            )
        self.columns[role] = name

    def _settle_gaia(self, given):
        """Which release the ids of a column are of whose name does not say it."""
        name = self.columns.pop("gaia", None)
        if name is None or "gaia_dr2" in self.columns or "gaia_dr3" in self.columns:
            return
        epoch = self._numbers("epoch") if "epoch" in self.columns else np.zeros(0)
        epochs = np.unique(epoch[np.isfinite(epoch)])
        release = None
        if len(epochs) == 1:
            release = {v: k for k, v in GAIA_EPOCHS.items()}.get(float(epochs[0]))
        elif name.lower() == "gaia_source_id" and self.survey.startswith("APOGEE"):
            release = "dr2"
        self.columns[f"gaia_{release}" if release else "gaia"] = name

    # ------------------------------------------------------------------- values
    def _numbers(self, role):
        """A column as float64; NaN where it says nothing or there is none."""
        name = self.columns.get(role)
        if name is None or isinstance(name, float):
            return np.full(len(self), np.nan if name is None else name)
        return numbers(self.table[name], self.label, UNITS.get(role))

    def numbers(self, role):
        """The values of a role, one a row; the median where a row has several.

        Positions are in degrees, proper motions in mas/yr, epochs in years.
        """
        values = self._numbers(role)
        return values if values.ndim == 1 else np.median(values, axis=1)

    def gaia(self, release):
        """Gaia ids, -1 where there are none."""
        name = self.columns.get(f"gaia_{release}")
        if name is None:
            return np.full(len(self), -1)
        return gaia_ids(self.table[name], name, release)

    def tmass(self):
        """2MASS designations, "" where there are none."""
        name = self.columns.get("tmass")
        if name is None:
            return np.full(len(self), "", "U16")
        return tmass_ids(self.table[name])

    def epoch(self):
        """When the positions are of (Julian years); NaN where that is not known."""
        if "epoch" in self.columns:
            return self.numbers("epoch")
        known = np.nan
        if self.columns.get("ra", "").lower() == "ra_dr2":
            known = GAIA_EPOCHS["dr2"]
        elif self.survey == "GALAH DR4":
            known = GAIA_EPOCHS["dr3"]  # its positions are Gaia's
        elif self.survey.startswith("APOGEE"):
            known = 2000.0  # its positions are those of 2MASS, 1997 to 2001
        return np.full(len(self), known)

    def found_by(self):
        """The columns by which a reader finds the files: name in lower case to values.

        Identifiers of a number of digits stay numbers, text loses its white space.
        """
        found = {}
        for name in FOUND_BY:
            if name in self._lower:
                values = self.table[self._lower[name]]
                kind = np.ma.asarray(values).dtype.kind
                found[name] = (
                    np.ma.filled(np.ma.asarray(values), -1)
                    if kind in "iu"
                    else plain_text(values)
                )
        return found

    def spectrum(self):
        """One number for each spectrum, the same where it is listed again, or None."""
        for names in SPECTRUM:
            if all(name in self._lower for name in names):
                parts = [plain_text(self.table[self._lower[n]]) for n in names]
                code = np.zeros(len(self), np.int64)
                for part in parts:
                    own = np.unique(part, return_inverse=True)[1]
                    code = code * (own.max(initial=0) + 1) + own
                    code = np.unique(code, return_inverse=True)[1]
                nameless = np.all([part == "" for part in parts], axis=0)
                code[nameless] = code.max(initial=0) + 1 + np.arange(nameless.sum())
                return names, code
        return (), None

    def order(self):
        """A rank for each row by what it says, whatever its place in the table."""
        keys = [self.numbers(role) for role in ("teff", "snr", "dec", "ra")]
        keys += [self.gaia(r) for r in GAIA_EPOCHS]
        keys += [self.tmass(), *reversed(self.found_by().values())]
        rank = np.empty(len(self), np.int64)
        rank[np.lexsort(keys)] = np.arange(len(self))
        return rank


def numbers(column, label="table", unit=None):
    """A column as float64, in `unit` if it has one; NaN where masked or -9999."""
    values = np.ma.asarray(column)
    if values.dtype.kind not in "fiub":
        raise ValueError(
            f"column {column.name!r} of {label} holds {values.dtype}; expected numbers."
        )
    values = np.ma.filled(values.astype(np.float64), np.nan)
    values = np.where(values > -9990, values, np.nan)
    if unit is None or column.unit is None:
        return values
    try:
        return values * Unit(column.unit).to(unit)
    except UnitConversionError:
        raise ValueError(
            f"column {column.name!r} of {label} is in {column.unit}; expected {unit}."
        ) from None
