"""Parser of the evalscripts' part of JavaScript, into nested tuples: (kind, …)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

Node = tuple[Any, ...]
_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*|/\*.*?\*/)
    |(?P<number>0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
    |(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    |(?P<name>[A-Za-z_$][\w$]*)
    |(?P<sign>===|!==|\*\*|==|!=|<=|>=|&&|\|\||=>|\+\+|--|[-+*/%]=|[-+*/%<>=!?:;,.(){}\[\]])""",
    re.VERBOSE | re.DOTALL,
)
_BINARY = {
    "||": 1,
    "&&": 2,
    "==": 3,
    "!=": 3,
    "===": 3,
    "!==": 3,
    "<": 4,
    "<=": 4,
    ">": 4,
    ">=": 4,
    "+": 5,
    "-": 5,
    "*": 6,
    "/": 6,
    "%": 6,
    "**": 7,
}
_REFUSED = {"for", "while", "do", "switch", "class", "new", "async", "await", "try", "throw", "delete", "typeof"}
_CONSTANTS = {"true": True, "false": False, "null": None, "undefined": None, "NaN": float("nan")}


class ScriptError(Exception):
    """An evalscript that is malformed, fails, or needs more than is understood here."""


@dataclass
class Program:
    """A parsed script.

    Args:
        functions: By name: parameters and body.
        constants: Statements outside of functions, in order.
    """

    functions: dict[str, tuple[list[str], list[Node]]] = field(default_factory=dict)
    constants: list[Node] = field(default_factory=list)


def parse(text: str) -> Program:
    """Parse a script.

    Raises:
        ScriptError: With the line of what is not understood.
    """
    parser = _Parser(text)
    program = Program()
    while not parser.at_end():
        if parser.take("function"):
            name, function = parser.function()
            program.functions[name] = function
        else:
            program.constants.append(parser.statement())
    return program


class _Parser:
    def __init__(self, text: str) -> None:
        self.tokens: list[tuple[str, str, int]] = []
        place, line = 0, 1
        while place < len(text):
            match = _TOKEN.match(text, place)
            if match is None:
                raise ScriptError(f"line {line}: {text[place]!r} is not understood")
            if match.lastgroup != "space":
                self.tokens.append((str(match.lastgroup), match[0], line))
            place, line = match.end(), line + match[0].count("\n")
        self.place = 0

    def at_end(self) -> bool:
        return self.place >= len(self.tokens)

    def peek(self) -> tuple[str, str, int]:
        return ("end", "end of script", self.tokens[-1][2] if self.tokens else 1) if self.at_end() else self.now()

    def now(self) -> tuple[str, str, int]:
        return self.tokens[self.place]

    def next(self) -> tuple[str, str, int]:
        token = self.peek()
        self.place += 1
        return token

    def take(self, text: str) -> bool:
        kind, found, _ = self.peek()
        if found == text and kind != "string":
            self.place += 1
            return True
        return False

    def expect(self, text: str) -> None:
        if not self.take(text):
            _, found, line = self.peek()
            raise ScriptError(f"line {line}: expected {text}, found {found}")

    def name(self) -> str:
        kind, text, line = self.next()
        if kind != "name" or text in _REFUSED:
            raise ScriptError(f"line {line}: {text} is not served by the stand-in")
        return text

    def function(self) -> tuple[str, tuple[list[str], list[Node]]]:
        name = self.name()
        self.expect("(")
        parameters = []
        while not self.take(")"):
            parameters.append(self.name())
            self.take(",")
        self.expect("{")
        return name, (parameters, self.block())

    def block(self) -> list[Node]:
        statements = []
        while not self.take("}"):
            statements.append(self.statement())
        return statements

    def statement(self) -> Node:
        if self.take(";"):
            return ("nothing",)
        if self.take("{"):
            return ("block", self.block())
        if self.take("return"):
            value: Node = ("constant", None) if self.peek()[1] in (";", "}") else self.expression()
            self.take(";")
            return ("return", value)
        if self.take("if"):
            self.expect("(")
            condition = self.expression()
            self.expect(")")
            chosen = self.statement()
            return ("if", condition, chosen, self.statement() if self.take("else") else ("nothing",))
        if any(self.take(word) for word in ("let", "const", "var")):
            return self.declaration()
        return self.assignment()

    def declaration(self) -> Node:
        assigned: list[Node] = []
        while True:
            name = self.name()
            assigned.append(("assign", name, self.expression() if self.take("=") else ("constant", None)))
            if not self.take(","):
                break
        self.take(";")
        return ("block", assigned)

    def assignment(self) -> Node:
        name = self.name()
        _, sign, line = self.next()
        if sign == "=":
            value = self.expression()
        elif sign in ("+=", "-=", "*=", "/=", "%="):
            value = ("binary", sign[0], ("name", name, line), self.expression())
        else:
            raise ScriptError(f"line {line}: {name}{sign} is not a statement that the stand-in serves")
        self.take(";")
        return ("assign", name, value)

    def expression(self) -> Node:
        condition = self.binary(1)
        if not self.take("?"):
            return condition
        chosen = self.expression()
        self.expect(":")
        return ("choose", condition, chosen, self.expression())

    def binary(self, least: int) -> Node:
        left = self.unary()
        while (strength := _BINARY.get(self.peek()[1], 0)) >= least and self.peek()[0] == "sign":
            _, sign, _ = self.next()
            left = ("binary", sign, left, self.binary(strength if sign == "**" else strength + 1))
        return left

    def unary(self) -> Node:
        for sign in ("-", "+", "!"):
            if self.take(sign):
                return ("unary", sign, self.unary())
        return self.postfix(self.primary())

    def postfix(self, value: Node) -> Node:
        while True:
            if self.take("."):
                value = ("member", value, ("constant", self.name()))
            elif self.take("["):
                value = ("member", value, self.expression())
                self.expect("]")
            elif self.take("("):
                value = ("call", value, self.items(")"))
            else:
                return value

    def items(self, end: str) -> list[Node]:
        found = []
        while not self.take(end):
            found.append(self.expression())
            if not self.take(","):
                self.expect(end)
                break
        return found

    def primary(self) -> Node:
        if self.take("("):
            value = self.expression()
            self.expect(")")
            return value
        if self.take("["):
            return ("list", self.items("]"))
        return self.object() if self.take("{") else self.atom()

    def atom(self) -> Node:
        kind, text, line = self.next()
        if kind == "number":
            return ("constant", float(int(text, 16)) if text[:2] in ("0x", "0X") else float(text))
        if kind == "string":
            return ("constant", re.sub(r"\\(.)", r"\1", text[1:-1]))
        if kind == "name" and text in _CONSTANTS:
            return ("constant", _CONSTANTS[text])
        if kind == "name" and text not in _REFUSED and text != "function":
            return ("name", text, line)
        raise ScriptError(f"line {line}: {text} is not served by the stand-in")

    def object(self) -> Node:
        pairs = []
        while not self.take("}"):
            kind, text, line = self.next()
            if kind not in ("name", "string", "number"):
                raise ScriptError(f"line {line}: {text} is no key of an object")
            key = text[1:-1] if kind == "string" else text
            pairs.append((key, self.expression() if self.take(":") else ("name", text, line)))
            if not self.take(","):
                self.expect("}")
                break
        return ("object", pairs)
