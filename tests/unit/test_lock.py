"""Lock files: four kinds, one set; wheels as pip takes them; hostile input is one clear error."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging import tags as reference
from tests.support import locks
from tests.support.elf import ElfBuilder
from tests.support.guides import blocks
from tests.support.locks import KINDS, PROJECT, Release, digest_of, poetry_lock, pylock, uv_lock
from tests.support.wheels import MadeWheel, tiny_library

from nix_manylinux.cli.main import main
from nix_manylinux.data import data_path
from nix_manylinux.lock import make
from nix_manylinux.lock.choose import best_wheel, choose, supported_tags
from nix_manylinux.lock.make import make_lock
from nix_manylinux.lock.model import MAX_PACKAGES, BadLock, File
from nix_manylinux.lock.needs import find_needs
from nix_manylinux.lock.read import read_lock
from nix_manylinux.lock.text import MAX_CIRCLE, circles_of, lock_json, write_json
from nix_manylinux.nix.expression.wheel import describe_wheel
from nix_manylinux.target.place import Place

if TYPE_CHECKING:
    from nix_manylinux.lock.choose import Selection

PLACE = Place(python="3.12", system="x86_64-linux")
SCHEMA = json.loads(Path(data_path("lock.schema.json")).read_text())


def write(folder: Path, kind: str, text: str) -> str:
    """Write a lock file; give its path."""
    path = folder / kind
    path.write_text(text)
    return str(path)


def chosen(path: str, place: Place = PLACE) -> Selection:
    """Read and choose."""
    return choose(read_lock(path), place)


@pytest.mark.parametrize("kind", KINDS)
def test_four_kinds_one_set(kind: str, tmp_path: Path) -> None:
    """The same packages and versions, markers evaluated, whatever tool has locked."""
    choice = chosen(write(tmp_path, kind, KINDS[kind]()))
    found = {name: each.package.version for name, each in choice.packages.items()}
    assert found == {
        "numpy-like": "2.0",
        "pandas-like": "3.1",
        "no-wheel": "1.0",
        "ring-a": "1.0",
        "ring-b": "1.0",
    }
    if kind != "requirements.txt":
        wheels = {name: each.wheel.name for name, each in choice.packages.items() if each.wheel}
        assert wheels == {
            "numpy-like": "numpy_like-2.0-cp312-cp312-manylinux_2_28_x86_64.whl",
            "pandas-like": "pandas_like-3.1-cp312-cp312-manylinux_2_28_x86_64.whl",
            "ring-a": "ring_a-1.0-py3-none-any.whl",
            "ring-b": "ring_b-1.0-py3-none-any.whl",
        }
        assert choice.packages["pandas-like"].dependencies == ("numpy-like",)


def test_other_places(tmp_path: Path) -> None:
    """Python, machine and glibc decide what is taken."""
    path = write(tmp_path, "uv.lock", uv_lock())

    def wheel(place: Place) -> str:
        found = chosen(path, place).packages["numpy-like"].wheel
        return found.name if found else ""

    assert "aarch64" in wheel(Place(python="3.12", system="aarch64-linux"))
    assert "2_17_x86" in wheel(Place(python="3.12", system="x86_64-linux", glibc=(2, 27)))
    assert wheel(Place(python="3.13", system="x86_64-linux")) == ""
    old = chosen(path, Place(python="3.11", system="x86_64-linux"))
    assert "only-old" in old.packages
    with pytest.raises(BadLock, match=r"is for Python >=3\.11, not 3\.10"):
        chosen(path, Place(python="3.10", system="x86_64-linux"))


def test_a_file_without_a_digest(tmp_path: Path) -> None:
    """An index need not tell one, and uv writes none then: such a file is not to be taken."""
    text = re.sub(r'(aarch64\.whl"), hash = "[^"]*"', r"\1", uv_lock())
    assert text != uv_lock()
    path = write(tmp_path, "uv.lock", text)
    assert "numpy-like" in chosen(path).packages
    with pytest.raises(BadLock, match=r"numpy-like: numpy_like-2.0\S*aarch64.whl has no sha256"):
        chosen(path, Place(python="3.12", system="aarch64-linux"))


def test_a_long_marker(tmp_path: Path) -> None:
    """Of extras in conflict uv writes some of 30,000 characters; there is an end to it."""
    marker = " or ".join(["sys_platform == 'win32'"] * 2_000)
    text = uv_lock().replace("sys_platform == 'win32'", marker)
    assert "only-windows" not in chosen(write(tmp_path, "uv.lock", text)).packages
    text = uv_lock().replace("sys_platform == 'win32'", f"{marker} or {marker * 5}")
    with pytest.raises(BadLock, match=r"has a marker of \d+ characters"):
        chosen(write(tmp_path, "uv.lock", text))


def test_the_order_is_pips() -> None:
    """For the very interpreter that runs, the tags are those of packaging, in its order."""
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    listed = list(reference.sys_tags())
    newest = next(t.platform for t in listed if re.match(r"manylinux_\d", t.platform))
    _, major, minor, *_ = newest.split("_")
    glibc = int(major), int(minor)
    place = Place(python=version, system=f"{os.uname().machine}-linux", glibc=glibc)
    assert supported_tags(place) == listed


def test_build_tags_and_what_is_no_wheel() -> None:
    """Of two equal wheels the higher build tag is taken; names that can't be read are passed by."""
    names = ["a-1-1-py3-none-any.whl", "a-1-12-py3-none-any.whl", "a-1-py3-none-any.whl", "odd.whl"]
    order = {tag: rank for rank, tag in enumerate(supported_tags(PLACE))}
    found = best_wheel([File(name=n, sha256=digest_of(n)) for n in names], order)
    assert found is not None
    assert found.name == "a-1-12-py3-none-any.whl"


