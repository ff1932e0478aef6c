"""A licence goes to the Hub in a form that it takes, however a card states it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from distill_pipeline.hub.cards import licence_entries, read_header


@pytest.mark.parametrize(
    ("stated", "carried"),
    [
        ("MIT", {"license": "mit"}),
        ("Apache-2.0", {"license": "apache-2.0"}),
        ("Apache License, Version 2.0", {"license": "apache-2.0"}),
        ("GPL v3", {"license": "other", "license_name": "gpl-v3"}),
        (2.0, {"license": "other", "license_name": "2.0"}),
        (["MIT", "Apache 2.0"], {"license": ["mit", "apache-2.0"]}),
        (["mit"], {"license": "mit"}),
        (["mit", "Our own"], {"license": "other", "license_name": "mit-our-own"}),
        ("other", {"license": "other"}),
        ("  ", {}),
        ([], {}),
        (None, {}),
        ({"mit": 1}, {}),
    ],
)
def test_a_licence_is_carried_as_the_hub_takes_it(stated: Any, carried: dict[str, Any]) -> None:
    card = f"---\n{yaml.safe_dump({'license': stated})}---\n# A teacher\n"
    assert licence_entries(read_header(card.encode())) == carried


def test_the_link_of_an_unknown_licence_is_kept() -> None:
    stated = {"license": "Own", "license_link": "https://example.org/own"}
    carried = {"license": "other", "license_name": "own", "license_link": "https://example.org/own"}
    assert licence_entries(stated) == carried
    assert licence_entries({**stated, "license": "mit"}) == {"license": "mit"}
