"""Access to the Hugging Face Hub: each request is tried once, and repeated for as long as the recipe allows.

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
"""Answers after which the same request may well succeed."""

ANSWER_TIMEOUT_SECONDS = 30.0
"""A request counts as lost when the server is silent for longer."""

MAX_WAIT_SECONDS = 30.0
FIRST_WAIT_SECONDS = 1.0


class Patience:
    """Repeats the steps of one piece of work with the Hub, within one limit of time for all of them.

    Args:
        seconds: Limit of the time between each step's first error and its success or end, summed over the steps.
        log: Receives a line before each wait.
        sleep, clock: As `time.sleep` and `time.monotonic`.
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
        """Return what the step returns; try again after errors that pass by themselves.

        Raises:
            OSError, httpx.HTTPError: The step's last error, when it is of another kind or the time is up.
        """
        import httpx

        use_client_without_retries()
        tries, spent, failing_since = 0, self._spent, None
        while True:
            tries += 1
            started = self._clock()
            try:
                return step()
            except (OSError, httpx.HTTPError) as error:
                failing_since = started if failing_since is None else failing_since
                wait = _seconds_to_wait(error, tries)
                if not is_transient(error) or spent + self._clock() - failing_since + wait > self.seconds:
                    raise
                self._log(f"the Hub: {short_reason(error)}; trying again in {wait:.0f} s")
                self._sleep(wait)
            finally:
                if failing_since is not None:
                    self._spent = spent + self._clock() - failing_since


def hub_status(error: BaseException) -> int | None:
    """Return the HTTP status of the Hub's answer, or None when there was none."""
    return getattr(getattr(error, "response", None), "status_code", None)


def is_transient(error: BaseException) -> bool:
    """Whether trying again may help: the server was busy or failed, or the connection broke."""
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
    # The client says "not in the local cache" when the reason is that the Hub could not be asked.
    return error.__cause__ is not None and is_transient(error.__cause__)


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
    """Return how many seconds the server asks to wait, from Retry-After or RateLimit, or None."""
    headers: Mapping[str, str] = getattr(getattr(error, "response", None), "headers", {})
    value = headers.get("Retry-After")
    if value is not None:
        if re.fullmatch(r"\s*\d+(\.\d+)?\s*", value):
            return float(value)
        try:
            return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
        except ValueError:
            return None
    window = re.search(r";\s*t=(\d+)", headers.get("RateLimit", ""))
    return float(window[1]) if window and hub_status(error) == 429 else None


def _seconds_to_wait(error: BaseException, tries: int) -> float:
    """Return the time until the next try: twice as long each time, and different for each client."""
    backoff: float = min(MAX_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2 ** (tries - 1)) * random.uniform(0.5, 1.0)  # noqa: S311
    asked = retry_after(error)
    return backoff if asked is None else asked + min(backoff, 1.0)


@lru_cache(maxsize=1)
def use_client_without_retries() -> None:
    """Give huggingface_hub, for the whole process, a client that tries once and waits for a limited time."""
    import httpx
    from huggingface_hub import get_session, set_client_factory
    from huggingface_hub.errors import HfHubHTTPError

    hooks = get_session().event_hooks

    class Unanswered(httpx.TransportError):
        """A request without an answer; of a kind that huggingface_hub doesn't retry."""

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
                    raise  # its own kind tells huggingface_hub to look into its cache
                raise Unanswered(f"{type(error).__name__} on {request.method}", request=request) from error
            if response.status_code in RETRIED_STATUSES:
                # Otherwise huggingface_hub would wait for as long as Retry-After says.
                response.close()
                raise HfHubHTTPError(f"status {response.status_code}", response=response)
            return response

    set_client_factory(lambda: OneTry(event_hooks=hooks, follow_redirects=True, timeout=None))
