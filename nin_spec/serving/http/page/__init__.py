"""The page at /: one file without external resources, and a policy that forbids them.

index.html is its frame, into which page.css and page.js are put.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files


@cache
def html() -> tuple[bytes, dict[str, str]]:
    """The HTML, and headers that allow only its own script and style, by their hashes."""
    frame, style, script = (
        files(__package__).joinpath(name).read_text("utf-8") for name in ("index.html", "page.css", "page.js")
    )
    text = frame.replace("<style></style>", f"<style>{style}</style>")
    text = text.replace("<script></script>", f"<script>{script}</script>")
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; "
        "img-src blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    headers = {
        "content-security-policy": policy,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cache-control": "no-cache",
    }
    return text.encode(), headers


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