def test_extras_and_groups(tmp_path: Path) -> None:
    """A package's extras are followed; the project's are taken where they are asked for."""
    text = uv_lock((Release("plain", wanted=True), Release("more"), Release("tool")))
    text = text.replace(
        '    { name = "plain" },\n]', '    { name = "plain", extra = ["x"] },\n]\n'
        '[package.optional-dependencies]\nfast = [{ name = "tool" }]\n'
        '[package.dev-dependencies]\ndev = [{ name = "more" }]'
    ).replace(
        'name = "plain"\nversion = "1.0"\n',
        'name = "plain"\nversion = "1.0"\noptional-dependencies = { x = [{ name = "more" }] }\n',
    )  # fmt: skip
    path = write(tmp_path, "uv.lock", text)
    assert set(choose(read_lock(path), PLACE).packages) == {"plain", "more"}
    assert set(choose(read_lock(path, extras=["fast"]), PLACE).packages) == {
        "plain",
        "more",
        "tool",
    }
    assert set(choose(read_lock(path, groups=["dev"]), PLACE).packages) == {"plain", "more"}
    with pytest.raises(BadLock, match="no extra or group 'nonsense'"):
        read_lock(path, extras=["nonsense"])


def test_forks_of_one_package(tmp_path: Path) -> None:
    """Of several versions of a package the edge says which, or its markers do."""
    text = uv_lock((Release("fork", "1.0", wanted=True), Release("fork", "2.0")))
    first, second = "python_full_version < '3.12'", "python_full_version >= '3.12'"
    text = text.replace(
        '    { name = "fork" },\n',
        f'    {{ name = "fork", version = "1.0", marker = "{first}" }},\n'
        f'    {{ name = "fork", version = "2.0", marker = "{second}" }},\n',
    )
    path = write(tmp_path, "uv.lock", text)
    assert chosen(path).packages["fork"].package.version == "2.0"
    old = chosen(path, Place(python="3.11", system="x86_64-linux"))
    assert old.packages["fork"].package.version == "1.0"


