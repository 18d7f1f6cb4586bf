import itertools
import logging

import numpy as np
import pytest

from bequest.core import Card
from bequest.errors import HubError
from bequest.hub.records.compatibility import (
    Compatible,
    allowed_licences,
    check_derived,
    compatible,
    may_become,
)
from bequest.hub.records.licences import LICENCES

# Every answer from the licence's own text, or from the Free Software Foundation's list for what
# goes with its licences; the section is named where it decides.
ANSWERS = [
    ("MIT", "GPL-2.0-only", True),
    ("MIT", "CC-BY-NC-ND-4.0", True),
    ("MIT", "CC0-1.0", False),  # "shall be included in all copies": a notice to keep
    ("MIT", "CC-PDDC", False),
    ("BSD-3-Clause", "WTFPL", False),
    ("ISC", "0BSD", False),
    ("Apache-2.0", "Unlicense", False),  # section 4
    ("Apache-2.0", "MIT-0", False),
    ("CC-BY-4.0", "CC0-1.0", False),  # section 3 a: the makers are named
    ("CC-BY-4.0", "PDDL-1.0", False),
    ("CDLA-Permissive-1.0", "CC0-1.0", False),
    ("ODC-By-1.0", "PDDL-1.0", False),  # section 4.2
    ("CC0-1.0", "PDDL-1.0", True),
    ("0BSD", "MIT-0", True),
    ("Unlicense", "MIT", True),
    ("MIT", "LicenseRef-ward7", True),
    ("CC0-1.0", "GPL-2.0-only", True),
    ("CC-BY-4.0", "CC-BY-SA-4.0", True),
    ("CC-BY-4.0", "MIT", True),
    ("CC-BY-4.0", "GPL-2.0-only", True),
    ("CC-BY-3.0", "MIT", True),
    ("CC-BY-3.0", "GPL-2.0-only", False),  # the FSF's list speaks for version 4 alone
    ("CC-BY-2.0", "LGPL-3.0-only", False),
    ("Apache-2.0", "GPL-3.0-only", True),
    ("Apache-2.0", "GPL-2.0-only", False),  # GPL 2, section 6: no further restrictions
    ("Apache-2.0", "GPL-2.0-or-later", False),
    ("Apache-2.0", "LGPL-2.1-only", False),
    ("AFL-3.0", "GPL-3.0-only", False),
    ("GPL-2.0-only", "GPL-2.0-only", True),
    ("GPL-2.0-only", "GPL-3.0-only", False),
    ("GPL-2.0-only", "GPL-2.0-or-later", False),
    ("GPL-2.0-or-later", "GPL-3.0-only", True),
    ("GPL-3.0-only", "AGPL-3.0-only", False),  # section 13: only a combination with such a work
    ("GPL-3.0-only", "GPL-3.0-or-later", False),
    ("GPL-3.0-or-later", "AGPL-3.0-or-later", False),
    ("GPL-3.0-only", "MIT", False),
    ("GPL-3.0-only", "CC-BY-SA-4.0", False),
    ("AGPL-3.0-only", "GPL-3.0-only", False),
    ("LGPL-2.1-only", "GPL-2.0-only", True),  # section 3
    ("LGPL-2.1-only", "LGPL-3.0-only", False),
    ("LGPL-2.1-or-later", "LGPL-3.0-only", True),
    ("LGPL-3.0-only", "GPL-3.0-only", True),  # section 2 b
    ("LGPL-3.0-only", "GPL-2.0-only", False),
    ("MPL-2.0", "GPL-2.0-only", False),  # section 3.3: only a combination with such a work
    ("MPL-2.0", "AGPL-3.0-only", False),
    ("MPL-2.0", "MIT", False),
    ("MPL-2.0", "EPL-2.0", False),
    ("CC-BY-SA-4.0", "GPL-3.0-only", True),  # declared compatible on 8 October 2015
    ("CC-BY-SA-4.0", "GPL-3.0-or-later", False),
    ("CC-BY-SA-4.0", "CC-BY-4.0", False),
    ("CC-BY-SA-4.0", "CC-BY-SA-3.0", False),
    ("CC-BY-SA-3.0", "CC-BY-SA-4.0", True),  # section 4 b: a later version
    ("CC-BY-SA-3.0", "GPL-3.0-only", False),
    ("CC-BY-NC-4.0", "CC-BY-4.0", False),
    ("CC-BY-NC-4.0", "MIT", False),
    ("CC-BY-NC-4.0", "CC-BY-NC-SA-4.0", True),
    ("CC-BY-NC-4.0", "LicenseRef-ward7", False),
    ("CC-BY-NC-SA-4.0", "CC-BY-NC-4.0", False),
    ("CC-BY-NC-SA-3.0", "CC-BY-NC-SA-4.0", True),
    ("CC-BY-NC-SA-4.0", "CC-BY-SA-4.0", False),
    ("CC-BY-ND-4.0", "CC-BY-ND-4.0", False),
    ("CC-BY-NC-ND-4.0", "CC-BY-NC-ND-4.0", False),
    ("EPL-1.0", "EPL-2.0", True),  # section 7
    ("EPL-2.0", "GPL-3.0-only", False),  # only with a notice that the identifier does not say
    ("EUPL-1.2", "AGPL-3.0-only", False),  # section 5: only based upon such a work, too
    ("EUPL-1.2", "CC-BY-SA-3.0", False),  # appendix: for works other than software
    ("EUPL-1.2", "MIT", False),
    ("EUPL-1.1", "GPL-3.0-only", False),
    ("ODbL-1.0", "ODbL-1.0", True),
    ("ODbL-1.0", "CC-BY-SA-4.0", False),
    ("CDLA-Sharing-1.0", "CDLA-Permissive-2.0", False),
    ("GFDL-1.3-or-later", "GFDL-1.3-only", True),
    ("GFDL-1.3-only", "GFDL-1.3-or-later", False),
    ("OSL-3.0", "GPL-3.0-only", False),
    ("LicenseRef-ward7", "LicenseRef-ward7", True),
    ("LicenseRef-ward7", "LicenseRef-ward8", False),
    ("LicenseRef-ward7", "MIT", False),
]

