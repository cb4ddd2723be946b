"""Arrays in the format Zarr v3, uncompressed: written whole, and read without zarr."""

import hashlib
import json
import struct
from pathlib import Path

import numpy as np

from specxfer._runs import write_whole
from specxfer.io._errors import StoreError

__all__ = [
    "chunk_path",
    "digest_of",
    "read_array",
    "read_json",
    "write_array",
    "write_array_json",
    "write_group_json",
]

JSON = "zarr.json"
BYTES = {"name": "bytes", "configuration": {"endian": "little"}}
TEXT = {"name": "vlen-utf8", "configuration": {}}


def chunk_path(folder, number, ndim):
    """The file of a chunk that is cut along the first axis only."""
    return Path(folder).joinpath("c", str(number), *["0"] * (ndim - 1))


def digest_of(path):
    """The SHA-256 of a file, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_group_json(folder, attributes=None):
    """Make a folder a Zarr group."""
    write_json(
        folder,
        {"zarr_format": 3, "node_type": "group", "attributes": attributes or {}},
    )


def write_array_json(folder, shape, dtype, chunk_rows, *, fill, digests, **attributes):
    """Make a folder of chunks a Zarr array.

    Parameters
    ----------
    folder : Path
    shape : tuple of int
    dtype : dtype
        Text is of any length.
    chunk_rows : int
    fill : number or str
        Of what was never written.
    digests : list of str
        SHA-256 of the chunks.
    **attributes
    """
    dtype, shape = np.dtype(dtype), [int(size) for size in shape]
    codec = TEXT if dtype.kind == "U" else BYTES
    if dtype.itemsize == 1:
        codec = {"name": "bytes"}
    names = ["spectrum", "pixel"] if len(shape) == 2 else None
    write_json(
        folder,
        {
            "zarr_format": 3,
            "node_type": "array",
            "shape": shape,
            "data_type": "string" if dtype.kind == "U" else dtype.name,
            "chunk_grid": {
                "name": "regular",
                "configuration": {
                    "chunk_shape": [chunk_rows, *(max(1, n) for n in shape[1:])]
                },
            },
            "chunk_key_encoding": {
                "name": "default",
                "configuration": {"separator": "/"},
            },
            "fill_value": fill,
            "codecs": [codec],
            "attributes": {**attributes, "sha256": digests},
            **({"dimension_names": names} if names else {}),
        },
    )


def write_array(folder, values, **attributes):
    """Write an array in one piece: numbers, bools or text.

    Parameters
    ----------
    folder : Path
    values : ndarray
    **attributes
        Of its JSON.
    """
    values = np.asarray(values)
    digests = []
    if values.size:
        path = chunk_path(folder, 0, values.ndim)
        path.parent.mkdir(parents=True, exist_ok=True)
        data = _text_bytes(values) if values.dtype.kind == "U" else _bytes(values)
        write_whole(path, data)
        digests = [hashlib.sha256(data).hexdigest()]
    fill = "" if values.dtype.kind == "U" else False if values.dtype == bool else 0
    write_array_json(
        folder,
        values.shape,
        values.dtype,
        max(1, len(values)),
        fill=fill,
        digests=digests,
        **attributes,
    )


def read_array(folder):
    """What `write_array` wrote, and its attributes."""
    note = read_json(folder)
    shape, kind = note["shape"], note["data_type"]
    path = chunk_path(folder, 0, len(shape))
    try:
        data = path.read_bytes() if np.prod(shape) else b""
        if kind == "string":
            values = _text_of(data, int(np.prod(shape)))
        else:
            dtype = np.dtype(kind)
            values = np.frombuffer(data, dtype.newbyteorder("<")).astype(dtype)
        return values.reshape(shape), note["attributes"]
    except (OSError, ValueError, TypeError, struct.error) as error:
        raise StoreError(
            f"{path} is missing or damaged ({error}): copy or build the store again."
        ) from error


def read_json(folder):
    """The JSON of a group or an array."""
    path = Path(folder) / JSON
    try:
        note = json.loads(path.read_bytes())
        if note["zarr_format"] != 3:
            raise ValueError(f"zarr_format is {note['zarr_format']}, expected 3")
        return note
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise StoreError(f"{path} is no part of a store: {error}.") from error


def write_json(folder, note):
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / JSON, json.dumps(note, indent=1, sort_keys=True).encode())


def _bytes(values):
    return values.astype(values.dtype.newbyteorder("<")).tobytes()


def _text_bytes(values):
    """Text as the codec vlen-utf8 has it: how many, then each with its length."""
    texts = [text.encode() for text in values.ravel().tolist()]
    parts = [struct.pack("<I", len(texts))]
    for text in texts:
        parts += struct.pack("<I", len(text)), text
    return b"".join(parts)


def _text_of(data, n):
    """Text again."""
    texts, at = [], 4
    for _ in range(n):
        (length,) = struct.unpack_from("<I", data, at)
        texts.append(data[at + 4 : at + 4 + length].decode())
        at += 4 + length
    if at != max(len(data), 4):
        raise ValueError("its length is not that of its texts")
    return np.array(texts, "U")
