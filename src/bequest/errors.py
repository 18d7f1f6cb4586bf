"""Every error that bequest raises on purpose.

BequestError
├── DataError          (ValueError)   the data cannot be used as given
│   └── CannotSplit                   the rows cannot be split into folds
├── ModelError         (ValueError)   a model, or its folder, cannot be used as given
│   └── UnsafeModel                   loading it could run code (a pickle, say)
├── MapError           (ValueError)   a parameter map cannot be made, or not be applied
├── BudgetTooSmall     (ValueError)   the time given does not suffice for one arm
├── OutOfTime                         work was given up because its deadline came first
├── NotApplicable                     a source, method or score does not fit this task; says why
├── UnknownName        (LookupError)  a registry does not know this name
├── DuplicateName      (ValueError)   a registry, or a hub, has this name already
├── BadPlugin          (TypeError)    what a plug-in adds is not what the registry takes
├── MissingExtra       (ImportError)  an optional package is not installed
├── ExecutorError                     jobs cannot be run: closed, or something cannot be sent
└── HubError
    ├── EntryNotFound  (LookupError)  the hub has no such entry
    ├── Conflict                      somebody else published this version first
    └── Damaged                       stored bytes no longer match their content address

`NotApplicable` is a value as well as an exception: `applies` returns it, selection lists it and
goes on.
"""

from __future__ import annotations

__all__ = [
    "BadPlugin",
    "BequestError",
    "BudgetTooSmall",
    "CannotSplit",
    "Conflict",
    "Damaged",
    "DataError",
    "DuplicateName",
    "EntryNotFound",
    "ExecutorError",
    "HubError",
    "MapError",
    "MissingExtra",
    "ModelError",
    "NotApplicable",
    "OutOfTime",
    "UnknownName",
    "UnsafeModel",
]


class BequestError(Exception):
    """The root: `except BequestError` catches all that bequest raises on purpose."""


class DataError(BequestError, ValueError):
    """The data cannot be used as given."""


class CannotSplit(DataError):
    """The rows cannot be split into folds: there are too few, or too few groups or times."""


class ModelError(BequestError, ValueError):
    """A model, or its folder, cannot be used as given."""


class UnsafeModel(ModelError):
    """Loading this file could run code from it."""


class MapError(BequestError, ValueError):
    """A parameter map cannot be made from these networks, or cannot be applied to them."""


class BudgetTooSmall(BequestError, ValueError):
    """The budget is no time: not a number of seconds above zero."""


class OutOfTime(BequestError):
    """Work was given up because its deadline came first.

    Parameters
    ----------
    what : str
        Begins the message: ``"training"``.
    needed : float
        Seconds that the whole of the work takes, as far as is known; NaN where it is not.
    waited : float
        Seconds after which a call that had not returned was abandoned; NaN where none was.
    """

    def __init__(
        self, what: str, needed: float = float("nan"), waited: float = float("nan")
    ) -> None:
        known, abandoned = needed == needed, waited == waited
        number = waited if abandoned else needed
        seconds = f"{number:,.0f}" if number >= 10 else f"{number:.2g}"
        self.said = f"takes {f'about {seconds} s' if known else 'longer than there is time'}"
        if abandoned:
            self.said = f"did not end within {seconds} s"
        super().__init__(f"{what} {self.said}{': more than there is time' if known else ''}.")
        self.what, self.needed, self.waited = what, needed, waited

    def __reduce__(self) -> tuple[type[OutOfTime], tuple[str, float, float]]:
        return OutOfTime, (self.what, self.needed, self.waited)


class NotApplicable(BequestError):
    """A source, a method or a score does not fit this task.

    Parameters
    ----------
    reason : str
        One sentence for a person, with the numbers that do not fit.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class UnknownName(BequestError, LookupError):
    """A registry does not know this name."""

    def __init__(self, message: str, *, name: str = "", known: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.name = name
        self.known = known


class DuplicateName(BequestError, ValueError):
    """A registry, or a hub, has this name already."""


class BadPlugin(BequestError, TypeError):
    """What a plug-in adds is not what the registry takes."""


class MissingExtra(BequestError, ImportError):
    """An optional package is not installed."""


class ExecutorError(BequestError):
    """An executor cannot run jobs: it is closed, or cannot send something to its workers."""


class HubError(BequestError):
    """The hub cannot do what was asked."""


class EntryNotFound(HubError, LookupError):
    """The hub has no such entry."""


class Conflict(HubError):
    """Somebody else published this version first."""


class Damaged(HubError):
    """Stored bytes no longer match their content address."""
