"""The knowledge graph of a hub: who taught whom, what it brought, and who may use it."""

from bequest.hub.graph.graph import Graph
from bequest.hub.graph.vocabulary import Iri

__all__ = ["Graph", "Iri"]
