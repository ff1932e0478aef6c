"""Credentials in texts that are stored, shown or released, where they must not be. Nothing here repeats one."""

import os
import re

_ACCESS_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{20,}")
_PASSWORD = re.compile(r"://[^@]*:(?!\d+/)[^@]*@")
"""After a user's name. It may hold a slash, as AWS's keys do; a number and a slash are a port and a path."""

_SIGNED = re.compile(r"[?&;#](?:[\w.-]*[-_])?(?:sig|signature|token|secret|password|credential|key)=", re.IGNORECASE)
_SHORTEST = 8
"""Letters of a token in $HF_TOKEN; shorter ones are placeholders, and words of any text."""


def holds_access_token(text: str) -> bool:
    """Whether a text holds what looks like an access token of the Hub, or the one in `$HF_TOKEN`."""
    token = os.environ.get("HF_TOKEN", "").strip()
    return bool(_ACCESS_TOKEN.search(text)) or (len(token) >= _SHORTEST and token in text)


def credential_in(url: str) -> str:
    """Return which kind of credential a URL holds, such as "a password"; empty if none."""
    if holds_access_token(url):
        return "an access token"
    if _SIGNED.search(url):
        return "a signature or a key"
    return "a password" if _PASSWORD.search(url) else ""
