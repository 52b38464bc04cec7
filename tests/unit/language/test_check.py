"""The checker as a whole: modules and layers, the core that comes out, limits, and that nothing else ever comes out."""

from __future__ import annotations

import random
import string

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pdp.diagnostics.diagnostic import PolicyError, Severity
from pdp.diagnostics.source import Source
from pdp.language import core, parse
from pdp.language.check import policies
from pdp.language.types import BOOL, INT, CodeType, EntityType, SetType
from pdp.model.value import Code
from tests.unit.language.checking import check, findings, found

WORLD = """
vocabulary Role "urn:role" { nurse  physician }
vocabulary Label "urn:label" { SUD }
entity Team
entity User in Team { role: Role  boss: User?  size: Int }
entity Robot { size: Int }
entity Record { owner: User  labels: Set<Label>  readers: List<User>  size: Int  note: Text? }
action read, write on Record by User, Robot
action see on User by User
context { ip: Ip? from caller }
obligation tell(what: Text)
"""


def rule(text: str) -> core.Rule:
    (only,) = check(WORLD + text).rules
    return only


def condition(text: str) -> core.Expr:
    return rule(f"permit read on Record as r when {text}").condition


# Core ---------------------------------------------------------------------------------------------------------------


def test_every_node_underlines_what_it_came_from() -> None:
    node = condition("subject is User and resource.owner == subject")
    assert isinstance(node, core.And)
    assert [item.span.text for item in node.items] == ["subject is User", "resource.owner == subject"]
    equal = node.items[1]
    assert isinstance(equal, core.Operation)
    assert [argument.span.text for argument in equal.arguments] == ["resource.owner", "subject"]


def test_unless_becomes_not_after_when() -> None:
    node = rule("permit read on Record as r when resource.size > 1 and resource.size < 9 unless resource.size == 5")
    assert isinstance(node.condition, core.And)
    assert [type(item).__name__ for item in node.condition.items] == ["Operation", "Operation", "Not"]
    assert rule("permit read on Record as r").condition == core.Literal(True, BOOL, node.span)


def test_a_rule_speaks_about_the_declared_pairs_alone() -> None:
    assert rule("forbid any on any as r").pairs == {("read", "Record"), ("write", "Record"), ("see", "User")}
    assert rule("mask /a on Record as r").pairs == {("read", "Record"), ("write", "Record")}
    assert rule("permit read, see on any as r").pairs == {("read", "Record"), ("see", "User")}


def test_a_narrowed_variable_has_the_narrower_type_and_its_slot() -> None:
    node = condition("subject.size > 1 and subject is User and subject.role == Role.nurse")
    assert isinstance(node, core.And)
    wide, _, role = node.items
    assert isinstance(wide, core.Operation)
    assert isinstance(wide.arguments[0], core.Select)
    assert wide.arguments[0].slots == (("Robot", 1), ("User", 3))
    assert isinstance(role, core.Operation)
    assert isinstance(role.arguments[0], core.Select)
    assert role.arguments[0].slots == (("User", 1),)
    assert role.arguments[0].target.type == EntityType(frozenset({"User"}))


def test_literal_collections_and_codes_are_constants() -> None:
    node = condition("resource.labels overlaps {Label.SUD}")
    assert isinstance(node, core.Operation)
    type = SetType(CodeType(frozenset({"Label"})))
    assert node.arguments[1] == core.Literal(frozenset({Code("urn:label|SUD")}), type, node.span)
    assert node.operator == "code_overlaps"


def test_a_minus_before_a_number_is_part_of_it() -> None:
    node = condition("resource.size == -9223372036854775808")
    assert isinstance(node, core.Operation)
    assert node.arguments[1] == core.Literal(-(2**63), INT, node.span)


