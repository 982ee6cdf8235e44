"""Zips a folder into a wheel: ``make_wheel.py FOLDER WHEEL-NAME OUTPUT``.

RECORD and, unless the folder has one, WHEEL and METADATA are written here.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import os
import sys
import zipfile


def main(folder: str, name: str, output: str) -> None:
    """Write the wheel; its tags are those of its name."""
    distribution, version, *tag_sets = name.removesuffix(".whl").split("-")
    info = f"{distribution}-{version}.dist-info"
    tags = itertools.product(*(part.split(".") for part in tag_sets))
    header = "Wheel-Version: 1.0\nGenerator: make_wheel\nRoot-Is-Purelib: false\n"
    wheel = header + "".join(f"Tag: {'-'.join(tag)}\n" for tag in tags)
    metadata = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
    members = {f"{info}/METADATA": metadata.encode(), f"{info}/WHEEL": wheel.encode()}
    modes = {}
    for root, _, files in os.walk(folder):
        for file in files:
            path = os.path.join(root, file)
            with open(path, "rb") as stream:
                members[os.path.relpath(path, folder)] = stream.read()
            modes[os.path.relpath(path, folder)] = os.stat(path).st_mode
    rows = []
    for member, content in sorted(members.items()):
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        quoted = f'"{member}"' if "," in member else member
        rows.append(f"{quoted},sha256={digest},{len(content)}\n")
    rows.append(f"{info}/RECORD,,\n")
    members[f"{info}/RECORD"] = "".join(rows).encode()
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in members.items():
            entry = zipfile.ZipInfo(member, (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = modes.get(member, 0o100644) << 16
            archive.writestr(entry, content)


if __name__ == "__main__":
    main(*sys.argv[1:])
