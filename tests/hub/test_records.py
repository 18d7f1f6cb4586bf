"""What strangers wrote down: a source that is no ``name@version``, read by everybody alike."""

import pytest

from bequest.api.hub_graph import hub_graph
from bequest.core import Outcome, TaskSummary, Verdict
from bequest.hub.records.facts import taught
from bequest.hub.records.names import name_and_version
from bequest.hub.suggestions.outcome_table import Kept

TASK = TaskSummary(name="ward 7", fingerprint="0f" * 8, metric="accuracy")
VERDICT = Verdict(0.1, 0.0, 0.2, "accuracy")
NO_VERSION = ["base@01", "base@0", "base@x", "base@", "base@1@x", "base@٣", f"base@{'9' * 5000}"]


def outcome(source):
    return Outcome(target=TASK, source=source, method="probe", selected="transfer", verdict=VERDICT)


def tellings(hub, source):
    """Whether each of those who read outcomes takes this source for the entry `base`."""
    kept = Kept()
    kept.learn_outcome(outcome(source).to_dict())
    yield kept.names == ["base"]
    yield list(taught("base", hub.outcomes())) != []
    for every in (False, True):
        moved = {e.source for e in hub_graph(hub, every=every).edges if e.kind == "transfer"}
        yield moved <= {"model base", "model base@1"}
    yield hub.query("SELECT ?s { ?r mls:achieves ?t ; prov:used ?s }") == [
        {"s": "urn:bequest:model:base@1"}
    ]


def test_a_version_of_a_name_is_its_source_to_everybody(hub, tiny):
    hub.publish(tiny([1.0]), "base", licence="MIT")
    hub.record(outcome("base@1"))
    assert all(tellings(hub, "base@1"))


@pytest.mark.parametrize("source", NO_VERSION, ids=range(len(NO_VERSION)))
def test_what_is_no_version_is_a_name_of_its_own_to_everybody(hub, tiny, source):
    hub.publish(tiny([1.0]), "base", licence="MIT")
    hub.record(outcome(source))
    assert not any(tellings(hub, source))
    assert name_and_version(source) == (source, None)


@pytest.mark.parametrize("said", [None, 3, ["base@1"], {"a": 1}])
def test_what_is_no_text_is_a_name_without_version(said):
    assert name_and_version(said) == (str(said), None)


def test_a_name_may_hold_the_sign_itself():
    assert name_and_version("Net @ home@12") == ("Net @ home", 12)
