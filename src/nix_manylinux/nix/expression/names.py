"""How an expression names packages: by arguments of its function, or by a path."""

from __future__ import annotations

import re

from nix_manylinux.base.words import some
from nix_manylinux.data import read_nixpkgs_names
from nix_manylinux.nix.expression.layout import remarks
from nix_manylinux.nix.nixpkgs import Nixpkgs, asked_as, package_of
from nix_manylinux.nix.syntax import NOT_AN_ARGUMENT, nix_name, nix_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from nix_manylinux.nix.packages import Suggestion

#: The expression's own arguments, and what in its text shows that it uses one.
_USES = {
    "lib": r"\blib\.(?:licenses|sourceTypes|optional\w+|concatMapStrings|elem|hasSuffix|getLib"
    r"|maintainers)\b",
    "stdenv": r"(?<!pkgs\.)(?<!python\.)\bstdenv\.",
    "buildPythonPackage": r"\bbuildPythonPackage\b",
    "fetchPypi": r"\bfetchPypi\b",
    "pythonOlder": r"\bpythonOlder\b",
    "pythonAtLeast": r"\bpythonAtLeast\b",
    "manylinuxFixupHook": r"\bmanylinuxFixupHook\b",
    "pkgs": r"(?<!python\.)\bpkgs\.",
    "python": r"\bpython\.(?:version|pythonVersion|pkgs|executable|sitePackages)\b",
}

#: What sentences for the author of a file of nixpkgs are good for, in the order that they are told.
WHERE, FILL_IN, OTHERS = "Where it goes:", "To fill in:", "Other packages:"
CHECK, KNOW = "To check:", "To know:"
HEADINGS = (WHERE, FILL_IN, OTHERS, CHECK, KNOW)

#: Names in a sentence, before it counts.
_MANY = 8

#: What is bound inside of `rec { }`, and would be meant by its name there.
_BOUND = frozenset(
    {
        *("buildInputs", "dependencies", "format", "meta", "nativeBuildInputs", "pname", "src"),
        *("version", "wheels"),
    }
)


class AtHand:
    """What is known of the nixpkgs at hand, and whether it is believed.

    For a file of nixpkgs one that is not whole is not: it only adds to what is known. ``named``
    is what is to be asked of it, as Nix spells that.
    """

    def __init__(self, nixpkgs: Nixpkgs | None, *, for_nixpkgs: bool = False) -> None:
        self.asked = nixpkgs
        self.for_nixpkgs = for_nixpkgs
        self.believed = nixpkgs if nixpkgs and (nixpkgs.is_whole or not for_nixpkgs) else None
        self.named: dict[str, None] = {}

    def refuse(self, suggestion: Suggestion) -> str:
        """Say why it has no package for a library, "" where it may have one."""
        self.named[asked_as(suggestion)] = None
        why = self.believed.why_not(suggestion) if self.believed else ""
        which = "<nixpkgs>" if self.for_nixpkgs else "this nixpkgs"
        return f"not to be had of {which} ({why})" if why else ""


