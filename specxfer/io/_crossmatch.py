"""`crossmatch`: which spectra of two surveys are of the same stars."""

import numpy as np
from astropy.table import Table

from specxfer.io._match_report import MatchReport
from specxfer.io._match_rows import by_position, contradict, keys_of, places_of
from specxfer.io._match_side import RELEASES, Side, ties
from specxfer.io._sky import components, join, separations
from specxfer.metrics import giants_and_dwarfs

__all__ = ["crossmatch"]


def crossmatch(
    source,
    target,
    on="source_id",
    *,
    radius=1.0,
    source_cuts=None,
    target_cuts=None,
    source_columns=None,
    target_columns=None,
    repeats="all",
    ambiguous="drop",
    labels="source",
):
    """Pair the spectra that two surveys took of the same stars.

    The order of the rows in the catalogues has no influence.

    Parameters
    ----------
    source, target : Table or anything it accepts
        Catalogues of spectra, one row each: allStar of APOGEE (DR16, DR17) and SDSS-V,
        allstar or allspec of GALAH (DR3, DR4), whose columns are known by name, or
        others with `source_columns` and `target_columns`.
    on : {"source_id", "tmass", "sky"}, default="source_id"
        By Gaia's source_id, of a release that both catalogues have; by 2MASS
        designation; or by position.
    radius : float, default=1.0
        Arcseconds; with ``on="sky"``.
    source_cuts, target_cuts : dict, optional
        Quality cuts, see `default_cuts`, which are the default. ``{}`` for none.
    source_columns, target_columns : dict, optional
        Columns by role, where the names are not those of a survey: gaia_dr3, gaia_dr2,
        tmass, ra, dec (degrees), pmra, pmdec (mas/yr), epoch (a column or a Julian
        year), snr, teff (K), logg, fe_h.
    repeats : {"all", "best"}, default="all"
        Of a star with several spectra keep every pair of them, or the pair with the
        best S/N in the source, then in the target.
    ambiguous : {"drop", "keep"}, default="drop"
        What to do with pairs that may not be of one star: other stars within `radius`
        ("keep" takes the nearest of each other), another identifier that both have
        and that differs, positions more than 60″ apart.
    labels : {"source", "target"}, default="source"
        Which catalogue's Teff, log g and [Fe/H] go into the result; the other's where
        it has none.

    Returns
    -------
    pairs : Table
        One row a pair of spectra. ``star``: the name of the star, as the readers give
        it, the same for all of its spectra: the group for cross-validation.
        ``source_row`` and ``target_row`` in the catalogues. ``source_…`` and
        ``target_…``: what names the files (apogee_id, telescope, field, sobject_id, …,
        as far as there) and ``snr``. ``gaia_id`` (-1 unknown), ``tmass_id``,
        ``separation`` (arcsec), ``teff`` (K), ``logg``, ``fe_h``, ``domain``
        ("giant", "dwarf" or "unknown", see `specxfer.metrics.giants_and_dwarfs`),
        ``n_source`` and ``n_target``: good spectra of the star.
    report : MatchReport
        What was dropped and why; print it.

    Raises
    ------
    ValueError
        If the catalogues lack what `on` needs, have Gaia ids of different releases or
        rounded to floats, or a column to cut in is missing.

    Notes
    -----
    Stars that share any identifier are one ``star``, so that no star gets on both sides
    of a split. A spectrum that a catalogue lists twice is taken once.

    Positions are brought to one epoch where proper motions are there: those of 2MASS
    (APOGEE) are of about 2000, those of Gaia DR2 of 2015.5, of DR3 of 2016.0. Without
    proper motions a star that moves by `radius` in between is missed. Gaia numbers
    stars anew in every release but DR3, which has the numbers of EDR3.

    References
    ----------
    Gaia Collaboration 2021, A&A 649, A1 (source_ids); Skrutskie, M. F. et al. 2006, AJ
    131, 1163 (2MASS designations); Buder, S. et al. 2021, MNRAS 506, 150 (giants: Teff
    below 5500 K and log g below 3.5).

    Examples
    --------
    >>> from astropy.table import Table
    >>> from specxfer.io import crossmatch
    >>> apogee = Table({"APOGEE_ID": ["2M00531301-2637047", "2M19192202-1610185"],
    ...                 "SNR": [210.0, 95.0], "TEFF": [4810.0, 5900.0],
    ...                 "LOGG": [2.5, 4.3]})
    >>> galah = Table({"sobject_id": [131118001101019, 171102001601097],
    ...                "tmass_id": ["00531301-2637047", "19192202-1610185"],
    ...                "snr_px_ccd3": [62.0, 12.0]})
    >>> pairs, report = crossmatch(apogee, galah, on="tmass")
    >>> pairs["star", "target_sobject_id", "domain"].pprint()
           star        target_sobject_id domain
    ------------------ ----------------- ------
    2M00531301-2637047   131118001101019  giant
    >>> report
    1 pairs of spectra of 1 stars (1 giants, 0 dwarfs, 0 unknown)
    source: APOGEE, 2 rows
      −1        no partner
      =1        in pairs
    target: GALAH DR4, 2 rows
      −1        snr_px_ccd3 below 30
      =1        in pairs
    """
    _check_choices(
        on=(on, ("source_id", "tmass", "sky")),
        repeats=(repeats, ("all", "best")),
        ambiguous=(ambiguous, ("drop", "keep")),
        labels=(labels, ("source", "target")),
    )
    if not radius > 0:
        raise ValueError(f"radius is {radius}; expected arcseconds above 0.")
    sides = [
        Side(source, source_columns, source_cuts, "source"),
        Side(target, target_columns, target_cuts, "target"),
    ]
    places, remark = places_of(sides, on)
    keys = keys_of(sides, on, places)
    if on == "sky":
        i, j, why, candidate = by_position(sides, places, radius)
    else:
        i, j = join(*(key[side.rows] for key, side in zip(keys, sides)))
        i, j = sides[0].rows[i], sides[1].rows[j]
        why, candidate = np.full(len(i), "", object), np.ones(len(i), bool)
    star = _stars(sides, i, j)
    # an order that only the content of the catalogues decides
    order = np.lexsort((sides[0].rank[i], sides[1].rank[j], star))
    star, i, j, why, candidate = (x[order] for x in (star, i, j, why, candidate))
    apart = separations(*places, i, j) if places else np.full(len(i), np.nan)
    contradict(sides, i, j, apart, why)
    good = candidate & (why == "") if ambiguous == "drop" else candidate
    table = _paired(sides, star, i, j, apart, labels)
    doubts = table["star", "source_row", "target_row", "separation"][why != ""]
    doubts["why"] = why[why != ""].astype("U")
    doubts["kept"] = good[why != ""]
    for side, rows in zip(sides, (i, j)):
        side.keep(rows, "no partner")
        side.keep(rows[good], "every partner is ambiguous, see the list")
    table = table[good]
    if repeats == "best":
        table = _best(table)
        for side in sides:
            side.keep(np.asarray(table[f"{side.name}_row"]), "a repeat of lower S/N")
    report = MatchReport(
        Table(
            rows=sides[0].dropped + sides[1].dropped,
            names=("table", "why", "dropped", "left"),
        ),
        doubts,
        _counts(table),
        tuple(filter(None, (remark, *_remarks(sides, table)))),
        tuple(side.catalogue.survey for side in sides),
    )
    return table, report


