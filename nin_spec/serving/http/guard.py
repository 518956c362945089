"""Detects requests from web pages of other origins, which are rejected.

A page of another site can make a browser send requests to a local server: across origins, which browsers mark by Origin
and Sec-Fetch-Site, or through DNS rebinding, which shows in Host. Other programs send no Origin, and their Host is an
address or one of the server's names.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

Headers = Iterable[tuple[bytes, bytes]]

_READ = (b"host", b"origin", b"sec-fetch-site", b"sec-fetch-mode")
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^\s:/?#@\[\]]+)(:\d+)?")


@dataclass(frozen=True)
class Guard:
    """Accepted host names. `names` is None to accept any, for a server that listens beyond this machine."""

    names: frozenset[str] | None = None

    @classmethod
    def of(cls, address: str, allowed: Iterable[str] = ()) -> Guard:
        """For the address of a server: on loopback, the names of this machine, and the allowed names."""
        names = frozenset(name.lower() for name in allowed)
        return cls(names if names or address == "localhost" or _is_loopback(address) else None)

    def refusal(self, method: str, headers: Headers) -> str | None:
        """Why a request is rejected; None if it is allowed."""
        found = dict.fromkeys(_READ, b"")
        for name, value in headers:
            if name in found:
                found[name] = value
        return _judge(self.names, method, tuple(value.decode("latin-1").strip() for value in found.values()))


@lru_cache(maxsize=256)
def _judge(names: frozenset[str] | None, method: str, values: tuple[str, ...]) -> str | None:
    host, origin, site, mode = values
    if host and not _is_ours(host, names):
        return f"{host[:100]!r} is not a name of this server; to accept it, start the server with --allow-host NAME"
    if origin and origin.partition("://")[2].lower() != host.lower():
        return "this server rejects requests from web pages of other origins"
    followed = mode == "navigate" and method == "GET"  # the user follows a link to the server's page
    if site in {"cross-site", "same-site"} and not followed:
        return "this server rejects requests from web pages of other origins"
    return None


def _is_ours(host: str, names: frozenset[str] | None) -> bool:
    """Whether a Host is accepted. Addresses can't be rebound, only names."""
    found = _HOST.fullmatch(host.lower())
    if found is None:
        return False
    name = found[1].strip("[]").removesuffix(".")
    if names is None or name in names or name == "localhost" or name.endswith(".localhost"):
        return True
    return _address(name) is not None


def _is_loopback(text: str) -> bool:
    found = _address(text)
    return found is not None and found.is_loopback


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
