"""Wheel names and tags: read, expanded, and held against targets as installers hold them."""

from __future__ import annotations

import contextlib
import re
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging import _manylinux
from packaging import tags as reference
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version
from tests.wheels import corpus

from nix_manylinux.base.errors import BadWheel, IncompatibleWheel
from nix_manylinux.elf.facts import Machine
from nix_manylinux.target import compat as tags
from nix_manylinux.target.interpreter import Interpreter, interpreter_tags
from nix_manylinux.target.target import Target
from nix_manylinux.wheel import name as wheel_name

if TYPE_CHECKING:
    from collections.abc import Sequence

MACHINES = {
    "x86_64": Machine(number=62, bits=64, endian="little"),
    "x32": Machine(number=62, bits=32, endian="little"),
    "i686": Machine(number=3, bits=32, endian="little"),
    "aarch64": Machine(number=183, bits=64, endian="little"),
    "armv7l": Machine(number=40, bits=32, endian="little", abi="hard"),
    "ppc64le": Machine(number=21, bits=64, endian="little"),
    "s390x": Machine(number=22, bits=64, endian="big"),
    "riscv64": Machine(number=243, bits=64, endian="little"),
}


def interpreter(
    minor: int = 11, abis: Sequence[str] = (), implementation: str = "cpython"
) -> Interpreter:
    """Make an interpreter of Python 3.``minor``."""
    return Interpreter(
        executable="/nix/store/x-python3/bin/python3",
        version=(3, minor),
        implementation=implementation,
        tags=interpreter_tags(implementation, (3, minor), abis or (f"cp3{minor}",)),
    )


def target(
    arch: str = "x86_64",
    libc: str = "glibc",
    version: tuple[int, ...] = (2, 31),
    python: Interpreter | None = None,
) -> Target:
    """Make a target that no file stands behind."""
    return Target(
        machine=MACHINES[arch],
        libc=libc,
        libc_version=version,
        dynamic_linker="/ld.so",
        libc_directory="/",
        libc_sonames={},
        interpreter=python,
    )


def refusal(tag: str, aim: Target) -> IncompatibleWheel | None:
    """Give the error that a compound tag meets, or None where it fits."""
    try:
        tags.check_compatible(wheel_name.expand_tag(tag), aim)
    except IncompatibleWheel as error:
        return error
    return None


def test_wheel_name() -> None:
    """Name, version, build number and all simple tags come out of the file name, in its order."""
    name = wheel_name.parse_wheel_name(
        "/dist/pillow-13.0.0-1b-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl"
    )
    assert (name.name, name.version, name.build) == ("pillow", "13.0.0", "1b")
    assert name.tags == (
        "cp311-cp311-manylinux_2_27_x86_64",
        "cp311-cp311-manylinux_2_28_x86_64",
    )


@pytest.mark.parametrize(
    "filename",
    ["numpy.whl", "numpy-1.0.zip", "numpy-x-cp311-cp311-any.whl", "a-1--none-any.whl", "", "a/"],
)
def test_bad_wheel_name(filename: str) -> None:
    """What is no wheel's file name is refused by our own error, with the form it should have."""
    with pytest.raises(BadWheel) as caught:
        wheel_name.parse_wheel_name(filename)
    assert "PLATFORM.whl" in str(caught.value)


@given(st.text(max_size=40))
def test_any_text_as_wheel_name(text: str) -> None:
    """Whatever the name, only BadWheel is raised."""
    try:
        wheel_name.parse_wheel_name(f"{text}.whl")
    except BadWheel as error:
        assert error.what  # noqa: PT017 (that it may also parse is the point)


