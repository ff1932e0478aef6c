"""The tests, and where the checkout is that they test."""

from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
