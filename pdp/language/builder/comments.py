"""Where each comment belongs: to the declaration or member that it explains.

(1) Behind something on its line: to what ends there. (2) On lines of its own: to the member, or else the declaration,
that follows. (3) Where neither is near (inside a condition, before a closing brace): to the declaration around it. So
no comment is lost, though it may move up.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from pdp.diagnostics.source import Source, Span
from pdp.language import ast
from pdp.language.lex import Token, text_of

Holder = ast.Declaration | ast.Use | ast.AttributeDecl | ast.CodeDecl | ast.Given


def attach(tree: ast.Module, headers: Sequence[Span], comments: Sequence[Token]) -> ast.Module:
    """The tree with the texts of its comments. Its nodes are still ours alone, and are filled in place."""
    places = _Places(tree, headers)
    texts: dict[int, list[str]] = {}
    holders: dict[int, Holder] = {}
    before: list[str] = []
    after: list[str] = []
    for token in comments:
        text = text_of(token)[1:].rstrip()
        holder = places.holder(token.start())
        if holder == "header":
            before.append(text)
        elif holder == "end":
            after.append(text)
        else:
            assert not isinstance(holder, str)
            holders[id(holder)] = holder
            texts.setdefault(id(holder), []).append(text)
    for key, holder in holders.items():
        object.__setattr__(holder, "comments", tuple(texts[key]))
    object.__setattr__(tree, "comments", tuple(before))
    object.__setattr__(tree, "trailing", tuple(after))
    return tree


class _Places:
    """The nodes of a file that can hold comments, by where they begin."""

    def __init__(self, tree: ast.Module, headers: Sequence[Span]) -> None:
        self.source: Source = tree.source
        self.top: list[Holder] = sorted((*tree.uses, *tree.declarations), key=lambda item: item.span.start)
        self.starts = [item.span.start for item in self.top]
        self.headers = headers

    def holder(self, position: int) -> Holder | str:
        """Who holds the comment at a position: a node, "header", or "end" of the file."""
        index = bisect_right(self.starts, position)
        previous = self.top[index - 1] if index else None
        if any(position < span.start or self.behind(span, position) for span in self.headers):
            return "header"
        if previous is not None:
            if self.behind(previous.span, position):
                return previous
            if position < previous.span.end:
                return self.inside(previous, position)
        return self.top[index] if index < len(self.top) else "end"

    def inside(self, declaration: Holder, position: int) -> Holder:
        text = self.source.text
        alone = not text[text.rfind("\n", 0, position) + 1 : position].strip()
        for member in _members(declaration):
            if self.behind(member.span, position) or (alone and member.span.start > position):
                return member
        return declaration

    def behind(self, span: Span, position: int) -> bool:
        """Whether a comment stands on the line where something ends, with nothing between."""
        return span.end <= position and not self.source.text[span.end : position].strip(" \t,")


def _members(declaration: Holder) -> tuple[Holder, ...]:
    match declaration:
        case ast.EntityDecl() | ast.ContextDecl() | ast.ActionDecl():
            return declaration.attributes
        case ast.VocabularyDecl():
            return declaration.codes
        case ast.FixtureDecl() | ast.TestDecl():
            return declaration.given
        case _:
            return ()
