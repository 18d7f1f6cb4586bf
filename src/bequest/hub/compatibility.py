"""Which licence a model may have that was made from other models, by their licences' own texts."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from itertools import combinations

from bequest.errors import HubError
from bequest.hub.licences import LICENCES, checked_licence

__all__ = ["allowed_licences", "check_derived", "may_become"]

logger = logging.getLogger(__name__)

_GPL_3 = ("GPL-3.0-only", "GPL-3.0-or-later")
_AGPL_3 = ("AGPL-3.0-only", "AGPL-3.0-or-later")
_LGPL_3 = ("LGPL-3.0-only", "LGPL-3.0-or-later")
_GPL_2 = ("GPL-2.0-only", "GPL-2.0-or-later")
_LGPL_2 = ("LGPL-2.1-only", "LGPL-2.1-or-later")
_GNU = (*_GPL_2, *_GPL_3, *_LGPL_2, *_LGPL_3, *_AGPL_3)

# Beside itself, what a work made from one under this licence may be under. Only what a text grants
# is here, so that steps are not chained by us: docs/hub.md names the section of each.
_ALSO: Mapping[str, tuple[str, ...]] = {
    "AGPL-3.0-only": (),
    "AGPL-3.0-or-later": ("AGPL-3.0-only",),
    "Artistic-2.0": (*_GPL_2, *_GPL_3),
    "C-UDA-1.0": (),
    "CC-BY-SA-3.0": ("CC-BY-SA-4.0",),
    "CC-BY-SA-4.0": ("GPL-3.0-only",),
    "CC-BY-NC-SA-2.0": ("CC-BY-NC-SA-3.0", "CC-BY-NC-SA-4.0"),
    "CC-BY-NC-SA-3.0": ("CC-BY-NC-SA-4.0",),
    "CC-BY-NC-SA-4.0": (),
    "CDLA-Sharing-1.0": (),
    "EPL-1.0": ("EPL-2.0",),
    "EPL-2.0": (),
    "EUPL-1.1": ("GPL-2.0-only", "OSL-3.0", "EPL-1.0"),
    "EUPL-1.2": (
        *("EUPL-1.1", "GPL-2.0-only", "GPL-3.0-only", "AGPL-3.0-only", "OSL-3.0", "EPL-1.0"),
        *("MPL-2.0", "LGPL-2.1-only", "LGPL-3.0-only", "CC-BY-SA-3.0"),
    ),
    "GFDL-1.3-only": (),
    "GFDL-1.3-or-later": ("GFDL-1.3-only",),
    "GPL-2.0-only": (),
    "GPL-2.0-or-later": ("GPL-2.0-only", *_GPL_3, *_AGPL_3),
    "GPL-3.0-only": ("AGPL-3.0-only",),
    "GPL-3.0-or-later": ("GPL-3.0-only", *_AGPL_3),
    "LGPL-2.1-only": (*_GPL_2, *_GPL_3),
    "LGPL-2.1-or-later": ("LGPL-2.1-only", *_LGPL_3, *_GPL_2, *_GPL_3, *_AGPL_3),
    "LGPL-3.0-only": ("GPL-3.0-only", "AGPL-3.0-only"),
    "LGPL-3.0-or-later": ("LGPL-3.0-only", *_GPL_3, *_AGPL_3),
    "LPPL-1.3c": (),
    "MPL-2.0": _GNU,
    "MS-PL": (),
    "O-UDA-1.0": (),
    "ODbL-1.0": (),
    "OFL-1.1": (),
    "OSL-3.0": (),
}
# Permissive, but with terms on patents that version 2 of the GPL lets nobody add.
_NOT_GPL_2 = frozenset(["Apache-2.0", "ECL-2.0", "MulanPSL-2.0"])
_GPL_2_LIKE = frozenset([*_GPL_2, *_LGPL_2])
_NOT_GNU = frozenset(["AFL-3.0"])


def may_become(parent: str, licence: str) -> bool:
    """Whether what was made from a model under `parent` may be published under `licence`.

    Parameters
    ----------
    parent, licence : str
        SPDX identifiers, or ``LicenseRef-NAME`` for terms of one's own.

    Returns
    -------
    bool
        False, too, where own terms would have to be read to tell.

    Raises
    ------
    HubError
        One is no licence that is known.

    References
    ----------
    The licences' texts, and https://www.gnu.org/licenses/license-list.html for what goes with the
    GNU licences.

    Examples
    --------
    >>> may_become("MIT", "GPL-3.0-only"), may_become("GPL-3.0-only", "MIT")
    (True, False)
    >>> may_become("CC-BY-SA-4.0", "GPL-3.0-only"), may_become("CC-BY-ND-4.0", "CC-BY-ND-4.0")
    (True, False)
    """
    parent, licence = checked_licence(parent), checked_licence(licence)
    if _forbids_derivatives(parent):
        return False
    if parent in _ALSO:
        return licence in (parent, *_ALSO[parent])
    if parent.startswith("LicenseRef-"):
        return licence == parent
    if _non_commercial(parent):
        return _non_commercial(licence)
    if parent in _NOT_GPL_2:
        return licence not in _GPL_2_LIKE
    return not (parent in _NOT_GNU and licence in _GNU)


def allowed_licences(parents: Iterable[str]) -> tuple[str, ...]:
    """Every licence of `LICENCES`, and of the parents' own, that a model made from all may have.

    Parameters
    ----------
    parents : iterable of str
        Their licences.

    Returns
    -------
    tuple of str
        Sorted; empty where the parents exclude one another.

    Examples
    --------
    >>> allowed_licences(["Apache-2.0", "GPL-2.0-or-later"])
    ('AGPL-3.0-only', 'AGPL-3.0-or-later', 'GPL-3.0-only', 'GPL-3.0-or-later')
    >>> allowed_licences(["GPL-2.0-only", "CC-BY-SA-4.0"])
    ()
    """
    held = sorted({checked_licence(parent) for parent in parents})
    known = sorted({*LICENCES, *held})
    return tuple(new for new in known if all(may_become(parent, new) for parent in held))


def check_derived(name: str, licence: str, parents: Mapping[str, str | None]) -> None:
    """Raise unless the parents' licences allow a model made from them all to have this one.

    Parameters
    ----------
    name : str
        What is being published.
    licence : str
    parents : mapping of str to str or None
        Licence by parent; None where nobody here knows it, which is said in the log.

    Raises
    ------
    HubError
        A parent forbids derivatives, two exclude each other, or one does not allow this licence.
    """
    unknown = sorted(parent for parent, held in parents.items() if held is None)
    if unknown:
        logger.info(
            "%s is made from %s, whose licence this hub does not know: look that it allows %s.",
            *(name, " and ".join(unknown), licence),
        )
    known = {parent: held for parent, held in parents.items() if held is not None}
    for parent, held in known.items():
        if _forbids_derivatives(held):
            raise HubError(
                f"{name} is made from {parent}, whose licence {held} forbids to share what was "
                f"made from it: it cannot be published. Ask for another licence of {parent}."
            )
    for (one, first), (two, second) in combinations(known.items(), 2):
        if not allowed_licences([first, second]):
            raise HubError(
                f"{name} cannot be made from both {one} ({first}) and {two} ({second}): no licence "
                f"is allowed by both. Leave one of them out, or ask for another licence of it."
            )
    for parent, held in known.items():
        if not may_become(held, licence):
            raise HubError(
                f"{name} cannot be published under {licence}: its parent {parent} is under {held}. "
                f"{_way_out(known.values())}"
            )


def _way_out(held: Iterable[str]) -> str:
    allowed = allowed_licences(held)
    if not allowed:
        return "All its parents together allow no licence: leave one of them out."
    shown = ", ".join(allowed[:6]) + (", ..." if len(allowed) > 6 else "")
    return f"Its parents allow {shown}."


def _forbids_derivatives(licence: str) -> bool:
    return licence.startswith("CC-") and "-ND-" in licence


def _non_commercial(licence: str) -> bool:
    return licence.startswith("CC-BY-NC-")
