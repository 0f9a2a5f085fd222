"""Files to text: what kind of file it is, and its text with exact pages and headings.

Readers run in core's jail (`retrieval.extraction.entry`); the rest of the application calls `sniff` and
`extract_file`.
"""

from retrieval.extraction.jailed import ExtractionLimits, extract_file
from retrieval.extraction.result import Extraction, Heading
from retrieval.extraction.sniff import sniff

__all__ = ["Extraction", "ExtractionLimits", "Heading", "extract_file", "sniff"]
