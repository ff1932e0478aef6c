"""Patience: tries again where that helps, waits as asked, and never longer than it may."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

from distill_pipeline.hub.access import retry_after, short_reason
from distill_pipeline_tests.patience import FakeTime


def answer(status: int, **headers: str) -> HfHubHTTPError:
    """Return the error that an answer becomes."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = httpx.Request("GET", "http://127.0.0.1/signed?secret=1")
    return HfHubHTTPError(
        "failed at http://127.0.0.1/signed?secret=1", response=httpx.Response(status, headers=named, request=request)
    )


def failing(*errors: Exception) -> Callable[[], str]:
    """Return a step that fails with each error once, and then succeeds."""
    left = list(errors)

    def step() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return step


def test_waits_grow_and_differ_and_stay_within_the_patience() -> None:
    time = FakeTime()
    with pytest.raises(HfHubHTTPError):
        time.patience(100).retry(failing(*[answer(503)] * 100))
    assert sum(time.waits) <= 100
    assert 5 <= len(time.waits) <= 9
    assert time.waits[4] > 2 * time.waits[0]
    assert len({round(wait % 1, 6) for wait in time.waits}) == len(time.waits)


def test_the_server_says_how_long_to_wait() -> None:
    time = FakeTime()
    assert time.patience(100).retry(failing(answer(429, Retry_After="40"))) == "done"
    assert 40 <= time.waits[0] <= 41
    assert retry_after(answer(429, RateLimit='"api";r=0;t=55')) == 55
    assert retry_after(answer(503, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT")) == 0
    assert retry_after(answer(503, Retry_After="soon")) is None


def test_a_wait_longer_than_the_patience_is_not_begun() -> None:
    time = FakeTime()
    with pytest.raises(HfHubHTTPError):
        time.patience(100).retry(failing(answer(429, Retry_After="3600")))
    assert time.waits == []


def test_patience_is_spent_over_all_steps() -> None:
    time = FakeTime()
    patience = time.patience(100)
    patience.retry(failing(answer(429, Retry_After="60")))
    with pytest.raises(HfHubHTTPError):
        patience.retry(failing(answer(429, Retry_After="60")))


@pytest.mark.parametrize("error", [answer(401), answer(403), answer(404), answer(412), OfflineModeIsEnabled("off")])
def test_what_does_not_pass_is_not_tried_again(error: Exception) -> None:
    time = FakeTime()
    with pytest.raises(type(error)):
        time.patience(100).retry(failing(error))
    assert time.waits == []


def test_a_fault_in_short_holds_no_address() -> None:
    for error in (answer(500), httpx.ReadTimeout("http://signed"), ConnectionResetError("http://signed")):
        assert "signed" not in short_reason(error)
