"""What distributions require and is not there: told where all that is there is known."""

from __future__ import annotations

import os
import shlex
import sys
from json import loads
from typing import TYPE_CHECKING

from tests.support.wheels import tiny_library

from nix_manylinux.cli.main import main
from nix_manylinux.resolve.requirements import requirement_warnings
from nix_manylinux.tree.scan import scan_tree

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import pytest

SITE = "lib/python3.11/site-packages"


def package(root: Path, name: str, *requires: str) -> Path:
    """Install a distribution that requires others."""
    folder = root / SITE / f"{name}-1.0.dist-info"
    folder.mkdir(parents=True)
    lines = [f"Name: {name}", "Version: 1.0", *(f"Requires-Dist: {each}" for each in requires)]
    (folder / "METADATA").write_text("Metadata-Version: 2.1\n" + "\n".join(lines) + "\n")
    return root


def propagates(root: Path, inputs: Iterable[Path]) -> Path:
    """Write what stdenv writes of a package's propagatedBuildInputs."""
    (root / "nix-support").mkdir(parents=True, exist_ok=True)
    text = " ".join(map(str, inputs))
    (root / "nix-support/propagated-build-inputs").write_text(f"{text}\n")
    return root


def environment(root: Path, settings: str = "") -> Path:
    """Make a virtual environment of this Python, with what `package` puts there."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "pyvenv.cfg").write_text(f"home = /usr/bin\n{settings}")
    (root / "bin").mkdir()
    (root / "bin/python").symlink_to(sys.executable)
    return root


def warnings(*roots: Path, site_packages: Iterable[Path] = ()) -> list[str]:
    """Give what is said of trees."""
    trees = [scan_tree(root) for root in roots]
    return [*requirement_warnings(trees, [*map(str, site_packages)])]


def test_package_of_nix_without_a_dependency(tmp_path: Path) -> None:
    """What comes with it counts, by others too; Python's own libraries alone are not enough."""
    shapely = package(tmp_path / "shapely", "shapely", "numpy>=1.26", "Typing_Extensions")
    python = tmp_path / "python3"
    (python / SITE).mkdir(parents=True)
    propagates(shapely, [python])
    (told,) = warnings(shapely)
    assert told == (
        "shapely requires numpy and typing-extensions, which are not among its inputs: importing"
        " it may fail; to add: dependencies = [ numpy typing-extensions ]; of python3Packages. In"
        " the place of one that your nixpkgs lacks (python3Packages.callPackage ./NAME.nix { }),"
        " which nix-manylinux expr NAME > NAME.nix writes"
    )
    numpy = package(tmp_path / "numpy", "numpy")
    extensions = package(tmp_path / "extensions", "typing_extensions")
    propagates(numpy, [python, extensions, shapely])  # a circle has no end
    propagates(shapely, [python, numpy])
    assert warnings(shapely) == []


def test_further_folders_count_for_packages_of_nix(tmp_path: Path) -> None:
    """Those that the hook gives: of packages that don't come with it but are there."""
    made = propagates(package(tmp_path / "made", "made", "numpy"), [])
    numpy = package(tmp_path / "numpy", "numpy")
    assert len(warnings(made)) == 1
    assert warnings(made, site_packages=[numpy / SITE]) == []


def test_environment(tmp_path: Path) -> None:
    """What pip or uv is to be told depends on who made it."""
    of_pip = package(environment(tmp_path / "by pip"), "shapely", "numpy")
    (told,) = warnings(of_pip)
    assert told == (
        "shapely requires numpy, which is not in this environment: importing it may fail; to add:"
        f" {shlex.quote(str(of_pip))}/bin/python -m pip install numpy"
    )
    of_uv = package(environment(tmp_path / "uv", "uv = 0.9.1\n"), "shapely", "numpy")
    assert warnings(of_uv)[0].endswith(f"to add: uv pip install --python {of_uv} numpy")
    package(of_uv, "numpy")
    assert warnings(of_uv) == []


def test_what_else_an_environment_sees_is_not_known(tmp_path: Path) -> None:
    """Neither of one that sees its Python's packages, nor of a folder that is none."""
    settings = "include-system-site-packages = true\n"
    assert warnings(package(environment(tmp_path / "venv", settings), "a", "numpy")) == []
    assert warnings(package(tmp_path / "folder", "a", "numpy")) == []


