"""Every `define`, checked once, each after those that it calls: recursion has no such order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from pdp.language import ast
from pdp.language.expressions import Expressions
from pdp.language.names import Declared, closed
from pdp.language.scope import Binding, Define, Scope, Work
from pdp.language.typenames import once
from pdp.language.types import INSTANT, RECOVERY, Type


def check(expressions: Expressions) -> None:
    """Fill `references.defines`."""
    declared = {each.name.text: each for each in expressions.names.of_sort("define")}
    bodies = {name: each.node.body for name, each in declared.items() if isinstance(each.node, ast.DefineDecl)}
    graph = {name: sorted(_names(body) & bodies.keys()) for name, body in bodies.items()}
    order, cycles = closed(graph)
    for cycle in cycles:
        circle = " -> ".join([*cycle, cycle[0]])
        span = declared[cycle[0]].name.span
        expressions.findings.error("recursive-define", span, f"`{cycle[0]}` calls itself", circle)
    for name in order:
        expressions.references.defines[name] = _define(expressions, declared[name])


def _define(expressions: Expressions, declared: Declared) -> Define:
    node, home = declared.node, declared.home
    assert isinstance(node, ast.DefineDecl)
    variables: dict[str, Binding] = {}
    if node.parameters:
        context = expressions.schema.context
        variables["context"] = Binding("context", expressions.schema.context_type(), context)
        variables["now"] = Binding("now", INSTANT)
    once(expressions.findings, (each.name for each in node.parameters))
    outer = Scope(home, variables, Work(), constant=node.name.text)
    parameters: list[tuple[str, Type]] = []
    for each in node.parameters:
        if each.name.text not in (name for name, _ in parameters):
            expressions.references.unhidden(each.name, outer)
        parameters.append((each.name.text, expressions.world.types.of(each.type, home)))
    for name, type in parameters:
        variables[name] = Binding(f"${name}", type)
    body, true, false = expressions.checked(node.body, Scope(home, variables, outer.work, constant=node.name.text))
    body = expressions.bounded(body, node.body.span)
    return Define(node.name.text, tuple(parameters), None if body.type is RECOVERY else body, true, false)


def _names(body: ast.Expr) -> set[str]:
    return {
        each.name if isinstance(each, ast.Reference) else each.name.text
        for each in _walk(body)
        if isinstance(each, ast.Reference | ast.Call)
    }


def _walk(node: ast.Expr) -> Iterator[ast.Expr]:
    todo = [node]
    while todo:
        node = todo.pop()
        yield node
        todo.extend(_parts(node))


def _parts(node: ast.Expr) -> tuple[ast.Expr, ...]:
    match node:
        case ast.Boolean() | ast.Number() | ast.Text() | ast.DurationLiteral() | ast.EntityLiteral() | ast.Reference():
            return ()
        case ast.Member() | ast.HasMember() | ast.IsType():
            return (node.target,)
        case ast.Call():
            return node.arguments
        case ast.Unary():
            return (node.operand,)
        case ast.Binary():
            return (node.left, node.right)
        case ast.Between():
            return (node.value, node.low, node.high)
        case ast.Conditional():
            return (node.condition, node.then, node.otherwise)
        case ast.Quantified():
            return (node.collection, node.body)
        case ast.SetLiteral() | ast.ListLiteral():
            return node.items
        case _:
            assert_never(node)
