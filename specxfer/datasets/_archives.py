"""Where surveys keep their spectra: the addresses of files."""

import re
from dataclasses import dataclass
from urllib.parse import quote

import numpy as np

__all__ = ["ARCHIVES", "BASES", "RemoteFile", "remote_files"]

BASES = {
    "sdss": "https://data.sdss.org/sas/",
    "datacentral": "https://datacentral.org.au/vo/slink/",
}
BANDS = dict(enumerate("BGRI", 1))  # of HERMES' four CCDs
SAFE = re.compile(r"[A-Za-z0-9][\w+.-]*")  # what may be a part of a path
ASPCAP = "dr17/apogee/spectro/aspcap/dr17/synspec_rev1"
STARS = "dr17/apogee/spectro/redux/dr17/stars"


@dataclass(frozen=True)
class RemoteFile:
    """A file to fetch: its address, and where it goes below the folder."""

    url: str
    path: str
    problem: str = ""  # why there is no address


def _aspcapstar(base, apogee_id, telescope, field):
    place = f"{telescope}/{field}/aspcapStar-dr17-{apogee_id}.fits"
    yield f"{base}{ASPCAP}/{quote(place)}", f"apogee/{place}"


def _apstar(base, apogee_id, telescope, field):
    start = "asStar" if telescope == "lco25m" else "apStar"
    place = f"{telescope}/{field}/{start}-dr17-{apogee_id}.fits"
    yield f"{base}{STARS}/{quote(place)}", f"apogee/{place}"


def _mwmstar(base, sdss_id):
    digits = sdss_id.zfill(4)  # as the pipeline does
    place = f"{digits[-4:-2]}/{digits[-2:]}/mwmStar-0.6.0-{sdss_id}.fits"
    yield f"{base}dr19/spectro/astra/0.6.0/spectra/star/{place}", f"sdss5/{place}"


def _galah_dr3(base, sobject_id):
    for ccd, band in BANDS.items():
        yield (
            f"{base}links?ID={sobject_id}&DR=galah_dr3&IDX=0&FILT={band}"
            "&RESPONSEFORMAT=fits",
            f"galah/{sobject_id[:6]}/{sobject_id}{ccd}.fits",
        )


ARCHIVES = {  # name: base, what it needs to know, addresses
    "aspcapStar": ("sdss", ("apogee_id", "telescope", "field"), _aspcapstar),
    "apStar": ("sdss", ("apogee_id", "telescope", "field"), _apstar),
    "mwmStar": ("sdss", ("sdss_id",), _mwmstar),
    "galah_dr3": ("datacentral", ("sobject_id",), _galah_dr3),
}

UNKNOWN = {  # name: why there is no address to ask
    "galah_dr4": (
        "no address of single files of GALAH DR4 is documented: the survey's page on "
        "its spectra (https://www.galah-survey.org/dr4/the_spectra) gives that of DR3. "
        "Let Data Central pack them (https://datacentral.org.au/services/download/, "
        "which takes a list of sobject_ids), unpack what it sends, and give the folder "
        'to read_galah or pair_files; or take the spectra of DR3, "galah_dr3".'
    ),
}


def remote_files(pairs, side, archive, bases):
    """The files of one side of a table of pairs, each once.

    Parameters
    ----------
    pairs : Table
        As of `specxfer.io.crossmatch`.
    side : {"source", "target"}
    archive : str
        One of `ARCHIVES`.
    bases : dict
        As `BASES`.

    Returns
    -------
    list of RemoteFile
    """
    if archive in UNKNOWN:
        raise ValueError(f"{side} is {archive!r}, and {UNKNOWN[archive]}")
    if archive not in ARCHIVES:
        raise ValueError(
            f"{side} is {archive!r}; expected one of {sorted(ARCHIVES)}, or None."
        )
    base, needs, addresses = ARCHIVES[archive]
    columns = [f"{side}_{name}" for name in needs]
    missing = [name for name in columns if name not in pairs.colnames]
    if missing:
        raise ValueError(
            f"pairs has no column {missing[0]!r}, which the address of a file of "
            f"{archive} needs; it has {pairs.colnames}."
        )
    found = []
    for values in zip(*(np.asarray(pairs[name]).astype("U") for name in columns)):
        names = [value.strip() for value in values]
        bad = [name for name in names if not SAFE.fullmatch(name)]
        if bad:
            problem = f"{bad[0]!r} is no name of a file or folder"
            found.append(RemoteFile("", "/".join(names), problem))
        else:
            found += [RemoteFile(*a) for a in addresses(bases[base], *names)]
    return list(dict.fromkeys(found))
