"""Linked wheels, written: one by itself, or one that lies beside what was installed from it.

Most of the latter's files are in the tree, as they were packed: they are read there, and need
no unpacking. What is written is what patching the wheel by itself would write, byte for byte.
"""

from __future__ import annotations

import contextlib
import os

from nix_manylinux.base.scratch import scratch_folder
from nix_manylinux.base.values import replace
from nix_manylinux.resolve.plan import FilePlan, Options, Plan, limited, refuse
from nix_manylinux.resolve.planner import plan_trees
from nix_manylinux.tree.unpack import scan_unpacked
from nix_manylinux.wheel.contents import MemberFiles
from nix_manylinux.wheel.open import FLOATING, Wheel, open_wheel
from nix_manylinux.wheel.rewrite import REFERENCES, write_wheel
from nix_manylinux.write.verify import carry_out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

    from nix_manylinux.tree.libraries import LibraryIndex


class Companion:
    """A wheel, planned beside the trees of ``beside``, whose files are not edited yet."""

    def __init__(self, wheel: Wheel, folder: str, beside: Plan) -> None:
        self.wheel = wheel
        self._folder = folder
        self._beside = beside
        #: Member -> where it is in a tree, whether or not it is still the same there.
        self._places = dict(_places(wheel, beside))
        self._ours: tuple[FilePlan, ...] = ()
        self._theirs: dict[str, str] = {}
        self.plan: Plan

    def decide(self, libraries: LibraryIndex, options: Options) -> None:
        """Plan the wheel by itself. Raises what `refuse` and reading a wheel raise."""
        sources = MemberFiles(self._places)
        facts = scan_unpacked(self.wheel.unpack(self._folder, sources=sources))
        plan = plan_trees([facts], target=self._beside.target, libraries=libraries, options=options)
        # What a build has removed from the trees needs nothing (postInstall).
        gone = {label for label, place in self._places.items() if not os.path.lexists(place)}
        self.plan = replace(
            plan,
            missing=limited(plan.missing, lambda label, _: label not in gone),
            incompatible=limited(plan.incompatible, lambda label, _: label not in gone),
        )
        # Which entries say nothing is known of the trees.
        refuse(replace(self.plan, unneeded=None), options)
        edits = {path: each.edit for path, each in self._beside.by_path().items()}
        for each in self.plan.files:
            label, path = each.file.label, f"{facts.root}/{each.file.path}"
            same = not each.edit or edits.get(self._places.get(label, "")) == each.edit
            if same and label in sources.taken and not each.file.aliases:
                # The tree's is what ours is to be, or stays; it must have no other name then.
                os.unlink(path)
                self._theirs[label] = self._places[label]
            else:
                self._ours += (each,)

    def write(
        self,
        references: Iterable[str],
        *,
        options: Options,
        source_date_epoch: int | None,
        sync: bool,
    ) -> None:
        """Write the wheel where it is, once the trees are linked."""
        carry_out(replace(self.plan, files=self._ours), options, []).close()
        write_linked(
            self.wheel,
            self.plan,
            references,
            theirs=self._theirs,
            output_path=self.wheel.path,
            source_date_epoch=source_date_epoch,
            sha256=False,
            sync=sync,
        )


def write_linked(
    wheel: Wheel,
    plan: Plan,
    references: Iterable[str],
    *,
    theirs: Mapping[str, str] | None = None,
    **how: Any,  # noqa: ANN401 - as there
) -> str:
    """Write a wheel whose plan was carried out, by `write_wheel`; it names the ``references``.

    ``theirs`` are files elsewhere that hold what members are to hold, by the members' names.
    """
    places = {each.file.label: f"{plan.trees[0].root}/{each.file.path}" for each in plan.files}
    places |= theirs or {}
    listing = "".join(f"{reference}\n" for reference in references)
    return write_wheel(
        wheel,
        {each.file.label: places[each.file.label] for each in plan.files if each.edit},
        extra={f"{wheel.dist_info}/{REFERENCES}": listing.encode()} if listing else {},
        allowed={each.file.label for each in plan.files if each.executable},
        **how,
    )


@contextlib.contextmanager
def companion(path: str, beside: Plan, *, max_size: int) -> Iterator[Companion]:
    """Open a wheel that lies beside the trees of a plan."""
    # Beside it, so that the tree's files can have another name there.
    with (
        scratch_folder(os.path.dirname(os.path.abspath(path))) as folder,
        open_wheel(path, max_size=max_size) as wheel,
    ):
        yield Companion(wheel, folder, beside)


def _places(wheel: Wheel, beside: Plan) -> Iterator[tuple[str, str]]:
    """Find out where an installer has put the members."""
    for tree in beside.trees:
        for distribution in tree.distributions:
            site, _, name = f"{tree.root}/{distribution.folder}".rpartition("/")
            if name != wheel.dist_info:
                continue
            library = os.path.dirname(site)
            prefix = os.path.dirname(os.path.dirname(library))
            for member in wheel.members:
                place = wheel.location(member.name)
                if place.startswith(f"{FLOATING}/"):
                    yield member.name, library + place[len(FLOATING) :]
                else:
                    yield member.name, f"{prefix}/{place}"
            return
