"""Steps that are Python functions: a file beside the definition, run as a program in every runtime.

The program carries the text of the file, so that a container needs no mount for it, and a changed file makes a new
version of the step.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path

from include.core.definitions.document import Fault, ParsedFile
from include.core.definitions.graph import Node

MAX_SOURCE_BYTES = 100_000
"""Of a file: Linux takes no longer argument of a program than 128 KiB."""


def read_functions(folder: Path, parsed: ParsedFile, nodes: Iterable[Node]) -> tuple[dict[str, str], list[Fault]]:
    """Read the files of the functions that a definition names.

    Args:
        folder: That of the definition.
        parsed: The definition, as far as it is valid.
        nodes: Its containers.

    Returns:
        The text of each file by the function that is in it, and a fault for each function that cannot be used.
    """
    sources: dict[str, str] = {}
    faults = []
    for node in nodes:
        place = getattr(node.service, "function", None)
        if place is None:
            continue
        file, _, name = place.partition(":")
        try:
            sources[place] = _read_function(folder / file, name)
        except ValueError as error:
            faults.append(Fault(parsed.path(*node.service_location, "function"), f"{file}: {error}"))
    return sources, faults


def _read_function(file: Path, name: str) -> str:
    """Return the text of a Python file that defines a function of two arguments.

    Raises:
        ValueError: It cannot be read, is not Python, or does not define the function.
    """
    try:
        source = file.read_text(encoding="utf-8")
        tree = ast.parse(source)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror or error}; put the file there") from error
    except SyntaxError as error:
        raise ValueError(f"is not Python: {error.msg} (line {error.lineno})") from error
    except ValueError as error:  # UTF-8, NUL
        raise ValueError(f"is not Python: {error}") from error
    if len(source.encode()) > MAX_SOURCE_BYTES:
        raise ValueError(f"has more than {MAX_SOURCE_BYTES:,} bytes; move code into a package that it imports")
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    if name not in functions:
        raise ValueError(f"defines no function {name}; it defines {', '.join(functions) or 'none'}")
    arguments = functions[name].args
    taken = len(arguments.posonlyargs) + len(arguments.args)
    if taken != 2 or any(default is None for default in arguments.kw_defaults):
        raise ValueError(f"{name} must take two arguments: the folder of files, and the parameters")
    return source
