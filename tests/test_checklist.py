"""Every point of the checklist has a test, and the page that says so is current."""

from tests.checklist import POINTS, ROOT, found, page


def test_every_point_has_a_test() -> None:
    assert [number for number, tests in found().items() if not tests] == []
    assert list(POINTS) == list(range(1, 36))


def test_the_page_is_current() -> None:
    assert (ROOT / "docs/checklist.md").read_text("utf-8") == page(), "run scripts/make-catalogue"