def test_a_define_is_expanded_and_its_quantifiers_are_renamed() -> None:
    header = "define reads(who: User, what: Record) = any r in what.readers: r == who\n"
    both = "subject is User and reads(subject, resource) and reads(resource.owner, resource)"
    node = rule(f"{header}permit read on Record as r when {both}").condition
    assert isinstance(node, core.And)
    first, second = node.items[1:]
    assert isinstance(first, core.Quantifier)
    assert isinstance(second, core.Quantifier)
    assert (first.variable, second.variable) == ("r#1", "r#2")
    assert first.body.span.text == "r == who"
    assert isinstance(first.body, core.Operation)
    assert [each.span.text for each in first.body.arguments] == ["r", "subject"]


def test_an_argument_is_not_captured_by_a_quantifier_of_the_define() -> None:
    header = "define known(x: User, what: Record) = any r in what.readers: r == x\n"
    text = f"{header}permit read on Record as r when any r in resource.readers: known(r, resource)"
    outer = rule(text).condition
    assert isinstance(outer, core.Quantifier)
    inner = outer.body
    assert isinstance(inner, core.Quantifier)
    assert isinstance(inner.body, core.Operation)
    names = [each.name for each in inner.body.arguments if isinstance(each, core.Variable)]
    assert names == [inner.variable, outer.variable]
    assert len(set(names)) == 2


def test_equal_conditions_of_two_rules_are_equal_nodes() -> None:
    text = "when any r in resource.readers: r == resource.owner\n"
    first, second = check(f"{WORLD}permit read on Record as a {text} permit read on Record as b {text}").rules
    assert first.condition == second.condition
    assert hash(first.condition) == hash(second.condition)


def test_rules_come_out_by_id_whatever_the_order_of_files() -> None:
    texts = (WORLD, "permit read on Record as b", "permit read on Record as a")
    modules = [parse.policy(Source(f"{n}.ward", text)) for n, text in enumerate(texts)]
    straight, backwards = policies(modules), policies(modules[::-1])
    assert [each.id for each in straight[0].rules] == ["a", "b"]
    assert straight == backwards


def test_a_derived_id_says_what_the_rule_says_and_not_where() -> None:
    first = rule("permit read on Record when resource.size > 1").id
    second = rule("\n\n# moved\npermit  read on Record\n  when resource.size  > 1").id
    third = rule("permit read on Record when resource.size > 2").id
    assert first == second != third
    twice = check(f"{WORLD}permit read on Record when resource.size > 1 permit read on Record when resource.size > 1")
    assert [each.id for each in twice.rules] == [first, f"{first}-2"]


def test_a_test_becomes_plain_json() -> None:
    text = """
    fixture f { given User "u" in Team "t" { role: nurse, size: -3 } given Record "r" { labels: [SUD], size: 1 } }
    test "t" using f {
        given User "u" { role: Role.physician, boss: User "v" }
        when User "u" does read on Record "r"
        expect deny
        expect reason no_rule
    }
    """
    (only,) = check(WORLD + text).tests
    by_id = {each.id: each.attributes for each in only.given}
    assert by_id == {
        "u": {"role": "urn:role|physician", "boss": {"type": "User", "id": "v"}},
        "r": {"labels": ["SUD"], "size": 1},
    }
    assert (only.subject, only.action, only.resource) == (("User", "u"), "read", ("Record", "r"))
    assert (only.expect, only.reason, only.rules) == ("deny", "no_rule", None)
    assert only.now == 1_767_225_600_000_000


def test_routes_are_segments_and_targets() -> None:
    text = 'route GET "/a/{u}/r/{r}" does read, write on Record r with owner = User u query "n"? searches /n'
    (only,) = check(WORLD + text).routes
    assert [(each.text, each.parameter) for each in only.segments] == [
        ("a", False),
        ("u", True),
        ("r", False),
        ("r", True),
    ]
    assert only.actions == ("read", "write")
    assert only.resource == core.Target("Record", parameter="r")
    assert only.claims == (("owner", core.Target("User", parameter="u")),)
    assert only.query == (core.QueryParameter("n", True, frozenset({"/n"})),)


