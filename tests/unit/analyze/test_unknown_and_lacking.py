"""What a test can give beside values: `unknown`; and records that lack a field, in tests and in explanations."""

from __future__ import annotations

from pathlib import Path

from pdp.cli.main import main

UNKNOWN = """
entity U { banned: Bool? from source dac  role: Text? from token  n: Int? from caller }
entity D { ok: Bool? from caller }
action read on D by U { soft: Bool? from caller }
context { why: Text? from caller }
forbid read on D as banned unless not subject has banned
forbid read on D as role when subject has role
forbid read on D as n when subject has n
forbid read on D as ok when resource has ok
forbid read on D as soft when action has soft
forbid read on D as why when context has why
permit read on D as p
test "nothing given is absent" {
    given U "u" {} given D "d" {} when U "u" does read on D "d" expect allow expect errors nothing
}
test "a source that fails" {
    given U "u" { banned: unknown } given D "d" {}
    when U "u" does read on D "d" expect deny by banned expect errors banned
}
test "a token that fails" {
    given U "u" { role: unknown } given D "d" {} when U "u" does read on D "d" expect deny by role expect errors role
}
test "a caller that says what does not fit" {
    given U "u" { n: unknown } given D "d" { ok: unknown }
    given action { soft: unknown } given context { why: unknown }
    when U "u" does read on D "d" expect deny by n, ok, soft, why expect errors n, ok, soft, why
}
"""

LACKING = """
entity U
entity D { gs: List<{ who: U, until: Date? }> }
action read on D by U
permit read on D as r when any g in resource.gs: g.who == subject
permit read on D as s when all g in resource.gs: g has until and g.until > date("2026-01-01") or g == g
test "t" {
    given D "d" { gs: [{ who: "v" }, { who: "u", until: "2026-02-01" }] }
    when U "u" does read on D "d" expect allow by r
}
"""


def test_a_place_that_fails_can_be_given(tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "p.ward").write_text(UNKNOWN)
    assert main(["test", str(tmp_path)]) == 0, capsys.readouterr().out


def test_elements_that_lack_a_field_are_explained(tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "p.ward").write_text(LACKING)
    assert main(["test", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert "expected r, got r, s" in said
    assert "until: absent" in said
