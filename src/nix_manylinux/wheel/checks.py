"""What a wheel's members must say: one dist-info, one identity, a RECORD that lists them all."""

from __future__ import annotations

from collections.abc import Mapping

from nix_manylinux.base.digest import STRONG_HASHES, digest_of
from nix_manylinux.base.errors import BadOption, BadWheel
from nix_manylinux.wheel.archive.format import UNTRUE_RECORD, Member, bad, printable
from nix_manylinux.wheel.archive.names import check_name
from nix_manylinux.wheel.archive.read import stream
from nix_manylinux.wheel.metadata import (
    Distribution,
    expand_tags,
    normalise_name,
    read_headers,
    required_names,
)
from nix_manylinux.wheel.name import without_variant
from nix_manylinux.wheel.record import Record, Row, plain_hash, plain_path, plain_size


def split_file_name(file_name: str) -> tuple[tuple[str, str], str]:
    """Take (name, version) and the build tag out of a wheel's file name."""
    file_name, _variant = without_variant(file_name)
    parts = file_name.removesuffix(".whl").split("-")
    if not file_name.endswith(".whl") or len(parts) not in {5, 6} or not all(parts):
        raise bad(
            "is not called NAME-VERSION-PYTHON-ABI-PLATFORM.whl",
            hint="give it back the name that the package index has for it",
        )
    return (parts[0], parts[1]), parts[2] if len(parts) == 6 else ""


def find_dist_info(members: tuple[Member, ...]) -> str:
    """Give the one top folder whose name ends in ``.dist-info``."""
    tops = {member.name.partition("/")[0] for member in members if "/" in member.name}
    found = sorted(top for top in tops if top.lower().endswith(".dist-info"))
    if len(found) != 1:
        listed = f": {', '.join(found)}" if found else ""
        raise bad(f"has {len(found)} dist-info folders, not one{listed}")
    if not found[0].endswith(".dist-info"):
        raise bad("is not spelt as installers look for it", found[0])
    return found[0]


def read_text(descriptor: int, members: Mapping[str, Member], name: str, limit: int) -> bytes:
    """Read a member that must be there, in UTF-8, of at most ``limit`` bytes."""
    member = members.get(name)
    if member is None:
        raise bad("is not in the wheel", name)
    if member.size > limit:
        raise bad(f"has {member.size} bytes, more than {limit}", name)
    data = b"".join(stream(descriptor, member))
    try:
        data.decode()
    except UnicodeDecodeError as cause:
        raise bad(f"is not UTF-8 at byte {cause.start}", name) from cause
    return data


def read_metadata(texts: Mapping[str, bytes], dist_info: str) -> Distribution:
    """Read METADATA and WHEEL: one name, one version, wheel version 1.x."""
    metadata = read_headers(texts[f"{dist_info}/METADATA"])
    wheel = read_headers(texts[f"{dist_info}/WHEEL"])
    names, versions = metadata.get("name", []), metadata.get("version", [])
    if len(names) != 1 or len(versions) != 1 or not names[0] or not versions[0]:
        raise bad("does not have one Name and one Version", f"{dist_info}/METADATA")
    formats = wheel.get("wheel-version", [])
    parts = formats[0].split(".") if len(formats) == 1 else []
    if len(parts) != 2 or not all(
        each.isascii() and each.isdigit() and len(each) < 10 for each in parts
    ):
        raise bad("does not have one Wheel-Version", f"{dist_info}/WHEEL")
    if int(parts[0]) != 1:
        raise bad(
            f"is of wheel version {formats[0]}, and only 1.x is known",
            f"{dist_info}/WHEEL",
            "a newer nix-manylinux may know it",
        )
    return Distribution(
        folder=dist_info,
        name=names[0],
        version=versions[0],
        tags=expand_tags(wheel.get("tag", ())),
        requires=required_names(metadata.get("requires-dist", ())),
    )


def check_identity(distribution: Distribution, stem: tuple[str, str], build: str) -> None:
    """Want one name and version of the file name, the dist-info folder and METADATA."""
    name, _, version = distribution.folder[: -len(".dist-info")].rpartition("-")
    # The store can't have the "!" of an epoch: foo-1!2.0 becomes foo-1-2.0,
    # which reads as version 1 with build tag 2.0.
    versions = [stem[1], f"{stem[1]}!{build}"] if build else [stem[1]]
    for what, other_name, others in (
        ("the file is called", stem[0], versions),
        ("METADATA says", distribution.name, [distribution.version]),
    ):
        if normalise_name(name) != normalise_name(other_name) or not any(
            _same_version(version, other) for other in others
        ):
            raise bad(
                f"is of {name} {version}, where {what} {other_name} {others[0]}",
                distribution.folder,
            )


