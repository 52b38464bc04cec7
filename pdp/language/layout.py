"""Expressions, types and lists as canonical text: on one line where they fit, else broken before `and` and `or`.

when subject is Clinician
 and (context.purpose in Purpose.TREAT
   or context.purpose in Purpose.ETREAT)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import assert_never

from pdp.language import ast
from pdp.language.escapes import quoted

WIDTH = 110

# How tightly an expression holds together, from the loosest (`Expressions` in ward.lark).
OPEN, OR, AND, NOT, COMPARISON, SUM, PRODUCT, SIGN, POSTFIX, ATOM = range(10)
_BINARY = {"or": OR, "and": AND, "+": SUM, "-": SUM, "*": PRODUCT}


def level(expr: ast.Expr) -> int:
    match expr:
        case ast.Quantified() | ast.Conditional():
            return OPEN
        case ast.Binary(operator=operator):
            return _BINARY.get(operator, COMPARISON)
        case ast.Between() | ast.HasMember() | ast.IsType():
            return COMPARISON
        case ast.Unary(operator="not"):
            return NOT
        case ast.Unary():
            return SIGN
        case ast.Member():
            return POSTFIX
        case _:
            return ATOM


def flat(expr: ast.Expr, least: int = OPEN, last: bool = True) -> str:
    """On one line; in parentheses if it is looser than `least`.

    `last`: nothing follows that the open end of `any`, `all` and `else` would take in.
    """
    mine = level(expr)
    if mine < least and not (mine == OPEN and last and least <= NOT):
        return f"({flat(expr)})"
    return _written(expr, last)


def _written(expr: ast.Expr, last: bool) -> str:
    match expr:
        case ast.Boolean(value=value):
            return "true" if value else "false"
        case ast.Number(text=text):
            return text
        case ast.Text(value=value):
            return quoted(value)
        case ast.DurationLiteral(amount=amount, unit=unit):
            return f"{amount} {unit}{'' if amount == 1 else 's'}"
        case ast.EntityLiteral(type=type_name, id=id_):
            return f"{type_name.text} {quoted(id_.value)}"
        case ast.Reference(name=name):
            return name
        case ast.Member(target=target, name=member):
            return f"{flat(target, POSTFIX, last=False)}.{member.text}"
        case ast.Call(name=name_, arguments=arguments):
            return f"{name_.text}({_items(arguments)})"
        case ast.Unary(operator="not", operand=operand):
            return f"not {flat(operand, NOT, last)}"
        case ast.Unary(operator=operator, operand=operand):
            return f"{operator}{flat(operand, SIGN, last=False)}"
        case ast.Binary(operator=operator, left=left, right=right):
            on_left, on_right = _sides(expr)
            return f"{flat(left, on_left, last=False)} {operator} {flat(right, on_right, last)}"
        case ast.Between(value=value_, low=low, high=high):
            parts = [flat(part, SUM, last=False) for part in (value_, low, high)]
            return f"{parts[0]} between {parts[1]} and {parts[2]}"
        case ast.HasMember(target=target, name=member):
            return f"{flat(target, SUM, last=False)} has {member.text}"
        case ast.IsType(target=target, type=type_name):
            return f"{flat(target, SUM, last=False)} is {type_name.text}"
        case ast.Conditional(condition=condition, then=then, otherwise=otherwise):
            return f"if {flat(condition)} then {flat(then)} else {flat(otherwise)}"
        case ast.Quantified(body=body):
            return f"{_quantifier(expr)} {flat(body)}"
        case ast.SetLiteral(items=items):
            return f"{{{_items(items)}}}"
        case ast.ListLiteral(items=items):
            return f"[{_items(items)}]"
        case _:
            assert_never(expr)


def _sides(expr: ast.Binary) -> tuple[int, int]:
    """The least level of either side: chains nest to the left, comparisons not at all."""
    mine = level(expr)
    return (SUM, SUM) if mine == COMPARISON else (mine, mine + 1)


def _quantifier(expr: ast.Quantified) -> str:
    return f"{'all' if expr.every else 'any'} {expr.variable.text} in {flat(expr.collection, OR, last=False)}:"


def _items(items: Iterable[ast.Expr]) -> str:
    return ", ".join(map(flat, items))


# Over several lines ---------------------------------------------------------------------------------------------------


def laid(expr: ast.Expr, column: int, least: int = OPEN, last: bool = True, after: int = 0) -> str:
    """From a column on; later lines are indented on their own. `after` characters follow on the last line."""
    line = flat(expr, least, last)
    if column + len(line) + after <= WIDTH:
        return line
    mine = level(expr)
    if mine < least and not (mine == OPEN and last and least <= NOT):
        return f"({laid(expr, column + 1, after=after + 1)})"
    match expr:
        case ast.Binary(operator="and" | "or" as operator):
            return _chain(operator, _operands(expr), column, last, after)
        case ast.Unary(operator="not", operand=operand):
            return f"not {laid(operand, column + 4, NOT, last, after)}"
        case ast.Quantified(body=body):
            inner = " " * (column + 4)
            return f"{_quantifier(expr)}\n{inner}{laid(body, column + 4, after=after)}"
        case ast.Conditional(condition=condition, then=then, otherwise=otherwise):
            words = (("if", condition), ("then", then), ("else", otherwise))
            lines = [f"{word} {laid(part, column + len(word) + 1, after=after)}" for word, part in words]
            return ("\n" + " " * column).join(lines)
        case ast.Binary(left=left, right=right):
            return _around(expr, left, right, column, after)
        case ast.Call(name=name, arguments=arguments):
            return f"{name.text}({_filled(arguments, column + len(name.text) + 1, after + 1)})"
        case ast.SetLiteral(items=items):
            return f"{{{_filled(items, column + 1, after + 1)}}}"
        case ast.ListLiteral(items=items):
            return f"[{_filled(items, column + 1, after + 1)}]"
        case _:
            return line


def _operands(expr: ast.Binary) -> list[ast.Expr]:
    """`a and b and c` as its three, whatever is in parentheses being one."""
    right: list[ast.Expr] = []
    left: ast.Expr = expr
    while isinstance(left, ast.Binary) and left.operator == expr.operator:
        right.append(left.right)
        left = left.left
    return [left, *reversed(right)]


def _chain(operator: str, operands: Sequence[ast.Expr], column: int, last: bool, after: int) -> str:
    """Each operand on its line, the operators to the left of them."""
    mine = OR if operator == "or" else AND
    lead = "\n" + " " * max(column - len(operator) - 1, 0) + operator + " "
    column = max(column, len(operator) + 1)
    final = len(operands) - 1
    return lead.join(
        laid(each, column, mine + (index > 0), last and index == final, after if index == final else 0)
        for index, each in enumerate(operands)
    )


def _around(expr: ast.Binary, left: ast.Expr, right: ast.Expr, column: int, after: int) -> str:
    """An operator that stays where it is, between sides that may break."""
    on_left, on_right = _sides(expr)
    before = laid(left, column, on_left, False, len(expr.operator) + 1)
    reached = len(before) - before.rfind("\n") - 1 + (0 if "\n" in before else column)
    start = reached + len(expr.operator) + 2
    return f"{before} {expr.operator} {laid(right, start, on_right, False, after)}"


def _filled(items: Sequence[ast.Expr], column: int, after: int) -> str:
    return filled([flat(item) for item in items], column, column, after)


def filled(parts: Sequence[str], column: int, indent: int, after: int = 0) -> str:
    """Parts with commas, as many on a line as fit: from a column on, then from an indent."""
    lines: list[str] = []
    line, start = "", column
    for index, part in enumerate(parts):
        room = WIDTH - start - (1 if index < len(parts) - 1 else after)
        if line and len(line) + 1 + len(part) > room:
            lines.append(line)
            line, start = "", indent
        line += f"{' ' if line else ''}{part}{',' if index < len(parts) - 1 else ''}"
    return ("\n" + " " * indent).join([*lines, line])


# Types ----------------------------------------------------------------------------------------------------------------


def type_text(expr: ast.TypeExpr) -> str:
    match expr:
        case ast.NamedType(name=name):
            return name.text
        case ast.CollectionType(constructor=constructor, element=element):
            return f"{constructor}<{type_text(element)}>"
        case ast.RecordTypeExpr(fields=fields):
            return braced(map(field_text, fields))
        case _:
            assert_never(expr)


def field_text(field: ast.FieldType | ast.AttributeDecl) -> str:
    return f"{field.name.text}: {type_text(field.type)}{'?' if field.optional else ''}"


def braced(parts: Iterable[str]) -> str:
    inner = ", ".join(parts)
    return f"{{ {inner} }}" if inner else "{ }"


def joined(names: Iterable[ast.Name], by: str = ", ") -> str:
    return by.join(name.text for name in names)
