"""The contents of a `nats://` or `tls://` URL."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from attrs import field, frozen

from jobmaster.errors import ConfigurationError
from jobmaster.urls import CODES, UrlParts, split
from jobmaster.veils import Veil, quoting_nothing

SCHEMES: Final[Mapping[str, str]] = {
    "nats": "NATS 2.9 or newer with JetStream, as an agent: nats://user:password@host:4222",
    "tls": "the same as nats://, encrypted",
}

_EXAMPLE: Final = "nats://user:password@host:4222"
_DEFAULT_PORT: Final = 4222
_OPTIONS: Final = (
    "creds",
    "domain",
    "max_bytes",
    "nkey",
    "replicas",
    "storage",
    "stream",
    "sync",
    "tls_ca",
    "tls_cert",
    "tls_hostname",
    "tls_key",
)
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What a stream or a JetStream domain is called: no dots, which separate the parts of a subject."""
_SIZE: Final = re.compile(r"([0-9]{1,12})(|KB|MB|GB)")
_UNITS: Final = {"": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3}
_MOST_REPLICAS: Final = 5


@frozen(kw_only=True)
class Tls:
    """How the connection is encrypted: files of certificates and keys, and the name in the server's certificate."""

    ca: str | None = None
    cert: str | None = None
    key: str | None = field(default=None, repr=False)
    hostname: str | None = None

    def context(self) -> ssl.SSLContext:
        """Read the files; raises `ConfigurationError` if one cannot be used."""
        try:
            context = ssl.create_default_context(cafile=self.ca)
            if self.cert is not None:
                context.load_cert_chain(self.cert, self.key)
        except (OSError, ssl.SSLError) as error:
            msg = (
                f"a TLS file of the NATS URL cannot be used ({type(error).__name__}); "
                "check the paths tls_ca, tls_cert and tls_key"
            )
            raise quoting_nothing(msg) from None
        return context


@frozen(kw_only=True)
class Address:
    """The location of NATS servers, and what is kept there.

    `stream` replaces the end of the stream's name, `replicas`, `storage` and `max_bytes` are for making it; `sync` says
    that the operator has set `sync_interval: always`.
    """

    servers: tuple[str, ...]
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    nkey: str | None = field(default=None, repr=False)
    creds: str | None = field(default=None, repr=False)
    tls: Tls | None = None
    stream: str = "agent"
    domain: str | None = None
    replicas: int = 1
    storage: str = "file"
    max_bytes: int = -1
    sync: bool = False
    veil: Veil = field(init=False, repr=False, eq=False)
    """Hides in messages of nats-py and servers the values they were given."""

    @veil.default
    def _of_secrets(self) -> Veil:
        key = None if self.tls is None else self.tls.key
        given = (self.user, self.password, self.token, self.nkey, self.creds, key)
        return Veil([value for value in given if value])

    def __str__(self) -> str:
        """Return a name for messages, without user and password."""
        return f"NATS at {', '.join(server.partition('://')[2] for server in self.servers)}"

    @property
    def api(self) -> str:
        """The prefix of JetStream's API subjects."""
        return "$JS.API" if self.domain is None else f"$JS.{self.domain}.API"

    def connect_options(self) -> dict[str, Any]:
        """Return what nats-py is given; reads files, and raises `ConfigurationError` if one cannot be used."""
        options: dict[str, Any] = {"servers": list(self.servers)}
        _check_files({"creds": self.creds, "nkey": self.nkey})
        optional = {
            "user": self.user,
            "password": self.password,
            "token": self.token,
            "nkeys_seed": self.nkey,
            "user_credentials": self.creds,
        }
        options |= {name: value for name, value in optional.items() if value is not None}
        if self.tls is not None:
            options["tls"] = self.tls.context()
            if self.tls.hostname is not None:
                options["tls_hostname"] = self.tls.hostname
        return options


def _check_files(files: Mapping[str, str | None]) -> None:
    """Refuse files that log in and cannot be read, without showing their names."""
    for option, name in files.items():
        if name is None:
            continue
        if not Path(name).is_file():
            raise quoting_nothing(f"{option}: the NATS URL names a file that is not there; check the path")
        if find_spec("nkeys") is None:
            raise quoting_nothing(
                f"{option}: keys need a package; install jobmaster-nats with its extra nkeys"
            )


