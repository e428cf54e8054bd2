"""What the client lists, shows, makes and removes: every resource of the four services."""

import re

import pytest


def test_tokens_and_the_catalog(openstack):
    token, catalog = openstack.all("token issue", "catalog list", json=True)

    assert {"expires", "id", "project_id", "user_id"} <= set(token)
    assert {"keystone", "nova", "neutron", "glance"} <= {one["Name"] for one in catalog}


def test_an_image_from_a_file_and_back(openstack, stage):
    content = bytes(range(256)) * 1024
    (stage.folder / "up.img").write_bytes(content)

    made = openstack.json("image create --disk-format raw --container-format bare --file up.img mine")
    openstack("image save --file down.img mine")
    shown, listed = openstack.all("image show mine", "image list", json=True)

    assert ("active", len(content)) == (shown["status"], shown["size"])
    assert made["id"] == shown["id"]
    assert "mine" in {one["Name"] for one in listed}
    assert content == (stage.folder / "down.img").read_bytes()
    openstack("image delete mine")
    assert re.search("No Image found for mine", openstack.fails("image show mine"))


def test_flavors(openstack):
    openstack("flavor create --ram 64 --disk 1 --vcpus 2 --property trait=x walk.small")

    shown, listed = openstack.all("flavor show walk.small", "flavor list", json=True)

    assert (64, 1, 2) == (shown["ram"], shown["disk"], shown["vcpus"])
    assert {"m1.tiny", "walk.small"} <= {one["Name"] for one in listed}
    openstack("flavor delete walk.small")
    assert "No Flavor found for walk.small" in openstack.fails("flavor show walk.small")


def test_key_pairs(openstack, stage):
    private = openstack("keypair create walk").out

    shown, listed = openstack.all("keypair show walk", "keypair list", json=True)

    assert "PRIVATE KEY" in private
    assert "walk" == shown["name"]
    assert {"mykey", "walk"} <= {one["Name"] for one in listed}
    openstack("keypair delete walk")
    assert "No Keypair found for walk" in openstack.fails("keypair show walk")


def test_networks_subnets_and_ports(openstack):
    openstack("network create walk")
    openstack("subnet create --network walk --subnet-range 10.77.0.0/24 --dns-nameserver 192.0.2.53 walk4")
    openstack("port create --network walk --fixed-ip subnet=walk4,ip-address=10.77.0.9 walkp")

    networks, subnets, ports = openstack.all("network list", "subnet list", "port list --network walk", json=True)
    network, subnet, port = openstack.all("network show walk", "subnet show walk4", "port show walkp", json=True)

    assert "walk" in {one["Name"] for one in networks}
    assert "10.77.0.0/24" in {one["Subnet"] for one in subnets}
    assert "walkp" in {one["Name"] for one in ports}
    assert "10.77.0.9" in {fixed["ip_address"] for fixed in port["fixed_ips"]}
    assert network["id"] == subnet["network_id"] == port["network_id"]
    assert "ConflictException: 409" in openstack.fails("network delete walk")
    openstack("port delete walkp")
    openstack("subnet delete walk4")
    openstack("network delete walk")
    assert "No Network found for walk" in openstack.fails("network show walk")


def test_security_groups(openstack):
    openstack("security group create --description told walk")
    rule = openstack.json("security group rule create --proto tcp --dst-port 80:90 --remote-ip 192.0.2.0/24 walk")

    rules, shown, group = openstack.all(
        "security group rule list walk", f"security group rule show {rule['id']}", "security group show walk", json=True
    )

    assert "80:90" in {one["Port Range"] for one in rules}
    assert (80, 90, "192.0.2.0/24") == (shown["port_range_min"], shown["port_range_max"], shown["remote_ip_prefix"])
    assert "told" == group["description"]
    openstack(f"security group rule delete {rule['id']}")
    openstack("security group delete walk")
    assert "walk" not in {one["Name"] for one in openstack.json("security group list")}


def test_projects_users_roles_and_domains(openstack):
    openstack("project create walk")
    openstack("user create --password s3cret --project walk walker")
    openstack("role create walking")
    openstack("role add --project walk --user walker walking")

    projects, users, roles, domains, given = openstack.all(
        "project list", "user list", "role list", "domain list", "role assignment list --names --user walker", json=True
    )

    assert {"admin", "demo", "walk"} <= {one["Name"] for one in projects}
    assert {"admin", "demo", "walker"} <= {one["Name"] for one in users}
    assert {"admin", "member", "reader", "walking"} <= {one["Name"] for one in roles}
    assert "Default" in {one["Name"] for one in domains}
    assert [("walking", "walk@Default")] == [(one["Role"], one["Project"]) for one in given]
    openstack("role remove --project walk --user walker walking")
    assert [] == openstack.json("role assignment list --user walker")
    openstack("role delete walking")
    openstack("user delete walker")
    openstack("project delete walk")
    openstack("domain create walks")
    openstack("domain set --disable walks")
    openstack("domain delete walks")
    assert "No Domain found for walks" in openstack.fails("domain show walks")


def test_what_an_operator_looks_at(openstack, stage):
    hypervisors, services, zones = openstack.all(
        "hypervisor list", "compute service list", "availability zone list", json=True
    )

    assert [("up", "fake" if "--simulate" in stage.flags else "QEMU")] == [
        (one["State"], one["Hypervisor Type"]) for one in hypervisors
    ]
    assert ("nova-compute", "enabled", "up") in {(one["Binary"], one["Status"], one["State"]) for one in services}
    assert ("nova", "available") in {(one["Zone Name"], one["Zone Status"]) for one in zones}


def test_a_member_is_no_administrator(member):
    assert "403" in member.fails("hypervisor list")
    assert "403" in member.fails("user list")
    assert "403" in member.fails("flavor create --ram 1 --disk 1 --vcpus 1 walk.no")


def test_a_member_sees_its_own_and_what_is_public(member):
    images, networks, servers, groups = member.all(
        "image list", "network list", "server list", "security group list", json=True
    )

    assert "tiny" in {one["Name"] for one in images}
    assert "private" in {one["Name"] for one in networks}
    assert [] == servers
    assert ["default"] == [one["Name"] for one in groups]


def test_a_wrong_password_is_told(openstack):
    assert "HTTP 401" in openstack.fails("--os-password wrong token issue")


@pytest.mark.parametrize(
    "line", ["server show", "image show", "network show", "flavor show", "subnet show", "port show"]
)
def test_unknown_names_and_ids_are_told(openstack, line):
    noun = line.split()[0]

    told = openstack.fails(f"{line} 00000000-0000-0000-0000-000000000000")

    assert re.search(f"No {noun} found for 00000000", told, re.IGNORECASE), told
