"""English closed-class phrases that stand around content words in generated texts."""


def _phrases(text: str) -> list[str]:
    return text.split(" / ")


QUESTIONS = _phrases(
    "who is / who was / who wrote the / who are the / what is / what is the / what are / what was the / what does / "
    "what did / what kind of / which / which of the / where is / where is the / where can I / where did / when did / "
    "when was / when is the / why do / why is / why are / why did the / how many / how much / how do you / how does / "
    "how long / how far / how old is / how can I / is there a / is it / are there any / do you / does the / did / "
    "can you / can a / could you / would you / should I / have you / has the"
)
"""Beginnings of questions."""

OPENINGS = _phrases(
    "the / a / an / this / that / these / those / he / she / it / they / we / I / you / there is a / there are / "
    "there was no / in the / on the / at the / for the / with the / if the / when the / although the / because of / "
    "his / her / their / our / my / its / some / many / most of the / all / each / every / one of the / two / three / "
    "after / before / during the / since / while / however, the / but / and / so / no / not / as a / I am / I don't / "
    "you can / we have / they were / he was / she had / it is / it was / this is / that was / please / let's"
)
"""Beginnings of statements."""

LINKS = _phrases(
    "of / of the / of a / in / in the / in a / to / to the / to a / for / for the / for a / on / on the / with / "
    "with a / with the / by / by the / from / from the / at / at the / and / and the / and a / or / or the / but / "
    "but the / is / is a / is the / is not / are / are not / was / was a / was the / were / has / has a / has been / "
    "have / have been / had / had been / will / will be / would / would be / can / can be / could / may / may be / "
    "should / must / do not / does not / did not / that / that the / that is / which / which is / who / who had / as / "
    "as a / as the / than / than the / into / into the / about / about the / between / through / over / under / "
    "against / without / because / because it / when / when the / where / where the / while / if / if you / so / "
    "so that / not / not a / no / its / his / her / their / my / your / our / he / she / it / they / we / I / you / "
    "him / them / me / us / the / the / the / the / a / a / a / an / this / these / some / any / all / more / most / "
    "very / too / also / only / just / even / still / then / now / there / up / out / down / off / after / before / "
    "during / such as / as well as / according to / more than / at least / one of the / to be / to have / to do / "
    "to get / to make / in order to / be / been / being / both / each / other / same / own / few / much / many / how / "
    "what / why / never / always / again / here / back / like"
)
"""Between content words; the most frequent are listed several times."""
