"""What an expression says about a package: what to import, its license, where it is for."""

from __future__ import annotations

import re

from nix_manylinux.base.words import capital, listed
from nix_manylinux.nix.expression.chosen import chosen_extensions
from nix_manylinux.nix.expression.extensions import is_for_users
from nix_manylinux.nix.expression.layout import block, remark
from nix_manylinux.nix.expression.licenses import candidates, nixpkgs_licenses
from nix_manylinux.nix.expression.names import FILL_IN
from nix_manylinux.nix.syntax import nix_string
from nix_manylinux.wheel.metadata import normalise_name, required_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from nix_manylinux.nix.expression.names import Names
    from nix_manylinux.nix.expression.wheel import DescribedWheel
    from nix_manylinux.target.place import Place

#: Labels of Project-URL, as indexes normalise them, the best first.
_CHANGELOG = ("changelog", "changes", "whatsnew", "releasenotes", "history", "news")

#: Characters of a description: what has more is a paragraph.
_LONG = 120

#: Characters of a license's text.
_ENOUGH = 70


def imports_check(wheels: Sequence[DescribedWheel], unmet: Collection[str]) -> list[str]:
    """Write pythonImportsCheck, or why there is none. ``unmet`` are libraries that lack."""
    modules = sorted(set.intersection(*(set(wheel.modules) for wheel in wheels)))[:8]
    modules += sorted({*chosen_extensions(wheels, unmet)}.difference(modules))
    if modules:
        return block("pythonImportsCheck", map(nix_string, modules))
    if modules := _by_cmeel(wheels[0]):
        said = f"In this order: {_CMEEL} leads to {listed(modules)}, in {_CMEEL_PREFIX}."
        return [
            *remark(said),
            *block("pythonImportsCheck", map(nix_string, [_CMEEL, *modules])),
        ]
    why = _only_by_pth(wheels[0]) or "site-packages gets no module from this wheel"
    return remark(f"No pythonImportsCheck: {why}.")


#: A module at the top of cmeel: being imported, it adds to Python's path the folders of packages
#: in this prefix, for each entry of that path. A build's PYTHONPATH reads no .pth file, which does.
_CMEEL, _CMEEL_PREFIX = "cmeel_pth", "cmeel.prefix"


def _by_cmeel(wheel: DescribedWheel) -> list[str]:
    """Name the modules in cmeel's prefix, where cmeel is always required with the wheel."""
    site, modules = _in_a_prefix(wheel)
    texts = wheel.headers.get("requires-dist", [])
    always = required_names([text for text in texts if ";" not in text])
    return modules if site.startswith(f"{_CMEEL_PREFIX}/") and "cmeel" in always else []


def _only_by_pth(wheel: DescribedWheel) -> str:
    """Say where modules are that only a .pth file leads to, and whose; "" for none."""
    site, modules = _in_a_prefix(wheel)
    if not modules:
        return ""
    owner = normalise_name(site.partition(".")[0])
    required = required_names(wheel.headers.get("requires-dist", []))
    whose = f"the .pth file of {owner}" if owner in required else "a .pth file"
    folder = re.sub(r"lib/python3\.[0-9]+t?/site-packages$", "${python.sitePackages}", site)
    return (
        f"{folder} has {listed(modules)}, and {whose} leads there: in an environment"
        " (python3.withPackages), not from the PYTHONPATH of a build, where no .pth file is read"
    )


def _in_a_prefix(wheel: DescribedWheel) -> tuple[str, list[str]]:
    """Give a folder of modules that is inside of site-packages, and these; no modules for none."""
    outer, *inner = wheel.facts.site_packages or ("",)
    paths = [file.path for file in wheel.facts.files]
    for site in (each for each in inner if each.startswith(f"{outer}/")):
        names = [path[len(site) + 1 :] for path in paths if path.startswith(f"{site}/")]
        if names:
            return site[len(outer) + 1 :], sorted({re.split(r"[/.]", name)[0] for name in names})
    return "", []


def imported_as(wheel: DescribedWheel) -> list[str]:
    """Name what is imported of a wheel, at the top: "pinocchio" of pin."""
    return [name for name in wheel.modules if "." not in name] or _in_a_prefix(wheel)[1]


