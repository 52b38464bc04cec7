"""Codes of reading a file: its bytes, its tokens, its grammar."""

from __future__ import annotations

from typing import Final

from pdp.diagnostics.catalogue.entry import Entry

STAGE: Final = "parse"

ENTRIES: Final[dict[str, Entry]] = {
    # Files ------------------------------------------------------------------------------------------------------------
    "not-utf8": Entry(
        STAGE,
        "the file is not UTF-8",
        "Policy files are UTF-8, so that everybody reads the same text. The place is that of the first byte "
        "that is not.",
        bad="# caf\udce9\n",
        good="# café\n",
    ),
    "byte-order-mark": Entry(
        STAGE,
        "the file begins with a byte order mark",
        "UTF-8 has no byte order, and the mark is a character that does not show. Save the file without it.",
        bad="\ufeffentity Patient\n",
        good="entity Patient\n",
    ),
    "hidden-character": Entry(
        STAGE,
        "a character that does not show, or that changes how the text around it is shown",
        "Control characters, zero-width characters, marks that turn the direction of reading and unusual "
        "line ends make a "
        "reviewer see another policy than the one that runs. They are refused everywhere, in comments too. A text that "
        "needs one writes it as an escape.",
        bad='define Name = "nina\u202e"\n',
        good='define Name = "nina\\u{202E}"\n',
    ),
    "file-too-large": Entry(
        STAGE,
        "the file is larger than 1 MiB",
        "Split it. The order of files never matters, and all names of a policy set are in one name space.",
        bad="entity Patient\n",
        good="# A file of 1 MiB is fine.\n",
        repeat=("# Sixteen bytes.\n", 65_536),
    ),
    "merge-conflict": Entry(
        STAGE,
        "the file holds the marks of a merge conflict",
        "Two versions stand in the file one after the other, and nobody has decided between them. Nothing else is said "
        "of the file until then.",
        bad="entity Patient\n<<<<<<< HEAD\nentity Ward\n=======\nentity Room\n>>>>>>> rooms\n",
        good="entity Patient\nentity Room\n",
    ),
    # Tokens -----------------------------------------------------------------------------------------------------------
    "unknown-character": Entry(
        STAGE,
        "a character that begins nothing in Ward",
        "Names are ASCII letters, digits and `_`; the signs are those of the language page. Any character "
        "may stand in a "
        "text or a comment.",
        bad="entity Patient;\n",
        good="entity Patient # ;\n",
    ),
    "unclosed-text": Entry(
        STAGE,
        "a text that does not end on its line",
        'A text stands in double quotes on one line. A line end in it is written `\\n`, a double quote `\\"`.',
        bad='define Name = "nina\n',
        good='define Name = "nina"\n',
    ),
    "single-quotes": Entry(
        STAGE,
        "a text in single quotes",
        "There is one way to write a text: in double quotes.",
        bad="define Name = 'nina'\n",
        good="define Name = \"'nina'\"\n",
    ),
    "bad-escape": Entry(
        STAGE,
        "an escape that does not exist",
        'The escapes are `\\"`, `\\\\`, `\\n`, `\\t` and `\\u{1F600}`, the number of a character in hexadecimal.',
        bad='define Pattern = "\\d+"\n',
        good='define Pattern = "\\\\d+"\n',
    ),
    "number-too-long": Entry(
        STAGE,
        "a number of more than 40 digits",
        "An Int has 64 bits, which is at most 19 digits; a Decimal has four more.",
        bad="define Big = 10000000000000000000000000000000000000000\n",
        good="define Big = 1000000000000000000\n",
    ),
    "unknown-unit": Entry(
        STAGE,
        "a unit of time that does not exist",
        "A duration is a whole number and one of milliseconds, seconds, minutes, hours, days, weeks, "
        "singular or plural. A "
        "month or a year has no fixed length: use `add_months` or `add_years`.",
        bad="define Shift = 8 ours\n",
        good="define Shift = 8 hours\n",
    ),
    "bad-duration": Entry(
        STAGE,
        "a duration that is not a whole number of units",
        "Use a smaller unit: 90 minutes, not 1.5 hours.",
        bad="define Shift = 1.5 hours\n",
        good="define Shift = 90 minutes\n",
    ),
    # Grammar ----------------------------------------------------------------------------------------------------------
    "unexpected-token": Entry(
        STAGE,
        "a word or sign that cannot stand where it does",
        "The hint says what could, or what was probably meant. Reading goes on at the next declaration.",
        bad="permit read Record as reading\n",
        good="permit read on Record as reading\n",
    ),
    "unexpected-end": Entry(
        STAGE,
        "the text ends in the middle of a declaration",
        "Most often a brace or a parenthesis is not closed.",
        bad="entity Patient {\n",
        good="entity Patient { }\n",
    ),
    "unknown-keyword": Entry(
        STAGE,
        "a word that is not a keyword, and looks like one",
        "Keywords are written in small letters.",
        bad="permitt read on Record as reading\n",
        good="permit read on Record as reading\n",
    ),
    "reserved-word": Entry(
        STAGE,
        "a keyword where a name is due",
        "Words with a meaning cannot be names or ids. Attributes may bear them, all but `from` and `provisioned`.",
        bad="entity Route\nentity route\n",
        good="entity Route { route: Text }\n",
    ),
    "wrong-operator": Entry(
        STAGE,
        "an operator of another language",
        "Ward writes `and`, `or`, `not`, and `==` for equality; a single `=` gives a name to something.",
        bad="permit read on Record as reading when subject.active = true && !resource.sealed\n",
        good="permit read on Record as reading when subject.active == true and not resource.sealed\n",
    ),
    "chained-comparison": Entry(
        STAGE,
        "a comparison of a comparison",
        "`a < b < c` compares a Bool with c in most languages, and means two comparisons in some. Write `a < "
        "b and b < c`, "
        "or `b between a and c`.",
        bad="permit read on Record as reading when 1 < subject.clearance < 5\n",
        good="permit read on Record as reading when 1 < subject.clearance and subject.clearance < 5\n",
    ),
    "has-a-path": Entry(
        STAGE,
        "`has` with more than one name",
        "`has` asks for one attribute of what stands before it. Each step of a path that may be missing needs its own.",
        bad="permit read on Record as reading when context has transport.tls\n",
        good="permit read on Record as reading when context has transport and context.transport has tls\n",
    ),
    "optional-member": Entry(
        STAGE,
        "a collection of values that may be missing",
        "A Set or List holds values only. Put the `?` behind the collection, or leave it out.",
        bad="entity Record { tags: Set<Text?> }\n",
        good="entity Record { tags: Set<Text>? }\n",
    ),
    "duplicate-clause": Entry(
        STAGE,
        "a clause that may be written once is written twice",
        "A rule has one condition, one exception, one sentence for the refused, and so on, so that a reader "
        "need not look "
        "further. Join two conditions by `and`; only `require` and `advise` may come as often as wanted.",
        bad='forbid any on any as closed because "closed" because "shut"\n',
        good='forbid any on any as closed because "closed"\n',
    ),
    "field-of-no-parameter": Entry(
        STAGE,
        "a field stands where a query parameter is due",
        "Query parameters are texts in quotes, and `searches` says which fields one of them searches.",
        bad='route GET "/patients/{p}" does read on Patient p query "_summary"?, /name\n',
        good='route GET "/patients/{p}" does read on Patient p query "_summary"?, "name"? searches /name, /birthDate\n',
    ),
    "misplaced-header": Entry(
        STAGE,
        "`module`, `layer` or `use` after a declaration",
        "What a file is and what it can see is said at its beginning.",
        bad="entity Patient\nuse hospital.people\n",
        good="use hospital.people\nentity Patient\n",
    ),
    "duplicate-header": Entry(
        STAGE,
        "a second `module` or `layer` line",
        "A file belongs to one module and one layer.",
        bad="module hospital\nmodule clinic\n",
        good="module hospital\nuse clinic\n",
    ),
    "unknown-layer": Entry(
        STAGE,
        "a layer that does not exist",
        "The layers are `base`, `organisation` and `service`, from the lowest.",
        bad="layer department\n",
        good="layer organisation\n",
    ),
    "nesting-too-deep": Entry(
        STAGE,
        "an expression, type or value nests deeper than 200",
        "Every stage after the parser may rely on this bound. A long chain is deep too: compare with a set, as in "
        "`x in {a, b}`, or give parts a name by `define`.",
        bad="define Deep = " + "not " * 201 + "true\n",
        good="define Deep = " + "not " * 190 + "true\n",
    ),
}
