"""What `crossmatch` dropped, and why."""

from typing import NamedTuple

from astropy.table import Table

__all__ = ["MatchReport"]


class MatchReport(NamedTuple):
    """What a cross-match did with every row of both catalogues.

    Parameters
    ----------
    dropped : Table
        One row a cut, in order: table ("source" or "target"), why, dropped, left
        (rows). "left" of the last row of a table counts the spectra in pairs.
    ambiguous : Table
        One row for each pair of spectra that may not be of one star: star,
        source_row, target_row, separation (arcsec), why, kept.
    counts : dict
        n_pairs, n_stars, n_giant, n_dwarf and n_unknown (stars).
    remarks : tuple of str
        What else to know.
    surveys : tuple of str
        What the catalogues were taken for.
    """

    dropped: Table
    ambiguous: Table
    counts: dict
    remarks: tuple
    surveys: tuple

    def __repr__(self):
        n = self.counts
        lines = [
            f"{n['n_pairs']} pairs of spectra of {n['n_stars']} stars ("
            f"{n['n_giant']} giants, {n['n_dwarf']} dwarfs, {n['n_unknown']} unknown)"
        ]
        for side, survey in zip(("source", "target"), self.surveys):
            rows = self.dropped[self.dropped["table"] == side]
            start = int(rows["left"][0] + rows["dropped"][0])
            lines.append(f"{side}: {survey}, {start} rows")
            lines += [
                f"  −{row['dropped']:<9d}{row['why']}" for row in rows if row["dropped"]
            ]
            lines.append(f"  ={rows['left'][-1]:<9d}in pairs")
        if len(self.ambiguous):
            kept = int(self.ambiguous["kept"].sum())
            lines.append(
                f"ambiguous: {len(self.ambiguous)} pairs, {kept} of them kept (see "
                "report.ambiguous)"
            )
        return "\n".join([*lines, *(f"note: {remark}" for remark in self.remarks)])

    __str__ = __repr__
