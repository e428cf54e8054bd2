"""The default policy of identity: every rule that is asked for exists, and every one that exists is asked for."""

import re
from pathlib import Path

from identity_world import POLICY, Cloud

import micronova.identity
from micronova.identity.api import api
from micronova.identity.policies import RULES

FOLDER = Path(micronova.identity.__file__).parent
ASKED = re.compile(r'"identity:(\w+)"|self\._(?:reach|user|group|stored|ec2|for_user)\(request, "(\w+)"\)')


def asked() -> set[str]:
    found = set()
    for file in (FOLDER / "api").glob("*.py"):
        found |= {f"identity:{a or b}" for a, b in ASKED.findall(file.read_text())}
    return found


def test_every_route_names_a_rule_that_exists(cloud: Cloud) -> None:
    assert {route.policy for route in api(cloud.manager).routes} - {""} <= POLICY.names


def test_rules_and_questions_match() -> None:
    rules = {name for name in RULES if name.startswith("identity:")}

    assert asked() - rules == set()
    assert rules - asked() == set()
