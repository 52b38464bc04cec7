"""`pdp check`: what it says of a sound set, of a broken one, and of what is no policy set at all."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from .conftest import Pdp

SOUND = 'entity User\naction read on User by User\npermit read on User as self "Oneself" when subject == resource\n'


def write(directory: Path, **files: str | bytes) -> Path:
    for name, content in files.items():
        data = content if isinstance(content, bytes) else content.encode()
        (directory / f"{name}.ward").write_bytes(data)
    return directory


def test_a_sound_set_is_counted(pdp: Pdp, tmp_path: Path) -> None:
    ran = pdp("check", write(tmp_path, a=SOUND))
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == (
        f"{tmp_path} checks: no findings (1 file, 1 rule, 0 routes, 0 tests, 0 invariants, 0 entities)\n"
    )


def test_with_notes_what_may_be_asked_is_listed_in_the_names_that_requests_use(pdp: Pdp) -> None:
    ran = pdp("check", "clinic", "--notes")
    assert "\nread on Record by user\n" in ran.out
    document = json.loads(pdp("check", "clinic", "--notes", "--output", "json").out)
    assert {"action": "read", "subjects": ["user"], "resources": ["Record"]} in document["questions"]
    assert "questions" not in json.loads(pdp("check", "clinic", "--output", "json").out)


def test_warnings_are_findings_only_if_strict(pdp: Pdp) -> None:
    ran = pdp("check", "clinic")
    assert ran.code == 0
    assert "warning[release-overlap]" in ran.out
    assert "clinic checks: 1 warning (1 file, 6 rules, 4 routes, 6 tests, 0 invariants, 7 entities)" in ran.out
    assert pdp("check", "clinic", "--strict").code == 1


def test_every_broken_file_is_told_with_its_line(pdp: Pdp, tmp_path: Path) -> None:
    set_ = write(tmp_path, sound=SOUND, one="permit read on", two=SOUND.replace("User", "User2") + "permitt x")
    ran = pdp("check", set_)
    assert ran.code == 3
    assert f"{tmp_path}/one.ward:1:" in ran.out
    assert f"{tmp_path}/two.ward:4:1" in ran.out
    assert "sound.ward" not in ran.out
    assert "does not check: " in ran.out.splitlines()[-1]


def test_every_command_that_decides_refuses_a_broken_set(pdp: Pdp, tmp_path: Path) -> None:
    write(tmp_path, sound=SOUND, broken="permit read on User as open when subject.name == 1\n")
    asked = ("--subject", "User:a", "--action", "read", "--resource", "User:a")
    for arguments in (("eval", *asked), ("explain", *asked), ("test",), ("routes",)):
        ran = pdp(arguments[0], tmp_path, *arguments[1:])
        assert (ran.code, ran.out) == (3, "")
        assert "broken.ward:1:" in ran.err
        assert ran.err.endswith("pdp: the policy set does not check: 1 error\n")


def test_broken_data_are_told_and_refuse_the_set(pdp: Pdp, clinic: Path) -> None:
    data = clinic / "data" / "all.jsonl"
    data.write_text(data.read_text().replace('"clearance": 2', '"clearance": "2"'))
    ran = pdp("check", clinic)
    assert ran.code == 3
    assert "all.jsonl:1:" in ran.out
    assert "release-overlap" in ran.out, "the warnings of the policies are still said"
    asked = ("--subject", "user:nina", "--action", "read", "--resource", "Record:r1")
    assert pdp("eval", clinic, *asked).code == 3


def test_a_flood_of_findings_is_cut_off_for_people_and_whole_for_machines(pdp: Pdp, tmp_path: Path) -> None:
    rules = "".join(f"permit read on User as r{i} when subject.name == {i}\n" for i in range(100))
    write(tmp_path, a=SOUND + rules)
    ran = pdp("check", tmp_path)
    assert ran.out.count("error[") == 40
    assert "and 60 more" in ran.out
    assert len(json.loads(pdp("check", tmp_path, "--output", "json").out)["diagnostics"]) == 100


def test_json_has_findings_and_counts(pdp: Pdp) -> None:
    said = json.loads(pdp("check", "clinic", "--output", "json").out)
    assert [each["code"] for each in said["diagnostics"]] == ["release-overlap"]
    assert said["counts"]["rules"] == 6


def test_sarif_has_the_shape_that_code_scanners_read(pdp: Pdp) -> None:
    said = json.loads(pdp("check", "clinic", "--output", "sarif").out)
    assert said["version"] == "2.1.0"
    assert "sarif" in said["$schema"]
    (run,) = said["runs"]
    rules = {rule["id"] for rule in run["tool"]["driver"]["rules"]}
    (result,) = run["results"]
    assert result["ruleId"] in rules
    assert result["level"] == "warning"
    assert result["message"]["text"]
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "clinic/policy.ward"
    assert {"startLine", "startColumn", "endLine", "endColumn"} <= set(place["region"])


# What is no policy set: one clear message each.


def test_a_missing_path(pdp: Pdp) -> None:
    ran = pdp("check", "no-such-directory")
    assert (ran.code, ran.err) == (2, "pdp: there is no file or directory no-such-directory\n")
    below = pdp("check", "no/such/directory")
    assert below.err.splitlines()[1] == "     hint: there is no directory no/such either"


def test_an_empty_directory(pdp: Pdp, tmp_path: Path) -> None:
    ran = pdp("check", tmp_path)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"pdp: no policy files in {tmp_path}\n     hint: policy files end in .ward")


def test_a_huge_file_is_not_read(pdp: Pdp, tmp_path: Path) -> None:
    write(tmp_path, sound=SOUND)
    with (tmp_path / "huge.ward").open("wb") as huge:
        huge.truncate(1 << 40)
    ran = pdp("check", tmp_path)
    assert ran.code == 3
    assert "huge.ward" in ran.out
    assert "error[file-too-large]" in ran.out


BINARY = (bytes(range(256)), b"\x7fELF\0\0\0", b"entity User\xff\n", "entity A".encode("utf-16"))


@pytest.mark.parametrize("content", BINARY)
def test_a_binary_file(pdp: Pdp, tmp_path: Path, content: bytes) -> None:
    for path in (write(tmp_path, binary=content), tmp_path / "binary.ward"):
        ran = pdp("check", path)
        assert ran.code == 3
        assert "binary.ward" in ran.out
        assert "Traceback" not in ran.err


@pytest.mark.skipif(os.name != "posix", reason="modes are of POSIX")
def test_no_permission(pdp: Pdp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the tests run as root, who may read everything: the system call is refused by hand."""
    write(tmp_path, secret=SOUND, open=SOUND)
    honest = os.open

    def refusing(path: object, *arguments: int, **options: object) -> int:
        if str(path).endswith("secret.ward"):
            raise PermissionError(13, "Permission denied", str(path))
        return honest(path, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", refusing)
    ran = pdp("check", tmp_path)
    assert ran.code == 3
    assert "secret.ward" in ran.out
    assert "Permission denied" in ran.out


def test_a_pipe_does_not_hang(pdp: Pdp, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.ward")
    assert pdp("check", tmp_path / "pipe.ward").code == 2
    write(tmp_path, a=SOUND)
    ran = pdp("check", tmp_path)
    assert ran.code == 3
    assert "not a regular file" in ran.out


def test_a_name_that_no_file_can_have(pdp: Pdp) -> None:
    ran = pdp("check", "a\0b")
    assert (ran.code, len(ran.err.splitlines())) == (2, 1)


def test_a_single_file_is_a_set_without_data(pdp: Pdp) -> None:
    assert "0 entities" in pdp("check", "clinic/policy.ward").out


def test_settings_beside_the_policies_are_compared_with_them(pdp: Pdp, tmp_path: Path) -> None:
    set_ = write(tmp_path, a=SOUND)
    (tmp_path / "pdp.toml").write_text('[pep.a]\nobligations = ["call"]\n')
    ran = pdp("check", set_, "--output", "json")
    (found,) = json.loads(ran.out)["diagnostics"]
    assert (ran.code, found["code"], found["severity"]) == (0, "settings-disagree", "warning")
    assert pdp("check", set_, "--strict").code == 1
    (tmp_path / "pdp.toml").write_text('[pep.a]\ndoor = "authzen"\n')
    assert "no findings" in pdp("check", set_, "--strict").out


def test_settings_that_need_another_machine_are_only_noted(pdp: Pdp, tmp_path: Path) -> None:
    (tmp_path / "pdp.toml").write_text('pep_secret_file = "/nowhere/secret"\n')
    ran = pdp("check", write(tmp_path, a=SOUND), "--output", "json")
    assert [each["code"] for each in json.loads(ran.out)["diagnostics"]] == ["settings-not-usable-here"]
    assert pdp("check", tmp_path, "--strict").code == 0
