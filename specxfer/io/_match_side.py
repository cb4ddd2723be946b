"""One catalogue of a cross-match: what it holds, and which of its rows are left."""

import numpy as np

from specxfer.io._quality_cuts import default_cuts, made_cuts
from specxfer.io._survey_tables import SurveyTable

__all__ = ["RELEASES", "Side", "known", "ties"]

RELEASES = ("dr3", "dr2")  # of Gaia, the newest first


class Side:
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

    def ids(self):
        """All kinds of identifiers, one array each."""
        return [self.tmass, *(self.gaia[release] for release in RELEASES)]

    def keep(self, wanted, why):
        """Keep those of the rows left that are wanted."""
        self._drop(self.rows[np.isin(self.rows, wanted)], why)

    def _drop(self, rows, why):
        self.dropped.append((self.name, why, len(self.rows) - len(rows), len(rows)))
        self.rows = rows


def known(ids):
    """Which identifiers are there."""
    return ids != "" if ids.dtype.kind == "U" else ids > 0


def ties(ids):
    """Edges between rows that share an identifier."""
    for values in ids:
        some = np.flatnonzero(known(values))
        _, first, place = np.unique(
            values[some], return_index=True, return_inverse=True
        )
        yield some, some[first[place]]
