"""Random bodies for every request that has one: any answer but a 500, and the cloud still works afterwards.

Bodies begin as valid ones and are bent at random places, so that they pass the first checks and reach the later ones.
The seed is fixed: the same run everywhere.
"""

import copy
import json
import random

import msgspec
import pytest

from micronova import config
from micronova.wiring import Cloud as Wired

from . import fuzz_network
from .test_bad_input import NAMED, NOWHERE

TRIES = 40
ODD = (
    None,
    True,
    0,
    -1,
    2**31,
    2**63,
    10**30,
    0.5,
    -0.0,
    1e308,
    "",
    " ",
    "a",
    "x" * 300,
    "\x00",
    "\u202e",
    "é",
    "../..",
    NOWHERE,
    "10.0.0.0/8",
    "0.0.0.0/0",
    "::/0",
    "fe80::1",
    "2020-01-01",
    "none",
    "auto",
    [],
    {},
    [[]],
    [None],
    {"a": None},
    {"": {}},
    "true",
    "-1",
    "1" * 400,
    "%s",
    "{}",
    ["a"] * 300,
    "AAAA",
    "\ud7ff",
    3.0,
)


def bodies(ids):
    """A valid body, or nearly, for every kind of thing."""
    found = {path: make("fuzz") for path, make in NAMED.items()}
    found["/network/v2.0/subnets"] = {
        "subnet": {
            "network_id": ids["network"],
            "cidr": "10.99.0.0/24",
            "ip_version": 4,
            "gateway_ip": "10.99.0.1",
            "enable_dhcp": True,
            "allocation_pools": [{"start": "10.99.0.5", "end": "10.99.0.9"}],
            "dns_nameservers": ["192.0.2.1"],
            "host_routes": [{"destination": "192.0.2.0/24", "nexthop": "10.99.0.1"}],
            "name": "fuzz",
        }
    }
    found["/network/v2.0/ports"] = {
        "port": {
            "network_id": ids["network"],
            "fixed_ips": [{"subnet_id": ids["subnet"], "ip_address": "10.98.0.7"}],
            "mac_address": "fa:16:3e:00:00:01",
            "security_groups": [],
            "allowed_address_pairs": [{"ip_address": "10.98.0.77"}],
            "admin_state_up": True,
            "device_id": "x",
        }
    }
    found["/network/v2.0/security-group-rules"] = {
        "security_group_rule": {
            "security_group_id": ids["group"],
            "direction": "ingress",
            "protocol": "tcp",
            "port_range_min": 1,
            "port_range_max": 2,
            "remote_ip_prefix": "10.0.0.0/8",
            "ethertype": "IPv4",
        }
    }
    found["/compute/v2.1/servers"] = {
        "server": {
            "name": "fuzz",
            "imageRef": ids["image"],
            "flavorRef": ids["flavor"],
            "networks": [{"uuid": ids["network"], "fixed_ip": "10.98.0.50"}],
            "metadata": {"a": "b"},
            "user_data": "AAAA",
            "config_drive": True,
            "min_count": 1,
            "max_count": 1,
            "security_groups": [{"name": "default"}],
            "tags": ["a"],
            "key_name": None,
            "block_device_mapping_v2": [
                {"uuid": ids["image"], "source_type": "image", "destination_type": "local", "boot_index": 0}
            ],
        },
        "os:scheduler_hints": {"group": NOWHERE},
    }
    user = {"name": "admin", "domain": {"name": "Default"}, "password": "x"}
    found["/identity/v3/auth/tokens"] = {
        "auth": {
            "identity": {"methods": ["password", "token"], "password": {"user": user}, "token": {"id": "x"}},
            "scope": {"project": {"name": "admin", "domain": {"id": "default"}}},
        }
    }
    found["/identity/v3/projects/{project_id}"] = {
        "project": {"name": "x", "description": "", "enabled": True, "tags": []}
    }
    found["/identity/v3/users/{user_id}"] = {
        "user": {"name": "x", "password": "y", "enabled": True, "email": "", "default_project_id": NOWHERE}
    }
    found["/identity/v3/users/{user_id}/password"] = {"user": {"password": "a", "original_password": "b"}}
    found["/identity/v3/services"] = {"service": {"type": "x", "name": "y", "enabled": True}}
    found["/identity/v3/endpoints"] = {
        "endpoint": {"service_id": NOWHERE, "interface": "public", "url": "http://x", "region_id": "r"}
    }
    found["/identity/v3/regions"] = {"region": {"id": "r", "parent_region_id": None, "description": ""}}
    found["/identity/v3/credentials"] = {
        "credential": {"blob": "{}", "type": "ec2", "user_id": NOWHERE, "project_id": NOWHERE}
    }
    found["/identity/v3/users/{user_id}/application_credentials"] = {
        "application_credential": {"name": "a", "roles": [{"name": "member"}], "expires_at": "2030-01-01T00:00:00"}
    }
    found["/image/v2/images"] = {
        "name": "f",
        "disk_format": "raw",
        "container_format": "bare",
        "visibility": "private",
        "min_disk": 0,
        "min_ram": 0,
        "tags": ["a"],
        "protected": False,
        "os": "x",
    }
    found["/image/v2/images/{image_id}"] = [
        {"op": "replace", "path": "/name", "value": "x"},
        {"op": "add", "path": "/tags", "value": ["a"]},
        {"op": "remove", "path": "/x"},
    ]
    found["/image/v2/images/{image_id}/members"] = {"member": NOWHERE}
    found["/image/v2/images/{image_id}/import"] = {"method": {"name": "glance-direct", "uri": "http://127.0.0.1/"}}
    found["/network/v2.0/networks/{id}"] = {
        "network": {"name": "x", "mtu": 1400, "shared": False, "admin_state_up": True}
    }
    found["/network/v2.0/subnets/{id}"] = {
        "subnet": {"name": "x", "gateway_ip": None, "allocation_pools": [], "dns_nameservers": []}
    }
    found["/network/v2.0/ports/{id}"] = {
        "port": {"name": "x", "fixed_ips": [{"ip_address": "10.98.0.8"}], "security_groups": []}
    }
    found["/compute/v2.1/servers/{id}"] = {
        "server": {"name": "x", "description": "d", "hostname": "h", "accessIPv4": "1.2.3.4"}
    }
    found["/compute/v2.1/servers/{id}/metadata"] = {"metadata": {"a": "b"}}
    found["/compute/v2.1/servers/{id}/tags"] = {"tags": ["a"]}
    found["/compute/v2.1/servers/{id}/os-interface"] = {
        "interfaceAttachment": {"net_id": ids["network"], "fixed_ips": [{"ip_address": "10.98.0.9"}]}
    }
    found["/compute/v2.1/flavors/{id}/os-extra_specs"] = {"extra_specs": {"hw:a": "b"}}
    found["/compute/v2.1/os-services/{id}"] = {"status": "disabled", "disabled_reason": "x", "forced_down": False}
    found |= fuzz_network.bodies(ids)
    found["/compute/v2.1/os-quota-sets/{id}"] = {"quota_set": {"instances": 1, "cores": -1, "ram": 5, "force": True}}
    return found


