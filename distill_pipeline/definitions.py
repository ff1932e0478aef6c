"""What Dagster loads. A table of contents: no logic here."""

from distill_pipeline.chain.home import Home, default_home
from distill_pipeline.defs.building import build_defs

defs = build_defs(Home(default_home()))
