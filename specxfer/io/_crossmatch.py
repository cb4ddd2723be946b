"""`crossmatch`: which spectra of two surveys are of the same stars."""

import numpy as np
from astropy.table import Table

from specxfer.io._match_report import MatchReport
from specxfer.io._quality_cuts import default_cuts, made_cuts
from specxfer.io._sky import components, join, near, same_epoch, separations
from specxfer.io._survey_tables import SurveyTable
from specxfer.metrics import giants_and_dwarfs

__all__ = ["crossmatch"]

SAME_PLACE = 0.1  # arcsec: rows of a catalogue without ids that are closer are one star
ELSEWHERE = 60.0  # arcsec: no identifier is right that far away
RELEASES = ("dr3", "dr2")


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
        _Side(source, source_columns, source_cuts, "source"),
        _Side(target, target_columns, target_cuts, "target"),
    ]
    places, remark = _places(sides, on)
    keys = _keys(sides, on, places)
    if on == "sky":
        i, j, why, candidate = _by_position(sides, places, radius)
    else:
        i, j = join(*(key[side.rows] for key, side in zip(keys, sides)))
        i, j = sides[0].rows[i], sides[1].rows[j]
        why, candidate = np.full(len(i), "", object), np.ones(len(i), bool)
    star = _stars(sides, i, j)
    # an order that only the content of the catalogues decides
    order = np.lexsort((sides[0].rank[i], sides[1].rank[j], star))
    star, i, j, why, candidate = (x[order] for x in (star, i, j, why, candidate))
    apart = separations(*places, i, j) if places else np.full(len(i), np.nan)
    _contradict(sides, i, j, apart, why)
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


class _Side:
    """One catalogue: what it holds, and which of its rows are left."""

    def __init__(self, table, columns, cuts, name):
        self.name = name
        self.catalogue = SurveyTable(table, columns, name)
        cuts = default_cuts(self.catalogue.table) if cuts is None else cuts
        self.rank = self.catalogue.order()
        self.tmass = self.catalogue.tmass()
        self.gaia = {release: self.catalogue.gaia(release) for release in RELEASES}
        self.snr = self.catalogue.numbers("snr")
        self.rows = np.arange(len(self.catalogue))
        self.dropped = []
        names, spectrum = self.catalogue.spectrum()
        if spectrum is not None:
            self._drop(self._once(spectrum), f"listed twice ({', '.join(names)})")
        for why, rows in made_cuts(self.catalogue, cuts, self.rows):
            self._drop(rows, why)

    def _once(self, spectrum):
        """One row of each spectrum: of those that differ the one with the best S/N."""
        worst_last = np.lexsort((self.rank, -np.nan_to_num(self.snr), spectrum))
        first = np.unique(spectrum[worst_last], return_index=True)[1]
        return np.sort(worst_last[first])

    def keep(self, wanted, why):
        """Keep those of the rows left that are wanted."""
        self._drop(self.rows[np.isin(self.rows, wanted)], why)

    def _drop(self, rows, why):
        self.dropped.append((self.name, why, len(self.rows) - len(rows), len(rows)))
        self.rows = rows


# ------------------------------------------------------------------------ matching
def _keys(sides, on, places):
    """What to match by, of all rows; rows that have nothing are dropped."""
    if on == "sky":
        if not places:
            raise ValueError(
                "on='sky' needs positions: expected columns ra and dec in both "
                f"catalogues; {_have(sides)}."
            )
        for side, (ra, dec) in zip(sides, places):
            side.keep(np.flatnonzero(np.isfinite(ra + dec)), "no position")
        return None
    if on == "tmass":
        for side in sides:
            if "tmass" not in side.catalogue.columns:
                raise ValueError(f"on='tmass' needs 2MASS ids in both; {_have(sides)}.")
            side.keep(np.flatnonzero(side.tmass != ""), "no 2MASS id")
        return [side.tmass for side in sides]
    roles = [{r for r in RELEASES if f"gaia_{r}" in s.catalogue.columns} for s in sides]
    release = next((r for r in RELEASES if r in roles[0] & roles[1]), None)
    if release is None:
        _refuse_releases(sides, roles)
    for side in sides:
        some = np.flatnonzero(side.gaia[release] > 0)
        side.keep(some, f"no Gaia {release.upper()} source_id")
    return [side.gaia[release] for side in sides]


