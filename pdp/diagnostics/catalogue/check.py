"""Codes of checking: names, types, guards, declarations, rules, routes, tests."""

from __future__ import annotations

from typing import Final

from pdp.diagnostics.catalogue.entry import Entry

STAGE: Final = "check"

ENTRIES: Final[dict[str, Entry]] = {
    # Names ------------------------------------------------------------------------------------------------------------
    "unknown-name": Entry(
        STAGE,
        "a name that is declared nowhere, or that has no meaning where it stands",
        "Every name is declared before it is used, in any file and any order. A `define` sees its parameters; it never "
        "sees `subject`, `resource` or `action`, which are passed to it.",
        bad="permit read on Record as r when subjcet is Clinician\n",
        good="permit read on Record as r when subject is Clinician\n",
    ),
    "unknown-type": Entry(
        STAGE,
        "a name that is no type, or not the sort of type that its place wants",
        "`on`, `by` and `is` take entity types and kinds; an attribute takes any type; an entity that is written down "
        "has one type, never a kind.",
        bad="permit read on Recrod as r\n",
        good="permit read on Record as r\n",
    ),
    "unknown-action": Entry(
        STAGE,
        "a name that is no action, or a group where one action is asked for",
        "Rules speak about actions and groups of them. A route and a test name single actions, since a request does.",
        bad="permit reed on Record as r\n",
        good="permit read on Record as r\n",
    ),
    "unknown-attribute": Entry(
        STAGE,
        "an attribute that the value does not have",
        "Where a value may be of several types, all of them must have the attribute with the same type: test the type "
        "first, as in `subject is Clinician and subject.role == ..`.",
        bad="permit read on Record as r when subject.role == Role.nurse\n",
        good="permit read on Record as r when subject is Clinician and subject.role == Role.nurse\n",
    ),
    "unknown-code": Entry(
        STAGE,
        "a code that its vocabulary does not have, or that more than one member of a union has",
        "Vocabularies are closed, so that a misspelt code is found here and not by a patient. In a union, name the "
        "member: `Sensitivity.SUD`.",
        bad="permit read on Record as r when context.purpose in Purpose.TRAET\n",
        good="permit read on Record as r when context.purpose in Purpose.TREAT\n",
    ),
    "unknown-rule": Entry(
        STAGE,
        "an id that no rule has, or whose rule is of the wrong sort",
        "Expectations of tests name rules by their ids, and `overridable by` names emergency rules.",
        bad="forbid read on Record as closed overridable by glass\n",
        good="forbid any on Document as closed overridable by glass\nemergency read on Record as glass\n",
    ),
    "unknown-rule-pair": Entry(
        STAGE,
        "no such action is declared on any such type",
        "A rule speaks about the declared pairs of its actions and its types. A rule without any could never apply; a "
        "route without one could only refuse.",
        bad="permit delete on Note as r\n",
        good="permit delete on Record as r\n",
    ),
    "unknown-module": Entry(
        STAGE,
        "`use` names a module that no file declares",
        "The name after `use` is the one that a file of the set says after `module`; files have no names of their own.",
        bad="use hospital.people\nentity Patient\n",
        good="module hospital.people\nentity Patient\n",
        alone=True,
    ),
    "unknown-route-parameter": Entry(
        STAGE,
        "a parameter that the path of the route does not have",
        "What a route names, it takes from its path: a parameter stands there in braces.",
        bad='route GET "/records/{record}" does read on Record rec\n',
        good='route GET "/records/{record}" does read on Record record\n',
    ),
    "unknown-zone": Entry(
        STAGE,
        "a time zone that the IANA database does not have",
        "Zones are written `America/Chicago` or `UTC`, never as an offset: an offset does not know of summer.",
        bad='permit read on Record as r when hour(now, "America/Chicargo") < 12\n',
        good='permit read on Record as r when hour(now, "America/Chicago") < 12\n',
    ),
    "name-not-imported": Entry(
        STAGE,
        "the name belongs to a named module that this file does not use",
        "Names of a named module are seen in that module, and in files that `use` it. Files without a `module` line "
        "belong to the unnamed module, which everybody sees.",
        test="tests/unit/language/test_check.py",
    ),
    "layer-violation": Entry(
        STAGE,
        "a file rests on something in a higher layer",
        "Layers are base, organisation and service. A lower layer stands without the higher ones, so that nobody can "
        "change what it says from above. A module has one layer.",
        test="tests/unit/language/test_check.py",
    ),
    "duplicate-name": Entry(
        STAGE,
        "a name that has a meaning here already",
        "All names of a policy set are in one name space, and nothing is redefined or hidden. The same holds for the "
        "attributes of one type, the variables of one expression, the pairs of action and type and the titles of "
        "tests.",
        bad="entity Record\n",
        good="entity Chart\n",
    ),
    "duplicate-rule-id": Entry(
        STAGE,
        "two rules have one id",
        "Ids are how logs, tests and people speak about rules. They are unique in the whole set.",
        bad="permit read on Record as r\npermit read on Note as r\n",
        good="permit read on Record as r\npermit read on Note as n\n",
    ),
    "duplicate-wire-name": Entry(
        STAGE,
        "two types, actions or codes share one name in requests and data, or one action has two",
        "A request says wire names, and each means one thing. Without `as` the name itself is the wire name.",
        bad='entity Doctor as "user"\n',
        good='entity Doctor as "doctor"\n',
    ),
    "duplicate-order": Entry(
        STAGE,
        "one code has a place in the order of two vocabularies",
        "Vocabularies that share a system share their codes, and `<` asks for the one place of a code in an order. "
        "Only one of them can be `ordered`.",
        bad='vocabulary A "urn:a" ordered { low high }\nvocabulary B "urn:a" ordered { high low }\n',
        good='vocabulary A "urn:a" ordered { low high }\nvocabulary B "urn:a" { high low }\n',
        alone=True,
    ),
    # Cycles -----------------------------------------------------------------------------------------------------------
    "recursive-define": Entry(
        STAGE,
        "a `define` that calls itself, directly or through others",
        "Ward is total: every policy ends. The hint shows the circle.",
        bad="define first(n: Int) = second(n)\ndefine second(n: Int) = first(n)\n",
        good="define first(n: Int) = second(n)\ndefine second(n: Int) = n + 1\n",
    ),
    "kind-cycle": Entry(
        STAGE,
        "a kind that contains itself",
        "A kind is a closed union of entity types. It may contain other kinds, but not itself.",
        bad="kind First = Second\nkind Second = First\n",
        good="kind First = Second\nkind Second = Record\n",
    ),
    "group-cycle": Entry(
        STAGE,
        "an action group that contains itself",
        "A group is a name for several actions. It may contain other groups, but not itself.",
        bad="action first = second\naction second = first\n",
        good="action first = second\naction second = read\n",
    ),
    "fields-cycle": Entry(
        STAGE,
        "a named set of fields that contains itself",
        "A named set may contain other sets, but not itself.",
        bad="fields First = /a, Second\nfields Second = /b, First\n",
        good="fields First = /a, Second\nfields Second = /b\n",
    ),
    "vocabulary-cycle": Entry(
        STAGE,
        "a code that is a kind of itself, or a union that contains itself",
        "`in` between codes says that one is a kind of the other, which goes one way.",
        bad='vocabulary A "urn:a" { x in y  y in x }\n',
        good='vocabulary A "urn:a" { x in y  y }\n',
    ),
    # Types ------------------------------------------------------------------------------------------------------------
    "type-mismatch": Entry(
        STAGE,
        "a value of one type where another is expected",
        "There is no coercion: an Int is never a Decimal, a code never a Text. An empty `{}` stands only where "
        "something beside it says what it would hold, and `is` asks only for types that are possible; `in` between "
        "entities only where the declared parents lead from one to the other, since on a forbid it would be a hole.",
        bad='permit read on Record as r when subject is Clinician and subject.clearance >= "high"\n',
        good="permit read on Record as r when subject is Clinician and subject.clearance >= 3\n",
    ),
    "not-a-condition": Entry(
        STAGE,
        "something else than Bool where a condition is expected",
        "`when`, `unless`, `and`, `or`, `not`, `if` and the bodies of `any` and `all` take Bool; nothing else is true "
        "or false by itself, neither a number nor an empty set.",
        bad="permit read on Record as r when resource.tags\n",
        good="permit read on Record as r when size(resource.tags) > 0\n",
    ),
    "not-a-value": Entry(
        STAGE,
        "a name that means no value",
        "`context` and `action` have attributes but are no values themselves; types and vocabularies are none either.",
        bad="permit read on Record as r when subject == Clinician\n",
        good="permit read on Record as r when subject is Clinician\n",
    ),
    "not-ordered": Entry(
        STAGE,
        "`<` between values that have no order",
        "Int, Decimal, Instant, Date and Duration are ordered, and codes of one vocabulary that is declared `ordered`. "
        "Text is not: how texts are sorted depends on the language that they are in.",
        bad="permit read on Record as r when subject is Clinician and subject.role >= Role.nurse\n",
        good="permit read on Record as r when resource.confidentiality <= Confidentiality.N\n",
    ),
    "attribute-may-be-missing": Entry(
        STAGE,
        "an optional attribute is read where nothing has tested that it is there",
        "A missing value is an error, never false: a forbid would deny all, a permit permit nothing. Test it with "
        "`has`, to the left of an `and`, in the condition of an `if`, or in `when` for all that follows.",
        bad="permit read on Record as r when resource.author == subject\n",
        good="permit read on Record as r when resource has author and resource.author == subject\n",
    ),
    "invalid-type": Entry(
        STAGE,
        "a type that no value could have",
        "Members of a Set are told apart by `==`, and a record that lacks a field is equal to nothing.",
        bad="entity Chart { notes: Set<{ at: Instant, by: Text? }> }\n",
        good="entity Chart { notes: List<{ at: Instant, by: Text? }> }\n",
    ),
    "wrong-arguments": Entry(
        STAGE,
        "arguments that a `define`, a function or an obligation does not take",
        "A `define` without parameters is a constant and is written without parentheses. `instant`, `date`, `ip` and "
        "`duration` take one literal text.",
        bad="permit read on Record as r when subject is Clinician and treats(subject)\n",
        good="permit read on Record as r when subject is Clinician and treats(subject, resource.patient)\n",
    ),
    # Literals ---------------------------------------------------------------------------------------------------------
    "invalid-literal": Entry(
        STAGE,
        "a constant that its type does not have",
        "Constants are checked when the policy is: numbers fit 64 bits, dates exist, networks have no host bits, "
        "identifiers are in composed form. Zones, clocks and patterns are literals, for the same reason.",
        bad='permit read on Record as r when context has ip and context.ip in ip("10.0.0.1/8")\n',
        good='permit read on Record as r when context has ip and context.ip in ip("10.0.0.0/8")\n',
    ),
    "invalid-pattern": Entry(
        STAGE,
        "a pattern that is none, or that is too large",
        "`matches` takes RE2 syntax, which runs in linear time: no back references, no looking around. `like` takes a "
        "glob, in which a backslash (doubled in a text) stands only before `*`, `?` and itself.",
        bad='permit read on Record as r when "x" matches "(a"\n',
        good='permit read on Record as r when "x" matches "(a)"\n',
    ),
    "invalid-pointer": Entry(
        STAGE,
        "a text that is no JSON pointer",
        "A field is written `/name/given` (RFC 6901). A member that contains `/` is written with `~1`, one with `~` "
        "with `~0`. `/` alone would name the member with the empty name, never the whole, and is refused.",
        bad='mask fields of ({"name"}) on Record as r\n',
        good='mask fields of ({"/name"}) on Record as r\n',
    ),
    # Declarations and rules -------------------------------------------------------------------------------------------
    "wrong-place": Entry(
        STAGE,
        "an attribute, or fields, that cannot come from where they are said to come from",
        "Every attribute has one place. The context comes from the caller, a token, a certificate, or what `source "
        "limits` says of a request, never from data; the attributes of an action come from the caller; a route gives "
        "Text and entities. `provisioned by` stands on a code of the context. Computed fields stand after `release "
        "only` and `mask` alone.",
        bad="context { device: Text }\n",
        good="context { device: Text from caller }\n",
    ),
    "clause-not-allowed": Entry(
        STAGE,
        "a clause that does not fit the effect of the rule",
        "`release only`, `require` and `advise` stand on permits; `because`, `exception`, `cure` and `overridable by` "
        "on forbids.",
        bad='permit read on Record as r because "no"\n',
        good='forbid any on any as r because "no"\n',
    ),
    "invalid-route": Entry(
        STAGE,
        "a path, a method or a query parameter that could not be in a request as it is written",
        "A path begins with `/`. Its segments are plain texts as they are after decoding, or one parameter in braces; "
        "none is empty, `.` or `..`. Methods are written in capitals.",
        bad='route GET "/records/{record}/" does read on Record record\n',
        good='route GET "/records/{record}" does read on Record record\n',
    ),
    "route-overlap": Entry(
        STAGE,
        "a request could be meant by two routes",
        "A literal segment beats a parameter at the first difference, so two routes of one layer overlap only where "
        "they have one shape and a method in common. A route of a higher layer overlaps none of a lower one at all.",
        bad='route GET "/a/{record}" does read on Record record\nroute GET "/a/{note}" does read on Note note\n',
        good='route GET "/a/{record}" does read on Record record\nroute GET "/b/{note}" does read on Note note\n',
    ),
    "incomplete-test": Entry(
        STAGE,
        "a test that asks nothing or expects no answer",
        "A test has a `when .. does .. on ..` and one `expect allow` or `expect deny`.",
        bad='test "reads" { when Clinician "nina" does read on Record "r1" }\n',
        good='test "reads" { when Clinician "nina" does read on Record "r1" expect deny }\n',
    ),
    # Limits -----------------------------------------------------------------------------------------------------------
    "too-large": Entry(
        STAGE,
        "over a limit of the language page, section 13",
        "What a policy set can cost is bounded before it runs: 20 000 rules, 255 attributes of a type, 10 000 elements "
        "of a collection, 5 000 nodes of a condition once its `define`s are expanded.",
        bad="define a(x: Int) = x + x + x + x + x + x + x + x + x + x + x + x + x + x + x + x + x + x + x + x\n"
        "define b(x: Int) = a(a(a(x)))\n",
        good="define a(x: Int) = x + x + x + x + x + x + x + x + x + x + x + x + x + x + x + x + x + x + x + x\n"
        "define b(x: Int) = a(a(x))\n",
    ),
}
