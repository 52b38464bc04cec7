"""`pdp audit review`: a sample that nobody chose, what was flagged, and who signed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pdp.audit.leaf import leaves
from pdp.audit.tree import checkpoint
from pdp.cli.main import main
from tests.unit.audit.seen import sealed, seen, told, written

MARCH = ("--in", "2026-03")
Capsys = pytest.CaptureFixture[str]


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    directory = tmp_path / "audit"
    directory.mkdir()
    many = [seen(f"2026-03-{day:02}T{hour:02}:00:00Z", f"u{hour}") for day in range(1, 29) for hour in range(8, 18)]
    odd = [
        seen("2026-03-05T03:00:00Z", "nina", purpose="BTG"),
        seen("2026-03-06T03:00:00Z", "nina", action="delete"),
        seen("2026-03-07T03:00:00Z", "omar", effect="deny"),
        seen("2026-04-07T03:00:00Z", "april", purpose="BTG"),
    ]
    written(directory, *many, *odd)
    told(directory, "finding", {"rule": "M1", "title": "denied often"}, "2026-03-08T00:00:00Z", {"sub": {"id": "omar"}})
    sealed(directory)
    return directory


def review(there: Path, capsys: Capsys, *arguments: str) -> tuple[int, str, str]:
    capsys.readouterr()
    try:
        code = main(["audit", "review", *arguments, "--directory", str(there)])
    except SystemExit as stop:
        code = int(stop.code or 0)
    said = capsys.readouterr()
    return code, said.out, said.err


def sample(there: Path, capsys: Capsys, size: str = "20", when: tuple[str, ...] = MARCH) -> dict[str, object]:
    code, _, err = review(there, capsys, "sample", *when, "--size", size)
    assert code == 0, err
    found = [each.members for each in leaves(there) if each.kind == "review.sample"]
    sealed(there)
    return dict(found[-1])


def test_a_sample_has_something_of_each_kind_and_what_was_flagged(there: Path, capsys: Capsys) -> None:
    drawn = sample(there, capsys)
    assert {name: len(places) for name, places in drawn["items"].items()} == {
        "break-glass": 1, "high-risk": 1, "denied": 1, "ordinary": 17,
    }  # fmt: skip
    assert drawn["population"]["break-glass"] == 1
    assert len(drawn["flagged"]) == 1


def test_the_same_log_and_period_give_the_same_sample_and_another_log_another(
    there: Path, tmp_path: Path, capsys
) -> None:
    one, two = sample(there, capsys), sample(there, capsys)
    assert (one["seed"], one["items"]) == (two["seed"], two["items"])
    other = sample(there, capsys, "21")
    assert other["seed"] != one["seed"]


def test_a_sample_cannot_be_chosen_by_whoever_takes_checkpoints_away(there: Path, capsys: Capsys) -> None:
    first = sample(there, capsys)
    for size in list(checkpoint.kept(there / "log"))[:-1]:
        (there / "log" / checkpoint.place(size)).unlink()
    again = sample(there, capsys)
    assert (again["seed"], again["items"]) == (first["seed"], first["items"])
    assert review(there, capsys, "show", "1")[0] == 0


def test_a_sample_of_a_part_that_somebody_chose_is_found_out(there: Path, capsys: Capsys) -> None:
    """All of it follows from the log, but the log ended before what should not be looked at."""
    drawn = sample(there, capsys)
    from pdp.audit.asking.gathered import origin
    from pdp.audit.asking.period import Period
    from pdp.audit.reports.reviews import draw

    every = [each for each in leaves(there) if each.kind == "decision" and (each.index or 0) < 281]
    part = draw(every, there / "log", origin(there), Period(*drawn["period"]), 20).members()
    told(there, "review.sample", part, "2026-05-01T00:00:00Z")
    sealed(there)
    assert review(there, capsys, "show", "1")[0] == 0
    assert review(there, capsys, "show", "2")[0] == 1


def test_who_says_no_type_does_not_sign_for_own_accesses_under_another_one(there: Path, capsys: Capsys) -> None:
    written(there, seen("2026-01-05T03:00:00Z", "paul", who_kind="Practitioner"))
    sealed(there)
    sample(there, capsys, when=("--in", "2026-01"))
    assert review(there, capsys, "signoff", "1", "--result", "ok", "--as", "paul")[0] == 1
    assert review(there, capsys, "signoff", "1", "--result", "ok", "--as", "vera")[0] == 0


def test_a_sample_names_nobody_in_its_record(there: Path, capsys: Capsys) -> None:
    said = json.dumps(sample(there, capsys))
    assert not [name for name in ("nina", "omar", "u9", "p1") if f'"{name}"' in said]


def test_the_items_are_shown_and_drawn_again(there: Path, capsys: Capsys) -> None:
    sample(there, capsys)
    code, out, _ = review(there, capsys, "show", "1")
    assert code == 0
    assert "the same when drawn again" in out
    assert "user:nina" in out
    assert "M1" in out
    code, out, _ = review(there, capsys, "show", "1", "--output", "json")
    assert len(json.loads(out)["items"]) == 21


def test_a_sample_that_somebody_made_up_is_found_out(there: Path, capsys: Capsys) -> None:
    drawn = sample(there, capsys)
    chosen = {name: drawn[name] for name in ("period", "size", "checkpoint", "seed", "population", "flagged", "until")}
    told(there, "review.sample", chosen | {"items": {"ordinary": [1, 2, 3]}}, "2026-05-01T00:00:00Z")
    sealed(there)
    code, out, _ = review(there, capsys, "show", "2")
    assert code == 1
    assert "NOT WHAT THE LOG GIVES" in out
    code, _, err = review(there, capsys, "signoff", "2", "--result", "ok", "--as", "vera")
    assert (code, "made up" in err) == (1, True)
    assert not [each for each in leaves(there) if each.kind == "review.signoff"]


def test_a_sample_that_leaves_flags_out_is_found_out(there: Path, capsys: Capsys) -> None:
    drawn = sample(there, capsys)
    assert drawn["flagged"]
    chosen = {name: drawn[name] for name in ("period", "size", "checkpoint", "seed", "items", "population")}
    told(there, "review.sample", chosen | {"flagged": [], "until": 1}, "2026-05-01T00:00:00Z")
    sealed(there)
    assert review(there, capsys, "show", "2")[0] == 1
    assert review(there, capsys, "signoff", "2", "--result", "ok", "--as", "vera")[0] == 1
    assert review(there, capsys, "signoff", "1", "--result", "ok", "--as", "vera")[0] == 0


@pytest.mark.parametrize("when", [("--from", "2026-03-01", "--to", "2999"), (), ("--last", "30d"), ("--to", "2026-03")])
def test_a_period_that_is_not_over_or_has_no_end_is_not_sampled(there: Path, when, capsys) -> None:
    code, _, err = review(there, capsys, "sample", *when)
    assert code == 2
    assert err.startswith("pdp: ")


def test_an_empty_period_is_a_review_of_nothing(there: Path, capsys: Capsys) -> None:
    assert not any(sample(there, capsys, when=("--in", "2025-03"))["items"].values())
    assert "nothing was recorded" in review(there, capsys, "show", "1")[1]


def test_a_review_is_open_until_it_is_signed(there: Path, capsys: Capsys) -> None:
    sample(there, capsys)
    assert " open " in review(there, capsys, "list", "--every", "9999d")[1]
    code, out, _ = review(there, capsys, "signoff", "1", "--result", "ok", "--as", "vera")
    assert (code, out) == (0, f"review 1 is signed by {_user()} as user:vera: ok\n")
    code, out, _ = review(there, capsys, "list", "--output", "json")
    (one,) = json.loads(out)["reviews"]
    assert (one["state"], one["signed"][0]["result"]) == ("ok", "ok")


def test_nobody_signs_for_own_accesses_alone(there: Path, capsys: Capsys, monkeypatch) -> None:
    sample(there, capsys)
    code, _, err = review(there, capsys, "signoff", "1", "--result", "ok", "--as", "user:nina")
    assert code == 1
    assert "not yours to sign alone" in err
    code, _, err = review(there, capsys, "signoff", "1", "--result", "ok", "--as", "omar")
    assert code == 1
    assert review(there, capsys, "signoff", "1", "--result", "ok", "--as", "vera")[0] == 0
    assert review(there, capsys, "signoff", "1", "--result", "ok", "--as", "vera")[0] == 2
    monkeypatch.setenv("LOGNAME", "another")  # Anybody can say that of themselves.
    again = "signoff", "1", "--result", "issue", "--note", "mine", "--as", "user:nina"
    assert review(there, capsys, *again)[0] == 2
    for place in ("operator", "tell"):
        monkeypatch.setattr(f"pdp.audit.{place}.operator", lambda: "another")
    assert review(there, capsys, *again)[0] == 0
    assert "own accesses among the items" in review(there, capsys, "list", "--every", "9999d")[1]


def test_what_cannot_be_opened_is_not_signed_alone(there: Path, capsys: Capsys) -> None:
    from pdp.audit.veil.privacy import Veil

    veil = Veil(there, subjects=True)
    veil.make()
    written(there, seen("2026-02-05T03:00:00Z", "nina"), veil=veil)
    sealed(there)
    sample(there, capsys, when=("--in", "2026-02"))
    assert review(there, capsys, "signoff", "1", "--result", "ok", "--as", "nina")[0] == 1
    shutil.move(there / "privacy", there / "gone")
    assert review(there, capsys, "signoff", "1", "--result", "ok", "--as", "vera")[0] != 0
    shutil.move(there / "gone", there / "privacy")
    assert review(there, capsys, "signoff", "1", "--result", "ok", "--as", "vera")[0] == 0


def test_the_settings_say_who_somebody_is(there: Path, tmp_path: Path, capsys: Capsys) -> None:
    sample(there, capsys)
    (tmp_path / "pdp.toml").write_text(f'[review]\nevery = "2w"\npeople = {{{_user()} = "user:nina"}}\n')
    code, _, err = review(there, capsys, "signoff", "1", "--result", "ok", "--as", "user:vera")
    assert code == 2
    assert "user:nina" in err
    assert review(there, capsys, "signoff", "1", "--result", "ok")[0] == 1
    (tmp_path / "pdp.toml").write_text('[review]\npeople = {somebody = "user:nina"}\n')
    assert review(there, capsys, "signoff", "1", "--result", "ok", "--as", "user:vera")[0] == 2


def test_what_is_overdue_is_said_and_exits_with_1(there: Path, capsys: Capsys) -> None:
    code, out, _ = review(there, capsys, "list", "--every", "1d")
    assert code == 1
    assert "no review was ever signed, and the log begins 2026-03-01" in out
    sample(there, capsys)
    review(there, capsys, "signoff", "1", "--result", "ok", "--as", "vera")
    assert review(there, capsys, "list", "--every", "1d")[0] == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["show", "7"],
        ["signoff", "7", "--result", "ok", "--as", "x"],
        ["signoff", "1", "--result", "issue", "--as", "x"],
        ["signoff", "1", "--result", "ok"],
        ["list", "--every", "often"],
        ["sample", *MARCH, "--size", "1001"],
    ],
)
def test_what_is_wrong_is_a_sentence(there: Path, capsys: Capsys, arguments: list[str]) -> None:
    code, _, err = review(there, capsys, *arguments)
    assert code == 2
    assert "pdp: " in err


def _user() -> str:
    from pdp.audit.operator import operator

    return operator()
