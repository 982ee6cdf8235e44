# What packages may lack, as their hooks were told, in options of `nix-manylinux
# check`: whoever checks them as a whole must not refuse what each was allowed.
{ lib }:
packages:
let
  # Without __structuredAttrs the shell splits what is given as a string.
  words =
    value:
    if value == null then
      [ ]
    else if lib.isList value then
      map toString value
    else
      lib.filter (word: lib.isString word && word != "") (builtins.split "[[:space:]]+" (toString value));

  # An entry that no file of the whole needs is no fault: it had its use.
  names = {
    "--ignore-missing" = "--ignore-if-missing";
    "--ignore-if-missing" = "--ignore-if-missing";
    "--provided-later" = "--ignore-if-missing";
    "--driver-lib" = "--driver-lib";
    "--exclude" = "--exclude";
    "--damaged" = "--damaged";
  };
  option = name: value: "${names.${name}}=${value}";

  # Both `--exclude=GLOB` and the two words.
  ofFlags =
    flags:
    let
      first = lib.head flags;
      rest = lib.tail flags;
      name = lib.head (lib.splitString "=" first);
    in
    if flags == [ ] then
      [ ]
    else if !(names ? ${name}) then
      ofFlags rest
    else if first != name then
      [ (option name (lib.removePrefix "${name}=" first)) ] ++ ofFlags rest
    else if rest == [ ] then
      [ ]
    else
      [ (option name (lib.head rest)) ] ++ ofFlags (lib.tail rest);

  ofPackage =
    package:
    let
      each = name: attribute: keep: map (option name) (lib.filter keep (words (package.${attribute} or [ ])));
      all = _: true;
    in
    each "--ignore-missing" "manylinuxIgnoreMissingDeps" all
    ++ each "--ignore-if-missing" "autoPatchelfIgnoreMissingDeps" (word: word != "1" && word != "*")
    ++ each "--provided-later" "manylinuxProvidedLater" all
    ++ each "--driver-lib" "manylinuxDriverLibs" (word: !lib.hasPrefix "/" word)
    ++ each "--exclude" "manylinuxExclude" all
    ++ ofFlags (words (package.manylinuxFixupFlags or [ ]));
in
lib.unique (lib.concatMap ofPackage packages)
