"""The command when it can't do what was asked: one sentence, exit code 1, and nothing else is disturbed."""

import os
import socket
import sqlite3

import pytest
from outside import wait_for


def refuses(done, *words):
    """The command ended with 1 and one sentence that has these words."""
    said = done.stderr.strip()
    assert done.returncode == 1, (done.returncode, said, done.stdout)
    assert len(said.splitlines()) == 1, said
    assert said.startswith("micronova: ")
    for word in words:
        assert word in said, said


@pytest.mark.parametrize("detach", [(), ("--detach",)])
def test_a_port_that_is_taken(own, detach):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"

        done = own.run("up", "--simulate", "--no-demo", "--listen", address, *detach)

    refuses(done, address, "taken", "--listen")
    assert own.pid is None


@pytest.mark.parametrize("detach", [(), ("--detach",)])
def test_a_second_up_on_the_same_folder_disturbs_nothing(simulated, admin, detach):
    pid, config = simulated.pid, (simulated.state / "config.json").read_bytes()

    done = simulated.run("up", "--simulate", "--no-demo", "--listen", "127.0.0.1:0", *detach)

    refuses(done, "already runs", str(pid), "micronova down")
    assert simulated.pid == pid
    assert (simulated.state / "config.json").read_bytes() == config
    assert admin.get("/compute/v2.1/servers")["servers"] is not None


def test_a_folder_of_a_newer_version(own):
    own.up()
    assert own.down().returncode == 0
    with sqlite3.connect(own.state / "micronova.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()

    done = own.run("up", "--simulate", "--no-demo", "--listen", "127.0.0.1:0", "--detach")

    refuses(done, "newer", "9999")
    assert own.pid is None
    refuses(own.run("status"), "newer", "9999")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[network]\nmtu = 'wide'\n", ("network.mtu", "mine.toml")),
        ("[network]\nmtuu = 1\n", ("network.mtuu", "mine.toml", "unknown")),
        ("[bogus]\nx = 1\n", ("bogus", "mine.toml", "unknown")),
        ("[network\n", ("mine.toml", "TOML")),
        ("[api]\nmax_page = 0\n", ("api.max_page", "mine.toml")),
    ],
)
def test_a_wrong_option_refuses_the_start_and_names_file_and_key(own, text, words):
    (own.folder / "mine.toml").write_text(text)

    done = own.run("up", "--simulate", "--config", str(own.folder / "mine.toml"), "--listen", "127.0.0.1:0", "--detach")

    refuses(done, *words)


def test_a_wrong_environment_variable_is_named(own):
    own.environment["MICRONOVA_NETWORK_MTU"] = "wide"

    refuses(own.run("up", "--simulate", "--detach"), "MICRONOVA_NETWORK_MTU", "network.mtu")

    del own.environment["MICRONOVA_NETWORK_MTU"]
    own.environment["MICRONOVA_NETWORK_MTUU"] = "1"
    refuses(own.run("up", "--simulate", "--detach"), "MICRONOVA_NETWORK_MTUU")


@pytest.mark.parametrize("listen", ["nonsense", "127.0.0.1:99999", "127.0.0.1", "no.such.host.invalid:1", ":0"])
def test_an_address_that_is_none(own, listen):
    refuses(own.run("up", "--simulate", "--no-demo", "--listen", listen, "--detach"))


@pytest.mark.parametrize(
    "flags",
    [
        ("--db", "nonsense://x"),
        ("--bus", "nonsense://x"),
        ("--bus", "nats://127.0.0.1:1"),
        ("--db", "postgresql:///x?host=/no"),
    ],
)
def test_a_bus_or_database_that_is_none(own, flags):
    refuses(own.run("up", "--simulate", "--no-demo", "--listen", "127.0.0.1:0", *flags, "--detach"))
    assert own.pid is None


def test_a_folder_that_is_a_file(own):
    own.state.write_text("")

    refuses(own.run("up", "--simulate", "--detach"), str(own.state))


def test_a_folder_that_may_not_be_written(own):
    if os.geteuid() == 0:
        own.state = own.folder.parent.parent / "proc" / "micronova-can-not-be-made"
    else:
        own.folder.chmod(0o500)

    refuses(own.run("up", "--simulate", "--detach"), str(own.state), "can't be used")


def test_commands_about_no_cloud(own):
    for words in (("status",), ("down",), ("audit",), ("task", "list"), ("why", "x"), ("log", "x")):
        refuses(own.run(*words), "there is no cloud")

    assert own.down("--erase").returncode == 0


def test_questions_about_what_is_not_there(simulated, admin):
    refuses(simulated.run("why", "nope"), "nope")
    refuses(simulated.run("task", "show", "nope"), "nope")
    refuses(simulated.run("log", "nope"), "nope")


def test_a_killed_process_leaves_a_folder_that_starts_again(own):
    own.up()
    own.kill()

    own.up()

    assert own.audit() == []
    assert own.down("--erase").returncode == 0
    assert not own.state.exists()


def test_a_damaged_record_is_told(own):
    own.up()
    own.down()
    (own.state / "config.json").write_text("{")

    refuses(own.run("status"), "config.json", "damaged")


def test_serve_needs_a_bus_that_others_share(own):
    refuses(own.run("serve", "api"), "--bus")


def test_an_unknown_word_is_told_with_exit_code_2(own):
    done = own.run("upp")

    assert done.returncode == 2
    assert "upp" in done.stderr


def test_a_broken_file_of_the_users_clouds_neither_stops_the_cloud_nor_is_touched(own):
    file = own.home / ".config" / "openstack" / "clouds.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("clouds: [")

    done = own.run("up", "--detach", "--simulate", "--listen", "127.0.0.1:0")

    assert done.returncode == 0, done.stderr
    wait_for(lambda: "Ctrl-C stops the services" in own.log(), said="the demo")
    assert f"{file} is not YAML; it was left as it is" in own.log()
    assert own.session().named("/compute/v2.1/servers", "servers", "hello")
    assert own.down("--erase").returncode == 0
    assert not own.state.exists()
    assert file.read_text() == "clouds: ["