@pytest.mark.parametrize(
    ("kind", "text", "error"),
    [
        ("uv.lock", "version = 2\nrequires-python = '>=3'\n", "is of version 2"),
        ("uv.lock", "version = 1\n[[package]]\nname = 3\n", "3 is no project's name"),
        ("uv.lock", "version = 1\npackage = 3\n", "package is not of the right type"),
        ("uv.lock", "version = 1\npackage = [3]\n", "is no table"),
        ("uv.lock", "nonsense", "is no TOML"),
        ("uv.lock", "a = [" + "[" * 5000, "is no TOML"),
        ("uv.lock", "", "no lock file of a kind"),
        ("uv.lock", uv_lock().replace("sha256:", "md5:"), "has no sha256"),
        ("uv.lock", uv_lock().replace("https://example.org/files", "javascript:x"), "has a URL"),
        ("uv.lock", uv_lock().replace("https://example.org/", "https://[::1/x y"), "has a URL"),
        ("uv.lock", f"version = {'9' * 5000}\n", "is no TOML"),
        ("uv.lock", uv_lock().replace('"2.0"', f'"{"9" * 5000}"'), r"'9{99}\.\.\. is no version"),
        ("uv.lock", uv_lock().replace("numpy_like-2.0-cp311", "${evil}-2.0-cp311"), "is no name"),
        ("uv.lock", uv_lock().replace('"3.1"', '"3.1\\u0022; x"'), "is no version"),
        ("uv.lock", uv_lock().replace("sys_platform ==", "no_such ~="), "marker that can't be"),
        ("uv.lock", uv_lock((Release("../../etc", wanted=True),)), "is no project's name"),
        ("pylock.toml", 'lock-version = "1.0"\n', "is no lock of PEP 751"),
        ("pylock.toml", pylock().replace('lock-version = "1.0"', 'lock-version = "9.0"'),
         "is no lock of PEP 751"),
        ("pylock.toml", pylock().replace("https://example.org", "https://[::1"), "pylock.toml"),
        ("poetry.lock", "[metadata]\nlock-version = '7.0'\n", "is of lock version 7.0"),
        ("poetry.lock", poetry_lock().replace("sha256:", "sha1:"), "has no sha256"),
        ("requirements.txt", "numpy\npandas==1.0\n", r"numpy \(line 1\), pandas \(line 2\)"),
        ("requirements.txt", "-r other.txt\n", "an option that a lock can't have"),
        ("requirements.txt", "a==1 @ b --hash=sha256:00\n", "is no requirement"),
    ],
)  # fmt: skip
def test_hostile_locks(kind: str, text: str, error: str, tmp_path: Path) -> None:
    """One clear error, which names the file."""
    with pytest.raises(BadLock, match=error) as caught:
        chosen(write(tmp_path, kind, text))
    assert kind in str(caught.value)


def test_a_requirement_of_a_url(tmp_path: Path) -> None:
    """Its file is the URL's, as a local version is spelt in one."""
    url = "https://example.org/torch-2.1.0%2Bcu118-cp312-cp312-linux_x86_64.whl"
    line = f"torch @ {url}#sha256={'0' * 64} --hash=sha256:{'0' * 64}"
    (package,) = read_lock(write(tmp_path, "requirements.txt", line)).packages
    assert package.version == "2.1.0+cu118"
    (file,) = package.wheels
    assert (file.name, file.url) == ("torch-2.1.0+cu118-cp312-cp312-linux_x86_64.whl", url)


def test_poetry_s_wheel_of_a_url(tmp_path: Path) -> None:
    """The file is had from there, and from no index."""
    url = "https://example.org/bb-1.0-py3-none-any.whl"
    text = (
        '[[package]]\nname = "bb"\nversion = "1.0"\noptional = false\n'
        f'files = [{{file = "bb-1.0-py3-none-any.whl", hash = "sha256:{"0" * 64}"}}]\n'
        f'[package.source]\ntype = "url"\nurl = "{url}"\n[metadata]\nlock-version = "2.0"\n'
    )
    (package,) = read_lock(write(tmp_path, "poetry.lock", text)).packages
    assert [file.url for file in package.wheels] == [url]