ACTIONS = (
    {"reboot": {"type": "SOFT"}},
    {"os-stop": None},
    {"os-start": None},
    {"os-getConsoleOutput": {"length": 5}},
    {"rebuild": {"imageRef": "IMAGE", "name": "x"}},
    {"os-resetState": {"state": "active"}},
    {"addSecurityGroup": {"name": "default"}},
    {"lock": {"locked_reason": "x"}},
    {"unlock": None},
    {"createImage": {"name": "x", "metadata": {}}},
    {"resize": {"flavorRef": "1"}},
    {"pause": None},
    {"os-migrateLive": {"host": None}},
    {"removeSecurityGroup": {"name": "x"}},
)


def bent(chance, body):
    """The body with one to three places changed, added or taken away."""
    if chance.random() < 0.1:
        return odd(chance)
    body = copy.deepcopy(body)
    for _ in range(chance.randint(1, 3)):
        places = list(containers(body))
        if not places:
            return odd(chance)
        place = chance.choice(places)
        key = chance.choice(list(place) if isinstance(place, dict) else range(len(place))) if place else None
        what = chance.random()
        if key is None or what < 0.1:
            if isinstance(place, dict):
                place[chance.choice(("x", "", "id", "name", "é"))] = odd(chance)
            else:
                place.append(odd(chance))
        elif what < 0.2:
            del place[key]
        else:
            place[key] = odd(chance)
    return body


def odd(chance):
    return copy.deepcopy(chance.choice(ODD))


def containers(value):
    if isinstance(value, dict | list):
        yield value
        for inner in value.values() if isinstance(value, dict) else value:
            yield from containers(inner)


