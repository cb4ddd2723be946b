"""Building a store: from files by workers, or from `Spectra` here."""

import functools
import hashlib
import json
from concurrent.futures.process import BrokenProcessPool

import joblib
import numpy as np
from tqdm import tqdm

from specxfer._checks import checked_ids, checked_meta
from specxfer._model_card import plain
from specxfer._version import __version__
from specxfer.io._columns import columns_of
from specxfer.io._errors import StoreError
from specxfer.io._store_blocks import cut, grids_of, part_of
from specxfer.io._store_files import FilePairs
from specxfer.io._store_folder import StoreFolder, encoded
from specxfer.io._store_part import SIDES, digest_of_part, small_columns
from specxfer.spectra import Spectra

__all__ = ["build_store"]

ELSEWHERE = "give another folder, or remove this one."


def build_store(
    path,
    source,
    target,
    *,
    read_source,
    read_target,
    ids,
    meta,
    lossless,
    on_error,
    provenance,
    chunk_rows,
    n_jobs,
    verbose,
):
    """Make a store, or go on with one: see `PairedStore.build`."""
    if on_error not in ("raise", "skip", "nan"):
        raise ValueError(
            f'on_error is {on_error!r}; expected "raise", "skip" or "nan".'
        )
    if chunk_rows < 1:
        raise ValueError(f"chunk_rows is {chunk_rows}; expected 1 or more.")
    readers = {"source": read_source, "target": read_target}
    common = {
        "chunk_rows": int(chunk_rows),
        "lossless": bool(lossless),
        "provenance": plain(provenance or {}),
        "specxfer": __version__,
    }
    folder = StoreFolder(path)
    if any(reader is not None for reader in readers.values()):
        pairs = as_files(source, target, readers, ids, meta, on_error)
        meta = checked_meta(meta, len(pairs))
        build = functools.partial(from_files, pairs, meta, n_jobs=n_jobs)
    else:
        blocks = as_blocks(source, target, chunk_rows)
        if ids is not None or meta is not None:
            raise TypeError(
                "ids= and meta= are for files: give Spectra.replace(ids=..., meta=...)."
            )
        build = functools.partial(from_blocks, blocks)
    try:
        build(folder, common, verbose=verbose)
    except OSError as error:
        error.add_note(
            f"What is done of {folder.folder} is kept: make room, or mend it, and call "
            "again with the same arguments."
        )
        raise


# -------------------------------------------------------------------------- from files
def as_files(source, target, readers, ids, meta, on_error):
    """The pairs of files that the arguments name."""
    files = {}
    for side, given in zip(SIDES, (source, target)):
        if readers[side] is None:
            raise TypeError(f"give read_{side}= too: what reads its files.")
        if given is None or isinstance(given, Spectra | str | bytes):
            raise TypeError(
                f"{side} is a {type(given).__name__}; expected a list that has, for "
                "each pair, a file or a list of files."
            )
        files[side] = [
            each if isinstance(each, str) or not np.iterable(each) else list(each)
            for each in given
        ]
    n = len(files["source"])
    if len(files["target"]) != n:
        raise ValueError(
            f"source has files of {n} spectra and target of {len(files['target'])}: "
            "place i of both must be the same star."
        )
    if not n:
        raise ValueError("source names no file.")
    ids = checked_ids(ids, n)
    if ids is not None and ids.dtype.kind not in "iu":
        ids = ids.astype("U")
    return FilePairs(files, readers, ids, on_error)


def from_files(pairs, meta, folder, common, *, n_jobs, verbose):
    """Read the parts that are left, in workers."""
    stamp = {
        "input": "files",
        **common,
        "n_pairs": len(pairs),
        "on_error": pairs.on_error,
        "readers": {side: _reader_name(pairs.readers[side]) for side in SIDES},
        "sha256": _digest_of_pairs(pairs, meta),
    }
    chunk_rows = common["chunk_rows"]
    starts = range(0, len(pairs), chunk_rows)
    folder.begin(stamp)
    if not folder.finished:
        pairs.look()
        with tqdm(
            total=len(pairs), desc="reading", unit="pair", disable=not verbose
        ) as progress:
            left = []
            for number, start in enumerate(starts):
                part = pairs[start : min(start + chunk_rows, len(pairs))]
                if folder.note(number).exists():
                    progress.update(len(part))
                else:
                    left.append((part, number))
            for n in _run(folder, left, common, n_jobs):
                progress.update(n)
    folder.finish(
        len(starts),
        chunk_rows,
        pairs.grids,
        stamp,
        ids=pairs.ids,
        meta=meta,
        provenance=common["provenance"],
    )


