"""Triples, head - relation - tail, from whatever holds them.

M triples, N entities, R relations.
"""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray

from bequest.core import Table
from bequest.core.plain_values import quoted
from bequest.core.table import frame_columns
from bequest.core.validation import as_text, validate_path
from bequest.core.wording import pluralise
from bequest.data.encoding import utf8_bytes
from bequest.data.rdf import RDF_FORMATS, read_rdf
from bequest.errors import DataError

__all__ = ["Triples", "read_triples", "triples_from_rdf"]

logger = logging.getLogger(__name__)

TEXT = (".csv", ".tsv", ".txt")
PARTS = ("head", "relation", "tail")
HEADERS = frozenset(
    {
        PARTS,
        ("h", "r", "t"),
        ("subject", "predicate", "object"),
        ("s", "p", "o"),
        ("source", "relation", "target"),
        ("from", "relation", "to"),
    }
)


@final
@dataclass(frozen=True, eq=False)
class Triples:
    """A graph: what its entities and relations are called, and which stand together.

    Parameters
    ----------
    entities, relations : tuple of str
        Sorted; N and R of them.
    rows : array of int64, shape (M, 3)
        Places of head, relation and tail; sorted, none twice.
    name : str

    Examples
    --------
    >>> Triples.of([("paris", "in", "france"), ("lyon", "in", "france")])
    Triples('triples', 2 triples, 3 entities, 1 relation)
    """

    entities: tuple[str, ...]
    relations: tuple[str, ...]
    rows: NDArray[np.int64]
    name: str = "triples"

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        sizes = pluralise(len(self), "triple"), pluralise(len(self.relations), "relation")
        entities = f"{len(self.entities)} entities"
        return f"Triples({self.name!r}, {sizes[0]}, {entities}, {sizes[1]})"

    @classmethod
    def of(cls, triples: Any, name: str = "triples") -> Self:
        """From three columns: a DataFrame, a mapping, or a list or array of shape (M, 3)."""
        try:
            columns = [pa.array(column, pa.string()) for column in _three_columns(triples)]
        except UnicodeEncodeError as error:
            raise DataError(
                f"{name} names {quoted(error.object)}: half of a surrogate pair is no Unicode."
            ) from error
        for part, column in zip(PARTS, columns, strict=True):
            _check_known(column, part, name, first=0)
        return cls._of_arrow(columns, name)

    @classmethod
    def _of_arrow(cls, columns: list[Any], name: str) -> Self:
        head, relation, tail = columns
        both = pa.chunked_array([*_chunks(head), *_chunks(tail)], pa.string())
        entities, relations = _sorted(both), _sorted(relation)
        places = [
            pc.index_in(column, value_set=known).to_numpy(zero_copy_only=False)
            for column, known in ((head, entities), (relation, relations), (tail, entities))
        ]
        rows = np.stack(places, axis=1).astype(np.int64)
        return cls._checked(entities.to_pylist(), relations.to_pylist(), rows, name)

    @classmethod
    def _checked(
        cls, entities: list[str], relations: list[str], rows: NDArray[np.int64], name: str
    ) -> Self:
        if len(rows) == 0:
            raise DataError(f"{name} has no triples.")
        if len(entities) < 2:
            raise DataError(f"{name} has one entity only, {entities[0]!a}: two are needed.")
        unique = np.unique(rows, axis=0)
        if len(unique) < len(rows):
            logger.info(
                "%s: %s left out that stood there already.",
                name,
                pluralise(len(rows) - len(unique), "triple"),
            )
        return cls(tuple(entities), tuple(relations), unique, name)

    def among(self, known: Triples) -> tuple[NDArray[np.int64], int]:
        """These triples as places in another graph, shape (K, 3), and how many it cannot tell.

        Examples
        --------
        >>> graph = Triples.of([("paris", "in", "france"), ("lyon", "in", "france")])
        >>> more = Triples.of([("lyon", "in", "france"), ("rome", "in", "italy")])
        >>> rows, unknown = more.among(graph)
        >>> rows.tolist(), unknown
        ([[1, 0, 0]], 1)
        """
        entities = _places(self.entities, known.entities)
        relations = _places(self.relations, known.relations)
        head, relation, tail = self.rows.T
        rows = np.stack([entities[head], relations[relation], entities[tail]], axis=1)
        told = (rows >= 0).all(axis=1)
        return rows[told], int((~told).sum())


