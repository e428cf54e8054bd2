"""Metering labels and rules: an administrator's, without changes, and no traffic counted twice in one label."""

import pytest
from network.network_world import ALICE, room

NOWHERE = "11111111-1111-1111-1111-111111111111"


@pytest.fixture
async def r():
    async with room(serve=False) as made:
        yield made


async def label(r, **values):
    body = {"metering_label": values}
    return (await r.call("POST", "/metering/metering-labels", body, token="admin"))["metering_label"]


def rule_body(label_id, remote="10.0.0.0/24", **values):
    asked = {"metering_label_id": label_id, "direction": "ingress", "remote_ip_prefix": remote, **values}
    return {"metering_label_rule": {name: value for name, value in asked.items() if value is not None}}


async def rule(r, label_id, *remote, **values):
    body = rule_body(label_id, *remote, **values)
    return (await r.call("POST", "/metering/metering-label-rules", body, token="admin"))["metering_label_rule"]


async def test_a_label_is_made_shown_listed_and_deleted_with_its_rules(r):
    made = await label(r, name="n", description="d" * 1024, project_id=ALICE.project_id)
    its = await rule(r, made["id"])
    path = f"/metering/metering-labels/{made['id']}"

    shown = await r.call("GET", path, token="admin")
    listed = await r.call("GET", "/metering/metering-labels?name=n&fields=id", token="admin")
    await r.call("DELETE", path, token="admin")

    project = ALICE.project_id
    assert {"id": made["id"], "name": "n", "description": "d" * 1024, "project_id": project, "tenant_id": project,
            "shared": False} == made == shown["metering_label"]  # fmt: skip
    assert [{"id": made["id"]}] == listed["metering_labels"]
    assert (404, "MeteringLabelNotFound") == await r.refused("GET", path, token="admin")
    gone = f"/metering/metering-label-rules/{its['id']}"
    assert (404, "MeteringLabelRuleNotFound") == await r.refused("GET", gone, token="admin")


async def test_a_rule_is_whose_its_label_is(r):
    made = await label(r, project_id=ALICE.project_id)

    its = await rule(r, made["id"], None, source_ip_prefix="10.0.0.0/24", destination_ip_prefix="10.1.0.0/16")

    assert {
        "id": its["id"], "project_id": ALICE.project_id, "tenant_id": ALICE.project_id, "metering_label_id": made["id"],
        "direction": "ingress", "excluded": False, "remote_ip_prefix": None, "source_ip_prefix": "10.0.0.0/24",
        "destination_ip_prefix": "10.1.0.0/16",
    } == its  # fmt: skip
    found = await r.call("GET", f"/metering/metering-label-rules?metering_label_id={made['id']}", token="admin")
    assert [its] == found["metering_label_rules"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, (409, "MeteringLabelRuleOverlaps")),
        ({"remote": "10.0.0.128/25"}, (409, "MeteringLabelRuleOverlaps")),
        ({"remote": "10.0.1.0/24"}, None),
        ({"remote": "fd00::/64"}, None),
        ({"direction": "egress"}, None),
        ({"excluded": True}, None),
        ({"direction": "sideways"}, (400, "HTTPBadRequest")),
        ({"remote": "10.0.0.0"}, (400, "HTTPBadRequest")),
        ({"remote": None}, (400, "HTTPBadRequest")),
        ({"source_ip_prefix": "10.9.0.0/16"}, (400, "HTTPBadRequest")),
        ({"remote": None, "source_ip_prefix": "10.9.0.0/16", "destination_ip_prefix": "fd00::/64"},
         (400, "HTTPBadRequest")),
        ({"metering_label_id": NOWHERE}, (404, "MeteringLabelNotFound")),
    ],
)  # fmt: skip
async def test_a_rule_beside_another_one(r, values, expected):
    made = await label(r)
    await rule(r, made["id"])
    body = rule_body(made["id"], **values)

    reply = await r.client.request("POST", "/network/v2.0/metering/metering-label-rules", body, token="admin")

    assert (201 if expected is None else expected[0]) == reply.status
    assert expected is None or expected[1] == reply.json["NeutronError"]["type"]


async def test_other_labels_may_count_the_same_traffic(r):
    one, two = await label(r), await label(r)

    made = [await rule(r, both["id"]) for both in (one, two)]

    assert [one["id"], two["id"]] == [its["metering_label_id"] for its in made]


async def test_metering_is_an_administrators(r):
    made = await label(r, project_id=ALICE.project_id)
    its = await rule(r, made["id"])

    assert {"metering_labels": []} == await r.call("GET", "/metering/metering-labels")
    assert {"metering_label_rules": []} == await r.call("GET", "/metering/metering-label-rules")
    for path, body in (("labels", {"metering_label": {}}), ("label-rules", rule_body(made["id"], "10.8.0.0/16"))):
        assert (403, "PolicyNotAuthorized") == await r.refused("POST", f"/metering/metering-{path}", body)
    gone = await r.refused("DELETE", f"/metering/metering-label-rules/{its['id']}")
    assert (404, "MeteringLabelRuleNotFound") == gone


async def test_labels_and_rules_do_not_change(r):
    made = await label(r)

    reply = await r.client.request(
        "PUT", f"/network/v2.0/metering/metering-labels/{made['id']}", {"metering_label": {}}, token="admin"
    )

    assert 405 == reply.status
