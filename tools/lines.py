"""Counts lines of code by package: no blank lines, no comments, no docstrings; tests apart.

python -m tools.lines            a table
python -m tools.lines PATH…      only what lies below these
"""

from __future__ import annotations

import ast
import io
import re
import statistics
import subprocess
import sys
import tokenize
from collections import defaultdict
from pathlib import Path

STATEMENT = re.compile(r"\b(SELECT|CREATE|INSERT|CASE)\b")
NOT_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def code_lines(source: str) -> int:
    """Return the number of lines of a module that hold code.

    >>> code_lines("X = 1  # one")
    1
    """
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    spans = (range(token.start[0], token.end[0] + 1) for token in tokens if token.type not in NOT_CODE)
    return len({line for span in spans for line in span} - _documentation(ast.parse(source)))


def sql_lines(source: str) -> int:
    """Return how many of them are SQL: lines of a string that spans several and holds a statement."""
    tree = ast.parse(source)
    texts = [node for node in ast.walk(tree) if isinstance(node, ast.Constant | ast.JoinedStr)]
    queries = (text for text in texts if STATEMENT.search(ast.get_source_segment(source, text) or ""))
    spans = (range(query.lineno, (query.end_lineno or 0) + 1) for query in queries if query.end_lineno != query.lineno)
    return len({line for span in spans for line in span} - _documentation(tree))


def _documentation(tree: ast.Module) -> set[int]:
    """Return the lines of docstrings, and of the strings below an assignment that document it."""
    scopes = (node for node in ast.walk(tree) if hasattr(node, "body") and isinstance(node.body, list))
    texts = (statement for scope in scopes for statement in scope.body if isinstance(statement, ast.Expr))
    spans = (range(text.lineno, (text.end_lineno or 0) + 1) for text in texts if isinstance(text.value, ast.Constant))
    return {line for span in spans for line in span}


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
            f"median {statistics.median(ours.values()):.0f}; "
            f"{sum(sql_lines(path.read_text()) for path in ours):,} of the lines are SQL"
        )
        for path, count in sorted(ours.items(), key=lambda item: -item[1])[:10]:
            print(f"  {count:4} {path}")  # noqa: T201


if __name__ == "__main__":
    main()
