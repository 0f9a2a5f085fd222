"""Indexing whole stores anew, beside what goes on: with another embedding model, or in chunks of another size.

`reindex` and `remove_leftovers` are handlers of the kinds REINDEX and LEFTOVERS (registered in `retrieval.tasks`).
Work of one embedding model is one lane: one worker at a time does a few seconds of it, for the store that was served
longest ago, and then stands in line again behind what was asked for before. So uploads wait for a few seconds at most,
and a server is never asked by many workers at once.
"""

from retrieval.ingestion.reindexing.lane import REINDEX, ask, reindex
from retrieval.ingestion.reindexing.leftovers import LEFTOVERS, ask_to_remove_leftovers, remove_leftovers

__all__ = ["LEFTOVERS", "REINDEX", "ask", "ask_to_remove_leftovers", "reindex", "remove_leftovers"]