def _check_choices(**choices):
    for name, (given, expected) in choices.items():
        if given not in expected:
            raise ValueError(f"{name} is {given!r}; expected one of {expected}.")


def _paired(sides, star, i, j, apart, labels):
    """The table of all pairs."""
    table = Table({"star": star, "source_row": i, "target_row": j})
    for side, rows in zip(sides, (i, j)):
        for name, values in side.catalogue.found_by().items():
            table[f"{side.name}_{name}"] = values[rows]
        table[f"{side.name}_snr"] = side.snr[rows]
    # DR2 only where there is no DR3
    gaia = [side.gaia[r][x] for r in RELEASES for side, x in zip(sides, (i, j))]
    table["gaia_id"] = np.select([g > 0 for g in gaia], gaia, -1)
    tmass = [side.tmass[x] for side, x in zip(sides, (i, j))]
    table["tmass_id"] = np.where(tmass[0] != "", tmass[0], tmass[1])
    table["separation"] = apart
    table["separation"].unit = "arcsec"
    _add_labels(table, sides, i, j, labels)
    for side, rows in zip(sides, (i, j)):
        codes, n = np.unique(star, return_inverse=True)[1], np.zeros(len(i), int)
        once = np.unique(np.stack([codes, rows]), axis=1)[0]
        n = np.bincount(once, minlength=codes.max(initial=-1) + 1)[codes]
        table[f"n_{side.name}"] = n
    return table


