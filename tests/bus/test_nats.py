"""What the bus over NATS promises beyond any bus: a broker may refuse, vanish and return."""

import asyncio
import contextlib
import datetime
import ipaddress
import logging
import socket
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from micronova.bus import Handler, at, fanout
from micronova.bus.nats import NatsBus, NatsOptions, subject
from micronova.clock import SystemClock
from micronova.errors import ConfigError, DeadlineExceeded, HostUnreachable, TooLarge, Unavailable
from micronova.testing.servers import NatsServer

pytestmark = pytest.mark.slow
LONG = 30.0
BUS = "micronova.bus.nats"


def bus_at(server: NatsServer, **more: object) -> NatsBus:
    options = {"urls": (server.url,), "connect_wait": 5.0, "prefix": "nats-test", **more}
    return NatsBus(NatsOptions(**options), SystemClock())  # type: ignore[arg-type]


async def echo(message: bytes) -> bytes:
    return message


async def answers(bus: NatsBus, address: str) -> bool:
    try:
        return b"x" == await bus.call(address, b"x", 1)
    except Unavailable:
        return False


async def is_down(bus: NatsBus) -> bool:
    try:
        await bus.cast("nobody", b"")
    except Unavailable:
        return True
    return False


async def test_after_the_broker_was_killed_calls_work_and_subscriptions_are_back(own_nats_server, eventually, caplog):
    caplog.set_level(logging.INFO, BUS)
    server, caller = bus_at(own_nats_server), bus_at(own_nats_server)
    heard = asyncio.Event()

    async def hear(message: bytes) -> None:
        heard.set()

    await server.start()
    await caller.start()
    await server.listen("compute", "a.b", echo)
    await server.listen("volume", "a.b", hear)

    own_nats_server.kill()
    await eventually(lambda: is_down(caller))
    with pytest.raises(Unavailable):
        await caller.call("compute", b"x", LONG)
    await server.listen("image", "meanwhile", echo)
    own_nats_server.start()

    for address in ("compute", at("compute", "a.b"), at("image", "meanwhile")):
        await eventually(lambda address=address: answers(caller, address))
    await caller.cast(fanout("volume"), b"")
    async with asyncio.timeout(10):
        await heard.wait()
    lost = [r.message for r in caplog.records if "is lost" in r.message]
    back = [r.message for r in caplog.records if "is back" in r.message]
    assert (2, 2) == (len(lost), len(back))
    await caller.stop()
    await server.stop()


async def test_calls_under_way_fail_when_the_broker_dies_instead_of_waiting(own_nats_server):
    bus, busy, done = bus_at(own_nats_server), asyncio.Event(), asyncio.Event()

    async def handle(message: bytes) -> bytes:
        busy.set()
        await done.wait()
        return message

    await bus.start()
    await bus.listen("compute", "one", handle)
    call = asyncio.create_task(bus.call("compute", b"", LONG))
    await busy.wait()

    own_nats_server.kill()

    with pytest.raises(Unavailable) as told:
        await call
    assert not isinstance(told.value, HostUnreachable | DeadlineExceeded)
    done.set()
    await bus.stop()


async def test_a_broker_killed_under_load_is_found_again_every_time(own_nats_server, eventually):
    bus = bus_at(own_nats_server)
    await bus.start()
    await bus.listen("compute", "one", echo)

    async def load() -> None:
        while not await is_down(bus):
            with contextlib.suppress(Unavailable):
                await bus.call("compute", bytes(200_000), LONG)

    for _ in range(3):
        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(load())
            await asyncio.sleep(0.05)
            own_nats_server.kill()
        own_nats_server.start()
        await eventually(lambda: answers(bus, "compute"))
    await bus.stop()


async def test_a_bus_without_its_broker_can_be_stopped(own_nats_server, eventually):
    bus = bus_at(own_nats_server)
    await bus.start()
    await bus.listen("compute", "one", echo)
    own_nats_server.kill()
    await eventually(lambda: is_down(bus))

    await bus.stop()
    await bus.stop()


async def test_a_broker_that_throws_us_out_is_asked_again_until_it_takes_us(own_nats_server, eventually, caplog):
    ours = 'authorization { user: "nova", password: "one" }'
    own_nats_server.close()
    own_nats_server.reconfigure(ours)
    own_nats_server.start()
    bus = bus_at(own_nats_server, user="nova", password="one")
    await bus.start()
    await bus.listen("compute", "one", echo)

    own_nats_server.reconfigure('authorization { user: "nova", password: "other" }')
    await eventually(lambda: is_down(bus))
    await eventually(lambda: logged(caplog, "refused our credentials"))
    own_nats_server.reconfigure(ours)

    await eventually(lambda: answers(bus, at("compute", "one")))
    assert 1 == caplog.text.count("refused our credentials")
    await bus.stop()