@pytest.mark.parametrize("python", ["foo", "3", "3.", "2.7", "", "3.x"])
def test_what_is_no_python(python: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is refused as such by each command that takes one; a lock may be for a release."""
    path = write(tmp_path, "requirements.txt", f"a==1 --hash=sha256:{'0' * 64}")
    wheel = MadeWheel(name="demo", tag="py3-none-any", files={"demo.py": b""}).write(tmp_path)
    for words in (["lock", path], ["expr", wheel]):
        assert main([*words, "--python-version", python, "--system", "x86_64-linux"]) == 2
        assert f"{python!r} is no version of Python" in capsys.readouterr().err
    assert main(["expr", wheel, "--python-version", "3.12", "--system", "foo"]) == 2
    assert "'foo' is no system" in capsys.readouterr().err
    lock = write(tmp_path, "uv.lock", uv_lock())
    words = ["lock", lock, "--python-version", "3.12.4", "--no-inspect", "--output", "-"]
    assert main([*words, "--system", "x86_64-linux"]) == 0


def test_a_circle_with_a_source_in_it(tmp_path: Path) -> None:
    """Its wheels are one if they need each other without it; it is built without what needs it."""
    needs = {"aa": "bb", "bb": "aa src", "src": "aa cc", "cc": "src", "dd": "src"}
    project = tuple(
        Release(name, needs=tuple((each, "") for each in others.split()), wanted=True,
                tags=() if name == "src" else ("py3-none-any",))
        for name, others in needs.items()
    )  # fmt: skip
    path = write(tmp_path, "uv.lock", uv_lock(project))
    made = make_lock(path, [PLACE], inspect=False, cache="", environment={})
    (found,) = made.value["environments"].values()
    circles = {name: each.get("circle") for name, each in found["packages"].items()}
    assert circles == {"aa": ["aa", "bb"], "bb": ["aa", "bb"], "cc": None, "dd": None}
    assert found["sources"]["src"]["circle"] == ["aa", "bb", "cc", "src"]


def test_too_large_a_circle(tmp_path: Path) -> None:
    """A circle is one derivation, and each of it names all: one of thousands is nobody's."""
    count = MAX_CIRCLE + 1
    ring = tuple(
        Release(f"p{i}", needs=((f"p{(i + 1) % count}", ""),), wanted=not i) for i in range(count)
    )
    lock = read_lock(write(tmp_path, "uv.lock", uv_lock(ring)))
    with pytest.raises(BadLock, match="501 packages require each other in a circle"):
        lock_json(lock, [choose(lock, PLACE)], {}, {})


def test_too_many_packages(tmp_path: Path) -> None:
    """A lock of 20,000 packages is read; one of more is no project's."""
    line = '[[package]]\nname = "p{}"\nversion = "1"\nsource = {{ registry = "x" }}\n'
    text = "version = 1\n" + "".join(line.format(i) for i in range(MAX_PACKAGES))
    assert len(read_lock(write(tmp_path, "uv.lock", text)).packages) == MAX_PACKAGES
    with pytest.raises(BadLock, match="20001 entries, more than 20000"):
        read_lock(write(tmp_path, "uv.lock", text + line.format("x")))


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("Pipfile.lock", "pipenv requirements --hash"),
        ("pdm.lock", "pdm export --format pylock"),
        ("pyproject.toml", "uv lock"),
        ("environment.yml", "uv pip compile --generate-hashes"),
    ],
)
def test_what_other_tools_write(name: str, way: str, tmp_path: Path) -> None:
    """The way from there to a lock that is known; a path that isn't there is told as ever."""
    with pytest.raises(BadLock, match="can't be read"):
        read_lock(str(tmp_path / name))
    (tmp_path / name).write_text("{}")
    with pytest.raises(BadLock, match="no lock file of a kind that is known") as told:
        read_lock(str(tmp_path / name))
    assert way in (told.value.hint or "")


def test_what_can_not_be_read(tmp_path: Path) -> None:
    """A missing file, a folder, bytes that are no text."""
    with pytest.raises(BadLock, match="can't be read"):
        read_lock(str(tmp_path / "uv.lock"))
    with pytest.raises(BadLock, match="can't be read"):
        read_lock(str(tmp_path))
    (tmp_path / "requirements.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(BadLock, match="is not UTF-8"):
        read_lock(str(tmp_path / "requirements.txt"))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 4000), st.sampled_from(sorted(KINDS)))
def test_any_damage_is_a_bad_lock(data: bytes, at: int, kind: str) -> None:
    """Whatever is written into a lock, reading and choosing raise nothing else."""
    import tempfile

    whole = KINDS[kind]().encode()
    at %= len(whole)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / kind
        path.write_bytes(whole[:at] + data + whole[at + len(data) :])
        try:
            chosen(str(path))
        except BadLock:
            return


@pytest.mark.parametrize("kind", ["uv.lock", "pylock.toml", "poetry.lock"])
def test_the_text_is_stable(kind: str, tmp_path: Path) -> None:
    """It fits the schema that is shipped; the order of the lock's packages doesn't matter."""
    texts = []
    for project in (PROJECT, PROJECT[::-1]):
        lock = read_lock(write(tmp_path, kind, KINDS[kind](project)))
        value = lock_json(lock, [choose(lock, PLACE)], {}, {})
        jsonschema.validate(value, SCHEMA)
        value["lock"]["sha256"] = ""
        texts.append(write_json(value))
    assert texts[0] == texts[1]
    environment = json.loads(texts[0])["environments"]["3.12-x86_64-linux"]
    assert environment["packages"]["ring-a"]["circle"] == ["ring-a", "ring-b"]
    assert set(environment["sources"]) == {"no-wheel"}