# Modules and layers (LANGUAGE 1 and 10, SEMANTICS 20) ---------------------------------------------------------------

PEOPLE = 'module people\nlayer base\nentity User\nvocabulary Role "urn:r" { nurse }\ndefine Staff = {Role.nurse}\n'


def test_a_name_of_another_module_needs_use() -> None:
    assert found(PEOPLE, "action read on User") == [("name-not-imported", "User")]
    assert found(PEOPLE, "use people\naction read on User") == []
    assert found(PEOPLE, "use peoples\naction read on User") == [
        ("unknown-module", "use peoples"),
        ("name-not-imported", "User"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "entity A { u: User }",
        "kind K = User",
        'fixture f { given User "u" { } }',
        "define same(x: User) = x == x",
        "define some = Staff",
        "define some = {Role.nurse}",
        "define one(x: Text) = x in Staff",
        'vocabulary Both = Role or Mine vocabulary Mine "urn:m" { a }',
    ],
)
def test_every_kind_of_use_needs_the_import(text: str) -> None:
    assert ("name-not-imported") in [code for code, _ in found(PEOPLE, text)]
    assert found(PEOPLE, f"use people\n{text.replace('x: Text', 'x: Role')}") == []


def test_the_unnamed_module_is_seen_by_all() -> None:
    assert found("entity User", "module other\naction read on User") == []


def test_semantics_20_a_layer_stands_on_lower_ones_alone() -> None:
    assert found("module a\nlayer base\nuse b", "module b\nlayer organisation\nentity X") == [
        ("layer-violation", "use b")
    ]
    assert found("module a\nlayer service\nuse b", "module b\nlayer organisation\nentity X") == []
    assert found("layer base\nentity A in X", "layer service\nentity X") == [("layer-violation", "X")]


def test_semantics_20_a_higher_layer_redefines_nothing() -> None:
    assert found("layer base\nentity X", "layer service\nentity X") == [("duplicate-name", "X")]
    assert found("layer base\nentity X\naction read on X", "layer service\naction read on X") == [
        ("duplicate-name", "X")
    ]


@pytest.mark.parametrize(
    ("lower", "higher"),
    [
        ('"/a/{x}"', '"/a/b"'),  # The literal would take a path away.
        ('"/a/b"', '"/{x}/b"'),
        ('"/{x}/b"', '"/a/{x}"'),
        ('"/a/{x}"', '"/a/{x}"'),
    ],
)
def test_semantics_20_a_route_of_a_higher_layer_overlaps_no_lower_one(lower: str, higher: str) -> None:
    world = "layer base\nentity X\naction read on X\n"
    texts = (f'{world}route GET {lower} does read on X "x"', f'layer service\nroute GET {higher} does read on X "x"')
    assert [code for code, _ in found(*texts) if code != "unused-route-parameter"] == ["route-overlap"]
    other = texts[1].replace("GET", "PUT")
    assert [code for code, _ in found(texts[0], other) if code != "unused-route-parameter"] == []


def test_semantics_07_a_parameter_never_takes_an_operation_from_a_literal() -> None:
    world = 'layer base\nentity X\naction read on X\nroute GET "/a/$export" does read on X "x"'
    assert found(world, 'layer service\nroute GET "/a/{x}" does read on X x') == []


# Findings -----------------------------------------------------------------------------------------------------------


def test_the_underlined_text_is_the_name_and_the_hint_says_where_the_near_one_is() -> None:
    (only,) = [
        each for each in findings(f"{WORLD}permit see on User as r when subject.rolle == Role.nurse") if each.hint
    ]
    assert (only.code, only.span.text) == ("unknown-attribute", "rolle")
    assert only.hint == "did you mean `role`? It is a Role, declared at 1.ward:5"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("role == Role.nurse", "did you mean `subject.role`?"),
        ("subject.role == nurse", "did you mean `Role.nurse`?"),
        ('subject.role == "nurse"', "write `Role.nurse`"),
        ("subject.role == Role.nurs", "did you mean `nurse`?"),
        ("subject.size > 1.0", ""),
        ('subject == "nina"', 'an entity is written `User "id"`'),
        ("subject.boss == subject", "test it first: `subject has boss and ..`"),
        ("lenght(id(subject)) > 1", "did you mean `length`?"),
    ],
)
def test_hints_say_what_to_do(text: str, hint: str) -> None:
    errors = [each for each in findings(f"{WORLD}permit see on User as r when {text}") if each.code != "unused-name"]
    assert [each.hint for each in errors] == [hint]


