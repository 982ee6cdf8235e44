"""A wheel that was written from another one, held against all that it was written from."""

from __future__ import annotations

import io

from nix_manylinux.base.digest import encode_digest, new_hash
from nix_manylinux.base.errors import BadWheel
from nix_manylinux.base.files import PIECE
from nix_manylinux.base.parallel import Look, in_parallel
from nix_manylinux.wheel.archive.format import Member, bad, read_exactly
from nix_manylinux.wheel.archive.read import stream
from nix_manylinux.wheel.rewrite import REFERENCES, is_nested_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from nix_manylinux.wheel.open import Wheel
    from nix_manylinux.wheel.record import Row


def hold(new: Wheel, old: Wheel, contents: Mapping[str, str | bytes]) -> None:
    """Check that ``new`` has the members of ``old`` and ``contents``, and a RECORD of them.

    Members in ``contents`` (by name: bytes, or a file's path) are unpacked, and compared
    byte for byte. The others must be the same packed bytes that ``old`` has, which was
    unpacked and found right: unpacking them once more tells nothing new. Raises BadWheel,
    and OSError for files that can't be read.
    """
    own = f"{old.dist_info}/RECORD"
    dropped = {f"{old.dist_info}/{REFERENCES}"} - contents.keys()
    before = {member.name: member for member in old.members if member.name not in dropped}
    if new.dist_info != old.dist_info or new.mended:
        raise bad("has another dist-info folder, or a RECORD that lacks something", own)
    there = {member.name for member in new.members}
    for name in sorted((before.keys() | contents.keys()) ^ there):
        raise bad("is in one of the wheels only", name)
    rows, known = ({row.path: row for row in wheel.record.rows} for wheel in (new, old))
    members = [member for member in new.members if member.name != own and not member.is_folder]

    def one(index: int, look: Look) -> None:
        member = members[index]
        row = rows[member.name]
        if member.name in contents:
            _compare(new.descriptor, member, row, contents[member.name], look)
        elif not _is_copy(new, member, old, before[member.name], look):
            if not is_nested_record(member.name):
                raise bad("is not what the wheel had that it was made from", member.name)
            _compare(new.descriptor, member, row, None, look)
        elif row.hash != known[member.name].hash:
            raise bad("has another hash in RECORD than it had", member.name)

    try:
        in_parallel(one, [member.packed for member in members])
    except BadWheel as error:
        error.at(new.path)
        raise


def _is_copy(new: Wheel, member: Member, old: Wheel, known: Member, look: Look) -> bool:
    """Whether two members are the same packed bytes."""
    if len({(each.method, each.crc, each.size, each.packed) for each in (member, known)}) > 1:
        return False
    for start in range(0, member.packed, PIECE):
        look()
        count = min(PIECE, member.packed - start)
        if read_exactly(new.descriptor, count, member.data + start) != read_exactly(
            old.descriptor, count, known.data + start
        ):
            return False
    return True


def _compare(
    descriptor: int, member: Member, row: Row, content: str | bytes | None, look: Look
) -> None:
    """Unpack a member, and hold it against its row in RECORD and what it is to hold."""
    state, same = new_hash(row.algorithm), True
    with open(content, "rb") if isinstance(content, str) else io.BytesIO(content or b"") as source:
        for piece in stream(descriptor, member):
            look()
            state.update(piece)
            same = same and (content is None or source.read(len(piece)) == piece)
        same = same and not source.read(1)
    if not same:
        raise bad("does not hold what was written to it", member.name)
    if encode_digest(row.algorithm, state.digest()) != row.hash:
        raise bad("does not have the hash that RECORD gives", member.name)