@given(st.dictionaries(st.sampled_from("abcdefg"), st.sets(st.sampled_from("abcdefgh"))))
def test_circles(edges: dict[str, set[str]]) -> None:
    """Two packages are in one circle if each is reached from the other."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        left = [start]
        while left:
            for other in edges.get(left.pop(), ()):
                if other in edges and other not in seen:
                    seen.add(other)
                    left.append(other)
        return seen

    groups = circles_of(edges)
    assert groups == [sorted(group) for group in groups]
    for one in edges:
        mine = next((set(group) for group in groups if one in group), {one})
        both = {other for other in edges if other in reached(one) and one in reached(other)}
        assert mine == both | {one}


def test_needs(tmp_path: Path) -> None:
    """Required wheels come before nixpkgs, others after it; drivers and strangers are told."""
    files = ElfBuilder(tmp_path / "elf")
    names = ["libbb.so.1", "libz.so.1", "libodd.so.9", "libcuda.so.1", "libcc.so.1", "libzzz.so"]
    # The name of a file (numba's), and what is insecure.
    names += ["libgomp.so.1.0.0", "libssl.so.1.1"]
    needed = files.library("a.so", needed=names).read_bytes()
    bb = {n: files.library(n, soname=n).read_bytes() for n in ("libbb.so.1", "libz.so.1")}
    cc = files.library("libcc.so.1", soname="libcc.so.1").read_bytes()
    tag = "py3-none-manylinux_2_17_x86_64"
    made = {
        "aa": MadeWheel(name="aa", tag=tag, files={"aa/a.so": needed}),
        "bb": MadeWheel(name="bb", tag=tag, files={f"bb/{n}": data for n, data in bb.items()}),
        "cc": MadeWheel(name="cc", tag=tag, files={"cc/libcc.so.1": cc}),
    }
    wheels = {name: describe_wheel(each.write(tmp_path)) for name, each in made.items()}
    edges = {"aa": ("middle",), "middle": ("bb",)}
    found = find_needs(wheels, edges)["aa"]
    assert found.wheels == ("bb", "cc")
    assert found.drivers == ("libcuda.so.1",)
    assert found.unknown == ("libodd.so.9", "libssl.so.1.1", "libzzz.so")
    assert found.nixpkgs == ("stdenv.cc.cc.lib",)


def test_what_python_opens_is_had_in_two_ways(tmp_path: Path) -> None:
    """By the path of cffi's own package, and by no wheel's: weasyprint and python-magic."""
    source = 'const char *names[] = {"libfribidi.so", "libfribidi.so.0"};'
    pil = ElfBuilder(tmp_path / "elf").library("p.so", source=source)
    made = {
        "cffi": MadeWheel(name="cffi", files={"_cffi_backend.abi3.so": tiny_library("")}),
        "paint": MadeWheel(
            name="paint",
            tag="py3-none-any",
            files={"paint.py": b"ffi.dlopen('libcairo.so.2'); ffi.dlopen('libodd.so.9')"},
        ),
        "magic": MadeWheel(
            name="magic", tag="py3-none-any", files={"magic.py": b"CDLL('libmagic.so.1')"}
        ),
        "pil": MadeWheel(name="pil", files={"p.so": pil.read_bytes()}),
    }
    wheels = {name: make.described(str(each.write(tmp_path))) for name, each in made.items()}
    found = find_needs(wheels, {})
    assert {name: (each.loads, each.opens) for name, each in found.items()} == {
        "cffi": (("libcairo.so.2",), ()),
        "paint": ((), ()),
        "magic": ((), ("libmagic.so.1",)),
        "pil": (("libfribidi.so.0",), ()),
    }
    del wheels["cffi"]
    assert find_needs(wheels, {})["paint"].loads == ()


def test_needs_of_alternatives(tmp_path: Path) -> None:
    """Of files for several CUDAs what a wheel of the environment has decides, else one FFmpeg's."""
    tag = "py3-none-manylinux_2_17_x86_64"
    plugins = {
        f"aa/lib{stem}{n}.so": tiny_library("", f"lib{stem}.so.{n}")
        for stem, versions in (("cublas", (12, 13)), ("avutil", (58, 60)))
        for n in versions
    }
    made = {
        "aa": MadeWheel(name="aa", tag=tag, files=plugins),
        "bb": MadeWheel(
            name="bb", tag=tag, files={"bb/libcublas.so.12": tiny_library("libcublas.so.12")}
        ),
    }
    wheels = {name: describe_wheel(each.write(tmp_path)) for name, each in made.items()}
    found = find_needs(wheels, {})["aa"]
    assert found.wheels == ("bb",)
    assert found.nixpkgs == ("ffmpeg_8.lib",)
    assert found.unknown == ()


