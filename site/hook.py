# ruff: noqa: INP001 -- mkdocs loads it by its path
"""Links of the site: what lies beside docs/ in a checkout is at the project's home."""

from __future__ import annotations

import re
from typing import Any


def on_page_markdown(markdown: str, *, config: Any, **_: object) -> str:  # noqa: ANN401 - mkdocs'
    """Lead links out of docs/ to the repository."""
    home = f"{config['repo_url']}/blob/main/"
    return re.sub(r"\]\(\.\./(?=[A-Za-z])", f"]({home}", markdown)