def read_triples(source: Any) -> Triples:
    """Read triples from whatever holds them.

    Parameters
    ----------
    source : path, DataFrame, Arrow table, mapping of three columns, sequence of triples, Triples
        A file ends in .csv, .tsv or .txt: three columns, head - relation - tail, in UTF-8, with
        or without a header (``head,relation,tail``, ``subject,predicate,object`` and the like).
        Or it is RDF and ends in .nt, .nq, .ttl, .trig, .n3, .jsonld, .rdf or .owl: IRIs and blank
        nodes are entities, literals are left out. Blanks around a name do not count.

    Returns
    -------
    Triples
        Each triple once, in an order that does not depend on the file's.

    Raises
    ------
    DataError
        The file is missing, empty, not UTF-8, of another format, or takes too much to read; a
        row has not three values, or an empty one; there is one entity only.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "places.tsv"
    >>> _ = file.write_text("paris\\tin\\tfrance\\nlyon\\tin\\tfrance\\n")
    >>> read_triples(file).entities
    ('france', 'lyon', 'paris')
    """
    if isinstance(source, Triples):
        return source
    if not isinstance(source, str | Path):
        return Triples.of(source)
    path = validate_path(source, "a file of triples").expanduser()
    suffix = path.suffix.lower()
    if not path.exists():
        raise DataError(f"there is no file {path}.")
    if not path.is_file() or suffix not in (*TEXT, *RDF_FORMATS):
        raise DataError(f"{path} is no file that ends in {', '.join((*TEXT, *RDF_FORMATS))}.")
    name = as_text(path.stem)
    try:
        if suffix in RDF_FORMATS:
            return triples_from_rdf(path, suffix, name)
        return Triples._of_arrow(_text_columns(path, suffix), name)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error


def triples_from_rdf(source: Path | bytes, suffix: str, name: str) -> Triples:
    """The triples of RDF; see `bequest.data.rdf.read_rdf`.

    Examples
    --------
    >>> triples_from_rdf(b"<urn:a> <urn:p> <urn:b> .", ".nt", "small")
    Triples('small', 1 triple, 2 entities, 1 relation)
    """
    entities, relations, rows = read_rdf(source, suffix, title=name)
    place_e, place_r = np.argsort(entities), np.argsort(relations)  # by code point, as text is
    rank_e, rank_r = np.argsort(place_e), np.argsort(place_r)
    if len(rows):
        rows = np.stack([rank_e[rows[:, 0]], rank_r[rows[:, 1]], rank_e[rows[:, 2]]], axis=1)
    return Triples._checked(
        [entities[place] for place in place_e], [relations[place] for place in place_r], rows, name
    )


def _three_columns(triples: Any) -> list[NDArray[Any]]:
    columns: Mapping[Any, Any]
    if isinstance(triples, Mapping):
        columns = triples
    elif hasattr(triples, "__dataframe__") or hasattr(triples, "__arrow_c_stream__"):
        columns = frame_columns(triples)
    elif hasattr(triples, "__iter__"):
        rows = [tuple(row) if hasattr(row, "__iter__") else (row,) for row in triples]
        wrong = next((n for n, row in enumerate(rows) if len(row) != 3), None)
        if wrong is not None:
            raise DataError(
                f"row {wrong} (from 0) has {pluralise(len(rows[wrong]), 'value')}; a triple has "
                "three: head, relation, tail."
            )
        columns = dict(zip(PARTS, zip(*rows, strict=True), strict=True)) if rows else {}
        if not rows:
            raise DataError("there are no triples.")
    else:
        raise DataError(
            "triples are a file, a DataFrame of three columns or a list of (head, relation, tail), "
            f"not a {type(triples).__name__}."
        )
    if len(columns) != 3:
        raise DataError(
            f"triples have three columns, head, relation and tail; these have {len(columns)}: "
            f"{', '.join(map(str, columns))}."
        )
    table = Table({str(place): values for place, values in enumerate(columns.values())})
    told = table.cast(dict.fromkeys(table.names, "category")).columns.values()
    return [np.array([v and v.strip() for v in column], dtype=object) for column in told]


