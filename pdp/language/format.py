"""The surface tree as canonical text.

Laws, held by tests: reading the text gives the tree again, formatting it gives the text again, and no comment is lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import assert_never

from pdp.language import ast
from pdp.language.escapes import quoted
from pdp.language.layout import WIDTH, braced, field_text, filled, flat, joined, laid, type_text

INDENT = "    "

Member = ast.AttributeDecl | ast.CodeDecl | ast.Given


def module(tree: ast.Module) -> str:
    """A whole file, with a line end at its end."""
    text = _header(tree)
    previous: ast.Declaration | None = None
    alone = False
    for declaration in tree.declarations:
        written = _with_comments(declaration, _declaration(declaration))
        short = "\n" not in written
        close = previous is not None and alone and short and _alike(previous, declaration)
        text += ("" if not text or close else "\n") + written + "\n"
        previous, alone = declaration, short
    if tree.trailing:
        text += ("\n" if text else "") + _comments(tree.trailing) + "\n"
    return text


def _header(tree: ast.Module) -> str:
    lines = [_comments(tree.comments)] if tree.comments else []
    if tree.name:
        lines.append(f"module {tree.name}")
    if tree.layer:
        lines.append(f"layer {tree.layer}")
    lines.extend(_with_comments(use, f"use {use.module}") for use in tree.uses)
    return "".join(line + "\n" for line in lines)


def _alike(*declarations: ast.Declaration) -> bool:
    """Whether declarations of one line each stand without a blank line between."""
    kinds = {ast.ActionDecl if isinstance(each, ast.ActionGroup) else type(each) for each in declarations}
    return len(kinds) == 1


def _comments(texts: Iterable[str], indent: str = "") -> str:
    return "\n".join(f"{indent}#{text}".rstrip() for text in texts)


def _with_comments(node: ast.Declaration | ast.Use | Member, written: str, indent: str = "") -> str:
    return f"{_comments(node.comments, indent)}\n{indent}{written}" if node.comments else indent + written


def _declaration(node: ast.Declaration) -> str:
    match node:
        case ast.VocabularyDecl():
            return _vocabulary(node)
        case ast.VocabularyUnion(name=name, members=members):
            return _list(f"vocabulary {name.text} =", [member.text for member in members], " or")
        case ast.EntityDecl():
            return _entity(node)
        case ast.KindDecl(name=name, members=members):
            return _list(f"kind {name.text} =", [member.text for member in members], " or")
        case ast.ActionDecl():
            return _action(node)
        case ast.ActionGroup(name=name, members=members):
            return _list(f"action {name.text} =", [member.text for member in members], " or")
        case ast.ContextDecl(attributes=attributes):
            return f"context {_block(attributes)}"
        case ast.FieldsDecl(name=name, items=items):
            return _list(f"fields {name.text} =", _fields(items))
        case ast.ObligationDecl(name=name, parameters=parameters):
            return f"obligation {name.text}({', '.join(map(field_text, parameters))})"
        case ast.DefineDecl():
            return _define(node)
        case ast.RouteDecl():
            return _route(node)
        case ast.RuleDecl():
            return _rule(node)
        case ast.FixtureDecl(name=name, given=given):
            return f"fixture {name.text} {_lines(_given_lines(given))}"
        case ast.TestDecl():
            return _test(node)
        case ast.InvariantDecl():
            return _invariant(node)
        case _:
            assert_never(node)


# Pieces ---------------------------------------------------------------------------------------------------------------


def _list(head: str, parts: Sequence[str], separator: str = ",", column: int = 0) -> str:
    """A head and a list, broken where the line is full; the rest is indented."""
    lines, line = [], head
    for index, part in enumerate(parts):
        written = part + (separator if index < len(parts) - 1 else "")
        if line != head and column + len(line) + 1 + len(written) > WIDTH:
            lines.append(line)
            line = f"{' ' * column}{INDENT}{written}"
        else:
            line += f" {written}"
    return "\n".join([*lines, line])


def _lines(lines: Iterable[str]) -> str:
    """Lines in braces, as they are."""
    inner = "\n".join(lines)
    return f"{{\n{inner}\n}}" if inner else "{ }"


def _block(members: Sequence[ast.AttributeDecl]) -> str:
    return _lines(_with_comments(member, _attribute(member), INDENT) for member in members)


def _attributes(head: str, attributes: Sequence[ast.AttributeDecl]) -> str:
    """A head with its attributes in braces: on one line if they are few and fit."""
    if not attributes:
        return head
    line = f"{head} {braced(map(_attribute, attributes))}"
    if len(attributes) <= 2 and len(line) <= WIDTH and not any(each.comments for each in attributes):
        return line
    return f"{head} {_block(attributes)}"


def _attribute(node: ast.AttributeDecl) -> str:
    place = f" from {node.place}" if node.place else ""
    source = f" {node.source.text}" if node.source else ""
    provisioned = f" provisioned by {node.provisioned_by.text}" if node.provisioned_by else ""
    return field_text(node) + place + source + provisioned


def _fields(items: Iterable[ast.FieldItem]) -> list[str]:
    return [_field(item) for item in items]


def _field(item: ast.FieldItem) -> str:
    match item:
        case ast.ComputedFields(expr=expr):
            return f"fields of ({flat(expr)})"
        case _:
            return item.text


def _texts(texts: Iterable[ast.Text]) -> list[str]:
    return [quoted(text.value) for text in texts]


def _names(names: Sequence[ast.Name] | None) -> str:
    return "any" if names is None else joined(names)


def _as(wire: ast.Text | None) -> str:
    return f" as {quoted(wire.value)}" if wire else ""


# Types and actions ----------------------------------------------------------------------------------------------------


def _vocabulary(node: ast.VocabularyDecl) -> str:
    head = f"vocabulary {node.name.text} {quoted(node.system.value)}{' ordered' if node.ordered else ''}"
    codes = [_code(code) for code in node.codes]
    line = f"{head} {{ {' '.join(codes)} }}"
    bare = all(text == code.name.text and not code.comments for text, code in zip(codes, node.codes, strict=True))
    if codes and bare and len(line) <= WIDTH:
        return line
    written = (_with_comments(code, text, INDENT) for code, text in zip(node.codes, codes, strict=True))
    return f"{head} {_lines(written)}"


def _code(node: ast.CodeDecl) -> str:
    code = f" = {quoted(node.code.value)}" if node.code else ""
    parents = f" in {joined(node.parents)}" if node.parents else ""
    title = f" {quoted(node.title.value)}" if node.title else ""
    return f"{node.name.text}{code}{parents}{' emergency' if node.emergency else ''}{title}"


def _entity(node: ast.EntityDecl) -> str:
    parents = f" in {joined(node.parents)}" if node.parents else ""
    return _attributes(f"entity {node.name.text}{parents}{_as(node.wire)}", node.attributes)


def _action(node: ast.ActionDecl) -> str:
    names = [f"{name.text}{_as(wire)}" for name, wire in node.names]
    by = f" by {joined(node.subjects)}" if node.subjects else ""
    head = f"action {', '.join(names)} on {joined(node.types)}{by}"
    if len(head) > WIDTH:
        head = _list(_list("action", names) + " on", [each.text for each in node.types])
        head = _list(head + "\n    by", [each.text for each in node.subjects]) if node.subjects else head
    return _attributes(head, node.attributes)


def _define(node: ast.DefineDecl) -> str:
    parameters = ", ".join(f"{each.name.text}: {type_text(each.type)}" for each in node.parameters)
    head = f"define {node.name.text}{f'({parameters})' if parameters else ''} ="
    body = flat(node.body)
    if len(head) + 1 + len(body) <= WIDTH:
        return f"{head} {body}"
    return f"{head}\n{INDENT * 2}{laid(node.body, len(INDENT) * 2)}"


def _route(node: ast.RouteDecl) -> str:
    does = f"does {joined(node.actions)} on {_target(node.resource)}"
    lines = [f"route {joined(node.methods)} {quoted(node.path.value)} {does}"]
    if node.claims:
        lines.append(_list(f"{INDENT}with", [f"{name.text} = {_target(target)}" for name, target in node.claims]))
    if node.query:
        lines.append(_list(f"{INDENT}query", [_query(part) for part in node.query]))
    return "\n".join(lines)


def _target(target: ast.RouteTarget) -> str:
    type_name = f"{target.type.text} " if target.type else ""
    return type_name + (target.value.text if isinstance(target.value, ast.Name) else quoted(target.value.value))


def _query(part: ast.RouteQuery) -> str:
    searches = f" searches {', '.join(_fields(part.fields))}" if part.fields else ""
    return f"{quoted(part.name.value)}{'?' if part.optional else ''}{searches}"


# Rules ----------------------------------------------------------------------------------------------------------------


def _rule(node: ast.RuleDecl) -> str:
    what = ", ".join(_fields(node.fields)) if node.effect == "mask" else _names(node.actions)
    name = f" as {node.id.text}" if node.id else ""
    head = f"{node.effect} {what} on {_names(node.types)}{name}"
    if len(head) > WIDTH and node.effect == "mask":
        head = f"{_list('mask', _fields(node.fields))} on {_names(node.types)}{name}"
    return "\n".join([head, *(INDENT + clause for clause in _clauses(node))])


def _clauses(node: ast.RuleDecl) -> Iterator[str]:
    """The clauses in their canonical order: what it says, when it holds, what it does."""
    if node.sentence:
        yield quoted(node.sentence.value)
    if node.citations:
        yield _list("cites", _texts(node.citations), column=len(INDENT))
    if node.owner:
        yield f"owner {quoted(node.owner.value)}"
    for condition in node.whens:
        yield _condition("when", condition)
    for condition in node.unlesses:
        yield _condition("unless", condition)
    for release in node.releases:
        yield _release(release)
    for duty in node.duties:
        yield _duty(duty)
    if node.because:
        yield f"because {quoted(node.because.value)}"
    if node.exception:
        yield f"exception {node.exception.text}"
    if node.cures:
        yield _list("cure", [each.text for each in node.cures], column=len(INDENT))
    if node.overridable_by:
        yield _list("overridable by", [each.text for each in node.overridable_by], column=len(INDENT))


def _condition(word: str, expr: ast.Expr, column: int = len(INDENT)) -> str:
    return f"{word} {laid(expr, column + len(word) + 1)}"


def _release(clause: ast.ReleaseClause) -> str:
    items = ", ".join(_fields(clause.items))
    line = f"release only {items}" + (f" when {flat(clause.condition)}" if clause.condition else "")
    if len(INDENT) + len(line) <= WIDTH:
        return line
    fields = _list("release only", _fields(clause.items), column=len(INDENT))
    if clause.condition is None:
        return fields
    return f"{fields}\n{INDENT * 2}{_condition('when', clause.condition, len(INDENT) * 2)}"


def _duty(clause: ast.DutyClause) -> str:
    head = f"{'require' if clause.binding else 'advise'} {clause.name.text}("
    arguments = [f"{name.text}: {flat(value)}" for name, value in clause.arguments]
    column = len(INDENT) + len(head)
    return f"{head}{filled(arguments, column, column, 1)})"


# Tests ----------------------------------------------------------------------------------------------------------------


def _test(node: ast.TestDecl) -> str:
    using = f" using {joined(node.fixtures)}" if node.fixtures else ""
    lines = list(_given_lines(node.given))
    if node.at:
        lines.append(f"{INDENT}at {quoted(node.at.value)}")
    if node.subject and node.action and node.resource:
        searching = f" searching {', '.join(_fields(node.searched))}" if node.searched else ""
        asked = f"{flat(node.subject)} does {node.action.text} on {flat(node.resource)}"
        lines.append(f"{INDENT}when {asked}{searching}")
    lines.extend(INDENT + _expectation(each) for each in node.expectations)
    return f"test {quoted(node.title.value)}{using} {_lines(lines)}"


def _expectation(node: ast.Expectation) -> str:
    if node.items is not None:
        return _list(f"expect {node.what}", _fields(node.items), column=len(INDENT))
    if node.what in ("allow", "deny"):
        return f"expect {node.what}" + (f" by {joined(node.names)}" if node.names else "")
    return f"expect {node.what} {joined(node.names or ())}"


def _given_lines(given: Iterable[ast.Given]) -> Iterator[str]:
    return (_with_comments(each, _given(each), INDENT) for each in given)


def _given(node: ast.Given) -> str:
    match node:
        case ast.GivenObject(what=what):
            head = f"given {what}"
        case ast.GivenEntity(type=type_name, id=id_, parents=parents):
            under = f" in {', '.join(map(flat, parents))}" if parents else ""
            head = f"given {type_name.text} {quoted(id_.value)}{under}"
        case _:
            assert_never(node)
    return f"{head} {_json(node.attributes, len(INDENT), len(INDENT) + len(head) + 1)}"


def _json(value: ast.Json, indent: int, column: int) -> str:
    """A value at a column: on one line if it fits, else each member on its own, indented once more."""
    line = _flat_json(value)
    if column + len(line) < WIDTH:
        return line
    inner = " " * (indent + len(INDENT))
    match value:
        case ast.JsonObject(members=members):
            lines = [
                f"{inner}{name.text}: {_json(each, len(inner), len(inner) + len(name.text) + 2)}"
                for name, each in members
            ]
        case ast.JsonList(items=items):
            lines = [inner + _json(each, len(inner), len(inner)) for each in items]
        case _:
            return line
    opening, closing = line[0], line[-1]
    return f"{opening}\n" + ",\n".join(lines) + f"\n{' ' * indent}{closing}"


def _flat_json(value: ast.Json) -> str:
    match value:
        case ast.JsonObject(members=members):
            return braced(f"{name.text}: {_flat_json(each)}" for name, each in members)
        case ast.JsonList(items=items):
            return f"[{', '.join(map(_flat_json, items))}]"
        case _:
            return flat(value)


def _invariant(node: ast.InvariantDecl) -> str:
    lines = [f"{INDENT}never permit {_names(node.actions)} on {_names(node.types)}"]
    if node.condition:
        line = f"{lines[0]} when {flat(node.condition)}"
        if len(line) <= WIDTH:
            lines = [line]
        else:
            lines.append(f"{INDENT * 2}{_condition('when', node.condition, len(INDENT) * 2)}")
    return f"invariant {quoted(node.title.value)} {_lines(lines)}"
