"""The UI, driven in a real browser."""
