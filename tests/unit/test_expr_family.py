"""Wheels that are one package, or whose libraries another needs: all are named, ready to paste."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import pytest
from tests.support.expressions import every_note
from tests.support.wheels import MadeWheel, tiny_library

from nix_manylinux.cli.main import main
from nix_manylinux.nix.expression.wheel import describe_wheel
from nix_manylinux.nix.expression.write import build_expression

if TYPE_CHECKING:
    from pathlib import Path

SHARED = "PySide6/__init__.py"

#: Versions that no table has, what each wheel requires, and its files.
PYSIDE = {
    "PySide6": (
        "9.1",
        *("PySide6_Essentials==9.1", "PySide6_Addons==9.1", "PySide6_Pdf==9.1.40"),
        *("PySide6_WebEngine==9.1.40", "PySide6_Later==9.1", "tomli; python_version < '3'"),
        *("PySide6_Examples==9.1; extra == 'full'", "tools; extra == 'full'"),
    ),
    "PySide6_Essentials": ("9.1", "shiboken6==9.1"),
    "PySide6_Addons": ("9.1", "PySide6_Essentials==9.1"),
    "PySide6_Pdf": ("9.1.40", "PySide6_Essentials==9.1"),
    "PySide6_WebEngine": ("9.1.40", "PySide6_Addons==9.1"),
    "PySide6_Later": ("9.1", "PySide6_Essentials==9.1"),
    "shiboken6": ("9.1",),
}
LIBRARIES = {
    "PySide6_Essentials": [tiny_library("libQt6Core.so.6", "libQt6Pdf.so.6", "libshiboken6.so.9")],
    "PySide6_Pdf": [tiny_library("libQt6Pdf.so.6", "libQt6Core.so.6")],
}
COMMAND = (
    "nix-manylinux expr --for-nixpkgs pyside6==9.1 pyside6-addons==9.1 pyside6-essentials==9.1"
    " pyside6-later==9.1 pyside6-pdf==9.1.40 pyside6-webengine==9.1.40 shiboken6==9.1"
)

#: pip, with the wheels of a folder for an index: each asked for is there, of the right version.
PIP = r"""
import json, os, re, shutil, sys, zipfile
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename
words = sys.argv[1:]
index = {}
for file in os.listdir(FOLDER):
    if file.endswith(".whl"):
        name, version, _, _ = parse_wheel_filename(file)
        index[name] = str(version), os.path.join(FOLDER, file)
def metadata(path):
    with zipfile.ZipFile(path) as archive:
        (name,) = [each for each in archive.namelist() if each.endswith(".dist-info/METADATA")]
        return re.findall(r"(?m)^Requires-Dist: (.*)$", archive.read(name).decode())
def take(text):
    asked = Requirement(text)
    name = canonicalize_name(asked.name)
    if name not in index or not asked.specifier.contains(index[name][0]):
        sys.exit("ERROR: No matching distribution found for " + text)
    if words[0] == "download" and not asked.specifier and name.startswith(("pyside6-", "shib")):
        sys.exit("ERROR: newer than the rest: " + text)
    return name, *index[name]
asked = words[words.index("--") + 1 :]
if words[0] == "download":
    for each in asked:
        shutil.copy(take(each)[2], words[words.index("--dest") + 1])
else:
    assert {"--dry-run", "--ignore-installed"} <= set(words), words
    found = {}
    while asked:
        name, version, path = take(asked.pop())
        if name not in found:
            texts = metadata(path)
            found[name] = {"name": name, "version": version, "requires_dist": texts}
            each = [Requirement(text) for text in texts]
            needed = [r for r in each if r.marker is None or r.marker.evaluate({"extra": ""})]
            asked += [f"{r.name}{r.specifier}" for r in needed]
    with open(words[words.index("--report") + 1], "w") as stream:
        json.dump({"install": [{"metadata": each} for each in found.values()]}, stream)