def _text_columns(path: Path, suffix: str) -> list[Any]:
    data = utf8_bytes(path)
    lines = io.StringIO(data[: 2**20].decode("utf-8", errors="ignore"), newline="")
    first = next((line for line in lines if line.strip()), "")
    if not first:
        raise DataError(f"{path} is empty.")
    delimiter, cells = _split(path, suffix, first)
    has_header = tuple(cell.strip().lower() for cell in cells) in HEADERS
    wrong: list[Any] = []

    def note(row: Any) -> str:
        wrong.append(row)
        return "error"

    try:
        table = pyarrow.csv.read_csv(
            io.BytesIO(data),
            read_options=pyarrow.csv.ReadOptions(column_names=PARTS, use_threads=False),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=delimiter,
                quote_char='"' if suffix == ".csv" else False,
                invalid_row_handler=note,
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(PARTS, pa.string()), strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid as error:
        if not wrong:
            raise DataError(f"{path} cannot be read: {error}.") from error
        row = wrong[0]
        raise DataError(
            f"row {row.number} of {path} has {pluralise(row.actual_columns, 'value')}; a triple "
            f"has three, head, relation and tail: {row.text[:60]!a}."
        ) from error
    columns = [pc.utf8_trim_whitespace(column) for column in table.columns]
    if has_header:
        columns = [column.slice(1) for column in columns]
    for part, column in zip(PARTS, columns, strict=True):
        _check_known(column, part, str(path), first=1 + has_header)
    return columns


def _split(path: Path, suffix: str, line: str) -> tuple[str, list[str]]:
    """The delimiter that gives the first row three values, and these values."""
    counts = {}
    line = line.rstrip("\r\n")
    for delimiter in "\t" if suffix == ".tsv" else "\t,;|":
        cells = line.split(delimiter)
        if suffix == ".csv" and '"' in line:
            try:
                cells = next(csv.reader([line], delimiter=delimiter))
            except csv.Error as error:
                raise DataError(f"{path} has a first row that cannot be read: {error}.") from error
        if len(cells) == 3:
            return delimiter, cells
        counts[delimiter] = len(cells)
    raise DataError(
        f"the first row of {path} has {pluralise(max(counts.values()), 'value')}; a triple has "
        f"three, head, relation and tail, with tabs or commas between them: {line[:60].strip()!a}."
    )


def _check_known(column: Any, part: str, name: str, *, first: int) -> None:
    empty = pc.fill_null(pc.equal(column, ""), True)
    place = pc.index(empty, True).as_py()
    if place >= 0:
        raise DataError(
            f"{name} has no {part} in row {place + first}"
            f"{' (from 0)' if first == 0 else ''}: every triple names all three."
        )


def _chunks(column: Any) -> list[Any]:
    return column.chunks if isinstance(column, pa.ChunkedArray) else [column]


def _sorted(column: Any) -> Any:
    names = pc.unique(column)
    return names.take(pc.array_sort_indices(names))


def _places(names: tuple[str, ...], known: tuple[str, ...]) -> NDArray[np.int64]:
    place = {name: number for number, name in enumerate(known)}
    return np.array([place.get(name, -1) for name in names], dtype=np.int64)
