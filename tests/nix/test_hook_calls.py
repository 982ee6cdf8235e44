"""What manylinuxFixupHook hands to the command, with a stub that writes it down."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from tests.support.rings import Built, unhashed

if TYPE_CHECKING:
    from tests.support.rings import Nix

pytestmark = pytest.mark.nix


class Call(NamedTuple):
    """One call of the command: its words and its environment."""

    words: list[str]
    environment: dict[str, str]

    def values(self, option: str) -> list[str]:
        """Return the values of a repeated ``--option=value``, in order."""
        return [word.partition("=")[2] for word in self.words if word.startswith(option + "=")]

    @property
    def paths(self) -> list[str]:
        """What stands behind the last ``--``."""
        return self.words[len(self.words) - self.words[::-1].index("--") :]


def calls(built: Built) -> list[Call]:
    """Read what the stub wrote into the output of a build."""
    folder = Path(built.path) / "calls"
    if not folder.exists():
        return []
    found = []
    for number in range(len(list(folder.glob("*.argv")))):
        words = (folder / f"{number}.argv").read_bytes().decode().split("\0")[:-1]
        pairs = (folder / f"{number}.env").read_bytes().decode().split("\0")[:-1]
        found.append(Call(words, dict(pair.split("=", 1) for pair in pairs if "=" in pair)))
    return found


def only_call(nix: Nix, case: str) -> Call:
    """Build a case in which the command is called once."""
    found = calls(nix.build(f"hook.{case}"))
    assert len(found) == 1, found
    return found[0]


@pytest.mark.parametrize("case", ["plain", "structured"])
def test_every_variable_becomes_its_option(nix: Nix, case: str) -> None:
    """Each hook variable arrives as its option, whatever way the attributes take."""
    call = only_call(nix, case)
    nest = call.values("--libs")[0]
    assert call.words[0] == "patch"
    assert nest.endswith("-nest-1/lib")
    assert call.values("--runtime-libs") == ["libfoo.so.1", nest]
    assert call.values("--append-rpath") == ["/run/extra"]
    assert call.values("--ignore-missing") == ["sub/*:libgone.so.*"]
    assert call.values("--provided-later") == ["liblater.so.1"]
    assert call.values("--driver-lib") == ["libdriver.so.1"]
    assert call.values("--driver-dir") == ["/run/driver"]
    assert call.values("--exclude") == ["*.template"]
    assert call.values("--allow-foreign") == ["other/*"]
    place = call.words.index("--keep-libc")
    assert call.words[place : place + 3] == ["--keep-libc", "--missing", "warn"]
    assert call.words[place + 4] == "--"
    assert call.values("--forbid-rpath") == [call.environment["TMPDIR"]]
    assert [os.path.basename(path)[33:] for path in call.paths] == ["case"]


def test_values_stay_what_they_are(nix: Nix) -> None:
    """Spaces, globs, quotes, newlines, dashes and command substitutions reach the command whole."""
    odd = [
        "two words",
        "*",
        "$(touch pwned)",
        "`touch pwned`",
        "--help",
        "-x",
        "a'b\"c",
        "semi;colon",
        "new\nline",
    ]
    call = only_call(nix, "adversarial")
    assert call.values("--exclude") == odd
    place = call.words.index(f"--forbid-rpath={call.environment['TMPDIR']}")
    assert call.words[place - len(odd) : place] == odd


def test_outputs_are_one_plan_in_order(nix: Nix) -> None:
    """All outputs but `debug` go into one call, sorted, and the wheel in `dist` as a wheel."""
    call = only_call(nix, "outputs")
    names = [os.path.basename(path)[33:] for path in call.paths]
    assert names == ["case-dist", "case-lib", "case", "case-zoo"]
    (wheel,) = call.values("--dist")
    assert os.path.basename(wheel) == "probe-1.0-py3-none-manylinux_2_17_x86_64.whl"


def test_structured_outputs_are_sorted_too(nix: Nix) -> None:
    """With __structuredAttrs the outputs come in no order, and are sorted all the same."""
    call = only_call(nix, "outputsStructured")
    names = [os.path.basename(path)[33:] for path in call.paths]
    assert names == ["case-lib", "case", "case-zoo"]


def test_propagated_inputs_are_searched(nix: Nix) -> None:
    """A build input's own propagated inputs count, after it."""
    call = only_call(nix, "transitive")
    assert [unhashed(path) for path in call.values("--libs")] == [
        "numbers/lib",
        "nest-1/lib",
    ]


