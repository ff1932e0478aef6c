"""Which of wordfreq's word lists covers a language. Reads no list."""

from functools import lru_cache

_MAX_DISTANCE = 10
"""langcodes' distance of no and nb is 1, of hr and sh 9; that of nn and nb, or of af and nl, is 20 and more."""


_SCRIPTS = {"sh": "Latn", "zh": "Hans"}
"""Of lists whose language is written in several scripts."""


@lru_cache
def listed_language(language: str) -> str | None:
    """Return the code of wordfreq's list for a language, or None.

    There is none for a language in a script that the list isn't in, such as Serbian in Cyrillic letters. wordfreq
    itself gives Basque the Spanish list.
    """
    import langcodes
    import wordfreq

    listed = wordfreq.available_languages("best")
    wanted = langcodes.Language.get(language)
    nearest, _ = langcodes.closest_match(wanted.language or language, listed, max_distance=_MAX_DISTANCE)
    script = wanted.script or (wanted.maximize().script if wanted.territory else None)
    in_another_script = script is not None and script != _SCRIPTS.get(nearest, _usual_script(nearest))
    return None if in_another_script or nearest not in listed else nearest


def _usual_script(language: str) -> str | None:
    import langcodes

    script: str | None = langcodes.Language.get(language).maximize().script
    return script
