"""Addresses for scripts: stores, uploads, states, removal. `docs/api.md` is what people read about them."""
