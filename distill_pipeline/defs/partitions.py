"""The one partitions definition of all assets of a home: a recipe is a partition."""

import dagster as dg

from distill_pipeline.chain.home import Home


def load_partitions(home: Home) -> dg.StaticPartitionsDefinition:
    """Return one partition per valid recipe, and log a warning for each invalid one."""
    recipes, problems = home.load_recipes()
    for problem in problems:
        dg.get_dagster_logger("distill_pipeline").warning(f"left out: {problem}")
    return dg.StaticPartitionsDefinition(sorted(recipes))
