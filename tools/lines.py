"""Counts lines of code by package: no blank lines, no comments, no docstrings; tests apart.

python -m tools.lines            a table
python -m tools.lines PATH…      only what lies below these
"""

from __future__ import annotations

import ast
import io
import statistics
import subprocess
import sys
import tokenize
from collections import defaultdict
from pathlib import Path

NOT_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def code_lines(source: str) -> int:
    """Return the number of lines of a module that hold code.

    >>> code_lines("X = 1  # one")
    1
    """
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in NOT_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            for statement in node.body:  # docstrings, and the strings below an assignment that document it
                if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                    lines.difference_update(range(statement.lineno, (statement.end_lineno or 0) + 1))
    return len(lines)


def main() -> None:
    """Print the table."""
    tracked = subprocess.run(["git", "ls-files", "*.py", *sys.argv[1:]], check=True, capture_output=True, text=True)  # noqa: S603, S607
    prefixes = tuple(sys.argv[1:]) or ("",)
    files = [Path(name) for name in tracked.stdout.split() if name.endswith(".py") and name.startswith(prefixes)]
    code = {path: code_lines(path.read_text()) for path in files if path.exists()}
    ours = {path: count for path, count in code.items() if path.parts[0] != "tests"}
    packages = defaultdict(list)
    for path, count in code.items():
        package = "/".join(path.parts[:2]) if path.parts[0] in ("include", "plugins") else path.parts[0]
        packages[package].append(count)
    for package, counts in sorted(packages.items()):
        print(f"{package:26} {len(counts):4} files {sum(counts):7,} lines")  # noqa: T201
    if ours:
        print(  # noqa: T201
            f"\noutside the tests: {len(ours)} files, {sum(ours.values()):,} lines, "
            f"median {statistics.median(ours.values()):.0f}"
        )
        for path, count in sorted(ours.items(), key=lambda item: -item[1])[:10]:
            print(f"  {count:4} {path}")  # noqa: T201


if __name__ == "__main__":
    main()
