"""One RECORD made true, as a patch makes all of a tree."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from nix_manylinux.write.records import RecordUpdate, RecordUpdates

if TYPE_CHECKING:
    from collections.abc import Iterable


def update_record(root: str, dist_info: str, changed: Iterable[str] = ()) -> RecordUpdate:
    """Make the RECORD in ``dist_info`` true; paths are relative to ``root``."""
    updates = RecordUpdates([(root, dist_info)])
    updates.finish()
    written = updates.write({os.path.join(root, path) for path in changed})
    return next(written, RecordUpdate())
