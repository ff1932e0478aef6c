"""Errors of the Hub, as messages for people."""

from collections.abc import Iterator
from contextlib import contextmanager

from distill_pipeline.errors import DistillError
from distill_pipeline.hub.access import hub_status, is_refusal, is_transient, short_reason

RELEASING = "release to"
_HOW_TO_LOG_IN = "Set HF_TOKEN to one with the role write, or run `hf auth login`"


class HubError(DistillError):
    """The Hub can't be used; the message says why and what to do."""


class HubUnreachable(HubError):
    """The Hub is out of reach, or isn't to be asked."""


def require_token() -> None:
    """Raise `HubError` when huggingface_hub finds no access token."""
    from huggingface_hub import get_token

    if get_token() is None:
        raise HubError(f"there is no access token. {_HOW_TO_LOG_IN}")


@contextmanager
def explaining(repository: str, doing: str = RELEASING) -> Iterator[None]:
    """Turn an error of the Hub's client into a `HubError` that says what to do."""
    import httpx

    try:
        yield
    except (OSError, httpx.HTTPError, ValueError) as error:
        # Without its cause: the client's messages hold signed addresses, and Dagster would keep them.
        raise _explained(error, repository, doing) from None


def _explained(error: Exception, repository: str, doing: str) -> HubError:
    import httpx
    from huggingface_hub import get_token
    from huggingface_hub.errors import OfflineModeIsEnabled

    status, releasing = hub_status(error), doing == RELEASING
    again = "run the release again" if releasing else "run this again"
    reasons = {
        400: "the Hub rejects its form; check the card's header and the files' names",
        401: "the Hub doesn't accept your token: it is wrong or has expired; set HF_TOKEN to a valid one",
        403: "your token may not write here: use one with the role write, of an account that owns it"
        if releasing
        else "your token may not read it: use one of an account that may",
        404: "the Hub has no such owner or repository, or hides it from you: check the name and HF_TOKEN",
        409: f"someone else is committing at this moment: {again}",
        429: f"the Hub asks to wait longer than the time limit allows: {again} later",
    }
    if status in {401, 404} and get_token() is None:
        reason = f"the Hub shows it to nobody without an access token. {_HOW_TO_LOG_IN}"
    elif status in reasons:
        reason = reasons[status]
    elif isinstance(error, OfflineModeIsEnabled):
        reason = "HF_HUB_OFFLINE says not to ask the Hub; unset it"
    elif is_transient(error):
        reason = f"the Hub is out of reach: {short_reason(error)}, for longer than the time limit allows; {again} later"
    else:
        reason = f"the Hub can't be used: {short_reason(error) if isinstance(error, httpx.HTTPError) else error}"
    kind = HubError if is_refusal(error) or isinstance(error, ValueError) else HubUnreachable
    return kind(f"{doing} {repository}: {reason}.{' Finished stages are kept.' if releasing else ''}")
