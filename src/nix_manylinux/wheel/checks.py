"""What a wheel's members must say: one dist-info, one identity, a RECORD that lists them all."""

from __future__ import annotations

from nix_manylinux.base.digest import STRONG_HASHES
from nix_manylinux.wheel.archive.format import bad
from nix_manylinux.wheel.archive.read import stream
from nix_manylinux.wheel.metadata import (
    Distribution,
    expand_tags,
    normalise_name,
    read_headers,
    required_names,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from nix_manylinux.wheel.archive.format import Member
    from nix_manylinux.wheel.record import Record


def split_file_name(file_name: str) -> tuple[tuple[str, str], str]:
    """Take (name, version) and the build tag out of a wheel's file name."""
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


def check_record(record: Record, members: tuple[Member, ...], own: str) -> None:
    """Want one row with a strong hash and the right size for each file, and no other row."""
    files = {member.name: member for member in members if not member.is_folder}
    listed = set()
    for row in record.rows:
        if row.path in listed:
            raise bad("is in RECORD twice", row.path)
        listed.add(row.path)
        member = files.get(row.path)
        if member is None:
            raise bad("is in RECORD, but not in the wheel", row.path)
        if row.path == own:
            if row.hash or row.size:
                raise bad("gives a hash or a size of itself", own)
            continue
        if row.algorithm not in STRONG_HASHES:
            what = f"by {row.algorithm}" if row.hash else "not at all"
            raise bad(f"is hashed {what} in RECORD, not by sha256 or better", row.path)
        if row.size and row.size != str(member.size):
            raise bad(f"has {member.size} bytes, {row.size} by RECORD", row.path)
    for name in files:
        if name not in listed and name != own:
            raise bad("is in the wheel, but not in RECORD", name)