def meta(
    wheels: Sequence[DescribedWheel], places: Iterable[Place], names: Names, version: str
) -> Iterator[str]:
    """Write the block of that name; for nixpkgs with a line for those who will be asked.

    ``version`` is how the package's is written inside of a string.
    """
    first = wheels[0]
    yield "meta = {"
    summary = re.sub(r"^(?:An?|The)\s+", "", _summary(first).rstrip(".").strip())
    told = {"description": capital(summary), "homepage": _line(homepage_of(first))}
    changelog = _line(_labelled(first, _CHANGELOG))
    number = first.header("version") or first.name.version
    own = re.split(rf"(?<![0-9.]){re.escape(number)}(?!\.?[0-9a-z])", changelog)
    if names.for_nixpkgs and changelog and len(own) == 1:
        said = f"changelog: {changelog} is of every version; meta.changelog waits for"
        names.tell([f"{said} the page of this one, with {version} in it"], FILL_IN)
        own = [""]
    if names.for_nixpkgs:
        names.tell(_faults_of(told["description"], first), FILL_IN)
    yield from (f"  {name} = {nix_string(text)};" for name, text in told.items() if text)
    if any(own):
        yield f'  changelog = "{version.join(nix_string(each)[1:-1] for each in own)}";'
    yield from (f"  {line}" for line in _license(first, names))
    if names.for_nixpkgs:
        if not names.has_wheel(first.package):  # which has some
            names.tell(["maintainers: you, as maintainers/maintainer-list.nix has you"], FILL_IN)
        yield "  maintainers = with lib.maintainers; [ ];"
    if any(wheel.facts.files for wheel in wheels):
        yield "  sourceProvenance = [ lib.sourceTypes.binaryNativeCode ];"
        systems = sorted({place.system for place in places})
        yield from (f"  {line}" for line in block("platforms", map(nix_string, systems)))
    programs = [name for name in first.programs if normalise_name(name) == first.package]
    if len(first.programs) == 1:
        programs = programs or [*filter(is_for_users, first.programs)]
    if programs:
        yield f"  mainProgram = {nix_string(_line(programs[0]))};"
    yield "};"


def _summary(wheel: DescribedWheel) -> str:
    """Give the summary, without which of the wheels that are one package it is of, in brackets."""
    text = _line(wheel.header("summary"))
    part = normalise_name(wheel.name.name).removeprefix(f"{wheel.package}-")
    match = re.search(r"\s*\(([^()]*)\)$", text)
    return text[: match.start()] if match and normalise_name(match[1]) == part else text


def _faults_of(description: str, wheel: DescribedWheel) -> Iterator[str]:
    """Say what nixpkgs doesn't take of a description."""
    own = {name.replace("-", "") for name in map(normalise_name, imported_as(wheel))}
    own.add(wheel.package.replace("-", ""))
    words = re.findall(r"[a-z0-9]+", description.lower())
    if not words:
        yield "description: METADATA has no summary"
    elif any("".join(words[:number]) in own for number in range(1, 4)):  # ONNX Runtime
        yield "description begins with the package's name, which nixpkgs doesn't take"
    if len(description) > _LONG or re.search(r"[a-z]\. ", description):
        yield "description: nixpkgs has one short phrase"


def _line(text: str) -> str:
    """Give text that a Nix string can hold on one line: control characters become spaces."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _license(wheel: DescribedWheel, names: Names) -> Iterator[str]:
    expression, text = wheel.header("license-expression"), wheel.header("license")
    classifiers = wheel.headers.get("classifier", ())
    begins = wheel.license_begins
    found = nixpkgs_licenses(expression, text, classifiers, begins, names.known)
    licenses = [f"lib.licenses.{name}" for name in found]
    if found and names.for_nixpkgs:
        title = wheel.license_begins
        if names.known.licenses.get(title.strip().lower(), found[0]) not in found:
            said = f"METADATA says {_beginning(expression or text)!r}, LICENSE begins {title!r}"
            names.tell([f"license: {said}: look which of them it is"], FILL_IN)
    if len(licenses) == 1:
        yield f"license = {licenses[0]};"
    elif licenses:
        yield from block("license", licenses)
    else:
        text = expression or text
        said = f"METADATA says {_beginning(text)!r}" if text else "METADATA names none"
        if wheel.license_begins:
            said += f", LICENSE begins {_beginning(wheel.license_begins)!r}"
        if names.for_nixpkgs:
            words = [expression or text, *classifiers, wheel.license_begins]
            may_be = next(filter(None, map(candidates, words)), "one of lib.licenses")
            said += f"; meta.license waits for {may_be}"
        yield from names.author([f"license: {said}"], FILL_IN)


def _beginning(text: str) -> str:
    """Give the first line of a text that says something, cut between words where it is long."""
    line = " ".join(next(filter(None, map(str.strip, text.splitlines())), "").split())
    if len(line) <= _ENOUGH:
        return line
    return f"{line[: _ENOUGH - 3].rpartition(' ')[0] or line[: _ENOUGH - 3]} ..."


def homepage_of(wheel: DescribedWheel) -> str:
    """Give the Project-URL of that name, else of who packages others' work, else Home-page.

    That is older; without it is the source.
    """
    return (
        _labelled(wheel, ("homepage", "home", "upstream"))
        or wheel.header("home-page")
        or _labelled(wheel, ("repository", "source", "sourcecode", "github", "documentation"))
    )


def _labelled(wheel: DescribedWheel, labels: Sequence[str]) -> str:
    """Give the Project-URL of the first of these labels that one has; "" for none."""
    urls = {}
    for value in wheel.headers.get("project-url", ()):
        label, _, url = value.partition(",")
        urls[re.sub(r"[^a-z]", "", label.lower())] = url.strip()
    return next((urls[label] for label in labels if label in urls), "")
