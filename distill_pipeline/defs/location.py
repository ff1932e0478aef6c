"""The code location of one home: its definitions, and what Dagster needs besides to run them."""

import dagster as dg

from distill_pipeline.chain.home import Home
from distill_pipeline.defs.alarm import failure_alarm
from distill_pipeline.defs.building import definitions_of
from distill_pipeline.defs.resources import DistillHome, load_partitions
from distill_pipeline.defs.terminal import terminal_logger


def build_defs(home: Home) -> dg.Definitions:
    """Return the code location for this home. The partitions are the recipes that it holds now."""
    of_the_location = dg.Definitions(
        sensors=[failure_alarm],
        # The stages pass on folders of the store, no values; Dagster's own choice takes a folder from a launch.
        resources={"io_manager": dg.IOManagerDefinition(dg.mem_io_manager.resource_fn, config_schema={})},
        executor=dg.in_process_executor,
        loggers={"console": dg.colored_console_logger, "terminal": terminal_logger},
    )
    return dg.Definitions.merge(definitions_of(DistillHome(home, load_partitions(home))), of_the_location)
