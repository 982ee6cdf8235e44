"""Which modules of a wheel an expression has imported: what it brings, by its real names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.wheels import MadeWheel

from nix_manylinux.nix.expression.wheel import describe_wheel

if TYPE_CHECKING:
    from pathlib import Path

ABI = "cpython-311-x86_64-linux-gnu.so"


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