def test_build_tools_come_last_without_strict_deps(nix: Nix) -> None:
    """Without strictDeps the libraries of build tools are searched last, once, with a warning."""
    built = nix.build("hook.buildTools")
    (call,) = calls(built)
    libraries = [unhashed(path) for path in call.values("--libs")]
    assert libraries[0] == "zlib-host/lib"
    assert "numbers/lib" in libraries[1:]
    assert len(libraries) == len(set(libraries))
    assert "without strictDeps the libraries of" in nix.log(built.path)


def test_build_tools_are_not_searched_with_strict_deps(nix: Nix) -> None:
    """With strictDeps a library of a build tool is no candidate."""
    call = only_call(nix, "strict")
    assert [unhashed(path) for path in call.values("--libs")] == ["zlib-host/lib"]


def test_python_inputs_bring_their_site_packages(nix: Nix) -> None:
    """Python inputs, transitively, are other wheels; their interpreter is the target."""
    call = only_call(nix, "pythonPackage")
    names = [unhashed(path).split("/")[0] for path in call.values("--python-libs")]
    assert [name.split("-")[1] for name in names if name.endswith("er-1")] == ["outer", "inner"]
    (python,) = call.values("--python")
    assert os.access(python, os.X_OK)


def test_the_hook_refuses_to_be_a_build_input(nix: Nix) -> None:
    """From buildInputs it would see no library, so the build fails and says where it belongs."""
    log = nix.fails("hook.misplaced")
    assert "manylinuxFixupHook: ERROR" in log
    assert "It belongs in nativeBuildInputs, not in buildInputs" in log


def test_two_hooks_patch_once(nix: Nix) -> None:
    """Two derivations of the hook in one build gather and patch once."""
    only_call(nix, "twice")


def test_switched_off_does_nothing(nix: Nix) -> None:
    """With dontManylinuxFixup nothing is patched, and the log says so."""
    built = nix.build("hook.off")
    assert calls(built) == []
    assert "dontManylinuxFixup is set" in nix.log(built.path)


def test_search_paths_come_first(nix: Nix) -> None:
    """The addManylinuxSearchPath ones go before the inputs; autoPatchelf's are found by depth."""
    call = only_call(nix, "searchPath")
    libraries = call.values("--libs")
    assert libraries[0].endswith("-case/own libs")
    assert libraries[1].endswith("-nest-1/lib")
    assert libraries[2].endswith("-case/deep/er")


def test_absent_search_path_is_named(nix: Nix) -> None:
    """A directory that isn't there is an error, not a silence."""
    log = nix.fails("hook.absentSearchPath")
    assert "addManylinuxSearchPath: ERROR" in log
    assert "nowhere is not a directory" in log


def test_autopatchelf_variables_are_honoured(nix: Nix) -> None:
    """A package written for autoPatchelfHook needs no change but the hook's name."""
    call = only_call(nix, "autoPatchelfVariables")
    assert call.values("--ignore-if-missing") == ["libignored.so.1"]
    assert [unhashed(path) for path in call.values("--runtime-libs")] == ["nest-1/lib"]
    assert call.values("--append-rpath") == ["/run/appended"]
    assert "--keep-libc" in call.words


def test_ignoring_everything_becomes_a_warning(nix: Nix) -> None:
    """`autoPatchelfIgnoreMissingDeps = true` patches what can be and names the rest."""
    call = only_call(nix, "autoPatchelfEverything")
    assert call.values("--missing") == ["warn"]
    assert call.values("--ignore-missing") == []