def test_many_findings_come_at_once_sorted_and_each_once() -> None:
    text = f"{WORLD}permit see on User as b when subject.rol == 1\npermit see on User as a when subject.siz == 1"
    with pytest.raises(PolicyError) as caught:
        check(text)
    errors = [each for each in caught.value.diagnostics if each.severity is Severity.ERROR]
    assert [each.span.text for each in errors] == ["rol", "siz"]
    assert list(caught.value.diagnostics) == sorted(set(caught.value.diagnostics), key=lambda each: each.order)


def test_notes_are_off_by_default() -> None:
    text = f"{WORLD}permit read on Record as r"
    assert "rule-without-citation" not in [each.code for each in findings(text)]
    assert "rule-without-citation" in [each.code for each in findings(text, notes=True)]


@pytest.mark.parametrize(
    ("condition", "underlined"),
    [
        ("subject is User", ["subject is User"]),
        ('id(subject) == "x"', ["id(subject)"]),
        ('subject == User "x"', ['subject == User "x"']),
        ("subject.size == 1", []),
    ],
)
def test_semantics_05_what_rests_on_identity_is_listed_on_demand(condition: str, underlined: list[str]) -> None:
    text = f"{WORLD}forbid see on User as f when {condition}"
    assert "rests-on-identity" not in [each.code for each in findings(text)]
    listed = [each.span.text for each in findings(text, notes=True) if each.code == "rests-on-identity"]
    assert listed == underlined


def test_actions_that_keep_an_attribute_in_different_places_cannot_be_read_as_one() -> None:
    world = "entity U\nentity A\nentity B\naction x on A by U { one: Int from caller  two: Int from caller }\n"
    same = f"{world}action y on B by U {{ one: Int from caller }}\npermit x, y on any as r when action.one == 1"
    other = f"{world}action y on B by U {{ two: Int from caller }}\npermit x, y on any as r when action.two == 1"
    assert found(same) == []
    assert found(other) == [("unknown-attribute", "two")]


# Limits (LANGUAGE 13, SEMANTICS 16) ---------------------------------------------------------------------------------


def test_semantics_16_nesting_is_capped() -> None:
    deep = "not " * 190 + "true"
    assert found(f"{WORLD}permit read on Record as r when {deep}") == []
    deeper = "-" * 250 + "resource.size"
    codes = {code for code, _ in found(f"{WORLD}permit read on Record as r when {deeper} > 1")}
    assert codes == {"nesting-too-deep"}


@pytest.mark.parametrize(
    "text",
    [
        "{" * 190 + "1" + "}" * 190 + " == {}",
        "(" * 190 + "true" + ")" * 190,
        "min(1, " * 190 + "1" + ")" * 190 + " == 1",
        "if true then " * 100 + "true" + " else true" * 100,
        "".join(f"any x{n} in resource.readers: " for n in range(190)) + "true",
        "resource.owner" + ".boss" * 180 + " == subject",
        "(true or (true and " * 95 + "true" + "))" * 95,
    ],
)
def test_what_nests_within_the_cap_is_checked_without_a_crash(text: str) -> None:
    findings(f"{WORLD}permit read on Record as r when {text}")


def test_chains_are_as_deep_as_they_are_long_and_no_deeper() -> None:
    chain = " and ".join(["resource.size > 1"] * 190)
    assert found(f"{WORLD}permit read on Record as r when {chain}") == []
    assert found(f"{WORLD}permit read on Record when {chain}") == []


