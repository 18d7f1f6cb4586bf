"""Models shared through a folder: content-addressed files and a registry of record."""

from bequest.hub.graph import Iri
from bequest.hub.hub import Hub
from bequest.hub.records.entry import Entry, StoredFile
from bequest.hub.records.licences import LICENCES, checked_licence
from bequest.hub.records.names import checked_name, split_reference

__all__ = [
    "LICENCES",
    "Entry",
    "Hub",
    "Iri",
    "StoredFile",
    "checked_licence",
    "checked_name",
    "split_reference",
]
