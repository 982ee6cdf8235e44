"""Signals that end a process, as exceptions where they arrive."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from nix_manylinux.base.signals import signals_held

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def signals_as_exceptions() -> Iterator[None]:
    """Raise SIGINT, SIGTERM and SIGHUP as they arrive while the block runs."""
    with signals_held() as interrupts:
        interrupts.release()
        yield
