"""Which of `wordfreq`'s word lists is a language's. Reads no list."""

from __future__ import annotations

from functools import lru_cache

_SAME_LANGUAGE = 10
"""langcodes' distance of no and nb is 1, of hr and sh 9; that of nn and nb, or of af and nl, is 20 and more."""


@lru_cache
def listed_language(language: str) -> str | None:
    """Return the code of `wordfreq`'s list of a language, or None; wordfreq itself takes Basque for Spanish."""
    import langcodes
    import wordfreq

    listed = wordfreq.available_languages("best")
    # Without its script: wordfreq has one list for both of Chinese.
    base = langcodes.Language.get(language).language or language
    nearest, _ = langcodes.closest_match(base, listed, max_distance=_SAME_LANGUAGE)
    return nearest if nearest in listed else None
