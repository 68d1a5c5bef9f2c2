"""The address of a served study: where it listens, and what participants open."""

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from htbench.core.errors import UsageError
from htbench.core.http_server import LOCAL_NAMES

LOOPBACK, PORT = "127.0.0.1", 8643


@dataclass(frozen=True, kw_only=True)
class Address:
    """The address that a server listens at, and the one that participants open."""

    host: str = LOOPBACK
    port: int = PORT
    """0: any free port."""
    public_url: str = ""
    """Address of a proxy or tunnel that leads here; empty: participants open `host` itself."""

    def check(self) -> None:
        """Refuse an address that no participant could open.

        Raises:
            UsageError: if `public_url` is no web address, or is missing where `host` stands for
                all addresses of this machine.
        """
        example = "Write it as --url https://study.example.org/"
        if self.public_url:
            parts = urlsplit(self.public_url)
            is_plain = not (parts.query or parts.fragment or parts.username or parts.password)
            if parts.scheme not in ("http", "https") or not parts.hostname or not is_plain:
                raise UsageError(
                    f"--url {self.public_url[:80]!r} is no web address", remedy=example
                )
        elif _is_wildcard(self.host):
            raise UsageError(
                f"--host {self.host} stands for every address of this machine, and links need one",
                remedy=example,
            )

    @property
    def is_loopback(self) -> bool:
        """True if only this machine can open the host."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def base_url(self, port: int) -> str:
        """The beginning of links, for the port that the server has."""
        if self.public_url:
            return f"{self.public_url.rstrip('/')}/"
        return f"http://{_bracketed(self.host)}:{port}/"

    def names(self, port: int) -> frozenset[str]:
        """Values of the header `Host` that the server answers to.

        Any other value is that of another site whose page asks.
        """
        hosts = {self.host, *(LOCAL_NAMES if self._is_here else ())}
        names = {f"{_bracketed(host)}:{port}" for host in hosts if not _is_wildcard(host)}
        if port == 80:
            names |= {_bracketed(host) for host in hosts}
        if self.public_url:
            parts = urlsplit(self.public_url)
            default = 443 if parts.scheme == "https" else 80
            own = parts.port or default
            name = _bracketed(parts.hostname or "")
            names |= {f"{name}:{own}", *([name] if own == default else [])}
        return frozenset(name.lower() for name in names)

    @property
    def _is_here(self) -> bool:
        return self.is_loopback or _is_wildcard(self.host)


def _is_wildcard(host: str) -> bool:
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return host == ""


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
