"""What every scheduler driver promises, whatever the request and the table of hosts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micronova.scheduler.driver import Choice, HostState, Ratios, Request, SchedulerDriver
from micronova.scheduler.drivers.chance import ChanceDriver
from micronova.scheduler.drivers.filter import FilterDriver

DRIVERS: tuple[SchedulerDriver, ...] = (FilterDriver(), ChanceDriver())
NAMES = [f"h{n}" for n in range(6)]
small = st.integers(0, 20)
names = st.lists(st.sampled_from(NAMES), max_size=2).map(tuple)


def host_states(name: str) -> st.SearchStrategy[HostState]:
    return st.builds(
        HostState,
        host=st.just(name),
        zone=st.sampled_from(["nova", "east"]),
        up=st.booleans() | st.just(True),
        enabled=st.booleans() | st.just(True),
        vcpus=small,
        ram_mib=small,
        disk_gib=small,
        vcpus_used=small,
        ram_used_mib=small,
        disk_used_gib=small,
        own_servers=st.integers(0, 3),
    )


tables = st.lists(st.sampled_from(NAMES), unique=True).flatmap(lambda given: st.tuples(*map(host_states, given)))
requests = st.builds(
    Request,
    consumer_id=st.just("s1"),
    project_id=st.just("p1"),
    vcpus=st.integers(1, 10),
    ram_mib=st.integers(1, 10),
    disk_gib=small,
    zone=st.sampled_from([None, "nova", "east"]),
    only_hosts=names,
    not_hosts=names,
    near=names,
    far=names,
)
ratio = st.sampled_from([0.5, 1.0, 1.5, 4.0, 16.0])
ratios = st.builds(Ratios, cpu=ratio, ram=ratio, disk=ratio)


@pytest.mark.parametrize("driver", DRIVERS, ids=lambda driver: driver.name)
@given(request_=requests, hosts=tables, limits=ratios, seed=small)
def test_a_chosen_host_may_take_the_request_and_is_never_committed_beyond_its_ratios(
    driver: SchedulerDriver, request_: Request, hosts: tuple[HostState, ...], limits: Ratios, seed: int
) -> None:
    choice = driver.choose(request_, hosts, limits, seed)

    for name in choice.candidates:
        host = next(host for host in hosts if host.host == name)
        assert host.up
        assert host.enabled
        assert request_.zone in (None, host.zone)
        assert not request_.only_hosts or name in request_.only_hosts
        assert name not in request_.not_hosts
        assert host.vcpus_used + request_.vcpus <= host.vcpus * limits.cpu
        assert host.ram_used_mib + request_.ram_mib <= host.ram_mib * limits.ram
        assert host.disk_used_gib + request_.disk_gib <= host.disk_gib * limits.disk


@pytest.mark.parametrize("driver", DRIVERS, ids=lambda driver: driver.name)
@given(request_=requests, hosts=tables, limits=ratios, seed=small)
def test_every_host_is_a_candidate_or_was_removed_by_one_filter(
    driver: SchedulerDriver, request_: Request, hosts: tuple[HostState, ...], limits: Ratios, seed: int
) -> None:
    choice = driver.choose(request_, hosts, limits, seed)

    told = [*choice.candidates, *(name for removal in choice.removed for name in removal.hosts)]
    assert sorted(told) == sorted(host.host for host in hosts)
    assert [weighed.host for weighed in choice.weights] == list(choice.candidates)
    assert choice.host == (choice.candidates[0] if choice.candidates else "")
    assert choice.margin >= 0


@pytest.mark.parametrize("driver", DRIVERS, ids=lambda driver: driver.name)
@given(request_=requests, hosts=tables, limits=ratios, seed=small, order=st.randoms())
def test_the_same_table_in_any_order_gives_the_same_choice(
    driver: SchedulerDriver, request_: Request, hosts: tuple[HostState, ...], limits: Ratios, seed: int, order: object
) -> None:
    shuffled = list(hosts)
    order.shuffle(shuffled)  # type: ignore[attr-defined]

    first, second = (driver.choose(request_, table, limits, seed) for table in (hosts, tuple(shuffled)))

    assert (first.host, first.candidates, first.message) == (second.host, second.candidates, second.message)


def choose(*hosts: HostState, ram_mib: int = 1, driver: SchedulerDriver | None = None, **more: object) -> Choice:
    wanted = {"consumer_id": "s1", "project_id": "p1", "vcpus": 1, "ram_mib": ram_mib, "disk_gib": 1, **more}
    return (driver or FilterDriver()).choose(Request(**wanted), hosts, Ratios(), 1)  # type: ignore[arg-type]


def host(name: str, ram_mib: int = 1000, **more: object) -> HostState:
    return HostState(host=name, vcpus=8, ram_mib=ram_mib, disk_gib=100, **more)  # type: ignore[arg-type]


def test_no_valid_host_comes_with_its_numbers() -> None:
    choice = choose(host("h0", up=False), host("h1", 3000), host("h2", 2000), ram_mib=4234)

    assert choice.message == (
        "No valid host was found: 3 hosts, 1 is down, 2 have too little memory; the closest, h1, is 1234 MiB short."
    )
    assert choice.removed[-1].reason == "needs 4234 MiB, host h1 has 3000 MiB free, 1234 MiB short"


def test_a_cloud_without_hosts_says_so() -> None:
    assert choose().message == "No valid host was found: there is no host yet."


def test_the_host_with_more_free_memory_wins_and_the_margin_is_told() -> None:
    choice = choose(host("h1", ram_used_mib=500), host("h2", ram_used_mib=200))

    assert choice.host == "h2"
    assert choice.margin == pytest.approx(0.3)


def test_a_projects_servers_are_spread() -> None:
    assert choose(host("h1", own_servers=2), host("h2")).host == "h2"


def test_equals_are_taken_in_order_of_name() -> None:
    assert choose(host("h2"), host("h1")).host == "h1"


def test_soft_rules_outweigh_what_a_host_has_left() -> None:
    assert choose(host("h1", ram_used_mib=900), host("h2"), near=("h1",)).host == "h1"
    assert choose(host("h1"), host("h2", ram_used_mib=900), far=("h1",)).host == "h2"


def test_one_server_never_has_more_vcpus_than_its_host() -> None:
    found = FilterDriver().choose(
        Request(consumer_id="s", project_id="p", vcpus=9, ram_mib=1, disk_gib=0), (host("h1"),), Ratios(cpu=16), 0
    )

    assert found.message == "No valid host was found: 1 host, 1 has too few vCPUs; the closest, h1, is 1 vCPUs short."


def test_chance_takes_every_host_sooner_or_later() -> None:
    driver = ChanceDriver()
    request = Request(consumer_id="s", project_id="p", vcpus=1, ram_mib=1, disk_gib=0)

    chosen = {driver.choose(request, (host("h1"), host("h2")), Ratios(), seed).host for seed in range(50)}

    assert chosen == {"h1", "h2"}
