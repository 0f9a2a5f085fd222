"""Turns: claimed from rows, run step by step, recorded before every next effect."""