def offline(tmp_path: Path) -> tuple[str, dict[str, str], Path]:
    """Make wheels, a requirements file that pins them, and settings that let pip find them."""
    files = ElfBuilder(tmp_path / "elf")
    folder = tmp_path / "files"
    folder.mkdir()
    lib = files.library("libbb.so.1", soname="libbb.so.1").read_bytes()
    user = files.library("a.so", needed=["libbb.so.1", "libX11.so.6"]).read_bytes()
    tag = "py3-none-manylinux_2_5_x86_64"
    metadata = b"Metadata-Version: 2.1\nName: aa\nVersion: 1.0\nRequires-Dist: bb\n"
    made = [
        MadeWheel(name="aa", tag=tag, files={"aa/a.so": user}, metadata=metadata),
        MadeWheel(name="bb", tag=tag, files={"bb/libbb.so.1": lib}),
    ]
    text = ""
    for each in made:
        data = Path(each.write(folder)).read_bytes()
        text += f"{each.name}==1.0 --hash=sha256:{hashlib.sha256(data).hexdigest()}\n"
    settings_ = {
        **os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder),
        "PIP_CONFIG_FILE": os.devnull, "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }  # fmt: skip
    return write(tmp_path, "requirements.txt", text), settings_, folder


def test_wheels_are_fetched_read_and_kept(tmp_path: Path) -> None:
    """What they need is found out; the second time nothing has to be fetched."""
    path, environment, folder = offline(tmp_path)
    cache = str(tmp_path / "cache")
    seen: list[str] = []

    def progress(stage: str, _done: int, _total: int) -> None:
        seen.append(stage)

    first = make_lock(path, [PLACE], cache=cache, environment=environment, progress=progress)
    jsonschema.validate(first.value, SCHEMA)
    packages = first.value["environments"]["3.12-x86_64-linux"]["packages"]
    assert packages["aa"]["dependencies"] == ["bb"]
    assert packages["aa"]["format"] == "manylinux1"
    assert packages["aa"]["needs"] == {"drivers": [], "nixpkgs": [], "unknown": []}
    assert {"fetching", "reading"} <= set(seen)
    for file in folder.iterdir():
        file.unlink()
    again = make_lock(path, [PLACE], cache=cache, environment=environment)
    assert again == first
    # What several environments take is read once.
    make.described.cache_clear()
    places = [PLACE, Place(python="3.13", system="x86_64-linux")]
    make_lock(path, places, cache=cache, environment=environment)
    assert make.described.cache_info().misses == 2
    with pytest.raises(BadLock, match="names no files"):
        make_lock(path, [PLACE], inspect=False, cache=cache, environment=environment)


def test_a_wheel_by_a_file_s_url_is_on_no_index(tmp_path: Path) -> None:
    """It is taken from where it lies, and Nix takes it from there."""
    path, environment, folder = offline(tmp_path)
    lines = Path(path).read_text().replace("bb==1.0", f"bb @ {(next(folder.glob('bb*'))).as_uri()}")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    next(folder.glob("aa*")).rename(elsewhere / next(folder.glob("aa*")).name)
    environment["PIP_FIND_LINKS"] = str(elsewhere)
    Path(path).write_text(f"-i https://example.org/simple\n{lines}")
    made = make_lock(path, [PLACE], cache=str(tmp_path / "cache"), environment=environment)
    packages = made.value["environments"]["3.12-x86_64-linux"]["packages"]
    assert {"aa", "bb"} == packages.keys()
    assert packages["bb"]["path"] == f"files/{next(folder.glob('bb*')).name}"


