"""``python -m tests.wheels.terminal``: docs/terminal.svg, out of what the command prints."""

from __future__ import annotations

import sys
from html import escape
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
OUTPUT = DOCS / "output" / "inspect-opencv-python.txt"
PICTURE = DOCS / "terminal.svg"
COMMAND = "nix-manylinux inspect opencv_python-5.0.0.93-cp37-abi3-manylinux2014_x86_64….whl"

#: Lines of the output that are shown, and sizes in pixels.
LINES = 22
WIDTH, LINE, LEFT, TOP = 860, 18, 16, 44


def draw(output: str) -> str:
    """Draw the first lines of an output under the command that prints them."""
    lines = output.splitlines()[:LINES]
    height = TOP + LINE * (len(lines) + 2)
    texts = [
        f'<tspan x="{LEFT}" y="{TOP + LINE * number}"{_style(line)}>{escape(line)}</tspan>'
        for number, line in enumerate([f"$ {COMMAND}", *lines, "..."])
    ]
    dots = "".join(
        f'<circle cx="{20 + 18 * number}" cy="16" r="5" fill="{colour}"/>'
        for number, colour in enumerate(("#ff5f56", "#ffbd2e", "#27c93f"))
    )
    return f"""<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" \
viewBox="0 0 {WIDTH} {height}" role="img">
<rect width="100%" height="100%" rx="8" fill="#1d2129"/>
{dots}
<text xml:space="preserve" font-family="ui-monospace, DejaVu Sans Mono, monospace" \
font-size="13" fill="#d7dae0">
{chr(10).join(texts)}
</text>
</svg>
"""


def _style(line: str) -> str:
    if line.startswith("$ "):
        return ' fill="#8fd6ff" font-weight="bold"'
    if "missing" in line or "not in the" in line:
        return ' fill="#ff8f80"'
    if line.startswith("  lib"):
        return ' fill="#ffd479"'
    return ""


def main() -> int:
    """Write the picture."""
    PICTURE.write_text(draw(OUTPUT.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