async def logged(caplog: pytest.LogCaptureFixture, text: str) -> bool:
    return text in caplog.text


@pytest.mark.parametrize("given", [{"user": "nova", "password": "sesame"}, {"token": "sesame"}, {}])
async def test_a_wrong_password_is_one_clear_sentence_without_it(tmp_path, nats_binary, given):
    with NatsServer(tmp_path, 'authorization { user: "nova", password: "right" }') as server:
        with pytest.raises(ConfigError) as told:
            await bus_at(server, **given).start()

        assert str(told.value) == f"The NATS broker {server.url} refused our credentials."


async def test_credentials_may_stand_in_the_url_and_are_not_shown(tmp_path, nats_binary):
    with NatsServer(tmp_path, 'authorization { user: "no:va", password: "p@ss/w" }') as server:
        url = server.url.replace("nats://", "nats://no%3Ava:p%40ss%2Fw@")
        bus = bus_at(server, urls=(url,))
        await bus.start()
        await bus.listen("compute", "one", echo)

        assert await answers(bus, "compute")
        await bus.stop()
        with pytest.raises(ConfigError) as told:
            await bus_at(server, urls=(url.replace("p%40ss", "sesame"),)).start()
        assert "sesame" not in str(told.value)


async def test_a_token_is_taken(tmp_path, nats_binary):
    with NatsServer(tmp_path, 'authorization { token: "t0ken" }') as server:
        bus = bus_at(server, token="t0ken")
        await bus.start()
        await bus.stop()


def test_options_do_not_show_their_secrets():
    shown = repr(NatsOptions(urls=("nats://u:sesame@h:1",), password="sesame", token="sesame"))

    assert "sesame" not in shown
    assert "h:1" in shown


class Authority:
    """A certificate authority of a test's own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        self.ca = folder / "ca.pem"
        self.ca.write_bytes(self._sign(self._name, self._key, None))

    def issue(self, name: str) -> tuple[str, str]:
        """Paths of a certificate for 127.0.0.1, named `name`, and of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate, secret = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        certificate.write_bytes(self._sign(subject_name, key, name))
        secret.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return str(certificate), str(secret)

    def _sign(self, name: x509.Name, key: ec.EllipticCurvePrivateKey, server: str | None) -> bytes:
        now = datetime.datetime.now(datetime.UTC)
        draft = (
            x509.CertificateBuilder(self._name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=server is None, path_length=None), critical=True)
        )
        if server is not None:
            names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName(server)]
            draft = draft.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return draft.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


async def test_tls_with_client_certificate_and_password_works(tmp_path, nats_binary):
    authority = Authority(tmp_path / "ca")
    cert, key = authority.issue("broker")
    client_cert, client_key = authority.issue("client")
    config = f"""
        tls {{ cert_file: "{cert}", key_file: "{key}", ca_file: "{authority.ca}", verify: true }}
        authorization {{ user: "nova", password: "right" }}
    """
    with NatsServer(tmp_path / "nats", config) as server:
        known = {"tls_ca": str(authority.ca), "user": "nova", "password": "right"}
        bus = bus_at(server, **known, tls_cert=client_cert, tls_key=client_key, tls_hostname="broker")
        await bus.start()
        await bus.listen("compute", "one", echo)

        assert await answers(bus, at("compute", "one"))
        await bus.stop()
        with pytest.raises((ConfigError, Unavailable)):
            await bus_at(server, **known, connect_wait=0.5).start()


async def test_a_certificate_of_an_unknown_authority_is_refused_with_the_reason(tmp_path, nats_binary):
    cert, key = Authority(tmp_path / "theirs").issue("broker")
    ours = Authority(tmp_path / "ours").ca
    with (
        NatsServer(tmp_path / "nats", f'tls {{ cert_file: "{cert}", key_file: "{key}" }}') as server,
        pytest.raises(ConfigError, match="is not to be trusted: "),
    ):
        await bus_at(server, tls_ca=str(ours)).start()