def parse_address(url: str) -> Address:
    """Return the address in a URL; raises `ConfigurationError` naming the remedy for a wrong URL."""
    parts = _clear_parts(url)
    options = _options(parts.query)
    scheme = "tls" if parts.scheme == "tls" else "nats"
    user, password, token = _login(parts.user_info)
    return Address(
        servers=tuple(_server(scheme, host) for host in parts.hosts.split(",")),
        user=user,
        password=password,
        token=token,
        nkey=options.get("nkey"),
        creds=options.get("creds"),
        tls=_tls(scheme, options),
        stream=_matching(options, "stream", _NAME, "letters, digits, - and _") or "agent",
        domain=_matching(options, "domain", _NAME, "letters, digits, - and _"),
        replicas=_replicas(options.get("replicas", "1")),
        storage=_one_of(options, "storage", ("file", "memory")),
        max_bytes=_bytes(options.get("max_bytes")),
        sync=_one_of(options, "sync", ("default", "always")) == "always",
    )


def _clear_parts(url: str) -> UrlParts:
    parts = split(url)
    if parts is None or parts.path not in ("", "/"):
        raise _not_understood()
    return parts


def _not_understood() -> ConfigurationError:
    return quoting_nothing(
        f"the NATS URL cannot be understood; write it as {_EXAMPLE}, several servers as host:4222,other:4222, and {CODES}"
    )


def _options(query: str) -> dict[str, str]:
    given = dict(parse_qsl(query, keep_blank_values=True))
    for name in given:
        if name not in _OPTIONS:
            guess = get_close_matches(name, _OPTIONS, n=1)
            hint = f" (did you mean {guess[0]}?)" if guess else ""
            raise quoting_nothing(
                f"the NATS URL has an unknown option{hint}; there are {', '.join(_OPTIONS)}; {CODES}"
            )
    return given


def _login(user_info: str | None) -> tuple[str | None, str | None, str | None]:
    """Return user, password and token. As in every NATS client, a user without a password is a token."""
    if not user_info:
        return None, None, None
    user, colon, password = user_info.partition(":")
    return (unquote(user), unquote(password), None) if colon else (None, None, unquote(user))


def _server(scheme: str, host: str) -> str:
    name, colon, port = host.rpartition(":")
    if not colon or host.endswith("]"):
        name, port = host, str(_DEFAULT_PORT)
    if not name or not port:
        raise _not_understood()
    return f"{scheme}://{name}:{port}"


def _tls(scheme: str, options: Mapping[str, str]) -> Tls | None:
    files = {name.removeprefix("tls_"): value for name, value in options.items() if name.startswith("tls_")}
    if "key" in files and "cert" not in files:
        raise quoting_nothing("tls_key: name the certificate that it belongs to with tls_cert")
    return Tls(**files) if scheme == "tls" or files else None


def _checked(name: str, value: str, *, is_valid: Callable[[str], bool], remedy: str) -> str:
    if not is_valid(value):
        raise quoting_nothing(f"{name}: {remedy} in the NATS URL")
    return value


def _matching(options: Mapping[str, str], name: str, pattern: re.Pattern[str], remedy: str) -> str | None:
    if name not in options:
        return None
    return _checked(
        name,
        options[name],
        is_valid=lambda value: bool(pattern.fullmatch(value)),
        remedy=f"use up to 64 {remedy}",
    )


def _one_of(options: Mapping[str, str], name: str, allowed: tuple[str, str]) -> str:
    value = options.get(name, allowed[0])
    return _checked(name, value, is_valid=allowed.__contains__, remedy=f"use {' or '.join(allowed)}")


def _replicas(value: str) -> int:
    allowed = [str(number) for number in range(1, _MOST_REPLICAS + 1)]
    return int(
        _checked(
            "replicas",
            value,
            is_valid=allowed.__contains__,
            remedy=f"use a number from 1 to {_MOST_REPLICAS}",
        )
    )


def _bytes(value: str | None) -> int:
    if value is None:
        return -1
    found = _SIZE.fullmatch(value)
    if found is None or not int(found[1]):
        raise quoting_nothing("max_bytes: use a number of bytes, or one with KB, MB or GB, in the NATS URL")
    return int(found[1]) * _UNITS[found[2]]