@pytest.mark.parametrize("case", ["bothOursFirst", "bothOursLast"])
def test_takes_the_place_of_autopatchelf(nix: Nix, case: str) -> None:
    """With both hooks, in either order, autoPatchelf stays off and the log says so."""
    built = nix.build(f"hook.{case}")
    assert len(calls(built)) == 1
    assert "takes the place of autoPatchelfHook" in nix.log(built.path)


def test_defaults_are_set_when_sourced(nix: Nix) -> None:
    """Stripping, shrinking and autoPatchelf are off, manylinux wheels are accepted."""
    built = nix.build("hook.defaults")
    assert (Path(built.path) / "switches").read_text() == "1,1,1,1,"


@pytest.mark.parametrize(
    ("case", "policy"), [("switchedBack", "manylinux_2_28"), ("switchedBackStructured", "0")]
)
def test_an_explicit_false_wins(nix: Nix, case: str, policy: str) -> None:
    """`dontStrip = false` and the like stay false; NIX_PYTHON_MANYLINUX that is set stays."""
    built = nix.build(f"hook.{case}")
    assert (Path(built.path) / "switches").read_text() == f",,,{policy},"


def test_what_is_not_stripped_is_said(nix: Nix) -> None:
    """The switch that the hook has set is told, with the way back; one of the package's own isn't.

    So is what the paths in the log are.
    """
    log = nix.log(nix.build("hook.defaults").path)
    assert "nothing was stripped" in log
    assert 'dontStrip = false; stripDebugList = [ "FOLDER" ];' in log
    assert "manylinuxFixup: links the outputs out\n" in log
    assert "nothing was stripped" not in nix.log(nix.build("hook.switchedBack").path)


def test_what_stays_unlinked_is_said(nix: Nix) -> None:
    """A wheel in an output other than `dist`."""
    log = nix.log(nix.build("hook.otherWheels").path)
    assert "/wheels/probe-1.0-py3-none-manylinux_2_17_x86_64.whl stays as it is" in log
    assert "any.whl stays" not in log


@pytest.mark.parametrize(
    ("case", "why"),
    [
        ("withoutFixup", "dontFixup is set"),
        ("withoutPhases", "no fixupPhase came to its end"),
        ("withoutPostFixup", "no fixupPhase came to its end"),
        ("byCommand", "no fixupPhase came to its end"),
    ],
)
def test_a_build_that_links_nothing_says_so(nix: Nix, case: str, why: str) -> None:
    """Whatever keeps the fixup from its end, and whether or not hooks run in installPhase."""
    built = nix.build(f"hook.{case}")
    assert calls(built) == []
    assert f"manylinuxFixup: {why}, nothing is linked; `manylinuxFixup -- $out` at" in nix.log(
        built.path
    )


@pytest.mark.parametrize("case", ["off", "byCommandByHand", "defaults"])
def test_a_build_that_has_linked_says_nothing(nix: Nix, case: str) -> None:
    """Nor does one that was told to leave it, or that did it by hand."""
    assert "nothing is linked" not in nix.log(nix.build(f"hook.{case}").path)


def test_a_misspelt_variable_is_told(nix: Nix) -> None:
    """With the known one that is like it; those of our other hooks are known."""
    log = nix.log(nix.build("hook.misspelt").path)
    warned = dict(re.findall(r"WARNING: no hook reads (\w+): is (\w+) meant\?", log))
    assert warned == {
        "manylinuxIgnoreMissing": "manylinuxIgnoreMissingDeps",
        "manyLinuxExcludes": "manylinuxExclude",
        "manylinuxLibs": "manylinuxRuntimeLibs",
        "autoPatchelfIgnoreMissing": "autoPatchelfIgnoreMissingDeps",
        "dontManylinuxFix": "dontManylinuxFixup",
    }
    said = "this hook doesn't read manylinuxAutoLibs; here the same is: buildInputs ="
    assert log.count(said) == 1
    # Not linked, and told what it may have been meant to be linked with.
    assert "no hook reads manylinuxIgnoreMissing: is" in nix.log(
        nix.build("hook.withoutFixup").path
    )
    assert "no hook reads" not in nix.log(nix.build("hook.plain").path)
    assert "no hook reads" not in nix.log(nix.build("hook.structured").path)


