"""Which modules of a wheel an expression has imported: what it brings, by its real names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from tests.support.wheels import MadeWheel, tiny_library

from nix_manylinux.nix.expression.wheel import describe_wheel
from nix_manylinux.nix.expression.write import build_expression
from nix_manylinux.target.place import Place

if TYPE_CHECKING:
    from pathlib import Path

ABI = "cpython-311-x86_64-linux-gnu.so"
PLACE = Place(python="3.11", system="x86_64-linux")


@pytest.mark.parametrize(
    ("files", "modules"),
    [
        # apsw: the package itself is an extension.
        ([f"apsw/__init__.{ABI}", f"apsw/_unicode.{ABI}", "apsw/extra/amatch.so"], ("apsw",)),
        # Private ones only where there are no others.
        (["_bindings/__init__.py", "_bindings/_ffi.abi3.so"], ("_bindings",)),
        (["_libvips.abi3.so"], ("_libvips",)),
        (["_cffi_backend.abi3.so", "cffi/__init__.py"], ("cffi",)),
        # In a namespace an extension module is one, and other files may be anything.
        ([f"PyQt5/sip.{ABI}", "PyQt5/uic/notes.py"], ("PyQt5.sip",)),
        (["google/protobuf/__init__.py", "google/_upb/_message.abi3.so"], ("google.protobuf",)),
        (["PyQt5/Qt5/lib/libQt5Core.so.5"], ()),
        (["tests/__init__.py", "demo_tests/__init__.py"], ()),
    ],
)
def test_modules(files: list[str], modules: tuple[str, ...], tmp_path: Path) -> None:
    """What lies in site-packages, packages first."""
    wheel = MadeWheel(files=dict.fromkeys(files, b""))
    assert describe_wheel(wheel.write(tmp_path)).modules == modules


def checked(
    folder: Path, files: dict[str, bytes], *, name: str = "demo", requires: str = ""
) -> list[str]:
    """Give the pythonImportsCheck of an expression for a wheel."""
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
    metadata += f"Requires-Dist: {requires}\n" if requires else ""
    wheel = MadeWheel(
        name=name, version="1.0", tag="cp311-cp311-linux_x86_64", files=files,
        metadata=metadata.encode(),
    )  # fmt: skip
    described = describe_wheel(wheel.write(folder), look_for_loads=True)
    text = build_expression([described], places=[PLACE]).text
    return re.findall(r'"(.*?)"', text.partition("pythonImportsCheck = ")[2].partition(";")[0])


@pytest.mark.parametrize(
    ("requires", "source", "named"),
    [
        # duckdb has a driver for what only its extra "all" brings.
        ('driver-manager; extra == "all"', "from driver_manager.dbapi import x", ["demo"]),
        ('driver-manager; extra == "all"', "from ._inner import y", ["demo"]),
        ("driver-manager", "import driver_manager", ["demo", "demo_driver"]),
        ('driver-manager; extra == "all"', "import other", ["demo", "demo_driver"]),
        (
            'driver-manager; extra == "all"',
            "try:\n    import driver_manager\nexcept ImportError:\n    pass",
            ["demo", "demo_driver"],
        ),
        # sasstests of libsass
        ("", "import pytest", ["demo"]),
        ("pytest", "import pytest", ["demo", "demo_driver"]),
    ],
)
def test_what_wants_an_extra(requires: str, source: str, named: list[str], tmp_path: Path) -> None:
    """A build has none, and the import would fail there; where all want one, all are named."""
    files = {
        "demo/__init__.py": b"",
        "demo_driver/__init__.py": source.encode(),
        "demo_driver/_inner.py": b"import driver_manager",
    }
    assert checked(tmp_path, files, requires=requires) == named
    alone = {"demo/__init__.py": source.encode(), "demo/_inner.py": b"import driver_manager"}
    assert checked(tmp_path, alone, requires=requires) == ["demo"]


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("", ["demo", "demo.fast"]),
        ("from . import fast", ["demo"]),
        ("from .fast import speed", ["demo"]),
        ("from demo.fast import speed", ["demo"]),
        ("import demo.fast as f", ["demo"]),
        ("from .inner import *", ["demo"]),
        ("from . import lazy", ["demo", "demo.fast"]),
        ("def load():\n from . import fast", ["demo", "demo.fast"]),
        ("try:\n from . import fast\nexcept ImportError:\n fast = None", ["demo", "demo.fast"]),
        ("try:\n from . import fast\nexcept:\n fast = None", ["demo", "demo.fast"]),
        ("try:\n from . import fast\nexcept NameError:\n fast = None", ["demo"]),
        ("try:\n from . import fast\nexcept ImportError as e:\n raise OSError from e", ["demo"]),
        ("if TYPE_CHECKING:\n from . import fast", ["demo", "demo.fast"]),
        ("import sys\nif sys.platform == 'win32':\n from . import fast", ["demo", "demo.fast"]),
        ("if sys.platform == 'win32':\n pass\nelse:\n from . import fast", ["demo"]),
        ("class Fast:\n from . import fast", ["demo"]),
        ("what is this", ["demo", "demo.fast"]),
    ],
)
def test_what_importing_loads(source: str, named: list[str], tmp_path: Path) -> None:
    """An extension module is named where importing its package surely loads none."""
    files = {
        "demo/__init__.py": source.encode(),
        "demo/inner/__init__.py": b"from ..fast import speed",
        "demo/lazy.py": b"def __getattr__(name):\n from .fast import speed",
        f"demo/fast.{ABI}": extension("fast"),
    }
    assert checked(tmp_path, files) == named


@pytest.mark.parametrize(
    ("files", "named"),
    [
        # cffi's lies beside it, protobuf's in a folder of its namespace.
        ({"_cffi_backend": (), "!cffi/__init__.py": b""}, ["_cffi_backend"]),
        (
            {"google/_upb/_message": (), "!google/protobuf/__init__.py": b""},
            ["google._upb._message"],
        ),
        # lxml: the one of which the others speak; public ones before the private.
        (
            {
                "lxml/etree": (),
                "lxml/sax": (),
                "lxml/_path": (),
                "lxml/html/diff": (),
                "!lxml/__init__.py": b"",
                "!lxml/more.py": b"from .etree import *",
            },
            ["lxml.etree"],
        ),
        # PySide6: those that lead to further libraries.
        (
            {
                "qt/A": ("liba.so",),
                "qt/B": ("liba.so", "libb.so"),
                "qt/C": ("libc-own.so",),
                "qt/liba": (),
                "qt/libb": (),
                "qt/libc-own": (),
                "!qt/__init__.py": b"",
            },
            ["qt.B", "qt.C"],
        ),
        # What can't load while it is built: nobody has it, a driver does.
        (
            {
                "demo/_odd": ("libmimerapi.so",),
                "demo/_gpu": ("libgpu.so",),
                "demo/libgpu": ("libcuda.so.1",),
                "demo/_test_it": (),
                "demo/test/_it": (),
                "demo/deep/_good": (),
                "!demo/__init__.py": b"",
                "!demo/deep/__init__.py": b"",
            },
            ["demo.deep._good"],
        ),
        # Another package's extension proves nothing of this one.
        (
            {
                "one/_a": (),
                "two/_b": (),
                "!one/__init__.py": b"from . import _a",
                "!two/__init__.py": b"",
            },
            ["two._b"],
        ),
        # cv2: what takes its package's place; pin: what only a .pth file leads to.
        (
            {
                "cv2/cv2": (),
                "cm.prefix/lib/python3.11/site-packages/pin/wrap": (),
                "!cv2/__init__.py": b"import importlib\nimportlib.import_module('cv2')",
            },
            [],
        ),
        # debugpy: a copy of others' files, which have their own names.
        ({"demo/_vendored/pydevd/_cython": (), "!demo/__init__.py": b""}, []),
        # pycryptodome: called as a module is, and none.
        ({"demo/_raw": (), "!demo/__init__.py": b""}, []),
        # mypyc's own library is nobody's to import.
        ({"b6__mypyc": (), "!demo.py": b""}, []),
    ],
)
def test_few_and_sensible(
    files: dict[str, tuple[str, ...] | bytes], named: list[str], tmp_path: Path
) -> None:
    """What is imported besides the packages: nearest to the top, and what can load."""
    contents = {
        name.removeprefix("!") if isinstance(needed, bytes) else library(name): (
            needed if isinstance(needed, bytes) else extension(name, *needed)
        )
        for name, needed in files.items()
    }
    packages = {name.split("/")[0].removesuffix(".py") for name in contents if ".py" in name}
    found = checked(tmp_path, contents)
    assert [name for name in found if name not in packages | {"google.protobuf"}] == named


def test_what_others_import(tmp_path: Path) -> None:
    """First come the modules that others import, by name, as QtCore: they are what users have."""
    files = {f"qt/{name}.{ABI}": extension(f"qt/{name}") for name in ("Core", "Gui", "More", "Ui")}
    files["qt/__init__.py"] = b""
    files[f"qt/Help.{ABI}"] = extension("qt/Help", "libhelp.so") + b"\0qt.Core\0qt.Gui.x\0qt.Ui\0"
    files[f"qt/More.{ABI}"] += b"\0qt.Core\0qt.Gui\0"
    files[f"qt/Ui.{ABI}"] += b"\0qt.Core\0qt.CoreMore\0"
    files["qt/libhelp.so"] = tiny_library("libhelp.so")
    assert checked(tmp_path, files) == ["qt", "qt.Core", "qt.Gui", "qt.Help"]


def extension(name: str, *needed: str) -> bytes:
    """Give a library with the name of the function that makes a module of it."""
    init = (
        f"\0PyInit_{name.rpartition('/')[2]}\0" if "/lib" not in name and "_raw" not in name else ""
    )
    return tiny_library(f"{name}.so", *needed) + init.encode()


def library(name: str) -> str:
    """Name a file as an extension module, or as a library."""
    return f"{name}.so" if "/lib" in name else f"{name}.{ABI}"


@pytest.mark.parametrize(
    ("name", "requires", "named"),
    [
        ("demo", "demo_core", ["demo", "demo.fast"]),
        ("demo_more", "other", ["demo", "demo.fast"]),
        ("demo_more", "demo", ["demo"]),
        ("demo_more", "Demo.Core>=1", ["demo"]),
        ("demo_more", "demography", ["demo", "demo.fast"]),
    ],
)
def test_a_package_in_several_wheels(
    name: str, requires: str, named: list[str], tmp_path: Path
) -> None:
    """Of PySide6 in two folders Python finds but one: nothing of the other can be imported."""
    files = {"demo/__init__.py": b"", f"demo/fast.{ABI}": extension("demo/fast")}
    assert checked(tmp_path, files, name=name, requires=requires) == named


@pytest.mark.parametrize("requires", ["", "Requires-Dist: cmeel; extra == 'build'\n"])
def test_a_prefix_that_only_a_pth_file_leads_to(requires: str, tmp_path: Path) -> None:
    """Where cmeel isn't among what is always there, no build can import what is in a prefix."""
    headers = f"Name: demo\nVersion: 1.0\n{requires}"
    wheel = MadeWheel(
        name="demo", tag="cp311-cp311-manylinux_2_28_x86_64", metadata=headers.encode(),
        files={"cmeel.prefix/lib/python3.11/site-packages/demo/wrap.so": tiny_library("wrap.so")},
    )  # fmt: skip
    described = describe_wheel(wheel.write(tmp_path))
    made = build_expression([described])
    text = " ".join(made.text.replace("#", "").split())
    assert "No pythonImportsCheck: cmeel.prefix/${python.sitePackages} has demo, and " in text
    assert "not from the PYTHONPATH of a build, where no .pth file is read." in text
    assert "cmeel_pth" not in text
