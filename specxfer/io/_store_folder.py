"""The folder of a store: parts that are done, and a whole Zarr group when all are."""

import hashlib
import json
import shutil
from io import BytesIO
from pathlib import Path

import numpy as np

from specxfer._runs import begin_run, refuse_another, sweep, write_whole
from specxfer._version import __version__
from specxfer.io._columns import Plain, columns_of, joined
from specxfer.io._errors import StoreError
from specxfer.io._quantised import FluxCodes, IvarCodes
from specxfer.io._store_part import SIDES, columns_in, digest_of_part
from specxfer.io._store_tables import write_table
from specxfer.io._zarr_arrays import (
    JSON,
    chunk_path,
    digest_of,
    read_json,
    write_array,
    write_array_json,
    write_group_json,
)

__all__ = ["FORMAT", "StoreFolder"]

FORMAT = "specxfer paired store 1"
ENCODING = {
    "flux": "step × code − 8192 step, with the step of the spectrum; negative: NaN",
    "ivar": "code × 32768 are the bits of a float32; 0: no weight",
}
REPORT = {
    "pair": int,
    "id": "U",
    "side": "U",
    "file": "U",
    "status": "U",
    "reason": "U",
}


class StoreFolder:
    """A kill at any moment leaves whole parts.

    A part is done when its note (its small arrays) is there, which is written after its
    chunks. The store is there when the JSON of its root is, which is written last.

    Parameters
    ----------
    folder : path-like
    """

    def __init__(self, folder):
        self.folder = Path(folder)

    @property
    def finished(self):
        """Whether it is whole."""
        return (self.folder / JSON).exists()

    def note(self, number):
        """The file that says that a part is done."""
        return self.folder / "parts" / f"{number:08d}.npz"

    def begin(self, stamp):
        """Make the folder, or see that it is of the same run.

        Raises
        ------
        StoreError
            If it holds anything else.
        """
        if self.finished:
            then = self.card()["run"]
            if then.get("on_error") == "raise":  # a run without errors
                stamp = {**stamp, "on_error": "raise"}
            refuse_another(self.folder, then, stamp, "store", StoreError)
            return
        begin_run(
            self.folder,
            stamp,
            what="store",
            error=StoreError,
            may_change=[("on_error", "raise")],
        )
        (self.folder / "parts").mkdir(exist_ok=True)
        self.sweep()

    def card(self):
        """What the root says of the store."""
        card = read_json(self.folder)["attributes"].get("specxfer", {})
        if card.get("format") != FORMAT:
            raise StoreError(
                f"{self.folder} is no store of this version (its format is "
                f"{card.get('format')!r}, expected {FORMAT!r})."
            )
        return card

    def done(self, number):
        """The digest of a part that is done; None of others."""
        if self.finished:
            parts = self.card()["parts"]
            return parts[number] if number < len(parts) else None
        note = self.note(number)
        if not note.exists():
            return None
        with np.load(note) as small:
            return str(small["digest"])

    def write(self, part, number, chunk_rows):
        """Write a part: its chunks first, then the note that it is done."""
        small, chunks, data = encoded(part, chunk_rows)
        for name, codes in data.items():
            path = chunk_path(self.folder / name, number, 2)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, codes)
        digest = digest_of_part(small, chunks)
        note = BytesIO()
        np.savez(
            note, **small, chunks=np.array(json.dumps(chunks)), digest=np.array(digest)
        )
        write_whole(self.note(number), note.getvalue())

    def finish(self, n_parts, chunk_rows, grids, stamp, *, ids, meta, provenance):
        """Make of the parts a Zarr group; what told of them goes."""
        if not self.finished:
            parts = []
            for number in range(n_parts):
                with np.load(self.note(number)) as small:
                    parts.append(dict(small))
            self._write_arrays(parts, chunk_rows, grids, ids, meta)
            card = self._card(parts, chunk_rows, grids, stamp, provenance)
            notes = sorted(self.folder.rglob(JSON))
            attributes = {
                "specxfer": card,
                "sha256": {
                    path.relative_to(self.folder).as_posix(): digest_of(path)
                    for path in notes
                },
            }
            attributes["digest"] = digest_of_json(attributes)
            write_group_json(self.folder, attributes)
        self.sweep()
        shutil.rmtree(self.folder / "parts", ignore_errors=True)
        (self.folder / "run.json").unlink(missing_ok=True)

    def _write_arrays(self, parts, chunk_rows, grids, ids, meta):
        kept = np.concatenate([part["kept"] for part in parts])
        write_array(self.folder / "kept", kept)
        if ids is None and "ids" in parts[0]:
            ids = np.concatenate([part["ids"] for part in parts])
        if ids is not None:
            write_array(self.folder / "ids", ids)
        write_table(self.folder / "meta", columns_of(meta))
        problems = [p for part in parts for p in json.loads(str(part["problems"]))]
        write_table(
            self.folder / "report",
            {
                name: Plain(np.array([p[name] for p in problems], kind))
                for name, kind in REPORT.items()
            },
        )
        for side in SIDES:
            folder, grid = self.folder / side, grids[side]
            write_group_json(folder)
            if grid.wave is not None:
                write_array(folder / "wave", grid.wave, unit="Angstrom")
            write_array(folder / "chip", grid.chip)
            for name in ("resolution", "step", "share"):
                if f"{side}/{name}" in parts[0]:
                    values = np.concatenate([part[f"{side}/{name}"] for part in parts])
                    write_array(folder / name, values)
            columns = [columns_in(part, side) for part in parts]
            write_table(
                folder / "meta",
                {name: joined([c[name] for c in columns]) for name in columns[0]},
            )
            self._write_chunked(side, parts, len(kept), chunk_rows, grid)

    def _write_chunked(self, side, parts, n, chunk_rows, grid):
        """What makes arrays of the chunks of flux and inverse variance."""
        lossless = f"{side}/step" not in parts[0]
        codecs = {"flux": FluxCodes, "ivar": IvarCodes}
        fills = {"flux": "NaN" if lossless else -1, "ivar": 0}
        for name in ("flux", "ivar") if grid.has_noise else ("flux",):
            digests = [json.loads(str(p["chunks"]))[f"{side}/{name}"] for p in parts]
            write_array_json(
                self.folder / side / name,
                (n, grid.n_pixels),
                grid.dtype if lossless else codecs[name].stored,
                chunk_rows,
                fill=fills[name],
                digests=digests,
                **({} if lossless else {"encoding": ENCODING[name]}),
            )

    def _card(self, parts, chunk_rows, grids, stamp, provenance):
        kept = np.concatenate([part["kept"] for part in parts])
        card = {
            "format": FORMAT,
            "specxfer": __version__,
            "n_pairs": len(kept),
            "n_spectra": int(kept.sum()),
            "chunk_rows": chunk_rows,
            "lossless": "source/step" not in parts[0],
            "provenance": provenance,
            "run": stamp,
            "parts": [str(part["digest"]) for part in parts],
        }
        for side in SIDES:
            grid = grids[side]
            card[side] = {"n_pixels": grid.n_pixels, "medium": grid.medium}
            if grid.wave is not None:
                card[side]["wave"] = [float(grid.wave[0]), float(grid.wave[-1])]
            if f"{side}/step" in parts[0]:
                steps = np.concatenate([part[f"{side}/step"] for part in parts])
                card[side]["flux_step"] = [float(steps.min()), float(steps.max())]
            if f"{side}/share" in parts[0]:
                share = np.concatenate([part[f"{side}/share"] for part in parts])
                share = share[np.isfinite(share)].astype(float)
                if len(share):
                    found = [float(np.median(share)), float(share.max())]
                    card[side]["rounding_over_noise"] = found
        return card

    def sweep(self):
        """Remove what a kill left half written."""
        sweep(self.folder, ("**/*.tmp",))


def encoded(part, chunk_rows):
    """Small arrays, digests of the chunks, and these, full to the last row."""
    data, chunks = {}, {}
    for side in SIDES:
        for name, codes in getattr(part, side).codes().items():
            if len(codes) < chunk_rows:
                fill = np.zeros((chunk_rows - len(codes), codes.shape[1]), codes.dtype)
                if name == "flux":
                    fill[:] = -1 if codes.dtype.kind == "i" else np.nan
                codes = np.concatenate([codes, fill])
            codes = np.ascontiguousarray(codes, codes.dtype.newbyteorder("<"))
            data[f"{side}/{name}"] = memoryview(codes).cast("B")
            chunks[f"{side}/{name}"] = hashlib.sha256(codes).hexdigest()
    return part.small(), chunks, data


def digest_of_json(attributes):
    """The SHA-256 of what JSON says."""
    return hashlib.sha256(json.dumps(attributes, sort_keys=True).encode()).hexdigest()
