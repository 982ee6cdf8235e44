"""The hook in bash alone, under `set -eu`: whatever values are, they arrive as they are.

Nix's own store and stdenv allow few characters in paths; shells outside of
builds (`manylinuxFixup .venv`) don't. So the hook is sourced here with stand-ins
for the three functions of stdenv that it uses.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

pytestmark = pytest.mark.nix

ROOT = Path(__file__).parents[2]
HOOK = ROOT / "hooks" / "manylinux-fixup-hook.sh"

#: The options that shells are run with, all of which the hook has to bear.
STRICT = "set -euo pipefail; shopt -s inherit_errexit nullglob"

STDENV = r"""
declare -a postFixupHooks=() postInstallHooks=() pkgsHostHost=() pkgsHostTarget=()
strictDeps=1
addEnvHooks() { gather=$2; }
getAllOutputNames() { echo "${outputs-out}"; }
hostOffset=-1 targetOffset=0
"""

ODD = (
    *("two words", " leading", "trailing ", "*", "?", "[a-z]*", "~", "~root", "-", "--", "-x"),
    *("--help", "--output-dir=/", "$(touch pwned)", "`touch pwned`", "${HOME}", "$0", "$@", "!!"),
    *("a'b\"c", "\\", "\\n", "semi;touch pwned", "&& touch pwned", "|touch pwned", ">pwned", "#x"),
    *("new\nline", "\ttab\t", "\r", "\x01\x1b[31m", "é", "a[$(touch pwned)]", "{a,b}", "=", "%s"),
    *("x[$(touch pwned)]=1", "arguments", "items", "value"),
)
TEXTS = st.one_of(
    st.sampled_from(ODD), st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
)
LISTS = st.lists(TEXTS, max_size=4)
SETTINGS = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))

#: Variables of the hook that are lists, in its own order, and the option of each item.
OPTIONS = {
    "extraAutoPatchelfLibs": "--libs",
    "appendRunpaths": "--append-rpath",
    "manylinuxAppendRpaths": "--append-rpath",
    "manylinuxIgnoreMissingDeps": "--ignore-missing",
    "manylinuxProvidedLater": "--provided-later",
    "manylinuxExclude": "--exclude",
    "manylinuxAllowForeign": "--allow-foreign",
}

#: The names that the hook knows, as Nix has them.
KNOWN = re.findall(r'^  "(\w+)"$', (ROOT / "nix/variable-names.nix").read_text(), re.MULTILINE)

RECORDER = r"""#!/bin/bash
printf '%s\0' "$#" "$@" >>"$NIX_MANYLINUX_CALLS"
for word; do
  case $word in
  --output-dir=*) cp -- "${!#}" "${word#--output-dir=}/" ;;
  esac
