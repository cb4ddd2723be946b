"""Which spectra are of one star, by what their files call it."""

import numpy as np
from astropy.table import Table

from specxfer.io._match_side import ties
from specxfer.io._sky import components, join
from specxfer.io._star_names import EMPTY, plain_text, tmass_ids

__all__ = ["SPECTRUM_NAMES", "dropped_table", "match_names", "reported"]

# what a table of pairs calls a spectrum by, after "source_" or "target_"
SPECTRUM_NAMES = ("apogee_id", "sdss_id", "sobject_id")
IDENTIFIERS = {"star": "2MASS", "gaia_id": "Gaia DR3", "sdss_id": "SDSS-V"}


def match_names(source, target, pairs=None):
    """Spectra of two surveys that make pairs: the rows of a table, or by their names.

    Parameters
    ----------
    source, target : dict of str to ndarray of str
        As `join_names` and `join_listed` take them.
    pairs : Table, optional

    Returns
    -------
    i, j, stars, rows, dropped
        As of these; `rows` is None without a table.

    Raises
    ------
    ValueError
        If there is no pair.
    """
    if pairs is None:
        i, j, stars, dropped = join_names(source, target)
        return i, j, stars, None, dropped
    i, j, rows, dropped = join_listed(source, target, pairs)
    return i, j, np.asarray(pairs["star"])[rows].astype("U"), rows, dropped


def join_names(source, target):
    """Spectra of two surveys that share an identifier and contradict in none.

    Parameters
    ----------
    source, target : dict of str to ndarray of str
        Names of each spectrum: its "star" and, where the survey has them, its
        "gaia_id" and "sdss_id"; "" where there is none.

    Returns
    -------
    i, j : ndarray of int of shape (n_pairs,)
        Places in `source` and `target`, in the order of `source`.
    stars : ndarray of str of shape (n_pairs,)
        One name for all spectra of a star.
    dropped : list of (str, int or tuple of int, str)
        "source", "target" or "pair", the place (or both places), and why.

    Raises
    ------
    ValueError
        If there is no pair.
    """
    source, target = _cleaned(source), _cleaned(target)
    shared = [kind for kind in IDENTIFIERS if kind in source and kind in target]
    found = [_join_known(source[kind], target[kind]) for kind in shared]
    i, j = np.unique(np.concatenate(found, axis=1), axis=1)
    why = _contradictions(
        {kind: names[i] for kind, names in source.items()},
        {kind: names[j] for kind, names in target.items()},
    )
    good = why == ""
    bad = zip(i[~good].tolist(), j[~good].tolist(), why[~good])
    dropped = [("pair", (a, b), said) for a, b, said in bad]
    for side, names, other, kept, tried in (
        ("source", source, "target", i[good], i),
        ("target", target, "source", j[good], j),
    ):
        nameless = ~np.any([v != "" for v in names.values()], axis=0)
        tried = set(tried.tolist())
        for place in np.setdiff1d(np.arange(len(names["star"])), kept).tolist():
            said = f"no {other} spectrum of its star"
            if nameless[place]:
                said = "nothing says which star it is of"
            elif place in tried:
                said = "its identifiers contradict those of every partner"
            dropped.append((side, place, said))
    if not good.any():
        also = f" {len(why)} pairs contradict each other: {why[0]}." if len(why) else ""
        a, b = (_some(names["star"]) for names in (source, target))
        raise ValueError(
            f"no star is in both: source has {a}, target {b}, compared by "
            f"{', '.join(shared)}.{also} Give a table of crossmatch."
        )
    i, j = i[good], j[good]
    return i, j, _one_name(source, target, i, j), dropped


def _some(stars):
    """How many spectra, and the name of one of them."""
    named = stars[stars != ""]
    return f"{len(stars)} spectra, " + (f"as {named[0]}" if len(named) else "nameless")


def join_listed(source, target, table):
    """Spectra of two surveys that are the rows of a table.

    Parameters
    ----------
    source, target : dict of str to ndarray of str
        Names of each spectrum, among them some of `SPECTRUM_NAMES`.
    table : Table
        As of `crossmatch`.

    Returns
    -------
    i, j : ndarray of int of shape (n_pairs,)
        Places in `source` and `target`, in the order of `source`.
    rows : ndarray of int of shape (n_pairs,)
        Of the table.
    dropped : list of (str, int, str)
        "source", "target" or "table", the place, and why.

    Raises
    ------
    ValueError
        If there is no pair.
    """
    i, row, dropped = _listed(_cleaned(source), table, "source")
    j, other, more = _listed(_cleaned(target), table, "target")
    a, b = join(row, other)
    pairs = np.stack([i[a], j[b]])
    pairs, first = np.unique(pairs, axis=1, return_index=True)
    if not len(first):
        raise ValueError(
            "no row of the table has its spectra in both: source has those of "
            f"{len(set(row.tolist()))} rows, target of {len(set(other.tolist()))}."
        )
    dropped += more
    for side, kept, tried in (("source", pairs[0], i), ("target", pairs[1], j)):
        alone = np.setdiff1d(tried, kept).tolist()
        dropped += [
            (side, p, "its row has no spectrum on the other side") for p in alone
        ]
    for side, has in (("source", row), ("target", other)):
        without = np.setdiff1d(np.arange(len(table)), has).tolist()
        dropped += [("table", r, f"no {side} spectrum of it is there") for r in without]
    return *pairs, row[a][first], dropped


