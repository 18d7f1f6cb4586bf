"""What an entry and an outcome say, as lines of N-Quads in the graph's default graph."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, final

from bequest.hub.graph import vocabulary as v
from bequest.hub.graph.vocabulary import Iri, node
from bequest.hub.records.names import digest_in, name_and_version

__all__ = ["Meant", "Teller", "quad", "similar"]

# What a card calls a parent, as ``name@version`` where it was there before the child, which is the
# second; else as it is written.
Meant = Callable[[str, tuple[str, int]], str]

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r"})
_XSD = v.PREFIXES["xsd"]
_JSON = f"{v.PREFIXES['rdf']}JSON"
_TOLD = 1_000_000  # shared nodes that are remembered
_METHOD, _METRIC = (v.REALIZES, "method"), (v.SPECIFIED_BY, "metric")
_LONGEST = 2**16  # characters of settings; more is a file, and no knowledge


def quad(subject: Iri, predicate: Iri, value: Any, graph: Iri | None = None) -> str:
    """One line: `value` is an `Iri`, or a plain value that becomes a literal.

    Examples
    --------
    >>> quad(Iri("urn:a"), Iri("urn:b"), 'say "no"')
    '<urn:a> <urn:b> "say \\\\"no\\\\"" .'
    """
    place = f" <{graph}>" if graph else ""
    return f"<{subject}> <{predicate}> {_object(value)}{place} ."


def similar(task: str, other: str) -> Iterator[str]:
    """Two tasks, by their fingerprints, whose sketches are close."""
    one, two = node("task", task), node("task", other)
    yield quad(one, v.SIMILAR, two)
    yield quad(two, v.SIMILAR, one)


@final
class Teller:
    """Tells entries and outcomes; what many of them share, such as a task, is told once.

    ``saw(task, sketch)`` is told of every published sketch, under its task's fingerprint.
    """

    def __init__(self, meant: Meant, saw: Callable[[str, Any], None]) -> None:
        self._meant = meant
        self._saw = saw
        self._told: set[tuple[str, ...]] = set()

    def of_entry(self, place: tuple[str, int], entry: Mapping[str, Any]) -> Iterator[str]:
        """What `Entry.to_dict` says of a model whose row has this name and version."""
        card = entry["card"]
        model = node("model", f"{entry['name']}@{entry['version']}")
        yield quad(model, v.TYPE, v.ML_MODEL)
        yield quad(model, v.TYPE, v.MODEL)
        yield quad(model, v.NAME, str(entry["name"]))
        yield quad(model, v.VERSION, int(entry["version"]))
        yield quad(model, v.VERSION_OF, node("model", entry["name"]))
        yield quad(model, v.SHA256, str(entry["digest"]))
        yield quad(model, v.SPECIALIZATION, node(v.CONTENT, entry["digest"]))
        yield quad(model, v.ISSUED, str(entry["published"]))
        yield from self._features(model, entry["files"])
        yield from self._licence(model, card.get("licence"))
        yield from self._training(model, card.get("task"))
        yield from self._metrics(model, card.get("metrics"))
        yield from self._making(model, card, place)

    def of_outcome(self, digest: str, outcome: Mapping[str, Any]) -> Iterator[str]:
        """What came of one transfer, by `Outcome.to_dict`, whether it helped or not."""
        run, verdict = node("outcome", digest), outcome["verdict"]
        yield quad(run, v.TYPE, v.RUN)
        if outcome.get("source"):
            yield from self._source(run, str(outcome["source"]))
        if outcome.get("method"):
            yield from self._shared(run, *_METHOD, str(outcome["method"]), v.ALGORITHM)
        yield quad(run, v.ACHIEVES, _task_node(outcome["target"]))
        yield from self._task(outcome["target"])
        yield quad(run, v.VERDICT, str(verdict["kind"]))
        yield from self._shared(run, *_METRIC, str(verdict["metric"]), v.MEASURE)
        for word, term in (("gain", v.GAIN), ("low", v.LOW), ("high", v.HIGH), ("level", v.LEVEL)):
            yield quad(run, term, _number(verdict[word]))
        yield from _coverage(run, outcome)

    def of_check(self, check: Mapping[str, Any]) -> Iterator[str]:
        """What the fields of an `Edge` say of a model and a parent, claimed or found."""
        child, parent = node("model", check["child"]), _named(str(check["parent"]))
        place = node("check", check["child"], check["parent"])
        verdict = {True: "verified", False: "false"}.get(check["verified"], "not told")
        yield quad(child, v.QUALIFIED, place)
        yield quad(place, v.TYPE, v.CHECK)
        yield quad(place, v.ENTITY, parent)
        yield quad(place, v.VERDICT, verdict)
        yield quad(place, v.DESCRIPTION, str(check["evidence"]))
        if verdict == "verified":
            yield quad(child, v.VERIFIED, parent)
        yield from self._shared(place, v.SORT, "relation", str(check["relation"]), v.CLASS)

    def _once(self, *key: str) -> bool:
        """Whether this was not told yet; telling it twice would change nothing."""
        if key in self._told:
            return False
        if len(self._told) >= _TOLD:
            self._told.clear()
        self._told.add(key)
        return True

    def _features(self, model: Iri, files: Mapping[str, Any]) -> Iterator[str]:
        for path, file in files.items():
            *folders, name = path.split("/")
            if name.startswith("model.") and "head" not in folders:
                features = node("features", file["digest"])
                yield quad(model, v.HAS_PART, features)
                if self._once("features", features):
                    yield quad(features, v.TYPE, v.FILE)

    def _licence(self, model: Iri, licence: Any) -> Iterator[str]:
        if not licence:
            return
        place = v.licence(str(licence))
        yield quad(model, v.LICENCE, place)
        if self._once("licence", str(licence)):
            yield quad(place, v.TYPE, v.LICENSE_DOCUMENT)
            yield quad(place, v.IDENTIFIER, str(licence))

    def _training(self, model: Iri, task: Any) -> Iterator[str]:
        if isinstance(task, Mapping) and (task.get("fingerprint") or task.get("name")):
            place = _task_node(task)
            yield from self._task(task)
            yield quad(model, v.ML_TASK, place)
            yield quad(model, v.TRAINED_ON, v.data(place))

    def _task(self, task: Mapping[str, Any]) -> Iterator[str]:
        name, fingerprint = str(task.get("name", "")), str(task.get("fingerprint") or "")
        if not self._once("task", name, fingerprint):
            return
        place = _task_node(task)
        yield quad(place, v.TYPE, v.TASK)
        yield quad(place, v.NAME, name)
        yield quad(place, v.DATA_OF, v.data(place))
        yield quad(v.data(place), v.TYPE, v.DATASET)
        yield quad(v.data(place), v.NAME, name)
        if fingerprint:
            yield quad(place, v.IDENTIFIER, fingerprint)
            if "sketch" in task:
                self._saw(fingerprint, task["sketch"])

    def _metrics(self, model: Iri, metrics: Any) -> Iterator[str]:
        for name, value in metrics.items() if isinstance(metrics, Mapping) else ():
            if isinstance(value, int | float):
                evaluation = node("evaluation", _after(model), name)
                yield quad(model, v.QUALITY, evaluation)
                yield quad(evaluation, v.TYPE, v.EVALUATION)
                yield quad(evaluation, v.HAS_VALUE, float(value))
                yield from self._shared(evaluation, *_METRIC, str(name), v.MEASURE)

    def _shared(
        self, subject: Iri, predicate: Iri, kind: str, name: str, sort: Iri
    ) -> Iterator[str]:
        """An edge to what many share, and what that is."""
        place = node(kind, name)
        yield quad(subject, predicate, place)
        if self._once(kind, name):
            yield quad(place, v.TYPE, sort)
            yield quad(place, v.NAME, name)

    def _making(self, model: Iri, card: Mapping[str, Any], place: tuple[str, int]) -> Iterator[str]:
        method = str(card.get("method") or "")
        # What is in no hub keeps its name, or the node of its content.
        parents = [_named(self._meant(str(parent), place)) for parent in card["parents"]]
        parents = list(dict.fromkeys(parents))
        for parent in parents:
            yield quad(model, v.DERIVED, parent)
            if method == "fine-tune":
                yield quad(model, v.FINE_TUNED, parent)
        if not parents and not method:
            return
        making = node("making", _after(model))
        yield quad(model, v.GENERATED_BY, making)
        yield quad(making, v.TYPE, v.ACTIVITY)
        yield quad(making, v.TYPE, v.RUN)
        for parent in parents:
            yield quad(making, v.USED, parent)
        if method:
            yield from self._shared(making, *_METHOD, method, v.ALGORITHM)
            yield from _settings(making, card.get("settings") or {})
        yield from _coverage(making, card)

    def _source(self, run: Iri, said: str) -> Iterator[str]:
        name, version = name_and_version(said)
        source = node("model", said)
        yield quad(run, v.USED, source)
        if not self._once("source", said):
            return
        if version is not None:
            # Also where that version is in another hub: the name's node collects all its versions.
            yield quad(source, v.VERSION_OF, node("model", name))
        yield quad(node("model", name), v.NAME, name)


def _object(value: Any) -> str:
    if isinstance(value, Iri):
        return f"<{value}>"
    if isinstance(value, str):
        return f'"{value.translate(_ESCAPES)}"'
    if isinstance(value, bool):
        return f'"{str(value).lower()}"^^<{_XSD}boolean>'
    if isinstance(value, int):
        return f'"{value}"^^<{_XSD}integer>'
    if isinstance(value, float):
        said = repr(value) if math.isfinite(value) else _unbounded(value)
        return f'"{said}"^^<{_XSD}double>'
    if isinstance(value, Mapping):
        text = json.dumps(value, sort_keys=True)
        return f'"{text.translate(_ESCAPES)}"^^<{_JSON}>'
    return f'"{str(value).translate(_ESCAPES)}"'


def _unbounded(value: float) -> str:
    return "NaN" if math.isnan(value) else "INF" if value > 0 else "-INF"


def _number(value: Any) -> float:
    # Outcome.to_json writes what JSON does not know as text.
    return float(value.removeprefix("float:")) if isinstance(value, str) else float(value)


def _task_node(task: Mapping[str, Any]) -> Iri:
    if task.get("fingerprint"):
        return node("task", task["fingerprint"])
    return node("task", "named", task.get("name", ""))


def _coverage(run: Iri, values: Mapping[str, Any]) -> Iterator[str]:
    coverage = (values.get("parameter_map") or {}).get("coverage")
    if isinstance(coverage, int | float):
        yield quad(run, v.COVERAGE, float(coverage))


def _settings(making: Iri, settings: Any) -> Iterator[str]:
    said = settings if isinstance(settings, Mapping) else {"settings": settings}
    if len(json.dumps(said)) <= _LONGEST:
        yield quad(making, v.DESCRIPTION, said)


def _named(said: str) -> Iri:
    digest = digest_in(said)
    return node("model", said) if digest is None else node(v.CONTENT, digest)


def _after(model: Iri) -> str:
    return model.removeprefix("urn:bequest:model:")
