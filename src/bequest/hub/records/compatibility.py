"""Which licence a model may have that was made from other models, by their licences' own texts."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import combinations
from typing import final

from bequest.errors import HubError
from bequest.hub.records.licences import LICENCES, checked_licence

__all__ = ["Compatible", "allowed_licences", "check_derived", "compatible", "may_become"]

logger = logging.getLogger(__name__)

_GPL_3 = ("GPL-3.0-only", "GPL-3.0-or-later")
_AGPL_3 = ("AGPL-3.0-only", "AGPL-3.0-or-later")
_LGPL_3 = ("LGPL-3.0-only", "LGPL-3.0-or-later")
_GPL_2 = ("GPL-2.0-only", "GPL-2.0-or-later")
_LGPL_2 = ("LGPL-2.1-only", "LGPL-2.1-or-later")
_GNU = (*_GPL_2, *_GPL_3, *_LGPL_2, *_LGPL_3, *_AGPL_3)

# What is made from a work under one of these alone can be under no other licence.
_ITSELF = (
    *("AGPL-3.0-only", "C-UDA-1.0", "CC-BY-NC-SA-4.0", "CDLA-Sharing-1.0", "EPL-2.0"),
    *("EUPL-1.1", "EUPL-1.2", "GFDL-1.3-only", "GPL-2.0-only", "GPL-3.0-only"),
    *("LPPL-1.3c", "MPL-2.0", "MS-PL", "O-UDA-1.0", "ODbL-1.0", "OFL-1.1", "OSL-3.0"),
)
# Beside itself, what a work made from one under this licence may be under. Only what a text grants
# is here, so that steps are not chained by us: docs/hub.md names the section of each.
_ALSO: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(_ITSELF, ()),
    "AGPL-3.0-or-later": ("AGPL-3.0-only",),
    "Artistic-2.0": (*_GPL_2, *_GPL_3),
    "CC-BY-SA-3.0": ("CC-BY-SA-4.0",),
    "CC-BY-SA-4.0": ("GPL-3.0-only",),
    "CC-BY-NC-SA-2.0": ("CC-BY-NC-SA-3.0", "CC-BY-NC-SA-4.0"),
    "CC-BY-NC-SA-3.0": ("CC-BY-NC-SA-4.0",),
    "EPL-1.0": ("EPL-2.0",),
    "GFDL-1.3-or-later": ("GFDL-1.3-only",),
    "GPL-2.0-or-later": ("GPL-2.0-only", *_GPL_3),
    "GPL-3.0-or-later": ("GPL-3.0-only",),
    "LGPL-2.1-only": (*_GPL_2, *_GPL_3),
    "LGPL-2.1-or-later": ("LGPL-2.1-only", *_LGPL_3, *_GPL_2, *_GPL_3),
    "LGPL-3.0-only": ("GPL-3.0-only",),
    "LGPL-3.0-or-later": ("LGPL-3.0-only", *_GPL_3),
}
# What a text grants only to a combination with a work that is under that licence already: version 3
# of the GPL in section 13, MPL 2 in 3.3, the EUPL in 5. CC-BY-SA-3.0 of the EUPL's list is left
# out: it is for works other than software, and nobody can say that a model is one.
_COMBINED: Mapping[str, tuple[str, ...]] = {
    "EUPL-1.1": ("GPL-2.0-only", "OSL-3.0", "EPL-1.0"),
    "EUPL-1.2": (
        *("EUPL-1.1", "GPL-2.0-only", "GPL-3.0-only", "AGPL-3.0-only", "OSL-3.0", "EPL-1.0"),
        *("MPL-2.0", "LGPL-2.1-only", "LGPL-3.0-only"),
    ),
    "GPL-2.0-or-later": _AGPL_3,
    "GPL-3.0-only": ("AGPL-3.0-only",),
    "GPL-3.0-or-later": _AGPL_3,
    "LGPL-2.1-or-later": _AGPL_3,
    "LGPL-3.0-only": ("AGPL-3.0-only",),
    "LGPL-3.0-or-later": _AGPL_3,
    "MPL-2.0": _GNU,
}
# They ask for nothing, so what must keep a notice or name its makers cannot come under them.
_ASK_NOTHING = frozenset(
    ["0BSD", "CC-PDDC", "CC0-1.0", "MIT-0", "PDDL-1.0", "Unlicense", "WTFPL"],
)
# Permissive, but with terms on patents that version 2 of the GPL lets nobody add.
_NOT_GPL_2 = frozenset(["Apache-2.0", "ECL-2.0", "MulanPSL-2.0"])
_GPL_2_LIKE = frozenset([*_GPL_2, *_LGPL_2])
# The list of the FSF speaks against the first, and for version 4 alone of CC-BY.
_NOT_GNU = frozenset(["AFL-3.0", "CC-BY-2.0", "CC-BY-2.5", "CC-BY-3.0"])


def may_become(parent: str, licence: str, *, beside: Iterable[str] = ()) -> bool:
    """Whether what was made from a model under `parent` may be published under `licence`.

    Both are SPDX identifiers or ``LicenseRef-NAME``, and False is the answer, too, where own terms
    would have to be read to tell. `beside` has the licences of the other parents: some texts allow
    another licence only to what is combined with a work that is under it. `HubError` where one is
    no licence that is known.

    References
    ----------
    The licences' texts, and https://www.gnu.org/licenses/license-list.html for what goes with the
    GNU licences.

    Examples
    --------
    >>> may_become("MIT", "GPL-3.0-only"), may_become("GPL-3.0-only", "MIT")
    (True, False)
    >>> may_become("MPL-2.0", "GPL-3.0-only")
    False
    >>> may_become("MPL-2.0", "GPL-3.0-only", beside=["GPL-3.0-or-later"])
    True
    >>> may_become("CC-BY-SA-4.0", "GPL-3.0-only"), may_become("CC-BY-ND-4.0", "CC-BY-ND-4.0")
    (True, False)
    """
    parent, licence = checked_licence(parent), checked_licence(licence)
    if _forbids_derivatives(parent):
        return False
    if parent in _ALSO:
        return licence in (parent, *_ALSO[parent]) or (
            licence in _COMBINED.get(parent, ())
            and any(_has(checked_licence(other), licence) for other in beside)
        )
    if parent.startswith("LicenseRef-"):
        return licence == parent
    if _non_commercial(parent):
        return _non_commercial(licence)
    if licence in _ASK_NOTHING:
        return parent in _ASK_NOTHING
    if parent in _NOT_GPL_2:
        return licence not in _GPL_2_LIKE
    return not (parent in _NOT_GNU and licence in _GNU)


def allowed_licences(parents: Iterable[str]) -> tuple[str, ...]:
    """Every licence, known or the parents' own, that a model made from all may have, sorted.

    Examples
    --------
    >>> allowed_licences(["Apache-2.0", "GPL-2.0-or-later"])
    ('GPL-3.0-only', 'GPL-3.0-or-later')
    >>> allowed_licences(["GPL-2.0-only", "CC-BY-SA-4.0"])
    ()
    """
    held = {checked_licence(parent) for parent in parents}
    return _allowed_by(held, held)


@final
@dataclass(frozen=True)
class Compatible:
    """The models of a list that may go into one model together.

    Parameters
    ----------
    kept : tuple of int
        Their places in the list, rising.
    reason : str
        A sentence that says what was left out and why; empty where nothing was.
    """

    kept: tuple[int, ...]
    reason: str = ""


def compatible(licences: Sequence[str]) -> Compatible:
    """Find the largest number of models whose licences allow one model to be made from all.

    Parameters
    ----------
    licences : sequence of str
        One a model: an SPDX identifier, ``LicenseRef-NAME``, or empty where nobody has said, which
        goes with every other. What is no identifier is taken for terms of one's own: it goes with
        itself alone.

    Returns
    -------
    Compatible
        Of several sets of one size the one whose members come first. Where every licence forbids
        to share what is made from it, those that have the most frequent one are kept: what is made
        from them can be used and not be published.

    Examples
    --------
    >>> compatible(["Apache-2.0", "GPL-2.0-only", "MIT", ""])
    Compatible(kept=(0, 2, 3), reason='Left out 1 of 4 models, under GPL-2.0-only: there is no
    licence for what is made from them and from models under Apache-2.0 and MIT.')
    """
    held = [_readable(licence) for licence in licences]
    known = set(filter(None, held))

    def under(licence: str) -> tuple[int, ...]:
        # All other models stand beside: those that a text asks for allow this licence themselves,
        # so they are in the set as well.
        return tuple(
            place
            for place, own in enumerate(held)
            if not own or may_become(own, licence, beside=known)
        )

    def alone(licence: str) -> tuple[int, ...]:
        return tuple(place for place, own in enumerate(held) if own in ("", licence))

    sets = [under(licence) for licence in sorted({*LICENCES, *known})]
    if known and not any(held[place] for kept in sets for place in kept):
        sets = [alone(licence) for licence in sorted(known)]
    kept = min(sets, key=lambda places: (-len(places), places))
    return Compatible(kept, _left_out(licences, held, kept))


def check_derived(name: str, licence: str, parents: Mapping[str, str | None]) -> None:
    """Raise `HubError` unless the parents' licences allow a model made from all to have this one.

    `parents` maps each to its licence; None where nobody here knows it, which is said in the log.
    """
    unknown = sorted(parent for parent, held in parents.items() if held is None)
    if unknown:
        logger.info(
            "%s is made from %s, whose licence this hub does not know: look that it allows %s.",
            *(name, " and ".join(unknown), licence),
        )
    known = {parent: own for parent, own in parents.items() if own is not None}
    for parent, own in known.items():
        if _forbids_derivatives(own):
            raise HubError(
                f"{name} is made from {parent}, whose licence {own} forbids to share what was "
                f"made from it: it cannot be published. Ask for another licence of {parent}."
            )
    held = set(map(checked_licence, known.values()))
    for (one, first), (two, second) in combinations(known.items(), 2):
        if not _allowed_by([first, second], held):
            raise HubError(
                f"{name} cannot be made from both {one} ({first}) and {two} ({second}): no licence "
                f"is allowed by both ({_allows(first, held)}; {_allows(second, held)}). Leave one "
                f"of them out, or ask for another licence of it."
            )
    for parent, own in known.items():
        if not may_become(own, licence, beside=held):
            raise HubError(
                f"{name} cannot be published under {licence}: its parent {parent} is under {own}"
                f"{_only_beside(own, licence)}. {_way_out(held)}"
            )


def _readable(licence: str) -> str:
    """The identifier of a licence; of what is none, one of our own that equals it alone."""
    if not licence.strip():
        return ""
    try:
        return checked_licence(licence)
    except HubError:
        return f"LicenseRef-{sha256(licence.strip().lower().encode()).hexdigest()}"


def _left_out(licences: Sequence[str], held: Sequence[str], kept: Sequence[int]) -> str:
    if len(kept) == len(licences):
        return ""
    out = [place for place in range(len(licences)) if place not in kept]
    gone, stay = (
        _joined({held[place]: licences[place].strip() for place in places if held[place]}.values())
        for places in (out, kept)
    )
    only = all(_forbids_derivatives(held[place]) for place in out)
    if only and not any(_forbids_derivatives(held[place]) for place in kept):
        why = "to share what is made from them is forbidden"
    else:
        why = f"there is no licence for what is made from them and from models under {stay}"
    return f"Left out {len(out)} of {len(licences)} models, under {gone}: {why}."


def _joined(licences: Iterable[str]) -> str:
    *most, last = sorted(set(licences))
    return f"{', '.join(most)} and {last}" if most else last


def _has(held: str, licence: str) -> bool:
    """Whether a work under one licence is, as it is, under the other: GPL 2 or later is under 3."""
    return licence == held or (held in _GNU and licence in _ALSO[held])


def _allowed_by(parents: Iterable[str], held: Iterable[str]) -> tuple[str, ...]:
    """What all of these parents allow where a model is made from works under all of `held`."""
    parents, held = set(map(checked_licence, parents)), set(held)
    return tuple(
        new
        for new in sorted({*LICENCES, *parents})
        if all(may_become(parent, new, beside=held) for parent in parents)
    )


def _allows(licence: str, held: Iterable[str]) -> str:
    return f"{licence} allows {_listed(_allowed_by([licence], held))}"


def _only_beside(own: str, licence: str) -> str:
    if licence not in _COMBINED.get(own, ()):
        return ""
    return f", which goes into {licence} only beside a parent that is under {licence}"


def _way_out(held: Iterable[str]) -> str:
    allowed = _allowed_by(held, held)
    if not allowed:
        return "All its parents together allow no licence: leave one of them out."
    return f"Its parents allow {_listed(allowed)}."


def _listed(licences: tuple[str, ...]) -> str:
    return ", ".join(licences[:6]) + (", ..." if len(licences) > 6 else "")


def _forbids_derivatives(licence: str) -> bool:
    return licence.startswith("CC-") and "-ND-" in licence


def _non_commercial(licence: str) -> bool:
    return licence.startswith("CC-BY-NC-")
