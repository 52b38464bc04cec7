"""nginx's configuration text -> directives that know their places, with what they include put in.

    directive: WORD WORD* (";" | "{" directive* "}")

A word ends at a blank, `;` or `{`; it may be quoted, and `${name}` in it is one piece. Strict: what nginx would refuse
is a finding, and nothing of the file is judged.
"""

from __future__ import annotations

import fnmatch
import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from pdp.diagnostics.source import Source, Span
from pdp.lint.document import MAX_CHARACTERS
from pdp.lint.findings import Findings

MAX_DIRECTIVES: Final = 50_000
MAX_DEPTH: Final = 32
MAX_INCLUDES: Final = 16
"""How deep files include files."""
MAX_EXPANDED: Final = 200_000
"""Directives, each as often as the file that it stands in is included."""

_BLANK: Final = " \t\r\n"
_SCRIPT: Final = "_by_lua_block"


@dataclass(frozen=True, slots=True)
class Word:
    text: str
    span: Span
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Directive:
    name: str
    args: tuple[Word, ...]
    span: Span  # of its first line, without the block
    block: tuple[Directive, ...] | None = None

    def arg(self, at: int) -> str:
        return self.args[at].text if at < len(self.args) else ""


class Unreadable(Exception):
    def __init__(self, span: Span, message: str) -> None:
        super().__init__(message)
        self.span = span


def read(source: Source, findings: Findings) -> tuple[Directive, ...] | None:
    """The directives of one file; None, and a finding, where it cannot be read."""
    try:
        if len(source.text) > MAX_CHARACTERS:
            raise Unreadable(Span(source, 0, 1), f"the file has more than {MAX_CHARACTERS:,} characters")
        return _Parser(source).directives()
    except Unreadable as error:
        findings.add("nginx-syntax", error.span, str(error), "nothing of this file was judged; `nginx -t` says more")
        return None


class _Parser:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._text = source.text.removeprefix("\ufeff")
        self._base = len(source.text) - len(self._text)
        self._at = 0
        self._count = 0

    def directives(self, depth: int = 0) -> tuple[Directive, ...]:
        found: list[Directive] = []
        while True:
            self._blanks()
            if self._at >= len(self._text):
                if depth:
                    raise self._wrong("a block is not closed")
                return tuple(found)
            if self._text[self._at] == "}":
                if not depth:
                    raise self._wrong("a `}` without its `{`")
                self._at += 1
                return tuple(found)
            found.append(self._directive(depth))

    def _directive(self, depth: int) -> Directive:
        self._count += 1
        if self._count > MAX_DIRECTIVES or depth > MAX_DEPTH:
            raise self._wrong("too many directives, or nested too deep")
        words: list[Word] = []
        while True:
            self._blanks()
            if self._at >= len(self._text):
                raise self._wrong("a directive is not ended by `;`")
            end = self._text[self._at]
            if end in ";{" and not words:
                raise self._wrong(f"a `{end}` without a directive before it")
            if end == "}":
                raise self._wrong("a directive is not ended by `;`")
            if end in ";{":
                break
            words.append(self._word())
        self._at += 1
        span = Span(self._source, words[0].span.start, words[-1].span.end)
        block = None if end == ";" else self._block(words[0], depth)
        return Directive(words[0].text, tuple(words[1:]), span, block)

    def _block(self, name: Word, depth: int) -> tuple[Directive, ...]:
        if not name.text.endswith(_SCRIPT):
            return self.directives(depth + 1)
        depth = 1  # Of braces in a script, which is not read.
        while depth:
            if self._at >= len(self._text):
                raise self._wrong("a block is not closed")
            depth += {"{": 1, "}": -1}.get(self._text[self._at], 0)
            self._at += 1
        return ()

    def _blanks(self) -> None:
        """Past blanks and comments."""
        while self._at < len(self._text):
            if self._text[self._at] == "#":
                end = self._text.find("\n", self._at)
                self._at = len(self._text) if end < 0 else end
            elif self._text[self._at] in _BLANK:
                self._at += 1
            else:
                return

    def _word(self) -> Word:
        start = self._at
        quote = self._text[start] if self._text[start] in "\"'" else ""
        text = self._quoted(quote) if quote else self._bare()
        return Word(text, Span(self._source, self._base + start, self._base + self._at), bool(quote))

    def _quoted(self, quote: str) -> str:
        self._at += 1
        parts = []
        while self._at < len(self._text) and self._text[self._at] != quote:
            parts.append(self._character(quote))
        if self._at >= len(self._text):
            raise self._wrong("a quote is not closed")
        self._at += 1
        if self._at < len(self._text) and self._text[self._at] not in _BLANK + ";{)":
            raise self._wrong("something stands right behind a closing quote")
        return "".join(parts)

    def _character(self, quote: str) -> str:
        here = self._text[self._at]
        self._at += 1
        if here != "\\" or self._at >= len(self._text):
            return here
        escaped = self._text[self._at]
        self._at += 1
        if escaped in "\"'\\" or escaped == quote:
            return escaped
        return {"t": "\t", "r": "\r", "n": "\n"}.get(escaped, "\\" + escaped)

    def _bare(self) -> str:
        parts: list[str] = []
        while self._at < len(self._text) and self._text[self._at] not in _BLANK + ";":
            here = self._text[self._at]
            if here == "{" and not (parts and parts[-1] == "$"):
                break
            if here == "{":
                end = self._text.find("}", self._at)
                if end < 0:
                    raise self._wrong("a `${` is not closed")
                parts.append(self._text[self._at : end + 1])
                self._at = end + 1
            else:
                parts.append(self._character(""))
        return "".join(parts)

    def _wrong(self, message: str) -> Unreadable:
        at = min(self._base + self._at, max(len(self._source.text) - 1, 0))
        return Unreadable(Span(self._source, at, min(at + 1, len(self._source.text))), message)


