"""Which of wordfreq's word lists covers a language. Reads no list."""

from functools import lru_cache

_MAX_DISTANCE = 10
"""langcodes' distance of no and nb is 1, of hr and sh 9; that of nn and nb, or of af and nl, is 20 and more."""


@lru_cache
def listed_language(language: str) -> str | None:
    """Return the code of wordfreq's list for a language, or None; wordfreq itself gives Basque the Spanish list."""
    import langcodes
    import wordfreq

    listed = wordfreq.available_languages("best")
    # Without its script: wordfreq has one list for both of Chinese.
    base = langcodes.Language.get(language).language or language
    nearest, _ = langcodes.closest_match(base, listed, max_distance=_MAX_DISTANCE)
    return nearest if nearest in listed else None
