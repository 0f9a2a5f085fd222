"""Pictures that we make: of the pages of a PDF, and anew of those that people upload. No original is ever shown.

What decodes and draws runs in core's jail (`pdf`, `photos`) and is asked for through `jailed`; `kept` stores what was
made beside the file it was made of, `pages` and `marks` are what the rest of the room calls. This module imports
nothing, because the jail imports it too.
"""
