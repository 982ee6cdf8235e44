"""Print what a folder of wheels holds, as JSON: `manifest.py FOLDER`.

Names, hashes, platforms, what was grafted and the bill of materials, all of it read from
the wheels themselves.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import zipfile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def describe(path: str) -> dict[str, Any]:
    """Describe one wheel."""
    name = os.path.basename(path)
    python, abi, platforms = name.removesuffix(".whl").split("-")[-3:]
    with open(path, "rb") as file:
        data = file.read()
    with zipfile.ZipFile(path) as archive:
        members = archive.namelist()
        documents = [each for each in members if ".dist-info/sboms/" in each]
        materials = [json.loads(archive.read(each)) for each in documents if each.endswith(".json")]
    return {
        "file": name,
        "sha256": hashlib.sha256(data).hexdigest(),
        "size": len(data),
        "python": python.split("."),
        "abi": abi.split("."),
        "platforms": platforms.split("."),
        "grafts": sorted(
            component["bom-ref"]
            for document in materials
            if document.get("bomFormat") == "CycloneDX"
            for component in document.get("components", [])
        ),
        "sboms": documents,
    }


def main(folder: str) -> None:
    """Print the manifest of all wheels in a folder, in the order of their names."""
    names = sorted(name for name in os.listdir(folder) if name.endswith(".whl"))
    wheels = [describe(os.path.join(folder, name)) for name in names]
    print(json.dumps({"schema": 1, "wheels": wheels}, indent=2))


main(sys.argv[1])
