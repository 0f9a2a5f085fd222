"""How fast answers reach people, and what that costs: a model server of known pace, people, and the real web process.

All times are seconds of CLOCK_MONOTONIC, which the processes of one machine share.
"""
