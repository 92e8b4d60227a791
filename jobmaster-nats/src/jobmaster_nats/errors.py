"""Errors of nats-py and of JetStream, as errors of JobMaster. No native error gets out."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any, Final

import nats.errors

from jobmaster.errors import (
    ConfigurationError,
    JobMasterError,
    SchemaError,
    StoreError,
    StoreUnavailableError,
    StoreUnreachableError,
)
from jobmaster.veils import quoting_nothing
from jobmaster_nats.address import Address

# What JetStream calls its errors: the code says more than the status.
NO_MESSAGE: Final = frozenset({10037, 10043, 10057})
NO_STREAM: Final = 10059
WRONG_LAST_SEQUENCE: Final = 10071
BEING_WRITTEN: Final = 10164
NAME_IN_USE: Final = 10058
_NO_JETSTREAM: Final = frozenset({10035, 10039, 10076})
_FULL: Final = frozenset({10047, 10077, 10023, 10028, 10122})
_TOO_LARGE: Final = frozenset({10054, 10097})
_REFUSING: Final = ("authorization", "authentication", "permissions violation", "nkey")

NativeError = (nats.errors.Error, OSError, TimeoutError, ssl.SSLError)
"""What nats-py raises."""


def stream_missing(stream: str) -> SchemaError:
    """Return the error for a stream that is not there, or was deleted."""
    return SchemaError(
        f"the server has no stream {stream}; run `jobmaster migrate`, or start the cluster with auto_migrate"
    )


def api_error(address: Address, stream: str, error: Mapping[str, Any]) -> JobMasterError:
    """Return the error that an answer of JetStream's API reports."""
    code = int(error.get("err_code", 0))
    told = address.veil.text(str(error.get("description", "no reason given")))
    if code == NO_STREAM:
        return stream_missing(stream)
    if code in _NO_JETSTREAM:
        return no_jetstream(address)
    if code == NAME_IN_USE:
        return ConfigurationError(
            f"{address}: a stream {stream} exists with other settings; "
            "choose another name with stream=… in the URL, or change its settings with the nats tool"
        )
    return _refusal(f"{address}: the stream {stream}", code, int(error.get("code", 0)), told)


def _refusal(what: str, code: int, status: int, told: str) -> StoreError:
    """Return the error for something that JetStream did not do; statuses are those of HTTP."""
    if code in _FULL:
        return StoreUnavailableError(f"{what} takes no more ({told}); raise its limits")
    if code in _TOO_LARGE:
        return StoreError(f"{what} takes no message as large as this ({told})")
    if status >= 500 or status == 429:  # noqa: PLR2004 - as above
        return StoreUnavailableError(f"{what} cannot do that now ({told})")
    return StoreError(f"{what} refused a request ({told}, error {code})")


def no_jetstream(address: Address) -> ConfigurationError:
    """Return the error for a server or account without JetStream."""
    return quoting_nothing(
        f"{address}: JetStream is not enabled there; start the server with -js, or enable it for this account"
    )


def refuses_login(told: BaseException | str | None) -> bool:
    """Return whether a text, an error or what it was raised in says that a server refuses the login.

    The server hangs up after it has said so, and nats-py may raise that instead.
    """
    while isinstance(told, BaseException):
        if refuses_login(str(told)):
            return True
        told = told.__cause__ or told.__context__
    return told is not None and any(word in told.lower() for word in _REFUSING)


def connect_error(address: Address, error: BaseException, told: str = "") -> JobMasterError:
    """Return the error for a connection that could not be had; `told` is what the server said, if anything."""
    reason = address.veil.text(told or str(error) or type(error).__name__)
    if refuses_login(told) or refuses_login(error):
        return quoting_nothing(
            f"{address}: the server refused the login; check user, password, token or key in the URL"
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        return quoting_nothing(
            f"{address}: the server's certificate cannot be verified; name its authority with tls_ca, "
            "or the name in it with tls_hostname"
        )
    return StoreUnreachableError(f"{address}: no connection ({reason})")


def broken(address: Address, error: BaseException | None = None) -> StoreUnavailableError:
    """Return the error for a connection that ended, or was silent for too long, during a call."""
    reason = "no answer in time" if isinstance(error, TimeoutError) else "the connection broke"
    return StoreUnavailableError(f"{address}: {reason}")