def test_a_wheel_that_was_published_untrue(tmp_path: Path) -> None:
    """Decord's RECORD has another size: what it wants is not known, all others' needs are."""
    path, environment, folder = offline(tmp_path)
    odd = folder / "bb-1.0-py3-none-manylinux_2_5_x86_64.whl"
    with zipfile.ZipFile(odd) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["bb-1.0.dist-info/METADATA"] += b"Summary: more than RECORD says\n"
    with zipfile.ZipFile(odd, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    digest = hashlib.sha256(odd.read_bytes()).hexdigest()
    lines = Path(path).read_text().splitlines()
    Path(path).write_text(f"{lines[0]}\nbb==1.0 --hash=sha256:{digest}\n")
    made = make_lock(path, [PLACE], cache=str(tmp_path / "cache"), environment=environment)
    jsonschema.validate(made.value, SCHEMA)
    packages = made.value["environments"]["3.12-x86_64-linux"]["packages"]
    assert "needs" in packages["aa"]
    assert "needs" not in packages["bb"]
    (told,) = [text for text in made.warnings if "by RECORD" in text]
    assert told.startswith(
        "bb-1.0-py3-none-manylinux_2_5_x86_64.whl: bb-1.0.dist-info/METADATA has"
    )
    assert "wheel pack" in told


def test_four_kinds_one_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the wheels at hand the four give the same environments, to the last digest.

    A requirements file names no wheels: which one is meant is another one in each place.
    """
    import hashlib

    files = tmp_path / "files"
    files.mkdir()
    digests = {}
    for release in PROJECT:
        for tag in release.tags:
            stem = release.name.replace("-", "_")
            needs = "".join(
                f"Requires-Dist: {name}{f'; {marker}' if marker else ''}\n"
                for name, marker in release.needs
            )
            head = f"Metadata-Version: 2.1\nName: {release.name}\nVersion: {release.version}\n"
            made = MadeWheel(
                name=stem, version=release.version, tag=tag, metadata=(head + needs).encode(),
                files={f"{stem}.py": b""},
            )  # fmt: skip
            path = Path(made.write(files))
            digests[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
        if release.sdist:
            (files / release.source()).touch()
    monkeypatch.setattr(locks, "digest_of", lambda name: digests.get(name) or digest_of(name))
    settings_ = {
        **os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(files),
        "PIP_CONFIG_FILE": os.devnull,
    }  # fmt: skip
    places = [
        Place(python=python, system=system)
        for python, system in (("3.11", "x86_64-linux"), ("3.12", "aarch64-linux"))
    ]
    found: dict[str, Any] = {}
    for kind, text in KINDS.items():
        lock = write(tmp_path, kind, text())
        for _ in range(2 if kind == "requirements.txt" else 1):  # then out of the cache
            made_lock = make_lock(
                lock, places, cache=str(tmp_path / f"cache-{kind}"), environment=settings_
            )
            for environment in made_lock.value["environments"].values():
                environment.pop("roots")  # which the project asked for, not every kind tells
                for entry in environment["packages"].values():
                    entry.pop("url", None)
                # What sources require, only the other kinds tell.
                environment["sources"] = {
                    name: entry["version"] for name, entry in environment["sources"].items()
                }
            environments = found.setdefault(kind, made_lock.value["environments"])
            assert environments == made_lock.value["environments"]
    first = found["uv.lock"]
    assert len({json.dumps(each) for each in first.values()}) == len(places)
    for kind, environments in found.items():
        assert environments == first, kind


def test_all_that_can_not_be_fetched_is_told(tmp_path: Path) -> None:
    """Every package by name, in the client's words, at once."""
    path, environment, folder = offline(tmp_path)
    for file in folder.iterdir():
        file.unlink()
    with pytest.raises(BadLock) as caught:
        make_lock(path, [PLACE], cache=str(tmp_path / "cache"), environment=environment)
    assert "aa 1.0 (No matching distribution" in str(caught.value)
    assert "bb 1.0 (No matching distribution" in str(caught.value)
    # Of files without names nothing is known unread.
    assert "PIP_EXTRA_INDEX_URL names one" in (caught.value.hint or "")
    assert "deleted there is had no more: lock another one" in (caught.value.hint or "")
    assert "--no-inspect" not in (caught.value.hint or "")


def test_another_file_than_was_locked(tmp_path: Path) -> None:
    """An index that has one by the same name is told in a line, and not to be reached otherwise.

    Of requirements it may be that only the source archive was locked: that is told, too.
    """
    path, environment, folder = offline(tmp_path)
    cache = str(tmp_path / "cache")
    MadeWheel(name="bb", tag="py3-none-manylinux_2_5_x86_64").write(folder)
    made = make_lock(path, [PLACE], cache=cache, environment=environment)
    assert any(
        each.startswith("bb 1.0: its index has a wheel that is none") for each in made.warnings
    )
    assert "bb" in made.value["environments"]["3.12-x86_64-linux"]["sources"]
    release = Release("bb", tags=("py3-none-manylinux_2_5_x86_64",), wanted=True)
    path = write(tmp_path, "uv.lock", uv_lock((release,)))
    with pytest.raises(BadLock) as caught:
        make_lock(path, [PLACE], cache=cache, environment=environment)
    assert "fetched: bb 1.0 (its index has another file, of another sha256)" in str(caught.value)
    assert caught.value.hint.startswith("lock the project again, if its files are meant to")
    assert "PIP_EXTRA" not in caught.value.hint


@pytest.mark.parametrize("kind", sorted({*KINDS} - {"requirements.txt"}))
def test_wheels_of_a_variant(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A lock may list names of PEP 825, as uv does: no label is guessed at, and that is said."""
    tags = ("cp312-cp312-manylinux_2_28_x86_64-cu128", "1-cp312-cp312-manylinux_2_28_x86_64-cu129")
    both = Release("fast", tags=(*tags, "cp312-cp312-manylinux_2_17_x86_64"), wanted=True)
    only = Release("only", tags=tags[:1], wanted=True)
    path = write(tmp_path, kind, KINDS[kind]((both, only)))
    words = ["--no-inspect", "--python-version", "3.12", "--system", "x86_64-linux", "-o", "-"]
    assert main(["lock", path, *words]) == 0
    out, err = capsys.readouterr()
    assert "fast-1.0-cp312-cp312-manylinux_2_17_x86_64.whl" in out
    assert "cu12" not in out
    names = [f"fast-1.0-{tag}.whl" for tag in tags]
    assert f"fast 1.0: 2 wheels of variants (PEP 825) passed by: {', '.join(names)}\n" in err
    assert "only 1.0: 1 wheel of a variant (PEP 825) passed by: only-1.0-cp312" in err
    assert "no wheel fits for only: taken from nixpkgs" in err


def _refuse(*_: object) -> bytes:
    raise PermissionError


def test_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It writes beside the lock; a second run changes nothing; a stale one is noticed."""
    path = write(tmp_path, "uv.lock", uv_lock())
    words = ["lock", path, "--no-inspect", "--python-version", "3.12", "--system", "x86_64-linux"]
    assert main(words) == 0
    written = tmp_path / "manylinux.lock.json"
    before = written.read_text()
    # Standard output is a whole file, the guide's, and every word about it is elsewhere.
    out, err = capsys.readouterr()
    assert out == re.sub(" # evaluation.*", "", blocks("docs/locks.md", "nix")[0])
    assert f"> {tmp_path}/environment.nix keeps it\n" in err
    assert "a checkout of this tool, or a link to one: ln -s PATH nix-manylinux\n" in err
    (tmp_path / "nix-manylinux").mkdir()
    assert main(words) == 0
    assert "ln -s" not in capsys.readouterr().err
    # An expression that was pinned since isn't to be written over.
    (tmp_path / "environment.nix").write_text(out)
    assert main(words) == 0
    assert capsys.readouterr().out == out
    assert main(words) == 0
    assert "environment.nix is there, and stays as it is\n" in capsys.readouterr().err
    (tmp_path / "environment.nix").write_text(f"{out}# pinned\n")
    assert main(words) == 0
    assert "stays as it is; written now it would be:\n" in capsys.readouterr().err
    with monkeypatch.context() as patch:  # as of another user's, which root can read
        patch.setattr("nix_manylinux.cli.views.read_small", _refuse)
        assert main(words) == 0
    assert "stays as it is; written now it would be:\n" in capsys.readouterr().err
    assert main([*words, "-o", "-"]) == 0
    assert capsys.readouterr().out == before
    assert "4 wheels, 1 without one" in err
    assert "no wheel fits for no-wheel" in err
    assert main(["lock", path, "--check"]) == 0
    assert capsys.readouterr() == ("", f"{written} is up to date with {path}\n")
    write(tmp_path, "uv.lock", uv_lock() + "# changed\n")
    assert main(["lock", path, "--check"]) == 1
    assert "is stale" in capsys.readouterr().err


def test_libraries_that_are_loaded_at_run_time(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their wheels are named, but for what another wheel brings, and what nobody knows."""
    names = ["libfribidi.so.0", "libnuma.so.1", "libEGL.so.1", "libasound.so.2", "libnone.so.7"]
    source = f"const char *const names[] = {{{json.dumps(names)[1:-1]}}};"
    user = ElfBuilder(tmp_path / "user").library("user.so", source=source).read_bytes()
    path, environment, folder = offline(tmp_path)
    lines = Path(path).read_text().splitlines()
    for name, files in {
        "user": {"user/user.so": user},
        "egl": {"egl/libEGL.so.1": tiny_library("libEGL.so.1")},
    }.items():
        made = MadeWheel(name=name, tag="py3-none-manylinux_2_5_x86_64", files=files)
        data = Path(made.write(folder)).read_bytes()
        lines.append(f"{name}==1.0 --hash=sha256:{hashlib.sha256(data).hexdigest()}")
    Path(path).write_text("\n".join(lines))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    words = ["--python-version", "3.12", "--system", "x86_64-linux"]
    for more in [], ["-o", "-"]:
        assert main(["lock", path, *words, *more]) == 0
        assert (
            "by user (libasound.so.2, libfribidi.so.0 and 1 more); to add what you need:"
            " manylinuxRuntimeLibs, in `overrides`"
        ) in capsys.readouterr().err
