"""The file as a whole: its header, its declarations, its comments."""

# ruff: noqa: ARG002  (the methods of rules all begin alike)

from __future__ import annotations

from dataclasses import dataclass

from pdp.diagnostics.source import Span
from pdp.diagnostics.suggest import closest
from pdp.language import ast
from pdp.language.builder.comments import attach
from pdp.language.builder.declarations import Declarations
from pdp.language.builder.expressions import Expressions
from pdp.language.builder.rules import Rules
from pdp.language.lex import Token

LAYERS = ("base", "organisation", "service")


@dataclass(frozen=True, slots=True)
class Header:
    """`module NAME` or `layer NAME`."""

    word: str
    name: ast.Name
    span: Span


class Builder(Expressions, Declarations, Rules):
    def module_line(self, span: Span, path: ast.Name) -> Header:
        return Header("module", path, span)

    def layer_line(self, span: Span, layer: Token) -> Header:
        name = self.name(layer)
        if name.text not in LAYERS:
            near = closest(name.text, LAYERS)
            hint = f"did you mean `{near}`?" if near else f"the layers are {', '.join(LAYERS)}"
            self.report("unknown-layer", name.span, f"`{name.text}` is not a layer", hint)
        return Header("layer", name, span)

    def use_line(self, span: Span, path: ast.Name) -> ast.Use:
        return ast.Use(path.text, span)

    def start(self, span: Span, *items: Header | ast.Use | ast.Declaration) -> ast.Module:
        headers: dict[str, Header] = {}
        uses: list[ast.Use] = []
        declarations: list[ast.Declaration] = []
        for item in items:
            if isinstance(item, Header | ast.Use):
                if declarations:
                    message = f"`{item.span.text}` stands after a declaration"
                    self.report("misplaced-header", item.span, message, "move it to the beginning of the file")
                if isinstance(item, ast.Use):
                    uses.append(item)
                elif item.word in headers:
                    message = f"a file has one `{item.word}` line"
                    self.report(
                        "duplicate-header", item.span, message, f"the first is at {headers[item.word].span.where}"
                    )
                else:
                    headers[item.word] = item
            else:
                declarations.append(item)
        return self.module(headers, tuple(uses), tuple(declarations))

    def module(
        self, headers: dict[str, Header], uses: tuple[ast.Use, ...], declarations: tuple[ast.Declaration, ...]
    ) -> ast.Module:
        name, layer = headers.get("module"), headers.get("layer")
        span = name.span if name else Span(self.source, 0, min(1, len(self.source.text)))
        tree = ast.Module(
            name.name.text if name else "", layer.name.text if layer else "", uses, declarations, self.source, span
        )
        return attach(tree, [header.span for header in headers.values()], self.comments) if self.comments else tree

    def comment(self, token: Token) -> None:
        self.comments.append(token)
