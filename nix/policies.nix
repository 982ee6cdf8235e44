# pythonManylinuxPackages: for each policy the list of packages that hold the
# libraries which wheels built to it may expect from the system.
#
# The old names (manylinux1, manylinux2010, manylinux2014) are nixpkgs' own
# lists, so that what uses them keeps its hash; only the lookup of attributes
# that were renamed is made to work. The names of PEP 600 and 656
# (manylinux_2_17, musllinux_1_2) are made of the policies that Python reads too.
# `common` is what real wheels want beyond any policy.
{
  lib,
  pkgs,
  # The attribute of the nixpkgs that is overlaid, or nothing.
  previous ? { },
}:
let
  manylinux = import ./lib;

  data = import ./data.nix;
  table = data.json "policy-packages.json";
  libraries = data.json "libraries.json";
  wanted = data.json "common-packages.json";

  inherit (import ./library.nix { inherit lib pkgs; }) library renames;

  # The package at an attribute path, null where there is none. An alias that
  # throws is none either.
  lookup =
    path:
    let
      found = builtins.tryEval (lib.attrByPath (lib.splitString "." path) null pkgs);
    in
    if found.success then found.value else null;

  firstOf =
    what: paths:
    let
      found = lib.filter (package: package != null) (map lookup paths);
    in
    if found != [ ] then
      lib.head found
    else
      throw ''
        nix-manylinux: this nixpkgs has no package for ${what}: looked for ${lib.concatStringsSep ", " paths}.
          Name the one that holds it in an overlay: `final: prev: { ${lib.head paths} = ...; }`.'';

  alsoRenamed =
    paths:
    paths ++ lib.concatMap (path: lib.optional (renames ? ${path}) renames.${path}) paths;

  libc = lib.getLib pkgs.stdenv.cc.libc;
  isLibc = soname: soname == "libc.so" || lib.elem soname libraries.glibc;

  packageOf =
    soname:
    if table.packages ? ${soname} then
      lib.getLib (firstOf soname (alsoRenamed table.packages.${soname}))
    else if isLibc soname then
      libc
    else
      throw "nix-manylinux: data/policy-packages.json has no package for ${soname}";

  sonamesOf =
    policy:
    builtins.sort builtins.lessThan (lib.unique (policy.sonames ++ table.extra.${policy.name} or [ ]));

  # The libc is left out: the loader finds that by itself.
  packagesOf =
    policy:
    lib.unique (map packageOf (lib.filter (soname: table.packages ? ${soname}) (sonamesOf policy)));

  # Every X_Y from the first policy of a family to the last, lists being shared.
  named =
    make:
    let
      family = name: lib.filter (policy: policy.family == name) manylinux.policies;
      names =
        policies:
        let
          first = lib.head policies;
          last = lib.last policies;
        in
        map (minor: "${first.family}_${toString first.major}_${toString minor}") (
          lib.range first.minor last.minor
        );
    in
    lib.listToAttrs (map make (names (family "manylinux") ++ names (family "musllinux")));

  lists = named (name: lib.nameValuePair name (packagesOf (manylinux.policyFor name)));

  # A folder of links to every library of a policy; it fails to build unless
  # each is in the very package that it is mapped to.
  proofOf =
    name: policy:
    let
      # glibc has a vector library for these alone.
      exists =
        soname:
        soname != "libmvec.so.1"
        || pkgs.stdenv.hostPlatform.isx86_64
        || pkgs.stdenv.hostPlatform.isAarch64;
    in
    pkgs.runCommand name
      {
        expected = map (soname: "${packageOf soname}/lib/${soname}") (
          lib.filter exists (sonamesOf policy)
        );
        passthru = {
          inherit (policy) sonames;
        };
        meta = {
          description = "Libraries that wheels of ${policy.name} may expect of the system";
          platforms = lib.platforms.linux;
        };
      }
      ''
        mkdir -p $out/lib
        absent=
        for library in $expected; do
          # A linker script of that name would not do.
          if [ -e "$library" ] && [ "$(head -c 4 "$library" | tail -c 3)" = ELF ]; then
            ln -s "$library" $out/lib/
          else
            absent="$absent $library"
          fi
        done
        if [ -n "$absent" ]; then
          echo "${name}: not where data/policy-packages.json has them:" >&2
          printf '  %s\n' $absent >&2
          exit 1
        fi
      '';
  proofs = named (
    name: lib.nameValuePair "${name}Package" (proofOf "${name}-libraries" (manylinux.policyFor name))
  );

  # nixpkgs as its own list of libraries wants it, whichever of the two names
  # of a library it has.
  withBothNames =
    let
      # (new name, where, old name) -> the package by the new one
      package = new: firstOf new [ new renames.${new} ];
      inXorg = lib.concatMap (
        new:
        let
          old = lib.removePrefix "xorg." renames.${new};
        in
        [
          (lib.nameValuePair new (package new))
          (lib.nameValuePair old (package new))
        ]
      ) (lib.attrNames renames);
    in
    pkgs
    // lib.mapAttrs (new: _: package new) renames
    // {
      xorg = pkgs.xorg or { } // lib.listToAttrs inXorg;
      ncurses5 = firstOf "libncursesw.so.5" table.packages."libncursesw.so.5";
    };

  own =
    if previous ? override then
      previous.override { pkgs = withBothNames; }
    else
      lib.genAttrs [ "manylinux1" "manylinux2010" "manylinux2014" ] (
        name: lists.${(manylinux.parseFormat name).policy}
      )
      // previous;

  # What wheels want beyond their policy; less what this nixpkgs lacks or may not
  # build: that is named where a file needs it.
  common = lib.unique (lib.concatMap library (lib.attrNames wanted.packages));
in
own // lists // proofs // { inherit common; }
