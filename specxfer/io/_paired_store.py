"""`PairedStore`: pairs of spectra on disk, read where they are needed."""

from functools import cached_property
from pathlib import Path

import numpy as np
from tqdm import tqdm

from specxfer._lazy import LazyArray
from specxfer._paths import is_missing, seen_instead
from specxfer._runs import NOTE
from specxfer.io._build_store import build_store
from specxfer.io._columns import table_of
from specxfer.io._errors import StoreError
from specxfer.io._quantised import FluxCodes, IvarCodes
from specxfer.io._store_folder import StoreFolder, digest_of_json
from specxfer.io._store_tables import read_table
from specxfer.io._stored_array import AsItIs, StoredArray
from specxfer.io._zarr_arrays import chunk_path, digest_of, read_array, read_json
from specxfer.spectra import Spectra

__all__ = ["PairedStore"]

CHUNK = 256  # pairs


class PairedStore:
    """Pairs of spectra in a folder on disk: X and y of a fit, read as they are needed.

    Parameters
    ----------
    path : path-like
        A store that `build` made.

    Attributes
    ----------
    source, target : Spectra
        Whose flux and inverse variance stay on disk. Row i of both is the same star,
        and `ids` and `meta` are in memory.
    meta : Table
        The columns given to `build` as ``meta=``, one row a spectrum; they are in the
        `meta` of both sides, too.
    report : Table
        What could not be read, or only in part: pair (its place in what `build` was
        given), id, side ("source", "target", or "pair" where both name different
        stars), file, status ("refused" or "partial"), reason.
    card : dict
        What the store says of itself: n_pairs and n_spectra, the grids, what was made
        of it and by which version, the quantisation of each side: ``flux_step``, the
        smallest and the largest, and ``rounding_over_noise``, the rms rounding error
        of a spectrum's flux over its noise, median and largest; ``provenance``.

    Raises
    ------
    StoreError
        If there is no store at `path`, or it is not finished.

    See Also
    --------
    specxfer.io.pair_files : Which files are of the same stars.
    specxfer.translate_catalog : From disk to disk, once a model is fitted.

    Notes
    -----
    The folder is a Zarr (v3) group of uncompressed arrays that any Zarr reader opens:
    ``source/flux``, ``source/ivar``, ``source/wave``, …, the same of ``target``,
    ``ids``, ``kept``, ``meta`` and ``report``. Flux is in 16 bits: a whole number of
    steps of 2**-14 (6.1e-5) of the continuum between −0.5 and 1.5, so that it is off by
    at most 3.1e-5. A spectrum that goes further has a step of 2, 4, … times that, but
    never more than a quarter of its median noise (2**-12 where noise is unknown). 0,
    1 and NaN are exact, and rounding is to the nearest step, without bias. A pixel
    without weight (ivar 0) becomes NaN. Inverse variances are rounded to a relative
    2**-8, so that they are off by at most 0.2%; 0 is exact. That takes half of the
    space of float32. Nothing is compressed: a pixel is decoded by one subtraction, and
    any row alone; many rows by as many threads as the BLAS would use.

    The numbers of a ``lossless=True`` store are those given, to the bit.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from specxfer import Spectra
    >>> from specxfer.io import PairedStore
    >>> from specxfer.linear import PCARidge
    >>> rng = np.random.default_rng(0)
    >>> X, y = (
    ...     Spectra(rng.normal(1, 0.01, (50, p)), np.full((50, p), 1e4),
    ...             wave=5000.0 + np.arange(p), medium="air")
    ...     for p in (6, 4)
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = PairedStore.build(folder + "/pairs.zarr", X, y)
    ...     store.verify()
    ...     model = PCARidge(2).fit(store.source, store.target)
    ...     error = np.abs(store.target.flux - y.flux).max()
    >>> len(store), bool(error < 2**-15)
    (50, True)
    """

    def __init__(self, path):
        self.path = Path(path)
        if is_missing(path):
            raise StoreError(f"{path} does not exist: {seen_instead(path)}.")
        folder = StoreFolder(path)
        if not folder.finished and (self.path / NOTE).exists():
            raise StoreError(
                f"{path} is not finished: call PairedStore.build again, with the same "
                "arguments."
            )
        self.card = folder.card()

    @classmethod
    def build(
        cls,
        path,
        source,
        target=None,
        *,
        read_source=None,
        read_target=None,
        ids=None,
        meta=None,
        lossless=False,
        on_error="raise",
        provenance=None,
        chunk_rows=CHUNK,
        n_jobs=None,
        verbose=0,
    ):
        """Make a store of pairs, from files or of `Spectra`.

        A build that was broken off, even by ``kill -9``, goes on where it was when
        called again with the same arguments, and ends with the same bytes as one that
        was not.

        Parameters
        ----------
        path : path-like
            The folder to make, or to go on with; by custom ``….zarr``.
        source, target : list or Spectra
            For each pair a file, or a list of files such as the four of a spectrum of
            GALAH, together with `read_source` and `read_target`; or `Spectra`, in
            memory or on disk, whose row i is of the same star. Without `target`,
            `source` is an iterable of blocks: tuples of two `Spectra`.
        read_source, read_target : callable, optional
            Makes `Spectra` of one row (alone, or first in a tuple, as
            `specxfer.io.read_apogee` returns) of a file or a list of files. Options
            go in by `functools.partial`.
        ids : array-like of shape (n_pairs,), optional
            With files: the star of each pair, such as the ids that
            `specxfer.io.pair_files` gives. By default the readers say, and pairs of
            which they name different stars are refused.
        meta : Table or anything it accepts, optional
            With files: labels, a row a pair, such as the pairs that
            `specxfer.io.crossmatch` gives. They become part of the `meta` of both
            sides, and take the place of what the readers say under the same name.
        lossless : bool, default=False
            Whether to store numbers as they are, in twice the space.
        on_error : {"raise", "skip", "nan"}, default="raise"
            What to do with a file that cannot be read: raise its error, leave the pair
            out, or leave that side of it NaN, so that the star is unpaired. `report`
            has its name and the reason. Pairs of different stars, or of which neither
            side can be read, are left out with "nan" too.
        provenance : dict, optional
            What the card is to say of where the spectra are from.
        chunk_rows : int, default=256
            Pairs that are read and written at a time, and rows of a file.
        n_jobs : int, optional
            Processes that read files, as in joblib.
        verbose : int, default=0
            Above 0, show a progress bar.

        Returns
        -------
        PairedStore

        Raises
        ------
        StoreError
            If `path` holds something else, a file cannot be read, spectra are not
            alike, or a worker died.
        OSError
            If a file cannot be written, as on a full disk.

        Notes
        -----
        What is done stays done whatever happens: mend it, and call again. A build that
        stopped at a file may go on with another `on_error`. Spectra given again are
        compared with what is stored, and an iterable of blocks must give the same
        again. Two builds at a time of one folder are not guarded against.
        """
        build_store(
            path,
            source,
            target,
            read_source=read_source,
            read_target=read_target,
            ids=ids,
            meta=meta,
            lossless=lossless,
            on_error=on_error,
            provenance=provenance,
            chunk_rows=chunk_rows,
            n_jobs=n_jobs,
            verbose=verbose,
        )
        return cls(path)

    def __len__(self):
        return self.card["n_spectra"]

    @cached_property
    def source(self):
        """Spectra of the source survey, on disk."""
        return self._spectra("source")

    @cached_property
    def target(self):
        """Spectra of the target survey, on disk."""
        return self._spectra("target")

    @cached_property
    def meta(self):
        """Columns that both sides have."""
        return table_of({k: c[self._kept] for k, c in self._columns("meta").items()})

    @cached_property
    def report(self):
        """What could not be read, or only in part."""
        return table_of(self._columns("report"))

    @cached_property
    def _kept(self):
        return np.flatnonzero(read_array(self.path / "kept")[0])

    def _columns(self, name):
        return read_table(self.path / name)

    def _read(self, name, default=None):
        """A small array, if there is one."""
        if not (self.path / name).exists():
            return default
        return read_array(self.path / name)[0]

    def _spectra(self, side):
        kept = self._kept
        own, shared = self._columns(f"{side}/meta"), self._columns("meta")
        columns = {name: column[kept] for name, column in {**own, **shared}.items()}
        power, ids = self._read(f"{side}/resolution"), self._read("ids")
        steps = self._read(f"{side}/step")
        ivar = self.path / side / "ivar"
        return Spectra(
            self._stored(f"{side}/flux", steps is not None and FluxCodes(steps)),
            self._stored(f"{side}/ivar", steps is not None and IvarCodes())
            if ivar.exists()
            else None,
            wave=self._read(f"{side}/wave"),
            medium=self.card[side]["medium"],
            ids=None if ids is None else ids[kept],
            meta=table_of(columns) if columns else None,
            resolution=None if power is None else power[kept],
            chip=self._read(f"{side}/chip"),
        )

    def _stored(self, name, codec):
        """An array that stays on disk, the rows that are kept."""
        note = read_json(self.path / name)
        chunk_rows = note["chunk_grid"]["configuration"]["chunk_shape"][0]
        codec = codec or AsItIs(note["data_type"])
        if np.dtype(note["data_type"]) != codec.stored:
            raise StoreError(
                f"{self.path / name} is of {note['data_type']}, expected "
                f"{codec.stored}."
            )
        array = StoredArray(self.path / name, note["shape"], chunk_rows, codec)
        kept = self._kept
        everything = len(kept) == array.shape[0]
        rows = slice(None) if everything else kept
        return LazyArray(array, array.dtype, rows)

    def verify(self, verbose=0):
        """Read everything and see that no byte has changed since it was written.

        Parameters
        ----------
        verbose : int, default=0
            Above 0, show a progress bar.

        Raises
        ------
        StoreError
            If a file is damaged or missing; it names the files.
        """
        root = dict(read_json(self.path)["attributes"])
        if root.pop("digest", None) != digest_of_json(root):
            raise StoreError(f"{self.path / 'zarr.json'} is damaged.")
        files = dict(root["sha256"])
        bad = []
        with tqdm(unit="file", desc="verifying", disable=not verbose) as progress:
            for name, digest in files.items():
                progress.update()
                path = self.path / name
                if not _is_sound(path, digest):
                    bad.append(name)
                    continue
                note = read_json(path.parent)
                for i, each in enumerate(note["attributes"].get("sha256", ())):
                    progress.update()
                    chunk = chunk_path(path.parent, i, len(note["shape"]))
                    if not _is_sound(chunk, each):
                        bad.append(chunk.relative_to(self.path).as_posix())
        if bad:
            some = ", ".join(bad[:5]) + (", …" if len(bad) > 5 else "")
            raise StoreError(
                f"{self.path}: {len(bad)} files are damaged or missing ({some}): copy "
                "them or build the store again."
            )

    def __repr__(self):
        card = self.card
        lines = [f"<PairedStore {self.path}", f"  {len(self)} pairs"]
        if len(self) < card["n_pairs"]:
            lines[-1] += f" of {card['n_pairs']}: see report"
        for side in ("source", "target"):
            about = card[side]
            text = f"  {side}: {about['n_pixels']} pixels"
            if "wave" in about:
                first, last = about["wave"]
                text += f", {first:.2f} to {last:.2f} Å in {about['medium']}"
            lines.append(text)
        kind = "as given" if card["lossless"] else "in 16 bits"
        lines.append(f"  stored {kind} by specxfer {card['specxfer']}>")
        return "\n".join(lines)


def _is_sound(path, digest):
    """Whether a file is there, as it was written."""
    return path.exists() and digest_of(path) == digest
