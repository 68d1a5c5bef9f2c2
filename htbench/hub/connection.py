"""The connection to a hub: its address, the user's token, and its errors in one line each.

A token comes from the environment or from huggingface_hub's own store, goes to the hub alone, and
is neither shown nor written.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from importlib.metadata import version
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from htbench.core import secrets
from htbench.core.errors import HtbenchError, Missing, Refused, UsageError
from htbench.core.secrets import Secret
from htbench.hub.repository import Repository

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
_TIMEOUT = 60.0
"""Seconds without a byte after which a request has failed."""
_LOG_IN = "Log in by `hf auth login`, or set HF_TOKEN; the same command continues."
_CHANGED = (HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED)
_AGAIN = "Try later; the same command continues."


@dataclass(frozen=True, kw_only=True)
class Connection:
    """A hub, and the token of the user there."""

    endpoint: str
    token: Secret | None

    @property
    def api(self) -> "HfApi":
        """The hub's functions. Without a token none is sent, whatever is stored elsewhere."""
        from huggingface_hub import HfApi

        return HfApi(
            endpoint=self.endpoint,
            token=self.token.reveal() if self.token else False,
            library_name="htbench",
            library_version=version("htbench"),
        )

    @property
    def host(self) -> str:
        """The name of the hub's machine."""
        return urlsplit(self.endpoint).netloc

    @contextmanager
    def errors(self, repository: Repository) -> Iterator[None]:
        """Turn every failure of a request about `repository` into one line with its remedy.

        Raises:
            UsageError: if there is no such repository, revision or file.
            Missing: if the hub is out of reach or at fault, or the token or its rights are missing.
            Refused: if the repository was changed meanwhile.
        """
        from huggingface_hub.errors import HfHubHTTPError

        try:
            yield
        except HfHubHTTPError as error:
            raise self._refusal(repository, error) from None
        except transport_error() as error:
            raise self._out_of_reach(error) from None
        except (ValueError, KeyError, TypeError) as error:
            raise Missing(
                f"{self.host} does not answer as a hub does: {_line(error)}",
                remedy="Check --endpoint and HF_ENDPOINT.",
            ) from None
        except RuntimeError as error:
            cause = error.__cause__
            if isinstance(cause, HfHubHTTPError):
                raise self._refusal(repository, cause) from None
            raise self._out_of_reach(cause or error) from None
        except OSError as error:
            if error.errno is not None and not isinstance(error, ConnectionError):
                raise
            raise self._out_of_reach(error) from None

    def _refusal(self, repository: Repository, error: "HfHubHTTPError") -> HtbenchError:
        """The error for an answer with a status of failure."""
        from huggingface_hub.errors import GatedRepoError, RevisionNotFoundError

        if isinstance(error, RevisionNotFoundError):
            return UsageError(
                f"repository {repository.id!r} has no revision {repository.revision!r}",
                remedy=f"Give a branch, a tag or a commit, or none: {repository.id}",
            )
        if isinstance(error, GatedRepoError):
            return Missing(
                f"the owner of {repository.id!r} has not given you access",
                remedy=f"Ask for it: {self.endpoint}/{repository.id}",
            )
        status = error.response.status_code
        if status == HTTPStatus.NOT_FOUND:
            return self.not_found(repository)
        if status in _CHANGED:
            return Refused(
                f"{repository.id!r} was changed meanwhile, nothing was written to it: "
                f"{_answer(error)}",
                remedy="The same command looks again and continues.",
            )
        cause, remedy = self._trouble(repository, status)
        return Missing(f"{cause}: {_answer(error)}", remedy=remedy)

    def _trouble(self, repository: Repository, status: int) -> tuple[str, str]:
        """Cause and remedy of a status that is about the user's rights, or the hub's health."""
        if status == HTTPStatus.UNAUTHORIZED and self.token:
            return f"{self.host} does not accept your token", _LOG_IN
        if status == HTTPStatus.UNAUTHORIZED:
            return f"{self.host} shows {repository.id!r} to nobody without a token", _LOG_IN
        if status == HTTPStatus.FORBIDDEN:
            return (
                f"your token has no right to do this to {repository.id!r}",
                "Use a token that may write, and a name of yours or of your group.",
            )
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            return f"{self.host} asks to wait", _AGAIN
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return f"{self.host} has a fault ({status})", _AGAIN
        return (
            f"{self.host} refuses this for {repository.id!r} ({status})",
            "See what it says, and check --endpoint and HF_ENDPOINT.",
        )

    def not_found(self, repository: Repository) -> UsageError:
        """The error for a repository that there is not."""
        return UsageError(
            f"{self.host} has no repository {repository.id!r} that you may see",
            remedy="Check the name; a private one needs the token of its owner."
            if self.token
            else f"Check the name; a private one needs a token. {_LOG_IN}",
        )

    def _out_of_reach(self, error: BaseException) -> Missing:
        return Missing(
            f"{self.host} cannot be reached: {_line(error)}",
            remedy="Check the network, --endpoint and HF_ENDPOINT; the same command continues. "
            "HF_HUB_DISABLE_XET=1 helps with a hub that has no Xet storage.",
        )