# ------------------------------------------------------------------------------------------------------------ includes


def included(directives: Sequence[Directive]) -> Iterator[Directive]:
    """Every `include`, at any depth."""
    for each in directives:
        if each.name == "include":
            yield each
        yield from included(each.block or ())


def harmless(pattern: str) -> bool:
    """A file of nginx's own that decides nothing: types of files, names of parameters."""
    return posixpath.basename(pattern) in ("mime.types", "fastcgi_params", "uwsgi_params", "scgi_params")


class Includes:
    """The files that an `include` can mean. A file is found by its whole name, or by the end of it."""

    def __init__(self, sources: Sequence[Source], findings: Findings) -> None:
        self._sources = list(sources)
        self._findings = findings
        self.used: set[str] = set()
        self._inside: list[str] = []
        self._contents: dict[str, tuple[Directive, ...]] = {}
        self._count = 0

    def whole(self, source: Source, directives: Sequence[Directive]) -> tuple[Directive, ...]:
        """A configuration, with what it includes."""
        self._inside = [source.name]
        return self._expanded(directives)

    def _expanded(self, directives: Sequence[Directive], depth: int = 0) -> tuple[Directive, ...]:
        found: list[Directive] = []
        for each in directives:
            self._count += 1
            if self._count > MAX_EXPANDED:
                self._unjudged(each, "files include files too often")
                break
            if each.name == "include" and each.block is None:
                found.extend(self._content(each, depth))
            else:
                block = None if each.block is None else self._expanded(each.block, depth)
                found.append(replace(each, block=block))
        return tuple(found)

    def _content(self, include: Directive, depth: int) -> tuple[Directive, ...]:
        pattern = include.arg(0)
        if harmless(pattern):
            return ()
        matching = [each for each in self._sources if _matches(each.name, pattern)]
        if not matching and not any(mark in pattern for mark in "*?["):
            self._unjudged(include, "a file that is included was not given, and decides what it decides")
        if matching and depth >= MAX_INCLUDES:
            self._unjudged(include, "files include files too deep")
            return ()
        found: list[Directive] = []
        for each in sorted(matching, key=lambda source: source.name):
            self.used.add(each.name)
            if each.name in self._inside:
                self._unjudged(include, "a file includes itself, which nginx refuses")
                continue
            self._inside.append(each.name)
            found.extend(self._expanded(self._read(each), depth + 1))
            self._inside.pop()
        return tuple(found)

    def _read(self, source: Source) -> tuple[Directive, ...]:
        """Each file once, however often it is included."""
        if source.name not in self._contents:
            self._contents[source.name] = read(source, self._findings) or ()
        return self._contents[source.name]

    def _unjudged(self, include: Directive, message: str) -> None:
        self._findings.add("proxy-not-judged", include.span, message, "give that file too")


def _matches(name: str, pattern: str) -> bool:
    wanted = pattern.removeprefix("./").lstrip("/")
    parts = posixpath.normpath(name).lstrip("/").split("/")
    depth = wanted.count("/") + 1
    return fnmatch.fnmatchcase("/".join(parts[-depth:]), wanted)