# What the text grants only where a work under that licence goes into the model as well.
BESIDE = [
    ("GPL-3.0-only", "AGPL-3.0-only", "AGPL-3.0-only", True),
    ("GPL-3.0-only", "AGPL-3.0-or-later", "AGPL-3.0-only", True),
    ("GPL-3.0-only", "AGPL-3.0-or-later", "AGPL-3.0-or-later", False),
    ("GPL-3.0-or-later", "AGPL-3.0-or-later", "AGPL-3.0-or-later", True),
    ("LGPL-3.0-only", "AGPL-3.0-only", "AGPL-3.0-only", True),
    ("MPL-2.0", "GPL-2.0-only", "GPL-2.0-only", True),
    ("MPL-2.0", "GPL-2.0-or-later", "GPL-3.0-only", True),
    ("MPL-2.0", "LGPL-3.0-only", "GPL-3.0-only", True),
    ("MPL-2.0", "MIT", "GPL-3.0-only", False),
    ("MPL-2.0", "CC-BY-SA-4.0", "GPL-3.0-only", False),  # its adaptations may be, it is not
    ("EUPL-1.2", "MPL-2.0", "MPL-2.0", True),
    ("EUPL-1.2", "GPL-3.0-or-later", "GPL-3.0-only", True),
    ("EUPL-1.2", "CC-BY-SA-3.0", "CC-BY-SA-3.0", False),
    ("EUPL-1.1", "GPL-3.0-only", "GPL-3.0-only", False),
]


@pytest.mark.parametrize(("parent", "other", "licence", "allowed"), BESIDE)
def test_what_a_text_grants_to_combinations_needs_a_parent_under_that_licence(
    parent, other, licence, allowed
):
    assert may_become(parent, licence, beside=[other]) is allowed
    assert not may_become(parent, licence)


@pytest.mark.parametrize(("parent", "licence", "allowed"), ANSWERS)
def test_a_derived_model_may_have_the_licences_that_the_texts_allow(parent, licence, allowed):
    assert may_become(parent, licence) is allowed


@pytest.mark.parametrize("licence", LICENCES)
def test_every_licence_allows_itself_unless_it_forbids_derivatives(licence):
    assert may_become(licence, licence) is ("-ND-" not in licence)


def test_what_must_be_named_never_comes_under_a_licence_that_names_nobody():
    # By no number of steps: each is allowed by the licence of the step before alone.
    free = {"0BSD", "CC-PDDC", "CC0-1.0", "MIT-0", "PDDL-1.0", "Unlicense", "WTFPL"}
    for parent in set(LICENCES) - free:
        assert not any(may_become(parent, new) for new in free), parent


