"""Licences by their SPDX identifiers: the common ones for models, data and code."""

from __future__ import annotations

import difflib
import re

from bequest.errors import HubError

__all__ = ["LICENCES", "checked_licence"]

# A part of https://spdx.org/licenses (version 3.27), without the deprecated identifiers.
LICENCES = (
    *("0BSD", "AFL-3.0", "AGPL-3.0-only", "AGPL-3.0-or-later", "Apache-2.0", "Artistic-2.0"),
    *("BSD-2-Clause", "BSD-3-Clause", "BSD-3-Clause-Clear", "BSL-1.0", "C-UDA-1.0"),
    *("CC-BY-2.0", "CC-BY-2.5", "CC-BY-3.0", "CC-BY-4.0", "CC-BY-NC-2.0", "CC-BY-NC-3.0"),
    *("CC-BY-NC-4.0", "CC-BY-NC-ND-3.0", "CC-BY-NC-ND-4.0", "CC-BY-NC-SA-2.0"),
    *("CC-BY-NC-SA-3.0", "CC-BY-NC-SA-4.0", "CC-BY-ND-4.0", "CC-BY-SA-3.0", "CC-BY-SA-4.0"),
    *("CC-PDDC", "CC0-1.0", "CDLA-Permissive-1.0", "CDLA-Permissive-2.0", "CDLA-Sharing-1.0"),
    *("ECL-2.0", "EPL-1.0", "EPL-2.0", "EUPL-1.1", "EUPL-1.2", "GFDL-1.3-only"),
    *("GFDL-1.3-or-later", "GPL-2.0-only", "GPL-2.0-or-later", "GPL-3.0-only"),
    *("GPL-3.0-or-later", "ISC", "LGPL-2.1-only", "LGPL-2.1-or-later", "LGPL-3.0-only"),
    *("LGPL-3.0-or-later", "LPPL-1.3c", "MIT", "MIT-0", "MPL-2.0", "MS-PL", "MulanPSL-2.0"),
    *("NCSA", "O-UDA-1.0", "ODC-By-1.0", "ODbL-1.0", "OFL-1.1", "OSL-3.0", "PDDL-1.0"),
    *("PostgreSQL", "PSF-2.0", "Unlicense", "UPL-1.0", "WTFPL", "Zlib"),
)
_BY_LOWER = {licence.lower(): licence for licence in LICENCES}
_OWN = re.compile(r"LicenseRef-[A-Za-z0-9.-]{1,100}")


def checked_licence(licence: str) -> str:
    """Give the SPDX identifier in its own spelling, or say that there is none such.

    Parameters
    ----------
    licence : str
        An SPDX identifier in any case, or ``LicenseRef-`` and a name for one's own terms.

    Returns
    -------
    str
        The identifier as SPDX writes it.

    Raises
    ------
    HubError
        The licence is empty or not known.

    Examples
    --------
    >>> checked_licence("apache-2.0")
    'Apache-2.0'
    >>> checked_licence("LicenseRef-ward7-internal")
    'LicenseRef-ward7-internal'
    """
    if not isinstance(licence, str):
        raise HubError(f"a licence is an SPDX identifier, not a {type(licence).__name__}.")
    if known := _BY_LOWER.get(licence.lower()):
        return known
    if _OWN.fullmatch(licence):
        return licence
    if not licence:
        fault = "a licence is needed: nobody may use what comes without one."
    else:
        family = [name for name in _BY_LOWER if name.startswith(licence.lower())]
        close = family or difflib.get_close_matches(licence.lower(), _BY_LOWER, n=2, cutoff=0.5)
        meant = " or ".join(_BY_LOWER[name] for name in close[-4:])
        hint = f" Did you mean {meant}?" if meant else ""
        fault = f"no licence {licence[:60]!a} is known.{hint}"
    raise HubError(
        f"{fault} Give an SPDX identifier such as Apache-2.0, or LicenseRef-NAME for terms of "
        f"your own."
    )