#: Pieces that wheel names are made of, right and wrong ones.
_NAMES = ("a", "a.b", "a__b", "_", "ä", "", "a b", "1", "A_1.x", "__a")
_VERSIONS = (
    "1", "1.0", "1.0rc1", "1.0.rc1", "1.0RC1", "1.post2", "1.0a1.post2.dev3", "2!1", "1+cpu",
    "1+cu12.1", "1+a_b", "v1", "1.", ".1", "1.x", "1.0+", "1a", "\u0661", "01.0", "", "1c1", "1_0",
    "9" * 300, "9" * 5000,
)  # fmt: skip
_BUILDS = ("", "-1", "-1b", "-b1", "-1.2", "-1_2b", "-", "-\u0661")
_PYTHONS = ("cp311", "py2.py3", "3py", "", "py3.", "CP3", "py-3", "pü", "_")
_ABIS = ("none", "cp311", "abi3.none", "", "a.", ".b", "4a")
_PLATFORMS = ("any", "manylinux1_x86_64.linux_x86_64", "", "1any", "any.", "a b", "any\n")
_ENDINGS = (".whl", ".zip", "", ".whl\n", ".WHL", ".whl.whl")


@settings(max_examples=2000)
@given(
    st.tuples(
        st.sampled_from(_NAMES) | st.text("ab._", max_size=5),
        st.sampled_from(_VERSIONS) | st.from_regex(r"[0-9.!+a-c_rv]{0,9}", fullmatch=True),
        st.sampled_from(_BUILDS),
        st.sampled_from(_PYTHONS),
        st.sampled_from(_ABIS),
        st.sampled_from(_PLATFORMS),
        st.sampled_from(_ENDINGS),
    )
)
def test_names_are_judged_as_packaging_judges_them(parts: tuple[str, ...]) -> None:
    """A file name is taken if packaging takes it, and its tags are tags; packaging need not ask."""
    name, version, build, python, abi, platform, ending = parts
    _agree(f"{name}-{version}{build}-{python}-{abi}-{platform}{ending}")


def test_real_names_are_read_without_packaging() -> None:
    """All wheels of the corpus are called as packaging wants, and none needs its import."""
    root = Path(__file__).parents[2]
    tables = [root / "tests/wheels" / name for name in corpus.LISTS]
    names = {
        word
        for table in tables
        for word in re.split(r"\s", table.read_text())
        if word.endswith(".whl")
    }
    assert len(names) > 100
    with mock.patch.object(wheel_name, "_check_odd_name", side_effect=AssertionError):
        for name in names:
            wheel_name.parse_wheel_name(name)
    for name in names:
        _agree(name)


def _agree(filename: str) -> None:
    """Hold our verdict and reading of one name against packaging's, which knows no variants."""
    with contextlib.suppress(BadWheel):
        if variant := wheel_name.parse_wheel_name(filename).variant:
            filename = f"{filename.removesuffix(f'-{variant}.whl')}.whl"
    try:
        project, version, build, expected = parse_wheel_filename(filename)
        wheel_name.expand_tag(filename.removesuffix(".whl").split("-", filename.count("-") - 2)[-1])
    except (InvalidWheelFilename, ValueError, BadWheel):
        with pytest.raises(BadWheel):
            wheel_name.parse_wheel_name(filename)
        return
    name = wheel_name.parse_wheel_name(filename)
    assert canonicalize_name(name.name) == project
    assert Version(name.version) == version
    number = re.match(r"[0-9]+", name.build)
    assert build[:1] == ((int(number[0]),) if number else ())
    assert set(name.tags) == {str(tag) for tag in expected}


@pytest.mark.parametrize("build", ["", "-1b"])
def test_a_variant_label(build: str) -> None:
    """PEP 825: a label behind the platform tag is no tag; it may be long."""
    plain = f"torch-2.9.0{build}-cp311-cp311-manylinux_2_28_x86_64"
    label = "x86_64_v3.cu12.8_long"
    name = wheel_name.parse_wheel_name(f"{plain}-{label}.whl")
    without = wheel_name.parse_wheel_name(f"{plain}.whl")
    assert name.variant == label
    assert (name.name, name.build, name.tags) == (without.name, without.build, without.tags)
    for label in ("CU128", "", "cu+1"):
        with pytest.raises(BadWheel):
            wheel_name.parse_wheel_name(f"{plain}-{label}.whl")