def test_nothing_that_takes_a_freedom_away_is_lost_on_any_way_of_two_steps():
    for parent in LICENCES:
        for middle in filter(lambda new: may_become(parent, new), LICENCES):
            for last in filter(lambda new: may_become(middle, new), LICENCES):
                if "-NC-" in parent:
                    assert "-NC-" in last, (parent, middle, last)
                if parent.startswith(("GPL", "AGPL")):
                    assert last.startswith(("GPL", "AGPL")), (parent, middle, last)


def test_a_merged_model_may_have_what_all_its_parents_allow():
    assert allowed_licences(["GPL-3.0-only", "AGPL-3.0-only"]) == ("AGPL-3.0-only",)
    assert allowed_licences(["CC-BY-SA-4.0", "GPL-3.0-only"]) == ("GPL-3.0-only",)
    assert allowed_licences(["MPL-2.0", "Apache-2.0", "LGPL-3.0-only"]) == (
        "GPL-3.0-only",
        "LGPL-3.0-only",
    )
    assert allowed_licences(["CC-BY-NC-4.0", "GPL-3.0-only"]) == ()
    assert allowed_licences([]) == tuple(sorted(LICENCES))


def test_the_order_of_parents_does_not_matter():
    for pair in itertools.permutations(["MPL-2.0", "Apache-2.0", "LGPL-2.1-or-later"]):
        assert allowed_licences(pair) == allowed_licences(sorted(pair))


def test_three_parents_of_which_each_two_agree_may_still_exclude_one_another():
    parents = {"a": "MPL-2.0", "b": "Apache-2.0", "c": "LGPL-2.1-only", "d": "EUPL-1.1"}
    with pytest.raises(HubError, match="All its parents together allow no licence"):
        check_derived("new", "GPL-3.0-only", parents)


def test_two_parents_may_agree_only_beside_a_third():
    parents = {"a": "MPL-2.0", "b": "Artistic-2.0"}
    with pytest.raises(HubError, match=r"both a \(MPL-2\.0\) and b \(Artistic-2\.0\)"):
        check_derived("new", "GPL-3.0-only", parents)
    check_derived("new", "GPL-3.0-only", {**parents, "c": "GPL-3.0-only"})


def test_conflicts_name_both_licences_and_what_would_do_in_one_line():
    with pytest.raises(HubError) as caught:
        check_derived("new", "GPL-2.0-only", {"a": "GPL-2.0-only", "b": "CC-BY-SA-4.0"})
    assert str(caught.value) == (
        "new cannot be made from both a (GPL-2.0-only) and b (CC-BY-SA-4.0): no licence is allowed "
        "by both (GPL-2.0-only allows GPL-2.0-only; CC-BY-SA-4.0 allows CC-BY-SA-4.0, "
        "GPL-3.0-only). Leave one of them out, or ask for another licence of it."
    )
    with pytest.raises(HubError) as caught:
        check_derived("new", "GPL-2.0-only", {"a": "MPL-2.0"})
    assert str(caught.value) == (
        "new cannot be published under GPL-2.0-only: its parent a is under MPL-2.0, which goes "
        "into GPL-2.0-only only beside a parent that is under GPL-2.0-only. Its parents allow "
        "MPL-2.0."
    )


def test_two_parents_that_exclude_each_other_are_both_named(hub, tiny):
    hub.publish(tiny([1.0]), "one", licence="GPL-2.0-only")
    hub.publish(tiny([2.0]), "two", licence="CC-BY-SA-4.0")
    with pytest.raises(HubError, match=r"both one \(GPL-2.0-only\) and two@1 \(CC-BY-SA-4.0\)"):
        hub.publish(tiny([3.0]), "new", licence="GPL-2.0-only", parents=["one", "two@1"])
    assert [entry.name for entry in hub.list()] == ["one", "two"]


def test_a_licence_that_a_parent_does_not_allow_is_refused_with_those_that_it_allows(hub, tiny):
    parent = hub.publish(tiny([1.0]), "one", licence="GPL-3.0-or-later")
    for named in ("one", "one@1", parent.digest, f"sha256:{parent.digest}"):
        with pytest.raises(HubError, match=r"parents allow GPL-3.0-only, GPL-3.0-or-later"):
            hub.publish(tiny([3.0]), "new", licence="MIT", parents=[named])
    entry = hub.publish(tiny([3.0]), "new", licence="GPL-3.0-only", parents=[parent.digest])
    assert entry.licence == "GPL-3.0-only"


