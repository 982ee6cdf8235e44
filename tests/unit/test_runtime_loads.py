"""Loads that DT_NEEDED doesn't show, found in Python files without running them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.wheels import MadeWheel, tiny_library

from nix_manylinux.nix.expression.wheel import describe_wheel
from nix_manylinux.resolve.loads import loads_in_python

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("source", "names"),
    [
        (b"import ctypes\nctypes.CDLL('libnvrtc.so.12')", ("libnvrtc.so.12",)),
        (b"from ctypes import CDLL as CDLL\nCDLL(name='libz.so.1', mode=1)", ("libz.so.1",)),
        (b"ctypes.cdll.LoadLibrary('libm.so.6')", ("libm.so.6",)),
        (b"ctypes.util.find_library('GL')", ("libGL.so",)),
        (b"ffi.dlopen('libsndfile.so.1')", ("libsndfile.so.1",)),
        (b"# CDLL('libcomment.so')", ()),
        (b"'''CDLL(\"libdoc.so\")'''", ()),
        (b"CDLL(path)", ()),
        (b"CDLL('kernel32.dll')", ()),
        (b"CDLL('/opt/x/libfoo.so')", ()),
        (b"CDLL(None)", ()),
        (b"CDLL()", ()),
    ],
)
def test_literal_calls(source: bytes, names: tuple[str, ...]) -> None:
    """Literal names in loading calls count; comments, strings and variables don't."""
    assert loads_in_python(source) == names


@pytest.mark.parametrize(
    "source",
    [b"print 'CDLL'", b"CDLL\0", b"CDLL(" * 5000 + b")" * 5000, b"# -*- coding: nope\nCDLL"],
)
def test_what_cannot_be_parsed_is_told(source: bytes) -> None:
    """Python 2, NUL bytes, absurd nesting and unknown encodings are None, never an exception."""
    assert loads_in_python(source) is None


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
