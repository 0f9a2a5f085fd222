"""What each context strategy sends over a long conversation, and what of it a server that caches prompts has already.

A model server that knows nothing but the request (`tests.upstream.conversing`), Parley's own PostgreSQL and Redis,
turns by the engine, and between turns the work that they leave to workers.
"""