async def test_a_broker_without_tls_gets_no_password_when_tls_is_configured(tmp_path, nats_binary):
    ca = Authority(tmp_path / "ca").ca
    config = 'authorization { user: "nova", password: "right" }'
    with NatsServer(tmp_path / "nats", config) as server:
        for more in ({"tls_ca": str(ca)}, {"urls": (server.url.replace("nats:", "tls:"),)}):
            with pytest.raises(ConfigError, match="offers no TLS"):
                await bus_at(server, user="nova", password="right", **more).start()


async def test_missing_tls_files_are_told(nats_server):
    with pytest.raises(ConfigError, match="TLS files"):
        await bus_at(nats_server, tls_ca="/nowhere/ca.pem").start()


async def test_a_missing_credentials_file_is_told(nats_server):
    with pytest.raises(ConfigError, match="credentials file"):
        await bus_at(nats_server, credentials="/nowhere/nova.creds").start()


async def test_no_broker_is_told_within_the_configured_time():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"nats://user:sesame@127.0.0.1:{taken.getsockname()[1]}"
        bus = NatsBus(NatsOptions(urls=(url,), connect_wait=0.2), SystemClock())
        begun = asyncio.get_running_loop().time()

        with pytest.raises(Unavailable, match="can't be reached") as told:
            await bus.start()

    assert asyncio.get_running_loop().time() - begun < 5
    assert "sesame" not in str(told.value)
    with pytest.raises(Unavailable):
        await bus.call("compute", b"", LONG)
    await bus.stop()


async def test_the_next_broker_is_tried_when_the_first_is_away(nats_server):
    bus = bus_at(nats_server, urls=("nats://127.0.0.1:1", nats_server.url))

    await bus.start()

    await bus.listen("compute", "one", echo)
    assert await answers(bus, "compute")
    await bus.stop()


async def test_a_message_larger_than_the_broker_takes_is_refused(nats_server):
    bus = bus_at(nats_server)
    await bus.start()

    for send in (bus.call("compute", bytes(2 << 20), LONG), bus.cast("compute", bytes(2 << 20))):
        with pytest.raises(TooLarge, match="2097152 bytes"):
            await send
    await bus.stop()


async def test_the_caller_learns_that_an_answer_is_too_large(nats_server):
    bus = bus_at(nats_server)
    await bus.start()

    async def much(message: bytes) -> bytes:
        return bytes(2 << 20)

    await bus.listen("compute", "one", much)

    with pytest.raises(TooLarge, match="2097152 bytes"):
        await bus.call("compute", b"", LONG)
    await bus.stop()


class Crowd:
    """A handler that counts how many are in it at once."""

    def __init__(self) -> None:
        self.inside = self.most = self.seen = 0
        self.open = asyncio.Event()

    async def handle(self, message: bytes) -> bytes:
        self.inside += 1
        self.seen += 1
        self.most = max(self.most, self.inside)
        await self.open.wait()
        self.inside -= 1
        return message


async def test_no_more_messages_than_allowed_are_handled_at_once(nats_server, eventually):
    bus, crowd = bus_at(nats_server, concurrency=3), Crowd()
    await bus.start()
    await bus.listen("compute", "one", crowd.handle)
    calls = [asyncio.create_task(bus.call("compute", b"x", LONG)) for _ in range(10)]

    async def is_full() -> bool:
        return crowd.inside == 3

    await eventually(is_full)
    crowd.open.set()

    assert [b"x"] * 10 == await asyncio.gather(*calls)
    assert 3 == crowd.most
    await bus.stop()


async def test_what_a_slow_listener_loses_is_counted_and_logged(nats_server, eventually, caplog):
    bus, crowd = bus_at(nats_server, concurrency=1, pending_messages=2), Crowd()
    await bus.start()
    await bus.listen("compute", "one", crowd.handle)

    for _ in range(20):
        await bus.cast("compute", b"x")

    async def has_lost() -> bool:
        return bus.slow + crowd.seen >= 17

    await eventually(has_lost)
    assert "too slow" in caplog.text
    crowd.open.set()
    await bus.stop()


async def test_clouds_with_different_prefixes_do_not_reach_each_other(nats_server):
    one, other = bus_at(nats_server, prefix="one"), bus_at(nats_server, prefix="other")
    await one.start()
    await other.start()
    handler: Handler = echo
    await one.listen("compute", "h", handler)

    with pytest.raises(HostUnreachable):
        await other.call(at("compute", "h"), b"", LONG)
    await one.stop()
    await other.stop()


def test_a_host_is_one_word_of_a_subject():
    assert subject("p", "compute", "a.b *>/%é") == "p.compute.host.a%2Eb%20%2A%3E%2F%25%C3%A9"
