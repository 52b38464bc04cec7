from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

import pytest

from pdp.config import ConfigError, Settings, issuers, load
from pdp.identity.issuer import Issuer, KeySource, Reading
from tests.unit.identity.tokens import signer

GOOD = """
[issuer.idp]
issuer = "https://idp.hospital.example/"
audience = "https://ehr.hospital.example"
keys_url = "https://idp.hospital.example/jwks?p=a"
"""
OPAQUE = """
[issuer.idp]
token = "opaque"
issuer = "https://idp.hospital.example"
audience = ["a"]
client_id = "chaperone"
introspection_url = "https://idp.hospital.example/introspect"
"""


def settings(directory: Path, text: str) -> Settings:
    (directory / "pdp.toml").write_text(text)
    return load({}, directory)


def issuer(directory: Path, text: str) -> Issuer:
    (found,) = settings(directory, text).issuers
    return found


def problems(directory: Path, text: str) -> str:
    with pytest.raises(ConfigError) as error:
        settings(directory, text)
    return "\n".join(error.value.problems)


def test_an_issuer_needs_four_lines_and_its_defaults_are_strict(tmp_path: Path) -> None:
    found = issuer(tmp_path, GOOD)
    assert found == Issuer(
        "idp",
        "https://idp.hospital.example/",
        frozenset({"https://ehr.hospital.example"}),
        keys=KeySource(url="https://idp.hospital.example/jwks?p=a"),
    )
    assert (found.kind, found.sender_constrained, found.max_lifetime_seconds) == ("access", False, 86_400)


def test_every_key_is_read(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("x")
    found = issuer(
        tmp_path,
        r"""
[issuer.idp]
token = "jwt"
issuer = "https://idp.example"
audience = ["a", "b"]
algorithms = ["ES384", "EdDSA"]
discovery = true
refresh_seconds = 60
cooldown_seconds = 5
keep_keys_seconds = 600
timeout_milliseconds = 500
ca_file = "ca.pem"
profile = "smart"
smart_scopes = false
subject_claim = 'ids.https://a\.b/staff'
subject_prefix = "p:"
subject_type_claim = "kind"
subject_types = { employee = "user" }
sender_constrained = true
max_token_bytes = 4096
max_lifetime_seconds = 3600
leeway_seconds = 0
codes = { "T-TREAT" = "http://terminology.hl7.org/CodeSystem/v3-ActReason|TREAT" }
[issuer.idp.claims]
role = "realm_access.roles"
purpose = { path = "purpose", as = "one-code" }
""",
    )
    assert found.keys == KeySource(discovery=True, refresh_seconds=60, cooldown_seconds=5, keep_seconds=600)
    assert (found.kind, found.algorithms, found.profile) == ("jwt", {"ES384", "EdDSA"}, "smart")
    assert found.subject_claim == ("ids", "https://a.b/staff")
    assert found.types() == {"user"}
    assert found.claims == {"role": Reading(("realm_access", "roles")), "purpose": Reading(("purpose",), "one-code")}
    assert found.access.ca_file == tmp_path / "ca.pem"
    assert found.smart_scopes is False


def test_an_opaque_issuer_has_an_introspection(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("0123456789abcdef\n")
    found = issuer(tmp_path, OPAQUE + 'client_secret_file = "secret"\nintrospection_cache_seconds = 5\n')
    assert found.introspection is not None
    assert (found.introspection.client, found.introspection.cache_seconds) == ("chaperone", 5)
    assert "0123456789abcdef" not in repr(found)


def test_keys_in_line_and_in_a_file_are_checked_at_start(tmp_path: Path) -> None:
    head = '[issuer.idp]\nissuer = "https://i"\naudience = "a"\n'
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [signer().jwk()]}))
    assert issuer(tmp_path, head + 'keys_file = "keys.json"').keys.file == tmp_path / "keys.json"
    public = ", ".join(f'{name} = "{value}"' for name, value in signer().jwk().items())
    assert len(issuer(tmp_path, head + f"keys = [{{ {public} }}]").keys.inline) == 1
    assert "private" in problems(tmp_path, head + f'keys = [{{ {public}, d = "AAAA" }}]')
    for content in ("", "{}", '{"keys": []}', json.dumps({"keys": [signer().jwk(d="AAAA")]})):
        (tmp_path / "keys.json").write_text(content)
        assert "keys_file" in problems(tmp_path, head + 'keys_file = "keys.json"')
    assert "cannot be read" in problems(tmp_path, head + 'keys_file = "none.json"')


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ('token = "any"', "`token` must be one of"),
        ('algorithms = ["HS256"]', "`algorithms` must list"),
        ('algorithms = ["none"]', "`algorithms` must list"),
        ("algorithms = []", "`algorithms` must list"),
        ('keys_file = "x"', "needs one of"),
        ('key_url = "x"', "did you mean `keys_url`?"),
        ("max_token_bytes = 16385", "max_token_bytes"),
        ("leeway_seconds = 121", "leeway_seconds"),
        ('profile = "saml"', "`profile` must be one of"),
        ('claims = { role = "a..b" }', "`claims.role`"),
        ("claims = { role = 7 }", "`claims.role`"),
        ('claims = { "a b" = "x" }', "`claims.a b`"),
        ('claims = { role = { path = "a", as = "shout" } }', "`as` must be one of"),
        ('claims = { role = { path = "a", how = "code" } }', "`claims.role`"),
        ('codes = { x = "TREAT" }', "`codes` must map"),
        ('subject_type_claim = "kind"', "`subject_types`"),
        ('subject_types = { a = "user" }', "`subject_type_claim`"),
        ('subject_type = "user"\nsubject_type_claim = "k"\nsubject_types = { a = "b" }', "is fixed, or"),
        ('subject_claim = "a."', "`subject_claim`"),
        ('ca_file = "none.pem"', "is no file"),
        ('client_certificate_file = "none.pem"', "need each other"),
        ('introspection_url = "https://x"', "unknown key"),
    ],
)
def test_what_may_not_be_said_is_told(tmp_path: Path, line: str, part: str) -> None:
    assert part in problems(tmp_path, GOOD + line)