class Names:
    """Names packages, and remembers which arguments the function must have for it.

    ``packages`` are the Python packages that the expression names, ``linked`` those whose
    libraries are needed. What is named and not to be had of a nixpkgs that is not believed is
    in ``doubted``. For a file of nixpkgs
    libraries that Python's set hides are arguments all the same, for who passes those on: they are
    in ``inherited``; and what only the author has to know is in ``aside``, by what it is good
    for, in place of comments.
    """

    def __init__(
        self,
        packages: Collection[str],
        at_hand: AtHand,
        *,
        linked: Collection[str] = (),
    ) -> None:
        self._packages = packages
        self._asked, self._nixpkgs = at_hand.asked, at_hand.believed
        self.known = read_nixpkgs_names()
        self._linked = linked
        self.for_nixpkgs = at_hand.for_nixpkgs
        self.inherited: dict[str, None] = {}
        self.aside: dict[str, dict[str, None]] = {}
        self._libraries: dict[str, None] = {}
        self._python: dict[str, None] = {}
        self.named = at_hand.named
        self.doubted: dict[str, None] = {}
        #: Required Python packages that are not to be had of the nixpkgs at hand, and what to say.
        self.absent: dict[str, str] = {}
        #: Sentences about what nixpkgs lacks.
        self.said: list[str] = []

    def library(self, suggestion: Suggestion) -> str:
        """Name what has a library: by an argument, or in `pkgs` where Python's set hides it.

        An output of that name is not said: the one that build inputs are taken by leads to it
        (stdenv's multiple-outputs.sh, `propagatedBuildOutputs`; CUDA's are links to all outputs).
        Compilers have none that does: what chooses it there does so in any nixpkgs.
        """
        path = package_of(suggestion.attribute, suggestion)
        split = path.endswith(".cc") and path != suggestion.attribute
        if self._asked and self._nixpkgs is None and self._asked.why_not(suggestion):
            self.doubted[nix_path(path)] = None
        name = self._named(path)
        return f"(lib.getLib {name})" if split else name

    def _named(self, path: str) -> str:
        first = path.partition(".")[0]
        others = self._nixpkgs.packages if self._nixpkgs else ()
        of_python = first in self._packages
        hidden = first not in _USES and (first in self.known.hidden or of_python or first in others)
        if hidden and self.for_nixpkgs and not of_python:
            hidden = False
            self.inherited[first] = None
        if hidden or not self._can_be_argument(first):
            return f"pkgs.{nix_path(path)}"
        if first not in _USES:
            self._libraries[first] = None
        return nix_path(path)

    def package(self, name: str, *, can_lack: bool = False) -> str:
        """Name a Python package. What Nix means something else by is selected.

        So is one that the expression works without, where nobody knows whether it is there:
        an argument that nixpkgs lacks is an error at once.
        """
        attribute = self.attribute(name)
        if not can_lack and not self.lacking([name]):
            self.named[f"python.pkgs.{nix_name(attribute)}"] = None
        if self._asked and self._nixpkgs is None and attribute not in self._asked.packages:
            self.doubted[attribute] = None
        known = self._nixpkgs is not None or self.for_nixpkgs or attribute in self._python
        if (can_lack and not known) or not self._can_be_argument(attribute):
            return f"python.pkgs.{nix_name(attribute)}"
        self._python[attribute] = None
        return attribute

    def attribute(self, name: str) -> str:
        """Give a Python package's attribute: nixpkgs begins those of digits with "_".

        Where nixpkgs is at hand, and has it under an older spelling only, that one. Where the
        wheel's libraries are linked to, that of the wheel, if nixpkgs has it.
        """
        if name in self._linked and (
            self.has_wheel(name) or (self.for_nixpkgs and self.is_built_too(name))
        ):
            return f"{name}-bin"
        if name[0].isdigit() or name in _USES:
            return f"_{name}"
        known = self._nixpkgs.packages if self._nixpkgs else ()
        older = name.replace("-", "_")
        return older if name not in known and older in known else name

    def has_wheel(self, name: str) -> bool:
        """Whether nixpkgs has a Python package from its wheel, beside the one from source."""
        asked = self._asked is not None and f"{name}-bin" in self._asked.packages
        return asked or (self.for_nixpkgs and name in self.known.wheels)

    def is_built_too(self, name: str) -> bool:
        """Whether nixpkgs surely has a Python package of that name already, from source."""
        asked = self._asked is not None and name in self._asked.packages
        return asked or name in self.known.wheels | self.known.built | self.known.hidden

    def is_believed(self) -> bool:
        """Whether what that one lacks is not to be had."""
        return self._nixpkgs is not None

    def doubts(self) -> list[str]:
        """Say by what nixpkgs packages are named, where the one at hand doesn't tell."""
        if self._nixpkgs is not None:
            return []
        known = f"packages are named as nixpkgs had them in {self.known.month}"
        if self._asked is None:
            return [f"{known}: there is no <nixpkgs> to ask"]
        lacking = f", and lacks {some(self.doubted, _MANY)}" if self.doubted else ""
        which = f"a part or another set ({len(self._asked.attributes)} names at its top)"
        return [f"{known}, and not as <nixpkgs> has them: that is {which}{lacking}"]

    def is_at_the_top(self, name: str) -> bool:
        """Whether the nixpkgs at hand has a package of that name that is not of Python's set."""
        known = self._nixpkgs
        return known is not None and name in known.attributes - known.packages

    def may_lack(self, names: Iterable[str]) -> list[str]:
        """Give those Python packages that the nixpkgs at hand has not; without one, all."""
        there = self._asked.packages if self._asked else ()
        return [each for each in map(self.attribute, names) if each not in there]

    def lacking(self, names: Iterable[str]) -> list[str]:
        """Give those Python packages that the nixpkgs at hand is known not to have."""
        if self._nixpkgs is None:
            return []
        return [name for name in names if self.attribute(name) not in self._nixpkgs.packages]

    def unusable(self) -> dict[str, str]:
        """Give the Python packages that were named and can't be evaluated, with why."""
        known = self._nixpkgs.unusable if self._nixpkgs else {}
        prefix = "python.pkgs."
        return {
            each.removeprefix(prefix): known[each]
            for each in self.named
            if each.startswith(prefix) and each in known
        }

    def version(self, name: str) -> str:
        """Give the version of a Python package in the nixpkgs at hand, "" for none known."""
        known = self._nixpkgs.versions if self._nixpkgs else {}
        return known.get(f"python.pkgs.{nix_name(self.attribute(name))}", "")

    def author(self, sentences: Iterable[str], heading: str = KNOW) -> list[str]:
        """Give comments for who writes the package; no file of nixpkgs keeps them.

        They are told beside it, under ``heading``.
        """
        if not self.for_nixpkgs:
            return [*remarks(sentences)]
        self.tell(sentences, heading)
        return []

    def tell(self, sentences: Iterable[str], heading: str) -> None:
        """Say what is to stand beside the expression."""
        if sentences := [*sentences]:
            self.aside.setdefault(heading, {}).update(dict.fromkeys(sentences))

    def beside(self) -> dict[str, tuple[str, ...]]:
        """Give what stands beside the expression, by what it is good for, in the order to read."""
        return {each: (*self.aside[each],) for each in HEADINGS if each in self.aside}

    def arguments(self, text: str) -> list[str]:
        """List the function's arguments: our own that the text uses, then what was named."""
        code = "\n".join(line for line in text.split("\n") if not line.lstrip().startswith("#"))
        own = [name for name, use in _USES.items() if re.search(use, code)]
        named = [each for each in sorted(self._libraries, key=str.lower) if each not in own]
        return [*own, *named, *sorted(self._python)]

    def _can_be_argument(self, attribute: str) -> bool:
        return attribute not in NOT_AN_ARGUMENT | _BOUND and nix_name(attribute) == attribute