def test_tags_that_nobody_looks_at_are_told(nix: Nix) -> None:
    """An installed wheel in a build that has no Python among its inputs."""
    said = "the tags of wheels are not checked: no Python is among the buildInputs"
    assert nix.log(nix.build("hook.untagged").path).count(said) == 1
    for case in ("tagged", "defaults"):
        assert said not in nix.log(nix.build(f"hook.{case}").path)


def test_the_builds_python_does_not_reach_the_command(nix: Nix) -> None:
    """The command runs without PYTHONPATH and PYTHONHOME, and the hook under `set -u`."""
    call = only_call(nix, "nounset")
    assert "PYTHONPATH" not in call.environment
    assert "PYTHONHOME" not in call.environment
    assert call.environment["NO_COLOR"] == "1"  # a build's log is no terminal


def test_by_hand(nix: Nix) -> None:
    """By hand it takes options, trees and wheels; an environment has its own interpreter."""
    trees, wheel, environment = calls(nix.build("hook.byHand"))
    assert "--gc-roots=roots" in trees.words
    assert trees.paths == ["tree"]
    assert wheel.paths == ["-odd.whl"]
    assert environment.paths == ["venv dir"]
    assert environment.values("--python") == []


@pytest.mark.parametrize(
    ("case", "message"),
    [("byHandNothing", "no path given"), ("byHandAbsent", "nowhere does not exist")],
)
def test_by_hand_needs_a_path_that_is_there(nix: Nix, case: str, message: str) -> None:
    """Nothing to patch is an error: a typing mistake must not pass for a patched tree."""
    assert f"manylinuxFixup: ERROR: {message}" in nix.fails(f"hook.{case}")


@pytest.mark.parametrize("case", ["shell", "shellOfPackages"])
@pytest.mark.parametrize("way", ["nix-shell", "nix develop"])
def test_the_function_works_in_a_shell(nix: Nix, tmp_path: Path, way: str, case: str) -> None:
    """In a shell `manylinuxFixup .venv` calls the command with the shell's inputs.

    Those of mkShell, and those of `nix-shell -p`, where the hook is a build input, too.
    """
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "pyvenv.cfg").touch()
    script = f"export out={tmp_path}; manylinuxFixup .venv"
    if way == "nix-shell":
        nix.shell(f"hook.{case}", script, str(tmp_path))
    else:
        text = nix.development_environment(f"hook.{case}")
        (tmp_path / "environment").write_text(f"{text}\n{script}\n")
        subprocess.run(["bash", "environment"], check=True, cwd=tmp_path)
    (call,) = calls(Built(path=str(tmp_path), log=""))
    assert call.paths == [".venv"]
    assert [unhashed(path) for path in call.values("--libs")] == ["nest-1/lib"]


def test_no_python_of_its_own(nix: Nix) -> None:
    """The hook propagates nothing: no interpreter reaches the build's PATH or PYTHONPATH."""
    call = only_call(nix, "plain")
    assert "python" not in call.environment["PATH"]
    assert "PYTHONPATH" not in call.environment


def test_hooks_ask_nothing_of_a_bash_with_readline() -> None:
    """The bash of nixpkgs' stdenv is without it, and so without these builtins."""
    hooks = sorted((Path(__file__).parents[2] / "hooks").glob("*.sh"))
    assert len(hooks) > 5
    wanted = re.compile(r"^[^#\n]*\b(compgen|complete|compopt|bind|history|fc)\b", re.MULTILINE)
    assert {hook.name: found for hook in hooks if (found := wanted.findall(hook.read_text()))} == {}