def routes():
    """(method, path) of every request with a body that the cloud knows."""
    wired = Wired(config.load(flags={"simulate": True, "state": "/nonexistent", "database.url": "sqlite:///:memory:"}))
    skipped = ("/file", "/stage", "/auth/tokens")
    return sorted(
        (route.method, api.prefix + route.path)
        for api in wired.front()._apis
        for route in api.routes
        if route.method in ("POST", "PUT", "PATCH") and not route.path.endswith(skipped[:2])
    )


@pytest.fixture(scope="module")
def ids(simulated, admin, image):
    """A thing of each kind; the values of the {names} in paths."""
    network = admin.network("10.98.0.0/24", name="fuzzed")
    server = admin.boot(image, network, "fuzzed")
    admin.settled(server)
    project = admin.post("/identity/v3/projects", {"project": {"name": "fuzzed"}})["project"]["id"]
    user = admin.post("/identity/v3/users", {"user": {"name": "fuzzed", "password": "x"}})["user"]["id"]
    role = admin.post("/identity/v3/roles", {"role": {"name": "fuzzed"}})["role"]["id"]
    group = admin.post("/network/v2.0/security-groups", {"security_group": {"name": "fuzzed"}})["security_group"]["id"]
    port = admin.get(f"/network/v2.0/ports?device_id={server}")["ports"][0]
    mine = admin.post("/image/v2/images", {"name": "fuzzed", "disk_format": "raw", "container_format": "bare"})["id"]
    admin.upload(mine, b"x" * 1000)
    flavor = admin.post("/compute/v2.1/flavors", {"flavor": {"name": "fuzzed", "ram": 1, "vcpus": 1, "disk": 1}})[
        "flavor"
    ]["id"]
    return {
        "network": network,
        "subnet": port["fixed_ips"][0]["subnet_id"],
        "group": group,
        "image": image,
        "flavor": admin.flavor(),
        "server": server,
        "port": port["id"],
        "project_id": project,
        "user_id": user,
        "role_id": role,
        "image_id": mine,
        "my_flavor": flavor,
        "domain_id": NOWHERE,
        **fuzz_network.furnish(admin, network, port["id"]),
    }


def filled(path, ids):
    kind = {
        "networks": "network",
        "subnets": "subnet",
        "ports": "port",
        "security-groups": "group",
        "servers": "server",
        "flavors": "my_flavor",
        **fuzz_network.KINDS,
    }
    for name in [part[1:-1] for part in path.split("/") if part.startswith("{")]:
        value = ids.get(name, "x")
        if name == "id":
            value = ids[kind[path.split("/")[3]]] if path.split("/")[3] in kind else ids["project_id"]
        if name == "inner":
            value = ids[fuzz_network.INNER[path.split("/{inner}")[0].split("/")[-1]]]
        path = path.replace("{" + name + "}", value)
    return path


@pytest.mark.parametrize(("method", "path"), routes())
def test_no_body_makes_the_cloud_fail(admin, ids, method, path):
    chance = random.Random(f"{method} {path}")
    known = bodies(ids).get(path, {"x": {"name": "x"}, "tags": [], "addProjectAccess": {"tenant": "x"}, "metadata": {}})
    url = filled(path, ids)
    noun = path.rstrip("/").split("/")[-1].removeprefix("os-").rstrip("s").replace("-", "_")
    if path not in bodies(ids) and not noun.startswith("{"):
        known = {noun: {"name": "x", "id": NOWHERE}, **known}
    wrong = []

    for number in range(TRIES):
        base = known
        if path.endswith("servers/{id}/action"):
            base = json.loads(json.dumps(ACTIONS[number % len(ACTIONS)]).replace("IMAGE", ids["image"]))
        body = bent(chance, base)
        answer = admin.ask(method, url, raw=msgspec.json.encode(body) if big(body) else json.dumps(body).encode())
        if answer.status_code >= 500 and answer.status_code not in (501, 503):
            wrong.append((answer.status_code, json.dumps(body)[:1500], answer.text[:200]))

    assert wrong == []


def big(body):
    """Whether msgspec can write it as it is."""
    try:
        msgspec.json.encode(body)
    except (OverflowError, ValueError):
        return False
    return True


def test_after_all_that_the_cloud_still_works(simulated, admin, image):
    network = admin.network("10.97.0.0/24", name="after")

    server = admin.boot(image, network, "after")

    assert admin.settled(server)["status"] == "ACTIVE"
    admin.delete_server(server)
    assert "Traceback" not in simulated.log(), simulated.log()[simulated.log().index("Traceback") - 300 :][:5000]
