"""Lock files of the four kinds for one project that is made up; the files are example.org's."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

URL = "https://example.org/files"


def digest_of(name: str) -> str:
    """Give a sha256 in hex that belongs to a file's name."""
    return hashlib.sha256(name.encode()).hexdigest()


@dataclass
class Release:
    """One package: its files, and what it needs: (name, marker)."""

    name: str
    version: str = "1.0"
    tags: tuple[str, ...] = ("py3-none-any",)
    needs: tuple[tuple[str, str], ...] = ()
    sdist: bool = True
    wanted: bool = field(default=False)

    def files(self) -> list[str]:
        """Give the names of its wheels."""
        stem = self.name.replace("-", "_")
        return [f"{stem}-{self.version}-{tag}.whl" for tag in self.tags]

    def source(self) -> str:
        """Give the name of its source archive."""
        return f"{self.name.replace('-', '_')}-{self.version}.tar.gz"


PROJECT = (
    Release(
        "numpy-like",
        "2.0",
        (
            "cp311-cp311-manylinux_2_17_x86_64",
            "cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64",
            "cp312-cp312-manylinux_2_28_x86_64",
            "cp312-cp312-manylinux_2_17_aarch64",
            "cp312-cp312-musllinux_1_2_x86_64",
            "cp312-cp312-win_amd64",
        ),
        wanted=True,
    ),
    Release(
        "pandas-like",
        "3.1",
        ("cp312-cp312-manylinux_2_28_x86_64", "cp312-cp312-manylinux_2_28_aarch64"),
        (
            ("numpy-like", ""),
            ("only-windows", "sys_platform == 'win32'"),
            ("only-old", "python_full_version < '3.12'"),
        ),
        wanted=True,
    ),
    Release("only-windows"),
    Release("only-old"),
    Release("no-wheel", tags=(), wanted=True),
    Release("ring-a", needs=(("ring-b", ""),), wanted=True),
    Release("ring-b", needs=(("ring-a", ""),)),
)


def uv_lock(project: tuple[Release, ...] = PROJECT) -> str:
    """Write a uv.lock."""
    roots = "".join(f'    {{ name = "{r.name}" }},\n' for r in project if r.wanted)
    text = 'version = 1\nrevision = 3\nrequires-python = ">=3.11"\n\n'
    text += '[[package]]\nname = "demo"\nversion = "0.1.0"\nsource = { virtual = "." }\n'
    text += f"dependencies = [\n{roots}]\n\n"
    for each in project:
        text += f'[[package]]\nname = "{each.name}"\nversion = "{each.version}"\n'
        text += 'source = { registry = "https://example.org/simple" }\n'
        if each.needs:
            text += "dependencies = [\n"
            for name, marker in each.needs:
                condition = f', marker = "{marker}"' if marker else ""
                text += f'    {{ name = "{name}"{condition} }},\n'
            text += "]\n"
        if each.sdist:
            text += f"sdist = {_uv_file(each.source())}\n"
        text += "wheels = [\n" + "".join(f"    {_uv_file(f)},\n" for f in each.files()) + "]\n\n"
    return text


def _uv_file(name: str) -> str:
    return f'{{ url = "{URL}/{name}", hash = "sha256:{digest_of(name)}", size = 1 }}'


def pylock(project: tuple[Release, ...] = PROJECT) -> str:
    """Write a pylock.toml, with the markers that uv gives packages."""
    text = 'lock-version = "1.0"\ncreated-by = "test"\nrequires-python = ">=3.11"\n\n'
    conditions = {name: marker for each in project for name, marker in each.needs if marker}
    for each in project:
        text += f'[[packages]]\nname = "{each.name}"\nversion = "{each.version}"\n'
        if each.name in conditions:
            text += f'marker = "{conditions[each.name]}"\n'
        if each.needs:
            text += "dependencies = ["
            text += ", ".join(f'{{ name = "{name}" }}' for name, _ in each.needs) + "]\n"
        if each.sdist:
            text += f"sdist = {_pylock_file(each.source())}\n"
        if each.tags:
            rows = "".join(f"    {_pylock_file(f)},\n" for f in each.files())
            text += f"wheels = [\n{rows}]\n"
        text += "\n"
    return text


def _pylock_file(name: str) -> str:
    return f'{{ url = "{URL}/{name}", hashes = {{ sha256 = "{digest_of(name)}" }} }}'


def poetry_lock(project: tuple[Release, ...] = PROJECT) -> str:
    """Write a poetry.lock of lock version 2.1."""
    text = ""
    conditions = {name: marker for each in project for name, marker in each.needs if marker}
    for each in project:
        names = [*each.files(), *([each.source()] if each.sdist else [])]
        files = "".join(f'    {{file = "{n}", hash = "sha256:{digest_of(n)}"}},\n' for n in names)
        text += f'[[package]]\nname = "{each.name}"\nversion = "{each.version}"\n'
        text += 'description = ""\noptional = false\npython-versions = ">=3.11"\n'
        text += 'groups = ["main"]\n'
        if each.name in conditions:
            text += f'markers = "{conditions[each.name]}"\n'
        text += f"files = [\n{files}]\n\n"
        if each.needs:
            text += "[package.dependencies]\n"
            for name, marker in each.needs:
                more = f', markers = "{marker}"' if marker else ""
                text += f'{name} = {{version = "*"{more}}}\n'
            text += "\n"
    text += '[metadata]\nlock-version = "2.1"\npython-versions = ">=3.11"\n'
    return text + f'content-hash = "{digest_of("x")}"\n'


def requirements(project: tuple[Release, ...] = PROJECT) -> str:
    """Write a requirements.txt with hashes, as uv and pip-tools do."""
    conditions = {name: marker for each in project for name, marker in each.needs if marker}
    text = "# made by a test\n--index-url https://example.org/simple\n"
    for each in project:
        marker = f" ; {conditions[each.name]}" if each.name in conditions else ""
        names = [*each.files(), *([each.source()] if each.sdist else [])]
        hashes = "".join(f" \\\n    --hash=sha256:{digest_of(name)}" for name in names)
        text += f"{each.name}=={each.version}{marker}{hashes}\n    # via demo\n"
    return text


KINDS = {
    "uv.lock": uv_lock,
    "pylock.toml": pylock,
    "poetry.lock": poetry_lock,
    "requirements.txt": requirements,
}
