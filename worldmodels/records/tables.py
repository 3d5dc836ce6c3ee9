"""Arrays in Parquet files, packed tightly and verified when they are read."""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from worldmodels.pipeline.errors import damaged, missing
from worldmodels.pipeline.storage import digest, write_bytes

ROWS_PER_GROUP = 1 << 16
DIGEST_KEY = b"sha256"


def write_table(path: Path, columns: Mapping[str, np.ndarray]) -> None:
    """Write arrays [T] or [T, n] as columns; `name` [T, n] becomes `name_0`, `name_1`, …

    Equal arrays give equal bytes. A digest of them goes into the metadata, for `read_table`.
    """
    flat: dict[str, np.ndarray] = {}
    for name, array in columns.items():
        if array.ndim == 1:
            flat[name] = array
        else:
            flat |= {f"{name}_{i}": array[:, i] for i in range(array.shape[1])}
    floats = [name for name, array in flat.items() if array.dtype.kind == "f"]
    table = pa.table({name: np.ascontiguousarray(array) for name, array in flat.items()})
    table = table.replace_schema_metadata({DIGEST_KEY: digest(flat.items())})
    buffer = io.BytesIO()
    pq.write_table(
        table,
        buffer,
        row_group_size=ROWS_PER_GROUP,
        compression="zstd",
        compression_level=9,
        use_dictionary=[name for name in flat if name not in floats],
        use_byte_stream_split=floats,
        write_statistics=False,
    )
    write_bytes(path, buffer.getvalue())


def read_table(path: Path) -> dict[str, np.ndarray]:
    """Return what `write_table` was given. Raises UserError if the file is missing or damaged."""
    if not path.is_file():
        raise missing(path)
    try:
        table = pq.read_table(path, use_threads=False)
        flat = {name: table[name].to_numpy() for name in table.column_names}
        whole = (table.schema.metadata or {}).get(DIGEST_KEY) == digest(flat.items()).encode()
    except Exception as error:  # whatever a damaged footer or page makes the parser raise
        raise damaged(path, f"{type(error).__name__}: {error}") from None
    if not whole:
        raise damaged(path, "its digest does not match what it holds")
    columns: dict[str, list[np.ndarray]] = {}
    for name, array in flat.items():
        stem, _, index = name.rpartition("_")
        columns.setdefault(stem if index.isdigit() else name, []).append(array)
    split = {name.rpartition("_")[0] for name in flat if name.rpartition("_")[2].isdigit()}
    return {
        name: np.stack(parts, axis=1) if name in split else parts[0]
        for name, parts in columns.items()
    }
