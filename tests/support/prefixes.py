"""Several small wheels made of C, each installed into a prefix of its own, as in Nix.

wheels = Prefixes(scene)
wheels.put("torch", "torch/lib/liba.so", file)
wheels.patch("torch", "nvidia-b", "nvidia-c")      # beside these two
env = wheels.merged("links", "torch", "nvidia-b", folders=True)
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.support.installed import command, library_options, target_options
from tests.support.scene import SITE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.installed import Ran
    from tests.support.scene import Scene


@dataclass(kw_only=True)
class Prefixes:
    """The prefixes below ``scene.home / "prefixes"``; libraries are those of the scene."""

    scene: Scene
    _required: dict[str, list[str]] = field(default_factory=dict)

    def prefix(self, wheel: str) -> Path:
        """Give the prefix of a wheel."""
        return self.scene.home / "prefixes" / wheel

    def put(self, wheel: str, name: str, file: Path | bytes, *, mode: int = 0o644) -> None:
        """Put a file into a wheel's site-packages."""
        place = self.prefix(wheel) / SITE / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(file if isinstance(file, bytes) else file.read_bytes())
        place.chmod(mode)

    def describe(self, wheel: str, *requires: str) -> None:
        """Give a wheel its dist-info, with these Requires-Dist."""
        text = f"Metadata-Version: 2.1\nName: {wheel}\nVersion: 1.0\n"
        text += "".join(f"Requires-Dist: {name}\n" for name in requires)
        info = f"{wheel.replace('-', '_')}-1.0.dist-info"
        self.put(wheel, f"{info}/METADATA", text.encode())

    def patch(self, wheel: str, *beside: str, options: tuple[str, ...] = ()) -> Ran:
        """Run the command over one prefix, with other wheels' site-packages beside it."""
        words = [*target_options(self.scene.store), *library_options(self.scene.libraries)]
        for other in beside:
            words += ["--python-libs", str(self.prefix(other) / SITE)]
        return command("patch", str(self.prefix(wheel)), *words, *options)

    def check(self, root: Path) -> Ran:
        """Run the command's check over a finished environment."""
        words = [*target_options(self.scene.store), *library_options(self.scene.libraries)]
        return command("check", str(root), *words)

    def merged(self, name: str, *wheels: str, folders: bool) -> Path:
        """Make an environment of links; with ``folders`` as few as possible, as buildEnv does.

        A folder that several wheels have is a folder there too; one that only
        one wheel has is a link to it. Equal files are no conflict.
        """
        environment = self.scene.home / name
        _merge([self.prefix(wheel) for wheel in wheels], environment, folders=folders)
        return environment

    def copied(self, name: str, *wheels: str) -> Path:
        """Make an environment of copies, as pip and uv fill one."""
        environment = self.scene.home / name
        for wheel in wheels:
            shutil.copytree(self.prefix(wheel), environment, dirs_exist_ok=True)
        return environment


def _merge(sources: list[Path], target: Path, *, folders: bool) -> None:
    target.mkdir()
    names: dict[str, list[Path]] = {}
    for source in sources:
        for entry in sorted(source.iterdir()):
            names.setdefault(entry.name, []).append(entry)
    for name, entries in names.items():
        first = entries[0]
        if first.is_dir() and (len(entries) > 1 or not folders):
            _merge(entries, target / name, folders=folders)
            continue
        if any(entry.read_bytes() != first.read_bytes() for entry in entries[1:]):
            message = f"{name} is not the same in {entries}"
            raise FileExistsError(message)
        os.symlink(first, target / name)
