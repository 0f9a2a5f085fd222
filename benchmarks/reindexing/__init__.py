"""How long a store takes to another embedding model, and what searches notice of it: `python -m ...reindexing.run`."""
