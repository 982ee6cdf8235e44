"""Loads that DT_NEEDED doesn't show, found in Python files without running them."""

from __future__ import annotations

import pytest

from nix_manylinux.resolve.loads import loads_in_python


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
