"""Every IRI of the graph. Terms of others where there are any, ours for the rest.

PROV-O says what came from what, ML-Schema and FAIR4ML what models and runs are, schema.org (on
which Croissant stands) what data sets are, DCTERMS what a licence is. Ours are gain, its interval,
verdict (on a transfer, or on a claim of descent) and coverage only.

References: PROV-O (W3C, 2013); ML-Schema (W3C community group, 2016); FAIR4ML 0.1 (RDA, 2024);
Croissant (MLCommons, 2024).
"""

from __future__ import annotations

import re
from typing import Any, final
from urllib.parse import quote


@final
class Iri(str):
    """An IRI among texts: what a query answers for a node, and how a node is bound.

    Examples
    --------
    >>> Iri("urn:bequest:model:wards/ward7@1") == "urn:bequest:model:wards/ward7@1"
    True
    """

    __slots__ = ()


PREFIXES = {
    "bq": "urn:bequest:terms:",
    "dcterms": "http://purl.org/dc/terms/",
    "fair4ml": "https://w3id.org/fair4ml#",
    "mls": "http://www.w3.org/ns/mls#",
    "prov": "http://www.w3.org/ns/prov#",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
    "schema": "http://schema.org/",
    "spdx": "http://spdx.org/licenses/",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
}


_PLAIN = re.compile(r"[A-Za-z0-9/@._~-]*").fullmatch


def _term(name: str) -> Iri:
    prefix, _, local = name.partition(":")
    return Iri(PREFIXES[prefix] + local)


TYPE = _term("rdf:type")

ML_MODEL = _term("fair4ml:MLModel")
MODEL = _term("mls:Model")
TRAINED_ON = _term("fair4ml:trainedOn")
FINE_TUNED = _term("fair4ml:fineTunedFrom")
ML_TASK = _term("fair4ml:mlTask")  # model -> the task that it was trained for

DERIVED = _term("prov:wasDerivedFrom")
GENERATED_BY = _term("prov:wasGeneratedBy")
SPECIALIZATION = _term("prov:specializationOf")  # entry -> its content, shared by its copies
CHECK = _term("prov:Derivation")  # what the weights say of two models, with a verdict
QUALIFIED = _term("prov:qualifiedDerivation")  # model -> check
ENTITY = _term("prov:entity")  # check -> the parent
ACTIVITY = _term("prov:Activity")
USED = _term("prov:used")

RUN = _term("mls:Run")
ALGORITHM = _term("mls:Algorithm")
REALIZES = _term("mls:realizes")  # run -> method
ACHIEVES = _term("mls:achieves")  # run -> task
TASK = _term("mls:Task")
DATA_OF = _term("mls:definedOn")  # task -> data set
EVALUATION = _term("mls:ModelEvaluation")
MEASURE = _term("mls:EvaluationMeasure")
SPECIFIED_BY = _term("mls:specifiedBy")  # evaluation -> metric
HAS_VALUE = _term("mls:hasValue")
QUALITY = _term("mls:hasQuality")  # model -> evaluation

DATASET = _term("schema:Dataset")
SIMILAR = _term("schema:isSimilarTo")  # task <-> task, by their sketches
FILE = _term("schema:MediaObject")
NAME = _term("schema:name")
SHA256 = _term("schema:sha256")
VERSION = _term("schema:version")

LICENCE = _term("dcterms:license")
LICENSE_DOCUMENT = _term("dcterms:LicenseDocument")
IDENTIFIER = _term("dcterms:identifier")
DESCRIPTION = _term("dcterms:description")  # of an activity: its settings, as JSON
SORT = _term("dcterms:type")  # check -> the relation that the weights show
CLASS = _term("rdfs:Class")
ISSUED = _term("dcterms:issued")
VERSION_OF = _term("dcterms:isVersionOf")
HAS_PART = _term("dcterms:hasPart")  # model -> the file of its features, which others may hold

GAIN = _term("bq:gain")  # metric with transfer minus from scratch
LOW = _term("bq:low")  # ends of the interval of the gain ...
HIGH = _term("bq:high")
LEVEL = _term("bq:confidence")  # ... and its coverage, 0 to 1
VERDICT = _term("bq:verdict")  # helps, hurts, undecided; of a check verified, false, not told
VERIFIED = _term("bq:verifiedFrom")  # model -> parent: the verdict of its weights, as an edge
COVERAGE = _term("bq:coverage")  # share of the numbers that a parameter map filled

# Not part of the knowledge: what of the registry is in the graph already.
POSITION = _term("bq:position")
GRAPH = Iri("urn:bequest:graph")
STATE = Iri("urn:bequest:state")
HUB = Iri("urn:bequest:hub")  # the named graph on a server that others use as well

CONTENT = "content"


def node(kind: str, *names: Any) -> Iri:
    """The node of a kind (model, task, data, method, ...) with these names.

    Each is percent-encoded: no text of anybody leaves its place in the IRI.

    Examples
    --------
    >>> node("model", "wards/ward7@1"), node("model", "two words> <x")
    ('urn:bequest:model:wards/ward7@1', 'urn:bequest:model:two%20words%3E%20%3Cx')
    """
    return Iri(":".join([f"urn:bequest:{kind}", *map(_quoted, map(str, names))]))


def _quoted(name: str) -> str:
    # Nearly all names are plain, and a graph has millions of them.
    return name if _PLAIN(name) else quote(name, safe="/@-._~", errors="replace")


def data(task: Iri) -> Iri:
    """The data set of a task's node."""
    return Iri(task.replace("urn:bequest:task:", "urn:bequest:data:", 1))


def licence(identifier: str) -> Iri:
    """The licence of an SPDX identifier, under SPDX's own IRI where it has one."""
    if identifier.startswith("LicenseRef-"):
        return node("licence", identifier)
    return Iri(PREFIXES["spdx"] + quote(identifier, safe="-._~"))
