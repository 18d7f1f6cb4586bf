"""Between plain values and the terms of RDF: what goes into a query, and what comes out."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from pyoxigraph import BlankNode, Literal, NamedNode, RdfFormat, parse

from bequest.errors import HubError
from bequest.hub.graph.vocabulary import PREFIXES, Iri

__all__ = ["LONGEST", "bound", "checked_query", "rows", "terms"]

# Texts, addresses and comments are passed over: a brace in them opens nothing.
_TOKEN = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*"""|\'\'\'(?:[^\'\\]|\\.|\'(?!\'\'))*\'\'\'|"(?:[^"\\\n]|\\.)*"|'
    r"'(?:[^'\\\n]|\\.)*'|<[^<>\"{}|^`\\\x00-\x20]*>|#[^\n]*|[{}]|[A-Za-z]+|.",
    re.DOTALL,
)

LONGEST = 100_000  # characters of a query
_XSD = PREFIXES["xsd"]
_WHOLE = frozenset(
    _XSD + kind
    for kind in (
        *("integer", "long", "int", "short", "byte", "nonNegativeInteger", "positiveInteger"),
        *("nonPositiveInteger", "negativeInteger", "unsignedLong", "unsignedInt", "unsignedShort"),
        "unsignedByte",
    )
)
_BROKEN = frozenset(_XSD + kind for kind in ("double", "float", "decimal"))
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,60}")
# The engine ends a token where it can: in "1SERVICE" it sees a number and a request that goes out.
# So the word is refused wherever it does not continue a variable, a prefixed name or a path.
_SERVICE = re.compile(r"(?<![\w?$:/])(?:\w*)service", re.IGNORECASE)


def checked_query(sparql: str) -> str:
    """Give the query back, or say why it is not asked: too long, or it could call another server.

    Examples
    --------
    >>> checked_query("SELECT * { SERVICE <http://example.org/> { ?s ?p ?o } }")
    Traceback (most recent call last):
        ...
    bequest.errors.HubError: a query of a hub calls no other server: it says SERVICE. ...
    """
    if not isinstance(sparql, str):
        raise HubError(f"a query is text in SPARQL, not a {type(sparql).__name__}.")
    if len(sparql) > LONGEST:
        raise HubError(f"the query has {len(sparql)} characters, {LONGEST} are the most.")
    if _SERVICE.search(sparql):
        raise HubError(
            "a query of a hub calls no other server: it says SERVICE. A text or an address that "
            "holds this word goes in by a binding."
        )
    return sparql


def terms(bindings: Mapping[str, Any]) -> dict[str, NamedNode | Literal]:
    """The values of a query's variables as terms; a text never becomes a part of the query."""
    if not isinstance(bindings, Mapping):
        raise HubError(f"bindings map variables to values; this is a {type(bindings).__name__}.")
    for name in bindings:
        if not (isinstance(name, str) and _VARIABLE.fullmatch(name)):
            raise HubError(f"{str(name)[:60]!a} is no name of a variable: use letters and digits.")
    return {name: _term(name, value) for name, value in bindings.items()}


def rows(kind: str, body: bytes) -> list[dict[str, Any]]:
    """An answer, SPARQL's results in JSON or triples ("nt"), as plain values: a dict a solution.

    A variable without a value has None. Triples have subject, predicate and object; a yes or no is
    one row with the key ``answer``.
    """
    try:
        if kind == "nt":
            triples = parse(input=body, format=RdfFormat.N_TRIPLES)
            parts = ("subject", "predicate", "object")
            return [{part: _plain_term(getattr(t, part)) for part in parts} for t in triples]
        found = json.loads(body)
        if "boolean" in found:
            return [{"answer": bool(found["boolean"])}]
        names = found["head"]["vars"]
        return [
            {name: _plain(row[name]) if name in row else None for name in names}
            for row in found["results"]["bindings"]
        ]
    except (KeyError, TypeError, ValueError, SyntaxError, RecursionError) as error:
        raise HubError(f"the answer of the graph cannot be read: {error}.") from error


def _term(name: str, value: Any) -> NamedNode | Literal:
    try:
        if isinstance(value, Iri):
            return NamedNode(value)
        if isinstance(value, bool | int | float | str):
            return Literal(value)
    except (ValueError, OverflowError, UnicodeError) as error:
        raise HubError(f"?{name} cannot be bound to {str(value)[:60]!a}: {error}.") from error
    raise HubError(
        f"?{name} is bound to a {type(value).__name__}; bind a text, a number, or an Iri."
    )


def _plain_term(term: Any) -> Any:
    if isinstance(term, NamedNode):
        return Iri(term.value)
    if isinstance(term, BlankNode):
        return str(term)
    if isinstance(term, Literal):
        return _value(term.value, term.datatype.value)
    return str(term)


def _plain(term: Mapping[str, Any]) -> Any:
    if term["type"] == "uri":
        return Iri(term["value"])
    if term["type"] == "bnode":
        return f"_:{term['value']}"
    if term["type"] == "triple":
        return json.dumps(term["value"])
    return _value(term["value"], term.get("datatype", ""))


def _value(text: str, kind: str) -> Any:
    try:
        if kind in _WHOLE:
            return int(text)
        if kind in _BROKEN:
            return {"INF": math.inf, "-INF": -math.inf}.get(text) or float(text)
    except ValueError:
        return text
    return text in ("true", "1") if kind == f"{_XSD}boolean" else text


def bound(sparql: str, values: Mapping[str, NamedNode | Literal]) -> str:
    """The query with its values in a table at the start of its pattern.

    They are written as terms of N-Triples, whose quotes and brackets are escaped: no text can leave
    its own. (The store's own substitution asks for variables that the query projects.)

    Examples
    --------
    >>> bound("ASK { ?s ?p ?n }", terms({"n": 'a " } DROP ALL'}))
    'ASK { VALUES ?n { "a \\\\" } DROP ALL" }  ?s ?p ?n }'
    """
    if not values:
        return sparql
    table = " ".join(f"VALUES ?{name} {{ {term} }}" for name, term in values.items())
    place = _pattern(sparql)
    return f"{sparql[:place]} {table} {sparql[place:]}"


def _pattern(sparql: str) -> int:
    """Behind the brace that opens the pattern; the first one of CONSTRUCT opens its template."""
    depth, template, last = 0, False, ""
    for found in _TOKEN.finditer(sparql):
        word = found.group().upper()
        if word == "CONSTRUCT":
            template = True
        elif word == "{":
            if depth == 0 and not (template and last == "CONSTRUCT"):
                return found.end()
            depth += 1
        elif word == "}":
            depth -= 1
        last = word if not (word.isspace() or word.startswith("#")) else last
    raise HubError("values can be bound in a query with a pattern in braces only.")