def test_the_store_puts_its_hash_in_front() -> None:
    """A wheel that Nix has fetched is read by its own name; other names keep all they have."""
    own = "made-1.0-py3-none-any.whl"
    stored = "0c5p8a3i8l5kwgp5c1hhmvpw4lpl6x4i-" + own
    assert wheel_name.parse_wheel_name(f"/nix/store/{stored}") == wheel_name.parse_wheel_name(own)
    assert wheel_name.wheel_file_name(f"x_{stored}") == f"x_{stored}"


@pytest.mark.parametrize("tag", ["", "py3-none", "py3-none-any-x", "py3-no ne-any", "py3..-n-a"])
def test_bad_tag(tag: str) -> None:
    """A tag that isn't three dotted lists is refused."""
    with pytest.raises(BadWheel):
        wheel_name.expand_tag(tag)


def test_compound_tag() -> None:
    """Every combination stands for itself, each once."""
    assert wheel_name.expand_tag("py2.py3-none-any.any") == ("py2-none-any", "py3-none-any")


FITS_GLIBC_2_31 = {
    "manylinux1_x86_64": True,
    "manylinux2010_x86_64": True,
    "manylinux2014_x86_64": True,
    "manylinux_2_17_x86_64.manylinux2014_x86_64": True,
    "manylinux_2_31_x86_64": True,
    "manylinux_2_32_x86_64": False,
    "manylinux_2_32_x86_64.manylinux_2_28_x86_64": True,
    "manylinux_3_0_x86_64": False,
    "manylinux_2_4_x86_64": False,
    "musllinux_1_1_x86_64": False,
    "linux_x86_64": True,
    "linux_i686": False,
    "manylinux1_i686": False,
    "manylinux1_aarch64": False,
    "manylinux2014_aarch64": False,
    "any": True,
    "win_amd64": False,
    "macosx_11_0_arm64": False,
    "macosx_11_0_x86_64.manylinux_2_5_x86_64": True,
    "manylinux": False,
    "manylinux2014": False,
}


@pytest.mark.parametrize(("platform", "fits"), FITS_GLIBC_2_31.items())
def test_platform(platform: str, fits: bool) -> None:  # noqa: FBT001 (a table of claims)
    """On x86_64 with glibc 2.31, without an interpreter, the platform alone decides."""
    assert (refusal(f"cp36-cp36m-{platform}", target()) is None) is fits


def test_glibc_floor_is_told() -> None:
    """A floor above the target's glibc is refused with both versions and what would fit."""
    error = refusal("cp311-cp311-manylinux_2_34_x86_64", target())
    assert error is not None
    assert error.what == "the wheel needs glibc 2.34, the target has 2.31"
    assert "manylinux_2_31_x86_64 or older" in error.hint


@pytest.mark.parametrize(
    ("tag", "aim", "words"),
    [
        ("py3-none-manylinux1_i686", target(), "for i686, the target is x86_64"),
        ("py3-none-manylinux1_x86_64", target("x32"), "for x86_64, the target is x32"),
        ("py3-none-musllinux_1_2_x86_64", target(), "for musl (musllinux_1_2_x86_64)"),
        ("py3-none-manylinux1_x86_64", target(libc="musl", version=(1, 2, 3)), "libc is musl"),
        ("py3-none-musllinux_1_3_x86_64", target(libc="musl", version=(1, 2, 3)), "musl 1.3"),
        ("py3-none-win_amd64", target(), "for Windows"),
        ("py3-none-macosx_11_0_arm64", target(), "for macOS"),
        ("py3-none-manylinux_2_12_aarch64", target("aarch64"), "begins with glibc 2.17"),
        ("cp39-cp39-linux_x86_64", target(python=interpreter()), "for Python 3.9, this is cpyth"),
        ("cp312-abi3-linux_x86_64", target(python=interpreter()), "needs Python 3.12 or newer"),
        ("cp27-cp27mu-linux_x86_64", target(python=interpreter()), "for Python 2.7"),
        ("cp313-cp313t-linux_x86_64", target(python=interpreter(13)), "for free-threaded Python"),
        ("cp313-cp313-linux_x86_64", target(python=interpreter(13, ["cp313t"])), "wants a GIL"),
        ("cp39-abi3-linux_x86_64", target(python=interpreter(13, ["cp313t"])), "wants a GIL"),
        ("pp310-pypy310_pp73-linux_x86_64", target(python=interpreter(10)), "is for pypy"),
        ("cp311-cp311d-linux_x86_64", target(python=interpreter()), "ABI is cp311d"),
        ("cp311-cp311-any", target(python=interpreter()), "for any platform"),
        ("py2-none-any", target(python=interpreter()), "for Python 2,"),
    ],
)
def test_reason(tag: str, aim: Target, words: str) -> None:
    """Each way of not fitting is told in its own words, with a hint."""
    error = refusal(tag, aim)
    assert error is not None
    assert words in error.what
    assert error.hint


