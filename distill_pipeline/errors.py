"""The base of all errors that are written for the person who reads them."""

from __future__ import annotations


class DistillError(Exception):
    """Something a person can mend; the message says what was wrong, with the value, and what to do."""