def _stars(sides, i, j):
    """The name of the star of each pair: rows that share an identifier are one star."""
    rows, place = zip(*(np.unique(x, return_inverse=True) for x in (i, j)))
    ids = [
        np.concatenate([values[r] for values, r in zip(kind, rows)])
        for kind in zip(*(side.ids() for side in sides))
    ]
    tied = components(len(ids[0]), *ties(ids), (place[0], len(rows[0]) + place[1]))
    gaia = np.where(ids[1] > 0, ids[1], ids[2])
    known = [ids[0] != "", gaia > 0]
    own = np.concatenate([_own_names(side, r) for side, r in zip(sides, rows)])
    names = [np.char.add("2M", ids[0]), gaia.astype("U")]
    names = np.select(known, names, own)
    order = np.lexsort((names, np.select(known, [0, 1], 2), tied))
    first = order[np.unique(tied[order], return_index=True)[1]]
    return names[first][tied[place[0]]]


def _own_names(side, rows):
    found = side.catalogue.found_by()
    for name in ("apogee_id", "sdss_id", "sobject_id"):
        if name in found:
            return found[name][rows].astype("U")
    return np.char.add(f"{side.name} ", side.rank[rows].astype("U"))


def _add_labels(table, sides, i, j, labels):
    """Teff, log g and [Fe/H] of one survey, of the other where it has no such."""
    both = list(zip(sides, (i, j)))
    first, second = both if labels == "source" else reversed(both)
    names = ("teff", "logg", "fe_h")
    one, other = (
        [side.catalogue.numbers(name)[rows] for name in names]
        for side, rows in (first, second)
    )
    known = np.isfinite(one[0] + one[1])  # all labels of a star from one survey
    for name, here, there in zip(names, one, other):
        table[name] = np.where(known, here, there)
    table["teff"].unit = "K"
    domain = giants_and_dwarfs(table["teff", "logg"])
    table["domain"] = np.select(list(domain.values()), list(domain), "unknown")


def _best(table):
    """Of each star the pair of the best S/N in the source, then in the target."""
    snr = [-np.nan_to_num(table[f"{s}_snr"], nan=-1.0) for s in ("target", "source")]
    order = np.lexsort((np.arange(len(table)), *snr, table["star"]))
    first = np.unique(table["star"][order], return_index=True)[1]
    return table[order[first]]


def _counts(table):
    stars, first = np.unique(np.asarray(table["star"]), return_index=True)
    domain = np.asarray(table["domain"])[first]
    kinds = ("giant", "dwarf", "unknown")
    return {
        "n_pairs": len(table),
        "n_stars": len(stars),
        **{f"n_{kind}": int((domain == kind).sum()) for kind in kinds},
    }


def _remarks(sides, table):
    for side in sides:
        if np.isnan(side.snr).all() and len(side.snr):
            yield f"{side.name} has no S/N: nothing was cut by it"
        if side.catalogue.survey == "unknown":
            yield f"{side.name} is no catalogue known here: no quality cut by default"
    several = {
        star
        for name, none in (("tmass_id", ""), ("gaia_id", -1))
        for star in _of_several(table, name, none)
    }
    if several:
        yield (
            f"{len(several)} stars have several identifiers: group by the column star"
        )


def _of_several(table, name, none):
    """Stars whose pairs differ in a column."""
    some = table[np.asarray(table[name]) != none]
    both = np.unique(
        np.stack([some["star"].astype("U"), some[name].astype("U")]), axis=1
    )
    stars, n = np.unique(both[0], return_counts=True)
    return stars[n > 1]
