"""The header of a card, its YAML above the text, and the licences that the Hub knows. Asks no Hub."""

import re
from collections.abc import Mapping
from typing import Any

import yaml

CARD = "README.md"

_LICENCES = """\
afl-3.0 agpl-3.0 apache-2.0 apple-amlr apple-ascl artistic-2.0 bigcode-openrail-m bigscience-bloom-rail-1.0
bigscience-openrail-m bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 c-uda cc cc-by-2.0 cc-by-2.5
cc-by-3.0 cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0
cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 cdla-permissive-1.0
cdla-permissive-2.0 cdla-sharing-1.0 creativeml-openrail-m deepfloyd-if-license ecl-2.0 epl-1.0 epl-2.0 etalab-2.0
eupl-1.1 eupl-1.2 gemma gfdl gpl gpl-2.0 gpl-3.0 h-research intel-research isc lgpl lgpl-2.1 lgpl-3.0 lgpl-lr llama2
llama3 llama3.1 llama3.2 llama3.3 llama4 lppl-1.3c mit mpl-2.0 ms-pl ncsa odbl odc-by ofl-1.1 openrail openrail++
osl-3.0 other pddl postgresql unknown unlicense wtfpl zlib
"""
"""The names of https://huggingface.co/docs/hub/repositories-licenses. The Hub refuses a card with another; one that
it has added since goes by its own name as well (see `licence_entries`)."""


def read_header(content: bytes) -> dict[str, Any]:
    """Return a card's header; empty when there is none, or none that can be read."""
    from huggingface_hub import ModelCard

    text = content.decode("utf-8-sig", errors="replace").lstrip()
    if not text.startswith("---"):  # of which the client would warn
        return {}
    try:
        return vars(ModelCard(text, ignore_metadata_errors=True).data)
    except (yaml.YAMLError, ValueError, TypeError):
        return {}


def licence_entries(header: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a header says of the licence in a form that the Hub takes; empty when it states none.

    `license` holds names that the Hub knows. Of any other licence it is `other`, and `license_name` says which.
    """
    stated = header.get("license")
    names = [str(name).strip() for name in (stated if isinstance(stated, list) else [stated]) if _is_scalar(name)]
    if not names:
        return {}
    known = [_known_name(name) for name in names]
    if None in known:
        return {"license": "other", "license_name": _slug(" ".join(names)), **_texts(header, "license_link")}
    return {
        "license": known[0] if len(known) == 1 else known,
        **(_texts(header, "license_name", "license_link") if "other" in known else {}),
    }


def _is_scalar(value: object) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool) and bool(str(value).strip())


def _texts(header: Mapping[str, Any], *names: str) -> dict[str, str]:
    return {name: str(header[name]) for name in names if _is_scalar(header.get(name))}


def _known_name(name: str) -> str | None:
    """Return the Hub's name of a licence in whatever case, or with the words "License" and "Version", or None."""
    short = _slug(re.sub(r"\b(the|licen[cs]e|version)\b", " ", name, flags=re.IGNORECASE))
    return next((found for found in (_slug(name), short) if found in _LICENCES.split()), None)


def _slug(text: str) -> str:
    return re.sub(r"[^\w.+]+", "-", text.lower()).strip("-")