"""


def write(folder: Path, name: str) -> str:
    """Write one of PySide6's wheels."""
    version, *required = PYSIDE[name]
    lines = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {r}" for r in required)]
    lines += ["Provides-Extra: full"] if name == "PySide6" else []
    libraries = {f"PySide6/lib{n}.so": data for n, data in enumerate(LIBRARIES.get(name, []))}
    init = "shiboken6/__init__.py" if name == "shiboken6" else SHARED
    made = MadeWheel(
        name=name, version=version, tag="cp310-abi3-manylinux_2_28_x86_64",
        files={init: b"", **libraries}, metadata="\n".join([*lines, "", ""]).encode(),
    )  # fmt: skip
    return str(made.write(folder))


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the folder whose wheels pip has, and no others; there is no <nixpkgs>."""
    folder = tmp_path / "index"
    folder.mkdir()
    client = tmp_path / "pip.py"
    client.write_text(f"FOLDER = {str(folder)!r}\n{PIP}")
    command = [sys.executable, str(client)]
    monkeypatch.setattr("nix_manylinux.nix.expression.download.pip_command", lambda _: command)
    monkeypatch.setattr("nix_manylinux.nix.nixpkgs.ask_nixpkgs", lambda _: None)
    return folder


@pytest.mark.parametrize("name", sorted(PYSIDE))
def test_each_of_a_family_leads_to_the_whole(
    name: str, index: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whichever wheel is named, the command is the same, with all versions as pip has them."""
    for each in PYSIDE:
        write(index, each)
    assert main(["expr", "--for-nixpkgs", f"{name}=={PYSIDE[name][0]}"]) == 0
    said = capsys.readouterr().err
    assert said.startswith("warning: ")
    assert f":\n  {COMMAND}\n" in said
    assert "builds such a package from its source archive" not in said
    # What is no package alone has nowhere to go.
    is_part = name not in {"PySide6_Essentials", "shiboken6"}
    assert ("a part of that package, and no file of nixpkgs by itself\n" in said) == is_part
    assert ("save it as" in said) == (not is_part)
    with_options = ["--python-version", "3.13", "--system", "x86_64-linux"]
    assert main(["expr", "--for-nixpkgs", name, *with_options]) == (0 if name == "PySide6" else 1)
    said = capsys.readouterr().err
    if name == "PySide6":
        assert f":\n  {' '.join([COMMAND, *with_options])}\n" in said