def test_markers_hold_for_the_python_of_the_folder(tmp_path: Path) -> None:
    """Extras don't count, nor what other Pythons and systems require, nor what can't be read."""
    venv = environment(tmp_path / "venv")
    package(
        venv, "a",
        "old; python_version < '3.11'", "new; python_version >= '3.11'", "windows; os_name == 'nt'",
        "extra-only; extra == 'all'", "both ; python_version > '3' and extra == 'x'", "odd; =",
        "pinned (>=1.0)", "url @ https://example.org/x.whl",
    )  # fmt: skip
    (told,) = warnings(venv)
    assert told.startswith("a requires new, pinned and url, which are not in")


def test_markers_of_pypy(tmp_path: Path) -> None:
    """Its folders are called after it; what only CPython wants isn't lacking there."""
    venv = environment(tmp_path / "venv")
    package(venv, "a", "c; implementation_name == 'cpython'", "p; implementation_name == 'pypy'")
    (told,) = warnings(venv)
    assert told.startswith("a requires c, ")
    (venv / SITE).parent.rename(venv / "lib/pypy3.11")
    (told,) = warnings(venv)
    assert told.startswith("a requires p, ")


def test_egg_info_and_other_spellings_are_installed_too(tmp_path: Path) -> None:
    """As setuptools and Debian write them, and as METADATA doesn't spell them."""
    venv = environment(tmp_path / "venv")
    package(venv, "a", "Foo.Bar", "old-egg", "linked")
    package(venv, "foo_bar")
    for name in ("old_egg-2.0-py3.11.egg-info", "linked.egg-link"):
        (venv / SITE / name).touch()
    assert warnings(venv) == []


def test_check_and_a_build_say_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """`check` of all, with status 0; `patch` of packages of Nix, whose author reads the log."""
    report = tmp_path / "report"
    venv = package(environment(tmp_path / "venv"), "shapely", "numpy")
    (venv / SITE / "x.abi3.so").write_bytes(tiny_library("x.so"))
    assert main(["check", str(venv), "--json", str(report)]) == 0
    assert "shapely requires numpy, which is not in" in capsys.readouterr().err
    assert any("requires numpy" in each for each in loads(report.read_text())["warnings"])
    assert main(["patch", str(venv)]) == 0
    assert "requires numpy" not in capsys.readouterr().err  # uv and pip install in any order
    made = propagates(package(tmp_path / "made", "shapely", "numpy"), [])
    (made / SITE / "x.abi3.so").write_bytes(tiny_library("x.so"))
    assert main(["patch", str(made)]) == 0
    assert "which is not among its inputs" in capsys.readouterr().err


def test_odd_names_and_files(tmp_path: Path) -> None:
    """Braces in a path are no fields, and what nix-support has may be anything."""
    venv = package(environment(tmp_path / "{x} {}"), "a", "numpy")
    assert warnings(venv)[0].endswith(f"{shlex.quote(str(venv))}/bin/python -m pip install numpy")
    made = propagates(package(tmp_path / "made", "a", "numpy"), [tmp_path / "other"])
    (tmp_path / "other/nix-support").mkdir(parents=True)
    os.mkfifo(tmp_path / "other/nix-support/propagated-build-inputs")
    with (made / "nix-support/propagated-build-inputs").open("ab") as file:
        file.write(b" /n\0ul \xff\xfe relative")
    assert len(warnings(made)) == 1


def test_strict(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """`check --strict` fails for what is warned of, and for nothing else."""
    venv = package(environment(tmp_path / "venv"), "a", "numpy")
    (venv / SITE / "fast.so").write_bytes(tiny_library("fast.so"))
    words = ["check", str(venv), "--python", sys.executable]
    assert main(words) == 0
    warned = capsys.readouterr().err.count("warning: ")
    assert main([*words, "--strict", "--json", str(tmp_path / "report")]) == 1
    said = capsys.readouterr().err
    assert "a requires numpy" in said
    assert f"error: --strict: {warned} warning{'s' if warned > 1 else ''}\n" in said
    assert loads((tmp_path / "report").read_text())["warnings"]
    package(venv, "numpy")
    assert main([*words, "--strict"]) == (1 if warned > 1 else 0)
