"""From text to what a page shows: Markdown, streamed blocks, and the shapes that the templates read.

Nothing here reads a row or waits: text and plain values come in, HTML goes out.
"""