def test_the_whole_family(index: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who takes all is told nothing; names without versions are what the first one requires."""
    for each in PYSIDE:
        write(index, each)
    names = [word.partition("==")[0] for word in COMMAND.split()[3:]]
    assert main(["expr", "--for-nixpkgs", *names]) == 0
    text, said = capsys.readouterr()
    assert "warning" not in said
    assert "pyside6-pdf 9.1.40, which pip picks" in said
    assert 'pname = "pyside6";' in text
    assert '"pyside6_pdf-9.1.40-' in text.lower()
    assert "dependencies = [" not in text
    assert "manylinuxProvidedLater" not in text
    left = "pyside6-examples, which is in it, needs this package"
    assert f"The extra full is left out of optional-dependencies: {left}." in said
    assert "optional-dependencies" not in text
    assert "METADATA wants" not in said  # what is left out has no version


def test_a_part_of_the_family(index: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What needs the package can't be its dependency, and is named with what to do about it."""
    for each in PYSIDE:
        write(index, each)
    words = ["PySide6==9.1", "PySide6_Essentials==9.1", "PySide6_Addons==9.1", "shiboken6==9.1"]
    assert main(["expr", "--for-nixpkgs", *words]) == 0
    text, said = capsys.readouterr()
    first, command, second, *_ = said.splitlines()
    assert first.startswith(f"warning: {SHARED} is in pyside6-pdf and pyside6-webengine, too: on ")
    assert first.endswith(" Make one package of them:")
    assert command == f"  {COMMAND}"
    left = "pyside6-later, pyside6-pdf and pyside6-webengine: required, but left out of"
    assert second.startswith(f"warning: {left} dependencies")
    assert "dependencies = [" not in text
    assert 'manylinuxProvidedLater = [ "libQt6Pdf.so.6" ];' in text
    # The same where nobody knows the family, but pip what each requires.
    for name, needs in (("one", "two==1.0"), ("two", "base==1.0"), ("base", "")):
        headers = f"Name: {name}\nVersion: 1.0\n{f'Requires-Dist: {needs}' if needs else ''}\n"
        MadeWheel(name=name, files={f"{name}.py": b""}, metadata=headers.encode()).write(index)
    assert main(["expr", "one==1.0", "base==1.0"]) == 0
    text = re.sub(r"\n *#", "", capsys.readouterr().out)
    assert "two: required, but left out of dependencies" in text
    assert "Make one package: nix-manylinux expr base==1.0 one==1.0 two==1.0\n" in text
    assert "dependencies = [" not in text


def test_wheels_at_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without asking pip it is the table's family, and the versions that METADATA names."""
    path = write(tmp_path, "PySide6_WebEngine")
    assert main(["expr", path, "--python-version", "3.14"]) == 0
    text = re.sub(r"\n *#", "", capsys.readouterr().out)
    others = "pyside6, pyside6-addons, pyside6-essentials and pyside6-pdf"
    assert f"{SHARED} is in {others}, too: on Python's path one folder hides the other" in text
    assert (
        "nix-manylinux expr pyside6==9.1 pyside6-addons==9.1 pyside6-essentials pyside6-pdf"
        " pyside6-webengine==9.1.40 shiboken6 --python-version 3.14. nixpkgs builds pyside6"
    ) in text
    # Nothing requires that one beside the Essentials: they are a package alone as well.
    assert main(["expr", write(tmp_path, "PySide6_Essentials")]) == 0
    text = re.sub(r"\n *#", "", capsys.readouterr().out)
    assert "too: with one of them on Python's path one folder hides the other. Who" in text
    assert "Take the wheel of shiboken6, too (nix-manylinux expr shiboken6==9.1): " in text


@pytest.mark.parametrize(
    ("source", "beside", "told"),
    [
        (b"", {}, ""),
        (b"", {"one": {SHARED}, "two": {"x/__init__.py"}}, "one"),
        (b"__path__ = extend_path(__path__, 0)", {"one": {SHARED}}, ""),
    ],
)
def test_one_package_hides_another(
    source: bytes, beside: dict[str, set[str]], told: str, tmp_path: Path
) -> None:
    """Whose regular package is a required wheel's, too, is told so: Python takes one folder."""
    made = MadeWheel(
        name="demo", version="1", tag="py3-none-any", files={SHARED: source},
        metadata=b"Name: demo\nVersion: 1\nRequires-Dist: one\n",
    )  # fmt: skip
    wheel = describe_wheel(made.write(tmp_path), look_for_loads=True)
    found = build_expression([wheel], beside=beside, for_nixpkgs=True)
    begin = f"{SHARED} is in one, too: on Python's path one folder hides the other, and nothing"
    assert [note.startswith(begin) for note in found.first] == ([True] if told else [])
    assert not any("hides the other" in note for note in every_note(found))
    if told:
        command = "nix-manylinux expr --for-nixpkgs one demo==1"
        assert found.first[0].endswith(f" Make one package of them:\n  {command}")
        text = build_expression([wheel], beside=beside).text
        assert "expr one demo==1. nixpkgs builds pyside6 from source." in re.sub(r"\n *#", "", text)


#: A chain as pin's: name, requirements, and what one needs of the last ones.
CHAIN = {
    "pin": ("cmeel", "coal>=1", "numpy"),
    "coal": ("cmeel", "libcoal==1.0", "between"),
    "between": ("eigenpy",),
    "eigenpy": ("cmeel-boost", "numpy"),
    "libcoal": ("cmeel-assimp", "cmeel-boost"),
    "cmeel-assimp": ("cmeel", "cmeel-zlib"),
    "cmeel-zlib": ("cmeel",),
    "cmeel-boost": ("cmeel", "cmeel-zlib"),
    "cmeel": (),
    "numpy": (),
}


@pytest.mark.parametrize("fault", ["", "numpy"])
def test_a_chain(fault: str, index: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All wheels are named, what the others need first, with the options that were given."""
    for name, required in CHAIN.items():
        headers = "".join(f"Requires-Dist: {each}\n" for each in required)
        files = {"pin/wrap.so": tiny_library("wrap.so", "libcoal.so", "libeigenpy.so")}
        made = MadeWheel(
            name=name.replace("-", "_"), tag="cp313-cp313-manylinux_2_28_x86_64",
            files=files if name == "pin" else {f"{name}.py": b""},
            metadata=f"Name: {name}\nVersion: 1.0\n{headers}\n".encode(),
        )  # fmt: skip
        if name != fault:  # of which there may be no wheel
            made.write(index)
    options = "--python-version 3.13 --system x86_64-linux"
    assert main(["expr", "--for-nixpkgs", "pin", *options.split()]) == 0
    said = capsys.readouterr().err
    loop = said.partition("has libraries of its own:\n  for each in ")[2].partition("\n  done\n")[0]
    names, _, command = loop.replace(" \\\n   ", "").partition("; do\n")
    assert (
        command == f'    nix-manylinux expr --for-nixpkgs "$each" {options} > "${{each%%=*}}.nix"'
    )
    why = "pip finds no wheels for all that pin==1.0 requires (No matching distribution found for "
    assert (f"warning: {why}numpy): " in said) == bool(fault)
    if fault:  # by the table alone
        assert names.split()[-2:] == ["libcoal", "coal"]
        assert {"cmeel", "cmeel-assimp", "cmeel-qhull", "eigenpy"} < {*names.split()}
        return
    order = "cmeel cmeel-zlib cmeel-assimp cmeel-boost eigenpy between libcoal coal"
    assert names == " ".join(f"{each}==1.0" for each in order.split())
    assert main(["expr", "pin", *options.split()]) == 0
    text, said = capsys.readouterr()
    assert f"libcoal==1.0 and coal==1.0, too, in this order (nix-manylinux expr NAME {options}" in (
        re.sub(r"\n *#", "", text)
    )
    assert f'\n    nix-manylinux expr "$each" {options} > "${{each%%=*}}.nix"\n  done\n' in said
    # These files need each other.
    (command,) = [line for line in said.splitlines() if line.startswith("  nix-build")]
    scope = command.partition("prev.pythonPackagesExtensions ++ [ (self: _: { ")[2]
    given, _, rest = scope.partition("}) ]; }) ]; }; python313.pkgs.callPackage ")
    passed = [f"{each} = self.callPackage ./{each}.nix {{ }}; " for each in sorted(order.split())]
    assert (given, rest) == ("".join(passed), "./pin.nix { }'")