def test_nearest_tag_is_told() -> None:
    """Of several tags the error is about the one that comes nearest."""
    error = refusal("cp310-cp310-win_amd64.manylinux_2_40_x86_64.musllinux_1_1_x86_64", target())
    assert error is not None
    assert "glibc 2.40" in error.what


def test_soft_float_arm() -> None:
    """Manylinux for ARM means the hard-float ABI."""
    soft = Machine(number=40, bits=32, endian="little", abi="soft")
    aim = Target(
        machine=soft,
        libc="glibc",
        libc_version=(2, 36),
        dynamic_linker="/ld.so",
        libc_directory="/",
        libc_sonames={},
    )
    error = refusal("py3-none-manylinux_2_17_armv7l", aim)
    assert error is not None
    assert "hard-float" in error.what
    assert refusal("py3-none-manylinux_2_17_armv7l", target("armv7l")) is None


def test_no_tags() -> None:
    """A wheel without any tag fits nothing."""
    with pytest.raises(IncompatibleWheel):
        tags.check_compatible((), target())


def test_disagreement() -> None:
    """Playwright's WHEEL says py3-none-any under a manylinux1 name: told, and the name counts."""
    told = wheel_name.disagreement(["py3-none-manylinux1_x86_64"], ["py3-none-any"])
    assert "py3-none-manylinux1_x86_64" in told
    assert "WHEEL has py3-none-any" in told
    assert wheel_name.disagreement(["a-b-c", "a-b-d"], ["a-b-d", "a-b-c"]) == ""
    assert wheel_name.disagreement(["a-b-c"], []) == ""


def packaging_tags(python: Interpreter, abis: Sequence[str], platforms: list[str]) -> set[str]:
    """List what packaging's own generators give for an interpreter and platforms."""
    own = f"cp3{python.version[1]}"
    if python.implementation == "cpython":
        pairs = {*reference.cpython_tags(python.version, list(abis), platforms)}
        pairs |= {*reference.compatible_tags(python.version, own, platforms)}
    else:
        pairs = {*reference.generic_tags(f"pp3{python.version[1]}", list(abis), platforms)}
        pairs |= {*reference.compatible_tags(python.version, "pp3", platforms)}
    return {str(tag) for tag in pairs}