@pytest.mark.parametrize("gone", ["issuer =", "audience =", "keys_url ="])
def test_what_is_missing_is_told(tmp_path: Path, gone: str) -> None:
    text = "\n".join(line for line in GOOD.splitlines() if not line.startswith(gone))
    assert gone.split()[0].removesuffix("_url") in problems(tmp_path, text)


@pytest.mark.parametrize("url", ["http://idp.example/jwks", "file:///etc/passwd", "https://u:p@idp.example", "idp"])
def test_keys_come_by_https_or_from_this_machine(tmp_path: Path, url: str) -> None:
    assert "https" in problems(tmp_path, GOOD.replace("https://idp.hospital.example/jwks?p=a", url))


@pytest.mark.parametrize("audience", ["[]", '""', "7", '["a", 7]', '[" "]'])
def test_an_audience_is_needed(tmp_path: Path, audience: str) -> None:
    assert "`audience`" in problems(tmp_path, GOOD.replace('"https://ehr.hospital.example"', audience))


def test_whoever_asks_for_introspections_proves_who_it_is(tmp_path: Path) -> None:
    assert "must prove who asks" in problems(tmp_path, OPAQUE)
    assert "introspection_url" in problems(tmp_path, OPAQUE.replace("introspection_url", "introspection_uri"))


def test_two_issuers_may_not_be_taken_for_one_another(tmp_path: Path) -> None:
    other = GOOD.replace("issuer.idp]", "issuer.other]")
    assert "is the issuer of [issuer.idp], too" in problems(tmp_path, GOOD + other)
    assert "is the issuer of [issuer.idp], too" in problems(tmp_path, GOOD + other + 'token = "jwt"')
    other = other.replace("hospital.example/", "partner.example/")
    assert "could name the same subject" in problems(tmp_path, GOOD + other)
    assert len(settings(tmp_path, GOOD + other + 'subject_type = "partner"').issuers) == 2
    other += 'subject_prefix = "a:"\n'
    third = other.replace("issuer.other]", "issuer.third]").replace("partner.", "third.")
    assert "could name the same subject as [issuer.other]" in problems(tmp_path, GOOD + other + third)
    found = settings(tmp_path, GOOD + other + third.replace('"a:"', '"a:b:"')).issuers
    assert [each.reserved_prefixes for each in found] == [("a:", "a:b:"), ("a:b:",), ()]
    other = other.replace('subject_prefix = "a:"', "")
    both = GOOD + "shares_subjects = true\n" + other + "shares_subjects = true\n"
    assert len(settings(tmp_path, both).issuers) == 2


def test_one_provider_may_sign_some_tokens_and_be_asked_about_others(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("0123456789abcdef")
    opaque = OPAQUE.replace("idp]", "opaque]").replace('hospital.example"\naud', 'hospital.example/"\naud')
    opaque += 'client_secret_file = "secret"\nshares_subjects = true\n'
    found = settings(tmp_path, GOOD + "shares_subjects = true\n" + opaque).issuers
    assert len({each.issuer for each in found}) == 1
    assert "could name the same subject" in problems(tmp_path, GOOD + opaque)


def test_sections_that_contradict_each_other_are_told(tmp_path: Path) -> None:
    assert "there is no [issuer.idq]" in problems(tmp_path, GOOD + '[pep.a]\nissuers = ["idq"]\n')
    svid = '[issuer.mesh]\ntoken = "svid"\nissuer = "hospital.example"\naudience = "a"\nkeys_url = "https://s"\n'
    assert "there is no [trust_domain" in problems(tmp_path, svid)
    domain = '[trust_domain."hospital.example"]\nsubject_type = "user"\npaths = ["/*"]\n'
    assert settings(tmp_path, svid + domain).issuers[0].kind == "svid"
    assert settings(tmp_path, GOOD + domain).issuers
    short = domain + 'subject_id = "last-segment"\n'
    assert "could name the same subject as [trust_domain.hospital.example]" in problems(tmp_path, GOOD + short)


def section() -> str:
    page = (Path(__file__).parents[3] / "docs/settings.md").read_text()
    return page.split("## Issuers")[1].split("\n## ")[0]


def test_the_example_of_the_settings_page_is_good(tmp_path: Path) -> None:
    (tmp_path / "introspection.secret").write_text("0123456789abcdef")
    example = section().split("```toml\n")[1].split("```")[0]
    assert [each.name for each in settings(tmp_path, example).issuers] == ["hospital", "legacy", "partner"]


def test_the_settings_page_tells_of_every_key() -> None:
    source = inspect.getsource(issuers)
    keys = set(
        re.findall(
            r'(?:table|self)\.(?:_?\w+)\(\s*"(\w+)"|_path\("(\w+)"|"(\w+)" in table|_readable\(table, "(\w+)"', source
        )
    )
    named = {name for found in keys for name in found if name}
    assert len(named) > 25
    assert {name for name in named if f"`{name}`" not in section()} == set()
