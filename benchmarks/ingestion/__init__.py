"""How fast files become searchable, against a plain script with the same libraries in the same run.

`python -m benchmarks.ingestion.run`.
"""