done
"""


class Shell:
    """A folder of its own with a recorder for the command, in which scripts are run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls = folder / "calls"
        tool = folder / "the tool?"
        tool.write_text(RECORDER, encoding="utf-8")
        tool.chmod(0o755)
        text = HOOK.read_text(encoding="utf-8").replace("@nixManylinux@", str(tool))
        text = text.replace("@autoPatchelfNames@", str(HOOK.with_name("auto-patchelf-names.sh")))
        text = text.replace("@variableNames@", str(HOOK.with_name("variable-names.sh")))
        text = text.replace("@names@", " ".join(KNOWN))
        self.hook = folder / "hook.sh"
        self.hook.write_text(text, encoding="utf-8")
        self.work = folder / "work"

    def fresh(self) -> None:
        """Make the folder that scripts run in anew, with what globs would find."""
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir()
        for name in ("a", "b.so", "-x"):
            (self.work / name).touch()
        self.calls.write_bytes(b"")

    def run(self, script: str, before: str = "", *, status: int = 0) -> list[list[str]]:
        """Run a script that has sourced the hook; give the words of each call of the command."""
        file = self.folder / "script.sh"
        lines = [STRICT, STDENV, before, f"source {shlex.quote(str(self.hook))}", script]
        file.write_text("\n".join(lines), encoding="utf-8", newline="")
        done = subprocess.run(
            ["bash", "--norc", str(file)],
            cwd=self.work, capture_output=True, check=False, timeout=60,
            env={"PATH": os.environ["PATH"], "NIX_MANYLINUX_CALLS": str(self.calls), "HOME": "/"},
        )  # fmt: skip
        assert done.returncode == status, done.stderr.decode(errors="replace")
        assert not list(self.folder.rglob("pwned"))
        assert sorted(os.listdir(self.folder)) == [
            "calls",
            "hook.sh",
            "script.sh",
            "the tool?",
            "work",
        ]
        words = iter(self.calls.read_bytes().decode().split("\0")[:-1])
        return [[next(words) for _ in range(int(count))] for count in words]


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Give one shell to all tests of the module."""
    return Shell(tmp_path_factory.mktemp("shell"))


def array(name: str, values: Sequence[str]) -> str:
    """Write an array as __structuredAttrs gives it."""
    return f"declare -a {name}=({' '.join(map(shlex.quote, values))})"


def wanted(lists: Mapping[str, Sequence[str]], flags: Sequence[str]) -> list[str]:
    """Give the words that the lists become."""
    words = [
        f"{option}={value}" for name, option in OPTIONS.items() for value in lists.get(name, ())
    ]
    return [*words, *flags]


def no_name(text: str) -> bool:
    """Whether a text can't be a file's name."""
    return not text.strip("./") or "/" in text or len(text.encode()) > 80


NAMES = TEXTS.filter(lambda text: not no_name(text))


@SETTINGS
@given(
    lists=st.dictionaries(st.sampled_from(sorted(OPTIONS)), LISTS), flags=LISTS, debug=TEXTS,
    output=NAMES,
)  # fmt: skip
def test_arrays_arrive_whole(
    lists: dict[str, list[str]], flags: list[str], debug: str, output: str, shell: Shell
) -> None:
    """With __structuredAttrs every item is one word of the command, whatever is in it.

    The same for the output's path. manylinuxFixupFlags are words of their own, and nothing more.
    """
    shell.fresh()
    out = shell.work / "outputs" / output
    out.mkdir(parents=True)
    lines = [array(name, values) for name, values in lists.items()]
    lines += [array("manylinuxFixupFlags", flags), f"out={shlex.quote(str(out))}"]
    lines += [f"NIX_DEBUG={shlex.quote(debug)}"]
    (call,) = shell.run('for f in "${postFixupHooks[@]}"; do "$f"; done', "\n".join(lines))
    verbose = ["-v"] if debug not in {"", "0"} else []
    assert call == ["patch", *verbose, *wanted(lists, flags), "--", str(out)]


@SETTINGS
@given(lists=st.dictionaries(st.sampled_from(sorted(OPTIONS)), TEXTS), flags=TEXTS)
def test_strings_are_split_and_nothing_else(
    lists: dict[str, str], flags: str, shell: Shell
) -> None:
    """Without __structuredAttrs white space separates, as in stdenv; no other character acts."""
    shell.fresh()
    lines = [f"export {name}={shlex.quote(text)}" for name, text in lists.items()]
    lines += [f"export manylinuxFixupFlags={shlex.quote(flags)}", "out=$PWD"]
    (call,) = shell.run('for f in "${postFixupHooks[@]}"; do "$f"; done', "\n".join(lines))
    split = {name: re.findall(r"[^ \t\n]+", text) for name, text in lists.items()}
    words = wanted(split, re.findall(r"[^ \t\n]+", flags))
    assert call == ["patch", *words, "--", str(shell.work)]


@SETTINGS
@given(packages=st.lists(NAMES, min_size=1, max_size=3, unique=True), folder=NAMES)
def test_inputs_of_any_name(packages: list[str], folder: str, shell: Shell) -> None:
    """Inputs, Python inputs, interpreters and search paths of any name are found and handed on."""
    shell.fresh()
    script = []
    site = []
    for name in packages:
        package = shell.work / "inputs" / name
        (package / "lib/python3.11/site-packages").mkdir(parents=True)
        script.append(f'"$gather" {shlex.quote(str(package))}')
        site.append(f"{package}/lib/python3.11/site-packages")
    python = shell.work / "inputs" / packages[0]
    (python / "lib/python3.11/os.py").touch()
    (python / "bin").mkdir()
    (python / "bin/python3.11").write_text("")
    (python / "bin/python3.11").chmod(0o755)
    place = shell.work / "more" / folder
    (place / folder).mkdir(parents=True)
    (place / folder / "lib\n.so.1").touch()
    script += [
        "cd more",
        f"addManylinuxSearchPath {shlex.quote(folder)}",
        f"addAutoPatchelfSearchPath -- {shlex.quote(folder)}",
        f"cd ..; manylinuxFixup -- {shlex.quote(f'more/{folder}')}",
    ]
    (call,) = shell.run("\n".join(script), "declare -a extraAutoPatchelfLibs=()")
    assert call == [
        "patch",
        f"--python={python}/bin/python3.11",
        f"--libs={place}",
        *(f"--libs={shell.work}/inputs/{name}/lib" for name in packages),
        *(f"--python-libs={path}" for path in site),
        f"--libs={place}/{folder}",
        "--",
        f"more/{folder}",
    ]


@SETTINGS
@given(tree=NAMES, wheel=NAMES, options=st.lists(TEXTS.map(lambda text: f"--x={text}"), max_size=3))
def test_paths_by_hand(tree: str, wheel: str, options: list[str], shell: Shell) -> None:
    """By hand it takes trees and wheels of any name, and puts the wheel back in its place."""
    shell.fresh()
    if not (shell.work / tree).exists():
        (shell.work / tree).mkdir()
    (shell.work / f"{wheel}.whl").write_bytes(b"wheel")
    words = [*options, "--", tree, f"{wheel}.whl"]
    first, second = shell.run(f"manylinuxFixup {' '.join(map(shlex.quote, words))}")
    assert first == ["patch", *options, "--", tree]
    (directory,) = (word for word in second if word.startswith("--output-dir="))
    assert second == ["patch", *options, "--quiet", directory, "--", f"{wheel}.whl"]
    assert (shell.work / f"{wheel}.whl").read_bytes() == b"wheel"
    assert not Path(directory.partition("=")[2]).exists()


def test_nothing_is_set(shell: Shell) -> None:
    """With no variable set at all the hook runs under `set -eu`, and fails as the command fails."""
    shell.fresh()
    assert shell.run("_manylinuxFixupPostFixup") == []
    (call,) = shell.run("manylinuxFixup .")
    assert call == ["patch", "--", "."]
    tool = shell.folder / "the tool?"
    tool.write_text("#!/bin/bash\nexit 7\n")
    try:
        shell.run("status=0; manylinuxFixup . || status=$?; [[ $status == 7 ]]")
        shell.run("manylinuxFixup .; touch ../pwned", status=7)
    finally:
        tool.write_text(RECORDER)


@pytest.mark.parametrize("name", ["manylinux-fixup-hook.sh", "manylinux-install-hook.sh"])
@pytest.mark.parametrize(("host", "target", "shell", "works"), [
    ("-1", "0", "", True),
    ("0", "1", "", False),
    ("0", "1", "impure", True),
    ("-1", "-1", "", False),
])  # fmt: skip
def test_inputs_of_another_platform(
    name: str, host: str, target: str, shell: str, works: object
) -> None:
    """What starts a command is for the platform that builds; a shell has only one."""
    script = f"{STDENV}\nhostOffset={host} targetOffset={target}; source {HOOK.parent / name}"
    done = subprocess.run(
        ["bash", "-c", script],
        capture_output=True, text=True, check=False, env={**os.environ, "IN_NIX_SHELL": shell},
    )  # fmt: skip
    refused = "ERROR: found among the inputs of another platform" in done.stderr
    assert refused is not works
    assert ("It belongs in nativeBuildInputs, not in buildInputs" in done.stderr) is not works