def _refuse_releases(sides, roles):
    for side in sides:
        if "gaia" in side.catalogue.columns:
            name = side.catalogue.columns["gaia"]
            raise ValueError(
                f"column {name!r} of {side.name} does not say which release of Gaia "
                f"its ids are of: give {side.name}_columns={{'gaia_dr3': {name!r}}}, "
                "or gaia_dr2."
            )
    if roles[0] and roles[1]:
        a, b = (min(r).upper() for r in roles)
        raise ValueError(
            f"source has Gaia {a} ids and target {b}: the same number may be another "
            "star. Match on='tmass' or 'sky', or translate the ids with Gaia's "
            "dr2_neighbourhood table."
        )
    raise ValueError(f"on='source_id' needs Gaia ids in both; {_have(sides)}.")


def _have(sides):
    return "; ".join(f"{s.name} has {sorted(s.catalogue.columns)}" for s in sides)


def _places(sides, on):
    """Positions of both at one epoch, or None; and what to say of them."""
    for side in sides:
        if not {"ra", "dec"} <= set(side.catalogue.columns):
            return None, ""
    *places, remark = same_epoch(*(side.catalogue for side in sides))
    return places, remark if on == "sky" else ""


def _by_position(sides, places, radius):
    """Pairs of rows of objects that are near: i, j, what speaks against, candidates."""
    objects = [_objects(side, place) for side, place in zip(sides, places)]
    spots = [(ra[r], dec[r]) for (ra, dec), (_, r) in zip(places, objects)]
    a, b = near(*spots, radius)
    apart = separations(*spots, a, b)
    alone, nearest = np.ones(len(a), bool), np.ones(len(a), bool)
    for end, (_, first) in zip((a, b), objects):
        count = np.bincount(end, minlength=len(first))
        alone &= count[end] == 1
        least = np.full(len(first), np.inf)
        np.minimum.at(least, end, apart)
        nearest &= apart == least[end]
    # objects to their rows
    codes = [codes for codes, _ in objects]
    i, pair = join(codes[0], a)
    k, j = join(b[pair], codes[1])
    i, pair = i[k], pair[k]
    why = np.full(len(i), "", object)
    why[~alone[pair]] = f'another star is within {radius:g}"'
    return sides[0].rows[i], sides[1].rows[j], why, nearest[pair]


def _objects(side, place):
    """The object of each row left, and a row that stands for each object."""
    rows = side.rows
    ra, dec = (values[rows] for values in place)
    ids = [side.tmass[rows], *(side.gaia[r][rows] for r in RELEASES)]
    nameless = np.flatnonzero((ids[0] == "") & (ids[1] < 0) & (ids[2] < 0))
    spot = ra[nameless], dec[nameless]
    i, j = near(spot, spot, SAME_PLACE)
    code = components(len(rows), *_ties(ids), (nameless[i], nameless[j]))
    order = np.lexsort((side.rank[rows], dec, ra, code))
    return code, rows[order[np.unique(code[order], return_index=True)[1]]]


def _ties(ids):
    """Edges between rows that share an identifier."""
    for values in ids:
        known = np.flatnonzero(values != "" if values.dtype.kind == "U" else values > 0)
        _, first, place = np.unique(
            values[known], return_index=True, return_inverse=True
        )
        yield known, known[first[place]]


def _contradict(sides, i, j, apart, why):
    """Add to `why` where a pair's identifiers or positions disagree."""
    tests = [("2MASS ids differ", *(side.tmass for side in sides), "")]
    for r in RELEASES:
        ids = (side.gaia[r] for side in sides)
        tests.append((f"Gaia {r.upper()} ids differ", *ids, -1))
    found = [
        (said, (a[i] != b[j]) & (a[i] != none) & (b[j] != none))
        for said, a, b, none in tests
    ]
    found.append((f'more than {ELSEWHERE:g}" apart', apart > ELSEWHERE))
    for said, wrong in found:
        for row in np.flatnonzero(wrong):
            why[row] = f"{why[row]}; {said}" if why[row] else said


# -------------------------------------------------------------------------- result
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
        np.concatenate([side.tmass[r] for side, r in zip(sides, rows)]),
        *(
            np.concatenate([side.gaia[k][r] for side, r in zip(sides, rows)])
            for k in RELEASES
        ),
    ]
    tied = components(len(ids[0]), *_ties(ids), (place[0], len(rows[0]) + place[1]))
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
