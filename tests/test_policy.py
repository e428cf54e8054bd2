"""The policy language, with oslo.policy as the judge."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oslo_config import cfg
from oslo_policy import policy as oslo

from micronova.context import Context
from micronova.errors import ConfigError, Forbidden
from micronova.policy import FACTS, Policy

ROLES = ("admin", "member", "Reader")
VALUES = ("a", "b", "c")
FIELDS = ("project_id", "user_id", "target.role.name", "shared")
MEMBER = Context(request_id="r", user_id="a", project_id="b", roles=("member", "reader"))

matches = st.one_of(
    st.sampled_from((*VALUES, "all", "True", "False")),
    st.sampled_from(FIELDS).map(lambda name: f"%({name})s"),
    st.sampled_from(FIELDS).map(lambda name: f"x-%({name})s"),
)
checks = st.one_of(
    st.sampled_from(("@", "!", "rule:one", "rule:two")),
    st.sampled_from((*ROLES, "%(target.role.name)s")).map(lambda role: f"role:{role}"),
    st.tuples(st.sampled_from(("user_id", "project_id", "domain_id", "system_scope", "is_admin")), matches).map(
        ":".join
    ),
    st.tuples(st.sampled_from(("'a'", '"b"', "True", "None", "1")), matches).map(":".join),
)
texts = st.recursive(
    checks,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from((" and ", " or ", " OR ", " And ")), inner).map("".join),
        inner.map(lambda text: f"not {text}"),
        inner.map(lambda text: f"({text})"),
        inner.map(lambda text: f"( {text} )"),
    ),
    max_leaves=8,
)
contexts = st.builds(
    Context,
    request_id=st.just("r"),
    user_id=st.sampled_from(VALUES),
    project_id=st.sampled_from(VALUES),
    domain_id=st.sampled_from(("", *VALUES)),
    system_scope=st.booleans(),
    roles=st.lists(st.sampled_from(("admin", "member", "reader", "a")), unique=True).map(tuple),
    is_admin=st.booleans(),
)
targets = st.dictionaries(st.sampled_from(FIELDS), st.sampled_from((*VALUES, "admin", True, False, 1)))


@pytest.fixture(scope="module")
def judge() -> oslo.Enforcer:
    conf = cfg.ConfigOpts()
    conf([])
    return oslo.Enforcer(conf, use_conf=False)


def verdict(judge: oslo.Enforcer, rules: dict[str, str], ctx: Context, target: dict[str, Any]) -> bool:
    judge.set_rules(oslo.Rules.from_dict(rules), use_conf=False)
    facts: dict[str, Any] = {name: fact(ctx) or None for name, fact in FACTS.items()}
    return bool(judge.enforce("it", target, {**facts, "is_admin": ctx.is_admin, "roles": list(ctx.roles)}))


@settings(deadline=None)
@given(text=texts, one=texts.filter(lambda text: "rule:" not in text), ctx=contexts, target=targets)
def test_verdicts_are_those_of_oslo_policy(
    judge: oslo.Enforcer, text: str, one: str, ctx: Context, target: dict[str, Any]
) -> None:
    rules = {"it": text, "one": one, "two": "role:member"}

    assert verdict(judge, rules, ctx, target) == Policy(rules).allows(ctx, "it", target)


@pytest.mark.parametrize(
    "text",
    [
        "role:admin role:member", "and", "role:a or", "not", "(role:a", "role:a)", "()", "'x'", "role", ":x",
        "nobody:1", "rule:nothing", "rule:it", "role:a and or role:b", "role:%(x", "role:100%", "role:%(x)d", " ",
        "a.b:c",
    ],
)  # fmt: skip
def test_a_rule_that_cannot_be_understood_is_refused_by_name(text: str) -> None:
    with pytest.raises(ConfigError, match="built-in policy: it: "):
        Policy({"it": text})


def test_rules_that_refer_to_each_other_in_a_circle_are_refused() -> None:
    with pytest.raises(ConfigError, match="refers to itself"):
        Policy({"a": "rule:b", "b": "not rule:a"})


def test_an_empty_rule_lets_everybody() -> None:
    assert Policy({"it": ""}).allows(Context(request_id="r"), "it")


def test_without_a_target_the_callers_own_project_counts() -> None:
    policy = Policy({"it": "rule:project_member"})

    assert policy.allows(MEMBER, "it")
    assert not policy.allows(MEMBER, "it", {"project_id": "other"})


def test_no_project_is_not_the_same_as_no_owner() -> None:
    unscoped = Context(request_id="r", user_id="a")

    assert not Policy({}).allows(unscoped, "owner", {"project_id": None})
    assert not Policy({}).allows(unscoped, "owner")


def test_a_refusal_names_the_rule() -> None:
    with pytest.raises(Forbidden, match=r"^Policy doesn't allow identity:create_user to be performed\.$") as found:
        Policy({"identity:create_user": "rule:admin"}).require(MEMBER, "identity:create_user")

    assert "identity:create_user" == found.value.facts["rule"]


def test_the_cloud_itself_is_an_administrator() -> None:
    assert Policy({}).allows(MEMBER.elevated(), "admin")


def write(folder: Path, text: str) -> Path:
    file = folder / "policy.yaml"
    file.write_text(text)
    return file


def test_a_file_replaces_rules_and_may_bring_rules_of_its_own(tmp_path: Path) -> None:
    file = write(tmp_path, '"it": "rule:friends"\nfriends: "user_id:a or user_id:z"\n')

    assert Policy({"it": "!"}, file).allows(MEMBER, "it")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("create_netwrok: '@'", "create_netwrok"),
        ("it: 'role:a or'", "it"),
        ("it: 'rule:gone'", "gone"),
        ("it: [a]", "it"),
        ("- it", "table"),
        ("it: 'a", "YAML"),
    ],
)
def test_a_wrong_file_is_refused_naming_file_and_rule(tmp_path: Path, text: str, named: str) -> None:
    file = write(tmp_path, text)

    with pytest.raises(ConfigError) as found:
        Policy({"it": "@"}, file)

    assert str(file) in str(found.value)
    assert named in str(found.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.yaml can't be read"):
        Policy({}, tmp_path / "gone.yaml")


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    assert "admin" in Policy({}, write(tmp_path, "# nothing\n")).names