def test_the_parents_that_the_card_names_count_too(hub, tiny):
    hub.publish(tiny([1.0]), "one", licence="CC-BY-NC-4.0")
    with pytest.raises(HubError, match=r"its parent one is under CC-BY-NC-4\.0"):
        hub.publish(tiny([3.0], Card(parents=("one",))), "new", licence="MIT")


def test_what_is_made_from_a_model_without_derivatives_is_not_published(hub, tiny):
    hub.publish(tiny([1.0]), "one", licence="CC-BY-ND-4.0")
    with pytest.raises(HubError, match="forbids to share what was made from it"):
        hub.publish(tiny([3.0]), "new", licence="CC-BY-ND-4.0", parents=["one"])


def test_a_parent_that_the_hub_does_not_know_is_said_and_allowed(hub, tiny, caplog):
    with caplog.at_level(logging.INFO):
        hub.publish(tiny([1.0]), "new", licence="MIT", parents=["theirs/model", "A Title"])
    assert "A Title and theirs/model, whose licence this hub does not know" in caplog.text


def test_a_next_version_obeys_the_one_that_it_was_made_from(hub, tiny):
    hub.publish(tiny([1.0]), "one", licence="GPL-3.0-only")
    with pytest.raises(HubError, match=r"its parent one is under GPL-3\.0-only"):
        hub.publish(tiny([2.0]), "one", licence="MIT", parents=["one"])
    assert hub.publish(tiny([2.0]), "one", licence="MIT").version == 2


def test_models_whose_licences_agree_are_all_kept():
    assert compatible(["MIT", "apache-2.0", "BSD-3-Clause"]) == Compatible((0, 1, 2))
    assert compatible(["", " ", "MIT"]) == Compatible((0, 1, 2))
    assert compatible([]) == Compatible(())


def test_the_largest_set_of_models_that_allow_one_licence_is_kept():
    found = compatible(["GPL-2.0-only", "Apache-2.0", "MIT", "Apache-2.0"])
    assert found.kept == (1, 2, 3)
    assert found.reason == (
        "Left out 1 of 4 models, under GPL-2.0-only: there is no licence for what is made from "
        "them and from models under Apache-2.0 and MIT."
    )


def test_of_two_largest_sets_the_one_that_comes_first_is_kept():
    assert compatible(["GPL-2.0-only", "CC-BY-SA-4.0"]).kept == (0,)
    assert compatible(["CC-BY-SA-4.0", "GPL-2.0-only"]).kept == (0,)
    assert compatible(["GPL-2.0-only", "Apache-2.0", "MIT"]).kept == (0, 2)


def test_a_licence_that_another_one_beside_it_allows_is_kept():
    assert compatible(["MPL-2.0", "GPL-3.0-or-later", "Apache-2.0"]).kept == (0, 1, 2)


def test_models_that_nothing_may_be_made_from_are_left_out_where_others_are():
    found = compatible(["CC-BY-ND-4.0", "MIT", "CC-BY-ND-4.0"])
    assert found.kept == (1,)
    assert found.reason == (
        "Left out 2 of 3 models, under CC-BY-ND-4.0: to share what is made from them is forbidden."
    )


def test_where_nothing_may_be_shared_the_most_frequent_licence_is_kept_for_ones_own_use():
    found = compatible(["CC-BY-NC-ND-4.0", "CC-BY-ND-4.0", "CC-BY-ND-4.0"])
    assert found.kept == (1, 2)
    assert "under CC-BY-NC-ND-4.0: there is no licence for what is made from" in found.reason


def test_terms_that_nobody_here_can_read_go_with_themselves_and_what_allows_them():
    assert compatible(["llama2", "Llama2", "other"]).kept == (0, 1)
    assert compatible(["llama2", "other", "MIT"]).kept == (0, 2)
    assert compatible(["llama2", "GPL-3.0-only"]).kept == (0,)


def test_every_set_that_is_kept_allows_a_licence_and_could_not_take_one_more():
    rng = np.random.default_rng(0)
    names = [name for name in LICENCES if "-ND-" not in name]
    for _ in range(60):
        given = [str(name) for name in rng.choice(names, size=4)]
        kept = compatible(given).kept
        assert allowed_licences(given[place] for place in kept)
        larger = itertools.combinations(range(len(given)), len(kept) + 1)
        assert not any(allowed_licences(given[place] for place in more) for more in larger)
