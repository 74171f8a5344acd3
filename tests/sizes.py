"""Print how large the code is, beside the sizes that docs/architecture.md takes as its guide.

`python -m tests.sizes`: exits 1 when a module or a function has outgrown the guide.
"""

from __future__ import annotations

import ast
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.processes import ROOT

MOST_MODULE_LINES = 300
MOST_FUNCTION_LINES = 40


def sources() -> Iterator[Path]:
    """Every module of the program itself."""
    for folder in ("app", "config"):
        yield from sorted((ROOT / folder).rglob("*.py"))


def function_lines(path: Path) -> Iterator[tuple[str, int]]:
    """The length of each function, without its docstring."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                lines -= (first.end_lineno or 0) - first.lineno + 1
            yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", lines


def main() -> int:
    """Print the sizes; 1 when something is too large."""
    modules = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in sources()
    }
    functions = dict(pair for path in sources() for pair in function_lines(path))
    p90 = statistics.quantiles(functions.values(), n=10)[-1]
    print(
        f"modules: median {statistics.median(modules.values()):.0f}, max {max(modules.values())} "
        f"lines; functions: median {statistics.median(functions.values()):.0f}, p90 {p90:.0f}, "
        f"max {max(functions.values())} lines"
    )
    large = [name for name, lines in modules.items() if lines > MOST_MODULE_LINES]
    large += [name for name, lines in functions.items() if lines > MOST_FUNCTION_LINES]
    for name in large:
        print(f"too large: {name}")
    return 1 if large else 0


if __name__ == "__main__":
    sys.exit(main())