def _run(folder, left, common, n_jobs):
    """Do the parts that are left; yields how many pairs were done."""
    work = (joblib.delayed(_do)(folder, part, number, common) for part, number in left)
    try:
        yield from joblib.Parallel(
            n_jobs, return_as="generator_unordered", batch_size=1, max_nbytes=None
        )(work)
    except BrokenProcessPool as error:
        raise StoreError(
            f"a worker died, perhaps for want of memory: {folder.folder} keeps what is "
            "done. Call again, with fewer n_jobs."
        ) from error


def _do(folder, pairs, number, common):
    """A part, in a worker."""
    folder.write(pairs.part(common["lossless"]), number, common["chunk_rows"])
    return len(pairs)


def _reader_name(reader):
    """By what name and options a reader is known."""
    if isinstance(reader, functools.partial):
        given = [*map(repr, reader.args)]
        given += [
            f"{name}={value!r}" for name, value in sorted(reader.keywords.items())
        ]
        return f"{_reader_name(reader.func)}({', '.join(given)})"
    named = reader if hasattr(reader, "__qualname__") else type(reader)
    return f"{named.__module__}.{named.__qualname__}"


def _digest_of_pairs(pairs, meta):
    """By which two lists of pairs are known to be the same."""
    digest = hashlib.sha256()
    ids = None if pairs.ids is None else pairs.ids.tolist()
    files = [[str(files) for files in pairs.files[side]] for side in SIDES]
    digest.update(json.dumps([files, ids]).encode())
    small = small_columns(columns_of(meta))
    digest.update(digest_of_part(small, {}).encode())
    return digest.hexdigest()


# ------------------------------------------------------------------------ from Spectra
def as_blocks(source, target, chunk_rows):
    """Blocks of both sides, and of how many pairs if that is known."""
    if target is None:
        if isinstance(source, Spectra) or not np.iterable(source):
            raise TypeError(
                f"source is a {type(source).__name__} and target is not given: "
                "expected both as Spectra, both as files with readers, or blocks of "
                "both."
            )
        return source, None
    for side, given in zip(SIDES, (source, target)):
        if not isinstance(given, Spectra):
            raise TypeError(
                f"{side} is a {type(given).__name__}; expected Spectra, or files and "
                f"read_{side}=."
            )
    if len(source) != len(target):
        raise ValueError(
            f"source has {len(source)} spectra and target {len(target)}: row i of both "
            "must be the same star."
        )
    starts = range(0, len(source), chunk_rows)
    rows = (slice(at, at + chunk_rows) for at in starts)
    return ((source[each], target[each]) for each in rows), len(source)


def from_blocks(given, folder, common, *, verbose):
    """Write the blocks that are not there; see that the others are the same."""
    blocks, total = given
    chunk_rows = common["chunk_rows"]
    stamp = grids = named = None
    number = first = 0
    with tqdm(
        total=total, desc="storing", unit="pair", disable=not verbose
    ) as progress:
        for block in cut(blocks, chunk_rows):
            if grids is None:
                grids, named = grids_of(block)
                stamp = {
                    "input": "Spectra",
                    **common,
                    "n_pairs": total,
                    **{side: grids[side].stamp() for side in SIDES},
                }
                folder.begin(stamp)
            part = part_of(block, grids, named, common["lossless"], first)
            done = folder.done(number)
            if done is None and not folder.finished:
                folder.write(part, number, chunk_rows)
            elif done != digest_of_part(*encoded(part, chunk_rows)[:2]):
                last = first + len(part.kept) - 1
                raise StoreError(
                    f"{folder.folder} holds other spectra than these, first among "
                    f"pairs {first} to {last}: {ELSEWHERE}"
                )
            number, first = number + 1, first + len(part.kept)
            progress.update(len(part.kept))
    if stamp is None:
        raise ValueError("source holds no spectrum.")
    if folder.done(number) is not None:
        raise StoreError(
            f"{folder.folder} holds more pairs than these {first}: {ELSEWHERE}"
        )
    folder.finish(
        number,
        chunk_rows,
        grids,
        stamp,
        ids=None,
        meta=None,
        provenance=common["provenance"],
    )
