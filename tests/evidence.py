"""Evidence of a question that rests on nothing but a text."""

import hashlib


def text_evidence(text: str) -> str:
    """Return the SHA-256 of the text."""
    return hashlib.sha256(text.encode()).hexdigest()