def _cleaned(names):
    """Names as text, "" where there is none."""
    found = {kind: plain_text(values) for kind, values in names.items()}
    for kind in ("gaia_id", *SPECTRUM_NAMES[1:]):
        if kind in found:
            none = [str(name).lower() in EMPTY for name in found[kind]]
            found[kind] = np.where(none, "", found[kind])
    return found


def _join_known(a, b):
    """Places at which two arrays hold the same name."""
    i, j = join(a, b)
    known = a[i] != ""
    return np.stack([i[known], j[known]])


def _contradictions(source, target):
    """Why the spectra of each pair may not be of one star; "" where nothing says so."""
    n = len(source["star"])
    why = np.full(n, "", object)
    for kind, called in IDENTIFIERS.items():
        if kind not in source or kind not in target:
            continue
        a, b = source[kind], target[kind]
        if kind == "star":  # of other names a star may have several
            a, b = tmass_ids(a), tmass_ids(b)
        for k in np.flatnonzero((a != "") & (b != "") & (a != b)):
            said = f"their {called} ids differ ({a[k]} and {b[k]})"
            why[k] = f"{why[k]}; {said}" if why[k] else said
    return why


def _one_name(source, target, i, j):
    """The name of the star of each pair: spectra that share an identifier are one star.

    The 2MASS name if there is one, else a name that both surveys use, else the Gaia id.
    """
    (a, i), (b, j) = (np.unique(rows, return_inverse=True) for rows in (i, j))
    j = len(a) + j
    ids = {
        kind: np.concatenate([_or_none(source, kind)[a], _or_none(target, kind)[b]])
        for kind in IDENTIFIERS
    }
    tied = components(len(a) + len(b), (i, j), *ties(ids.values()))
    common = np.zeros(len(tied), bool)
    alike = ids["star"][i] == ids["star"][j]
    common[i[alike]] = common[j[alike]] = True
    common &= ids["star"] != ""
    has = [tmass_ids(ids["star"]) != "", common, ids["gaia_id"] != ""]
    name = np.select(has, [ids["star"], ids["star"], ids["gaia_id"]], ids["star"])
    rank = np.select([*has, name != ""], [0, 1, 2, 3], 4)
    order = np.lexsort((name, rank, tied))
    first = order[np.unique(tied[order], return_index=True)[1]]
    return name[first][tied[i]]


def _or_none(names, kind):
    return names.get(kind, np.full(len(names["star"]), ""))


def _listed(names, table, side):
    """Spectra that a table lists, in which row, and those that it does not."""
    kinds = [
        kind
        for kind in SPECTRUM_NAMES
        if f"{side}_{kind}" in table.colnames and kind in names
    ]
    if not kinds:
        expected = [f"{side}_{kind}" for kind in SPECTRUM_NAMES if kind in names]
        raise ValueError(
            f"the table of pairs has no column {' or '.join(expected)} that names the "
            f"{side} spectra; it has {table.colnames}."
        )
    columns = _cleaned({kind: table[f"{side}_{kind}"] for kind in kinds})
    found = [_join_known(names[kind], columns[kind]) for kind in kinds]
    i, row = np.unique(np.concatenate(found, axis=1), axis=1)
    differ = np.zeros(len(i), bool)
    for kind in kinds:
        a, b = names[kind][i], columns[kind][row]
        if kind == "apogee_id":  # readers write another name where there is none
            a, b = tmass_ids(a), tmass_ids(b)
        differ |= (a != "") & (b != "") & (a != b)
    why = f"its {' and '.join(kinds)} are those of different rows of the table"
    dropped = [(side, p, why) for p in np.setdiff1d(i[differ], i[~differ]).tolist()]
    tried = np.unique(i)
    i, row = i[~differ], row[~differ]
    if not len(i):
        kind = kinds[0]
        raise ValueError(
            f"none of the {side} spectra is in the table of pairs: it has "
            f"{side}_{kind} {columns[kind][0] if len(table) else 'of none'}, they have "
            f"{names[kind][0]}."
        )
    others = np.setdiff1d(np.arange(len(names[kinds[0]])), tried).tolist()
    dropped += [(side, p, "not in the table of pairs") for p in others]
    return i, row, dropped


def dropped_table(dropped, source, target):
    """What is in no pair, by name.

    Parameters
    ----------
    dropped : list of (str, int or tuple of int, str)
        As `match_names` gives it.
    source, target : sequence of str
        Names of the spectra of both sides.
    """
    lines = []
    for side, place, why in dropped:
        if side == "pair":
            name = f"{source[place[0]]} and {target[place[1]]}"
        elif side == "table":
            name = f"row {place}"
        else:
            name = (source if side == "source" else target)[place]
        lines.append((side, name, why))
    columns = list(zip(*lines)) or [()] * 3
    return Table(
        {k: np.array(c, "U") for k, c in zip(("table", "name", "why"), columns)}
    )


def reported(dropped):
    """Lines that say how many were dropped for each reason, with an example."""
    lines = []
    for table in ("source", "target", "pair", "table"):
        some = dropped[dropped["table"] == table]
        reasons = np.array([why.split(" (")[0] for why in some["why"]], "U")
        for reason in dict.fromkeys(reasons.tolist()):
            rows = np.flatnonzero(reasons == reason)
            lines.append(
                f"  −{len(rows):<7d}{table}: {reason}, as {some['name'][rows[0]]}"
            )
    return lines