def connect(endpoint: str | None, *, needs_token: bool) -> Connection:
    """The hub at `endpoint`, and the token for it.

    Args:
        endpoint: address; None: huggingface_hub's own, which HF_ENDPOINT sets.
        needs_token: True for what only users of the hub may do.

    Raises:
        UsageError: if the address is none, has a password, or would get the token unencrypted.
        Missing: if the machine is told to stay offline, or the token is missing.
    """
    # without it, a request about the program that calls goes to another hub than the one named
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from huggingface_hub import constants, utils

    address = secrets.split_address(endpoint or constants.ENDPOINT, noun="endpoint of the hub")
    if address.user or address.password or address.query:
        raise UsageError(
            f"the endpoint of the hub has a user, password or query: {address.shown!r}",
            remedy="Give the address alone; tokens are read from HF_TOKEN or `hf auth login`.",
        )
    if constants.HF_HUB_OFFLINE:
        raise Missing(
            "HF_HUB_OFFLINE tells this machine to stay offline", remedy="Unset it, and try again."
        )
    token = _token()
    if needs_token and not token:
        raise Missing("there is no token of the hub", remedy=_LOG_IN)
    parts = urlsplit(address.shown)
    if token and parts.scheme == "http" and parts.hostname not in _THIS_MACHINE:
        raise UsageError(
            f"{address.shown!r} would get your token unencrypted",
            remedy="Give an address that begins with https.",
        )
    utils.disable_progress_bars()
    utils.get_session().timeout = _TIMEOUT
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # else a line for each new try
    return Connection(endpoint=address.shown.rstrip("/"), token=token)


def transport_error() -> type[Exception]:
    """The class of errors of the library by which huggingface_hub talks to a server.

    It is httpx in its version 1, and another in version 2.
    """
    from huggingface_hub.errors import HTTPError

    return HTTPError


def _token() -> Secret | None:
    """The user's token: of the environment, or of huggingface_hub's store.

    Raises:
        UsageError: if no header of a request can hold it.
        Missing: if the store cannot be read.
    """
    from huggingface_hub import get_token

    try:
        value = (get_token() or "").strip()
    except Exception as error:  # one that expired, or one that a CI job was to be given
        raise Missing(
            f"the token of the hub cannot be had: {_line(error)}", remedy=_LOG_IN
        ) from None
    secret = Secret(value)
    if not (value.isascii() and value.isprintable()) or " " in value:
        raise UsageError(
            "the token of the hub has white space in it, or characters that are not ASCII",
            remedy="Copy it again: tokens are one line of letters and digits.",
        )
    return secret if secret else None


def _answer(error: "HfHubHTTPError") -> str:
    """The words of the server, in one line."""
    try:
        phrase = HTTPStatus(error.response.status_code).phrase
    except ValueError:
        phrase = "no reason given"
    return secrets.scrub(" ".join((error.server_message or phrase).split())[:200])


def _line(error: BaseException) -> str:
    return secrets.scrub(" ".join((str(error) or type(error).__name__).split())[:200])