def check_new_name(member: str, where: str, better: str) -> None:
    """Raise BadOption for a name that no new member of a wheel may have."""
    try:
        check_name(member)
    except BadWheel as error:
        raise BadOption(
            f"can't be in a wheel: it {error.what}",
            where=printable(where),
            hint=f"name it otherwise, such as {better}",
        ) from error


def _same_version(one: str, other: str) -> bool:
    # Dashes of local versions are written as underscores in file names.
    one, other = (text.replace("_", "-").lower() for text in (one, other))
    if one == other:
        return True
    from packaging.version import InvalidVersion, Version  # noqa: PLC0415 - seldom needed

    try:
        return Version(one) == Version(other)
    except InvalidVersion:
        return False


def settle_record(
    record: Record, members: tuple[Member, ...], own: str, descriptor: int
) -> tuple[Record, tuple[str, ...]]:
    """Give a RECORD in normal form: one row with a strong hash and a size for each file.

    What rows claim must be true, by value, however it is spelt. Where they claim nothing,
    the file itself is asked, as installers do that hold wheels against nothing (pip, uv):
    rows without hash or size, files without a row; rows without a file say nothing of
    this wheel, nor do rows of folders, and what RECORD's own row says of it. Gives
    sentences about what was added or left out, too. Raises BadWheel for two rows that
    disagree, a weak hash, a wrong size.
    """
    files = {m.name: m for m in members if not m.is_folder and m.name != own}
    found: dict[str, Row] = {}
    strangers = []
    last = record.row(own)
    for row in record.rows:
        path = row.path if row.path in files else plain_path(row.path)
        if path == own:
            last = row if (row.path, row.hash, row.size) == (own, "", "") else record.row(own)
        elif path in files:
            row = _settled(record, row, files[path])  # noqa: PLW2901 - the same one, as it is kept
            _add_row(found, row, files[path], descriptor)
        elif not path.endswith("/"):
            strangers.append(row.path)
    unlisted = len(files.keys() - found.keys())
    for name, member in files.items():
        if name not in found or not found[name].hash:
            found[name] = record.row(name, digest_of(stream(descriptor, member)), member.size)
    if {*map(id, record.rows)} == {id(last), *map(id, found.values())}:
        return record, ()  # nothing in it is odd, and its order is its own
    warnings = []
    if unlisted:
        warnings.append(f"RECORD lists {len(files) - unlisted} of {len(files)} files")
    if strangers:
        warnings.append(
            f"RECORD lists files that the wheel doesn't have: {', '.join(strangers[:3])}"
        )
    return Record(rows=(*found.values(), last), line_end=record.line_end), tuple(warnings)


def _add_row(found: dict[str, Row], row: Row, member: Member, descriptor: int) -> None:
    """Keep a row, unless there is one of the same file that says as much."""
    known = found.get(member.name)
    if known is None or not known.hash:
        found[member.name] = row
    elif row.hash not in {"", known.hash} and (
        # Of two algorithms, the first one's digest is held against the contents when they are read.
        row.algorithm == known.algorithm
        or digest_of(stream(descriptor, member), row.algorithm) != row.hash
    ):
        raise bad("is in RECORD twice, with different hashes", member.name)


def _settled(record: Record, row: Row, member: Member) -> Row:
    """Give a row in normal form, the very same where it is; without a hash where it has none."""
    digest = plain_hash(row.hash)
    if digest and digest.partition("=")[0] not in STRONG_HASHES:
        algorithm = digest.partition("=")[0]
        raise bad(f"is hashed by {algorithm} in RECORD, not by sha256 or better", member.name)
    if row.size and plain_size(row.size) != str(member.size):
        text = f"has {member.size} bytes, {row.size} by RECORD"
        raise bad(text, member.name, UNTRUE_RECORD)
    if (row.path, row.hash, row.size) == (member.name, digest, str(member.size)):
        return row
    return record.row(member.name, digest, member.size)
