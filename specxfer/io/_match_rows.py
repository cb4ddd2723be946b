"""Which rows of two catalogues are of one star, and what speaks against it."""

import numpy as np

from specxfer.io._match_side import RELEASES, known
from specxfer.io._sky import components, join, near, same_epoch, separations

__all__ = ["by_position", "contradict", "keys_of", "places_of"]

SAME_PLACE = 0.1  # arcsec: rows of a catalogue without ids that are closer are one star
ELSEWHERE = 60.0  # arcsec: no identifier is right that far away


def keys_of(sides, on, places):
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
    release = _common_release(sides)
    if release is None:
        _refuse_releases(sides)
    for side in sides:
        some = np.flatnonzero(side.gaia[release] > 0)
        side.keep(some, f"no Gaia {release.upper()} source_id")
    return [side.gaia[release] for side in sides]


def _releases(side):
    return [r for r in RELEASES if f"gaia_{r}" in side.catalogue.columns]


def _common_release(sides):
    """The newest release of Gaia that both catalogues have ids of, or None."""
    source, target = map(_releases, sides)
    return next((release for release in source if release in target), None)


def _refuse_releases(sides):
    for side in sides:
        if "gaia" in side.catalogue.columns:
            name = side.catalogue.columns["gaia"]
            raise ValueError(
                f"column {name!r} of {side.name} does not say which release of Gaia "
                f"its ids are of: give {side.name}_columns={{'gaia_dr3': {name!r}}}, "
                "or gaia_dr2."
            )
    releases = [_releases(side) for side in sides]
    if all(releases):
        a, b = (found[0].upper() for found in releases)
        raise ValueError(
            f"source has Gaia {a} ids and target {b}: the same number may be another "
            "star. Match on='tmass' or 'sky', or translate the ids with Gaia's "
            "dr2_neighbourhood table."
        )
    raise ValueError(f"on='source_id' needs Gaia ids in both; {_have(sides)}.")


def _have(sides):
    return "; ".join(f"{s.name} has {sorted(s.catalogue.columns)}" for s in sides)


def places_of(sides, on):
    """Positions of both at one epoch, or None; and what to say of them."""
    for side in sides:
        if not {"ra", "dec"} <= set(side.catalogue.columns):
            return None, ""
    *places, remark = same_epoch(*(side.catalogue for side in sides))
    return places, remark if on == "sky" else ""


def by_position(sides, places, radius):
    """Pairs of rows of objects that are near: i, j, what speaks against, candidates."""
    objects = [_objects(side, place, radius) for side, place in zip(sides, places)]
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


def _objects(side, place, radius):
    """The object of each row left, and a row that stands for each object.

    Rows are of one object if they share an identifier and are near, or are at one place
    and one of them has no identifier.
    """
    rows = side.rows
    ra, dec = (values[rows] for values in place)
    i, j = near((ra, dec), (ra, dec), max(radius, SAME_PLACE))
    i, j = i[i < j], j[i < j]
    nameless, same = np.ones(len(rows), bool), np.zeros(len(i), bool)
    for values in side.ids():
        some = known(values)[rows]
        same |= some[i] & some[j] & (values[rows][i] == values[rows][j])
        nameless &= ~some
    there = separations((ra, dec), (ra, dec), i, j) <= SAME_PLACE
    same |= there & (nameless[i] | nameless[j])
    code = components(len(rows), (i[same], j[same]))
    order = np.lexsort((side.rank[rows], dec, ra, code))
    return code, rows[order[np.unique(code[order], return_index=True)[1]]]


def contradict(sides, i, j, apart, why):
    """Add to `why` where a pair's identifiers or positions disagree."""
    kinds = [("2MASS", [side.tmass for side in sides])]
    release = _common_release(sides)  # an older one is known to be less sure
    if release is not None:
        kinds.append((f"Gaia {release.upper()}", [s.gaia[release] for s in sides]))
    found = [(f'more than {ELSEWHERE:g}" apart', apart > ELSEWHERE)]
    for name, (a, b) in kinds:
        differ = known(a)[i] & known(b)[j] & (a[i] != b[j])
        found.append((f"{name} ids differ", differ))
    for said, wrong in found:
        for row in np.flatnonzero(wrong):
            why[row] = f"{why[row]}; {said}" if why[row] else said
