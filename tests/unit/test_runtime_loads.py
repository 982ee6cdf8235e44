"""Loads that DT_NEEDED doesn't show, found in Python files without running them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.wheels import MadeWheel, tiny_library

from nix_manylinux.nix.expression.wheel import describe_wheel
from nix_manylinux.resolve.python_loads import CFFI, CTYPES, is_for_others, loads_in_python

if TYPE_CHECKING:
    from pathlib import Path


KNOWN = ("libcairo.so.2", "libportaudio.so.2", "libGL.so.1", "libSDL2-2.0.so.0", "libusb-1.0.so.0")


def is_known(name: str) -> bool:
    """Say whether some system has a library, as tables of sonames do."""
    return any(each == name or each.startswith(f"{name}.") for each in KNOWN)


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("import ctypes\nctypes.CDLL('libnvrtc.so.12')", "libnvrtc.so.12"),
        ("from ctypes import CDLL as C\nC(name='libz.so.1', mode=1)", "libz.so.1"),
        ("ctypes.cdll.LoadLibrary('libm.so.6')", "libm.so.6"),
        ("ctypes.util.find_library('any')", "libany.so"),
        ("# CDLL('libcomment.so')", ""),
        ("'''CDLL(\"libdoc.so\")'''", ""),
        ("CDLL(path)", ""),
        ("CDLL('kernel32.dll')", ""),
        ("CDLL('/opt/x/libfoo.so')", ""),
        ("CDLL(None)", ""),
        ("CDLL()", ""),
        # What a variable holds: sounddevice, fluidsynth; by another name, and in a list
        ("from ctypes.util import find_library as _f\nfor n in ('portaudio', 'no'):\n    _f(n)",
         "libportaudio.so"),
        ("names = ['portaudio']\nfor name in names:\n    lib = find_library(name)",
         "libportaudio.so"),
        ("[find_library(name) for name in ['portaudio']]", "libportaudio.so"),
        ("path = 'libcairo.so.2'\nCDLL(path)", "libcairo.so.2"),
        # What another function is given, that loads it: PyOpenGL, PySDL2, pyusb
        ("ctypesloader.loadLibrary(ctypes.cdll, 'GL', mode=1)", "libGL.so"),
        ("dll = DLL('SDL2', ['SDL2', 'SDL2-2.0'], path)", "libSDL2-2.0.so"),
        ("loader.load_locate_library(('usb-1.0', 'libusb-1.0', 'usb'), 'cygusb.dll')",
         "libusb-1.0.so"),
        ("load_ctypes_library('nobody has it')", ""),
        # Whole sonames, where something is loaded: python-magic
        ("for lib in candidates():\n    CDLL(lib)\nX = {'linux': ['libGL.so.1']}",
         "libGL.so.1"),
        ("X = 'libGL.so.1', 'libunknown.so.1'\nCDLL(X)", "libGL.so.1"),
        ("LIBRARIES = ['libGL.so.1']", ""),
        ("find_library('GL')\nCDLL('libGL.so.1')", "libGL.so.1"),  # one library
    ],
)  # fmt: skip
def test_names_in_python(source: str, names: str) -> None:
    """Literals that are loaded count; comments and strings of another purpose don't."""
    assert loads_in_python(source.encode(), is_known) == tuple((n, CTYPES) for n in names.split())


def test_what_cffi_opens() -> None:
    """Its module has a search path, that of ctypes is Python's: cairocffi, weasyprint."""
    assert loads_in_python(b"ffi.dlopen('libfoo.so.1')", is_known) == (("libfoo.so.1", CFFI),)
    source = b"def _dlopen(ffi, *n): return ffi.dlopen(n[0])\nc = _dlopen(ffi, 'libcairo.so.2')"
    assert loads_in_python(source, is_known) == (("libcairo.so.2", CFFI),)
    # For what is no file's name it asks find_library, which looks along no path.
    assert loads_in_python(b"ffi.dlopen('portaudio')", is_known) == (("libportaudio.so", CTYPES),)


def test_files_for_other_systems_are_passed_by() -> None:
    """What macOS has is nothing to look for here (pyglet's CoreFoundation)."""
    assert is_for_others("site/pyglet/libs/darwin/cocoa.py")
    assert is_for_others("OpenGL/platform/win32.py")
    assert is_for_others("truststore/_macos.py")
    assert is_for_others("ipykernel/_eventloop_macos.py")
    assert not is_for_others("winning/darwinian.py")
    assert not is_for_others("numpy/sliding_windows.py")
    source = b"find_library('Security'); find_library('objc'); find_library('foo')"
    assert loads_in_python(source, is_known) == (("libfoo.so", CTYPES),)


@pytest.mark.parametrize(
    "source",
    [b"print 'CDLL'", b"CDLL\0", b"CDLL(" * 5000 + b")" * 5000, b"# -*- coding: nope\nCDLL"],
)
def test_what_cannot_be_parsed_is_told(source: bytes) -> None:
    """Python 2, NUL bytes, absurd nesting and unknown encodings are None, never an exception."""
    assert loads_in_python(source, is_known) is None


def test_names_that_are_put_together(tmp_path: Path) -> None:
    """Qt opens OpenSSL by a stem and a version: no string shows it, and without it no TLS works."""
    path = "PySide6/Qt/plugins/tls/libqopensslbackend.so"
    opened = ("libcrypto.so.3", "libssl.so.3")
    for needed in ((), ("libssl.so.3",)):
        files = {path: tiny_library("libqopensslbackend.so", *needed)}
        wheel = MadeWheel(files=files, tag="cp39-abi3-manylinux_2_28_x86_64").write(tmp_path)
        loads = describe_wheel(wheel, look_for_loads=True).loads
        assert [load.name for load in loads] == [each for each in opened if each not in needed]
        assert {how for load in loads for _, how in load.sources} == {"put together at run time"}
