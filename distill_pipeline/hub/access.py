"""Access to the Hugging Face Hub: requests with a time limit, repeated for as long as the recipe allows.

The Hub's own client retries some requests for as long as the server asks, others never, and waits for an answer
without limit. Here each try has a time limit, and `Patience` alone decides whether and when to try again. Knows
nothing of releases or teachers.
"""

from __future__ import annotations

import email.utils
import random
import re
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

RETRIED_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
"""HTTP statuses after which the same request may succeed."""

ANSWER_TIMEOUT_SECONDS = 30.0
"""Longest silence of a server before a request counts as lost."""

MAX_WAIT_SECONDS = 30.0
FIRST_WAIT_SECONDS = 1.0


class Patience:
    """Retries steps of one piece of work with the Hub, within a common time limit.

    `seconds` limits the time from each step's first error to its end, summed over the steps.
    """

    def __init__(
        self,
        seconds: float,
        *,
        log: Callable[[str], None] = lambda _: None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.seconds = seconds
        self._spent = 0.0
        self._log, self._sleep, self._clock = log, sleep, clock

    def retry(self, step: Callable[[], T]) -> T:
        """Return what the step returns; try again after transient errors.

        Raises:
            OSError, httpx.HTTPError: The step's last error, when it is not transient or the time is up.
        """
        import httpx

        use_client_without_retries()
        spent_before, first_error_at = self._spent, None
        tries = 0
        while True:
            tries += 1
            started = self._clock()
            try:
                return step()
            except (OSError, httpx.HTTPError) as error:
                first_error_at = started if first_error_at is None else first_error_at
                self._spent = spent_before + self._clock() - first_error_at
                wait = _seconds_to_wait(error, tries)
                if not is_transient(error) or self._spent + wait > self.seconds:
                    raise
                self._log(f"the Hub: {short_reason(error)}; trying again in {wait:.0f} s")
                self._sleep(wait)
            finally:
                if first_error_at is not None:
                    self._spent = spent_before + self._clock() - first_error_at


def hub_status(error: BaseException) -> int | None:
    """Return the HTTP status of the Hub's answer, or None when there was none."""
    return getattr(getattr(error, "response", None), "status_code", None)


def is_transient(error: BaseException) -> bool:
    """Whether trying again may help: the server or the connection was busy or broken."""
    import httpx
    from huggingface_hub.errors import OfflineModeIsEnabled

    status = hub_status(error)
    if status is not None:
        return status in RETRIED_STATUSES
    if isinstance(error, OfflineModeIsEnabled):
        return False
    if isinstance(error, httpx.TransportError):
        return not isinstance(error, httpx.UnsupportedProtocol | httpx.LocalProtocolError)
    if isinstance(error, ConnectionError | TimeoutError) or "Consistency check failed" in str(error):
        return True
    # The client reports "not in the local cache" when it couldn't reach the Hub.
    return error.__cause__ is not None and is_transient(error.__cause__)


def is_refusal(error: BaseException) -> bool:
    """Whether the Hub answered, and will answer so again; false when it is out of reach or not to be asked."""
    return hub_status(error) is not None and not is_transient(error)


def short_reason(error: BaseException) -> str:
    """Return an error in a few words, without addresses: signed ones must not end up in a log."""
    status = hub_status(error)
    if status is not None:
        return f"it answered {status}"
    if isinstance(error, OSError) and error.__cause__ is not None and is_transient(error.__cause__):
        return short_reason(error.__cause__)
    if "Name or service not known" in str(error) or "name resolution" in str(error):
        return "its name can't be resolved (DNS)"
    return f"no answer ({type(error).__name__})"


def retry_after(error: BaseException) -> float | None:
    """Return the seconds that the server asks to wait (Retry-After or RateLimit), or None."""
    headers: Mapping[str, str] = getattr(getattr(error, "response", None), "headers", {})
    value = headers.get("Retry-After")
    if value is not None:
        if re.fullmatch(r"\s*\d+(\.\d+)?\s*", value):
            return float(value)
        try:
            date: float = email.utils.parsedate_to_datetime(value).timestamp()
        except ValueError:
            return None
        return max(0.0, date - time.time())
    window = re.search(r";\s*t=(\d+)", headers.get("RateLimit", ""))
    return float(window[1]) if window and hub_status(error) == 429 else None


def _seconds_to_wait(error: BaseException, tries: int) -> float:
    """Return the seconds until the next try: exponential backoff with jitter, or what the server asks for."""
    backoff: float = min(MAX_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2 ** (tries - 1)) * random.uniform(0.5, 1.0)  # noqa: S311
    asked = retry_after(error)
    return backoff if asked is None else asked + min(backoff, 1.0)


@lru_cache(maxsize=1)
def use_client_without_retries() -> None:
    """Give huggingface_hub, for the whole process, a client that tries once and has a time limit."""
    import httpx
    from huggingface_hub import get_session, set_client_factory
    from huggingface_hub.errors import HfHubHTTPError

    hooks = get_session().event_hooks

    class Unanswered(httpx.TransportError):
        """A request without an answer; huggingface_hub doesn't retry after this type."""

    class OneTry(httpx.Client):
        def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
            limits = request.extensions.get("timeout", {})
            request.extensions["timeout"] = {
                kind: min(limits.get(kind) or ANSWER_TIMEOUT_SECONDS, ANSWER_TIMEOUT_SECONDS)
                for kind in ("connect", "read", "write", "pool")
            }
            try:
                response = super().send(request, **options)
            except (httpx.TimeoutException, httpx.NetworkError, httpx.RemoteProtocolError) as error:
                if request.method in {"GET", "HEAD"}:
                    raise  # on this type huggingface_hub looks into its cache
                raise Unanswered(f"{type(error).__name__} on {request.method}", request=request) from error
            if response.status_code in RETRIED_STATUSES:
                # Otherwise huggingface_hub would wait for as long as Retry-After says.
                response.close()
                raise HfHubHTTPError(f"status {response.status_code}", response=response)
            return response

    set_client_factory(lambda: OneTry(event_hooks=hooks, follow_redirects=True, timeout=None))