@st.composite
def cases(draw: st.DrawFn) -> tuple[str, Target, Sequence[str]]:
    """Draw a simple tag, a glibc target with an interpreter, and that interpreter's ABIs."""
    minor = draw(st.integers(6, 16))
    kinds = [[f"cp3{minor}"], [f"cp3{minor}d", f"cp3{minor}"], [f"pypy3{minor}_pp73"]]
    if minor >= 13:
        kinds.append([f"cp3{minor}t"])
        kinds.append([f"cp3{minor}td", f"cp3{minor}t"])
    abis = draw(st.sampled_from(kinds))
    implementation = "pypy" if abis[0].startswith("pypy") else "cpython"
    arch = draw(st.sampled_from([arch for arch in MACHINES if arch != "x32"]))
    libc = (2, draw(st.integers(12, 45)))
    near = [minor - 1, minor, minor + 1]
    python = draw(
        st.one_of(
            st.sampled_from(["py2", "py3", "pp3", "py27", "pp310", "cp27"]),
            st.builds("{}3{}".format, st.sampled_from(["cp", "py", "pp"]), st.sampled_from(near)),
        )
    )
    abi = draw(
        st.one_of(
            st.sampled_from(["none", "abi3", "abi3t", f"pypy3{minor}_pp73"]),
            st.builds(
                "cp3{}{}".format, st.sampled_from(near), st.sampled_from(["", "t", "d", "m"])
            ),
        )
    )
    arches = st.sampled_from([arch, arch, "x86_64", "i686"])
    platform = draw(
        st.one_of(
            st.just("any"),
            st.builds("linux_{}".format, arches),
            st.builds("manylinux{}_{}".format, st.sampled_from(["1", "2010", "2014"]), arches),
            st.builds("manylinux_2_{}_{}".format, st.integers(3, 46), arches),
            st.builds("musllinux_1_{}_{}".format, st.integers(1, 2), arches),
        )
    )
    aim = target(arch, version=libc, python=interpreter(minor, abis, implementation))
    return f"{python}-{abi}-{platform}", aim, abis


@settings(max_examples=600, deadline=None)
@given(cases())
def test_packaging_agrees(case: tuple[str, Target, Sequence[str]]) -> None:
    """A tag fits exactly if packaging, told of the same machine, would list it."""
    tag, aim, abis = case
    arch = aim.machine.name
    major, minor = aim.libc_version
    glibc = _manylinux._GLibCVersion(major, minor)  # noqa: SLF001 (the machine is made up)
    with (
        mock.patch.object(_manylinux, "_get_glibc_version", return_value=glibc),
        mock.patch.object(_manylinux, "_have_compatible_abi", return_value=True),
        mock.patch.object(_manylinux, "_get_manylinux_module", return_value=None),
    ):
        platforms = [f"linux_{arch}", *_manylinux.platform_tags([arch])]
    assert aim.interpreter is not None
    listed = packaging_tags(aim.interpreter, abis, platforms)
    assert (refusal(tag, aim) is None) == (tag in listed)


@settings(max_examples=60, deadline=None)
@given(minor=st.integers(2, 16), threaded=st.booleans())
def test_order_is_packaging_s(minor: int, threaded: bool) -> None:  # noqa: FBT001 (drawn)
    """The pairs come in packaging's order of preference for one platform."""
    abis = [f"cp3{minor}t"] if threaded else [f"cp3{minor}"]
    theirs = [
        *reference.cpython_tags((3, minor), abis, ["p"]),
        *reference.compatible_tags((3, minor), None, ["p"]),
    ]
    expected = [(tag.interpreter, tag.abi) for tag in theirs if tag.platform == "p"]
    assert list(interpreter_tags("cpython", (3, minor), abis)) == expected


def test_running_interpreter_s_own_tags_fit() -> None:
    """Every tag that packaging lists for this very interpreter fits, and none is lost."""
    glibc = _manylinux._get_glibc_version()  # noqa: SLF001 (the reference's own reading)
    arch = sysconfig.get_platform().partition("-")[2].replace("-", "_")
    if glibc.major < 0 or arch not in MACHINES:
        pytest.skip("needs a glibc system of a known architecture")
    abis = reference._cpython_abis(sys.version_info[:2])  # noqa: SLF001
    minor = sys.version_info[1]
    aim = target(arch, version=tuple(glibc), python=interpreter(minor, list(abis)))
    listed = [str(tag) for tag in reference.sys_tags()]
    assert [tag for tag in listed if refusal(tag, aim) is not None] == []
    assert len(listed) > 100
    assert all(re.fullmatch(r"[^-]+-[^-]+-[^-]+", tag) for tag in listed)