def test_semantics_16_a_long_chain_of_defines_is_refused_not_crashed_on() -> None:
    defines = "define d0(x: Int) = -x\n" + "".join(f"define d{n}(x: Int) = -d{n - 1}(x)\n" for n in range(1, 1_500))
    codes = {code for code, _ in found(f"{WORLD}{defines}permit read on Record as r when d1499(1) > 1")}
    assert codes == {"nesting-too-deep"}


def test_semantics_16_what_defines_expand_to_is_counted_not_built() -> None:
    defines = "define d0(x: Int) = x + x\n" + "".join(f"define d{n}(x: Int) = d0(d{n - 1}(x))\n" for n in range(1, 60))
    codes = {code for code, _ in found(f"{WORLD}{defines}permit read on Record as r when d59(1) > 1")}
    assert codes == {"too-large"}


def test_semantics_16_nested_calls_with_large_arguments_are_counted_not_built() -> None:
    text = "d(" * 190 + "1" + ")" * 190
    assert found(f"{WORLD}define d(x: Int) = x + x\npermit read on Record as r when {text} > 1") == [
        ("too-large", "permit read on Record as r")
    ]


def test_long_chains_of_declarations_are_no_recursion() -> None:
    kinds = "kind k0 = User\n" + "".join(f"kind k{n} = k{n - 1}\n" for n in range(1, 3_000))
    fields = "fields f0 = /a\n" + "".join(f"fields f{n} = f{n - 1}\n" for n in range(1, 3_000))
    assert found(f"{WORLD}{kinds}{fields}mask f2999 on Record as r\naction look on k2999") == []


def test_attributes_are_capped() -> None:
    many = " ".join(f"a{n}: Int" for n in range(256))
    assert found(f"entity X {{ {many} }}") == [("too-large", "a255")]


# Nothing else comes out ---------------------------------------------------------------------------------------------

TOKENS = """
    subject resource action context now User Robot Record Role Label Role.nurse Label.SUD owner boss role size note
    labels readers ip tell read write see r x and or not in has is == < contains overlaps + - * ( ) { } [ ] , . : when
    unless release only require permit forbid mask on as any all if then else 1 1.5 true false /a "t" 10_days size(
    User_"u" entity kind action within between define_d(x:_User)_=
"""
WORDS = [word.replace("_", " ") for word in TOKENS.split()]


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=25), st.sampled_from(["", "permit read on Record when "]))
def test_any_text_gives_a_policy_set_or_findings(words: list[str], start: str) -> None:
    assert all(each.message and each.span.source.name for each in findings(WORLD + start + " ".join(words)))


def test_mutilated_policies_give_a_policy_set_or_findings() -> None:
    text = f"""{WORLD}
    define reads(who: User, what: Record) = any r in what.readers: r == who and (r has boss)
    permit read on Record as a when subject is User and reads(subject, resource)
        unless resource.labels overlaps {{Label.SUD}}
        release only /a, /b when subject.role == Role.nurse require tell(what: id(resource))
    forbid any on any as b unless context has ip and context.ip in ip("10.0.0.0/8") because "no"
    mask fields of ({{"/a"}}) on Record as c when resource has note and resource.note like "a*"
    route GET "/r/{{r}}" does read on Record r
    fixture f {{ given User "u" {{ role: nurse, size: 1 }} }}
    test "t" using f {{ when User "u" does read on Record "r" expect deny }}
    invariant "i" {{ never permit read on Record when resource.size > 1 }}
    """
    check(text)
    tokens = text.split(" ")
    draw = random.Random("mutilated")
    for _ in range(600):
        broken = list(tokens)
        for _ in range(draw.randrange(1, 4)):
            place = draw.randrange(len(broken))
            broken[place : place + 1] = draw.choice(([], [draw.choice(tokens)], [draw.choice(string.punctuation)]))
        findings(" ".join(broken))
