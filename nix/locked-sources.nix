# Packages of a lock that have no wheel, built from what was locked in its place: a source
# archive, a commit, a folder; and how one is written by hand, of which not enough is known.
{
  lib,
  pkgs,
  # The interpreter, and its attribute: "python312".
  python,
  attribute,
  # The kind of lock: of a requirements file's packages nobody knows whether they have an archive.
  kind,
  # From a path of the lock to the file or folder; null where it isn't known.
  placeOf,
  # The same, or the error that nothing is there.
  placeAtHand,
  # From a file's entry in the lock to the file, if it is the one that was locked.
  atHand,
}:
let
  quoted = text: lib.replaceStrings [ "\${" ] [ "\\\${" ] (builtins.toJSON text);
  keyword = "assert|else|if|in|inherit|let|or|rec|then|with";
  named =
    name:
    if builtins.match "[a-z][a-z0-9-]*" name == null || builtins.match keyword name != null then
      quoted name
    else
      name;

  # A path as Nix code, from the file that it is pasted into, which lies with the lock.
  pathOf =
    path:
    if builtins.match "(/|\\.\\./)?[A-Za-z0-9+_-][A-Za-z0-9+._/-]*" path == null then
      (if lib.hasPrefix "/" path then "(/. + ${quoted path})" else "(./. + ${quoted "/${path}"})")
    else if builtins.match "(/|\\.\\./).*" path != null then
      path
    else
      "./${path}";

  # What an installer has made beside the source, version control's own, ours, what Nix has built.
  made = "\\.(git|hg|svn|venv|tox|nox|direnv|mypy_cache|pytest_cache|ruff_cache)|__pycache__|node_modules|manylinux\\.lock\\.json|environment\\.nix|nix-manylinux";
  isMade =
    name: type:
    builtins.match made name != null
    || type == "symlink" && builtins.match "result(-.*)?" name != null;
  folderOf =
    place:
    builtins.path {
      path = place;
      name = "source";
      filter = path: type: !isMade (baseNameOf path) type;
    };

  # From a source archive's file name to its parts, as fetchPypi takes them.
  archive = builtins.match "(.*)-([^-]*[0-9][^-]*)\\.(tar\\.[a-z0-9]+|tgz|zip)";

  # What a package is made from: `text` is Nix code, `src` its value where it `isKnown` well
  # enough, `folder` where a pyproject.toml can be read now.
  sourceOf =
    name: entry:
    let
      local = builtins.match "([a-z]+) (.*)" (entry.local or "");
      from = lib.head local;
      # A folder's is a folder, too; of all others it is known where they are unpacked.
      inside = lib.optionalString (from == "directory" && entry ? subdirectory) "/${entry.subdirectory}";
      address = lib.last local + inside;
      place = placeOf address;
      revision = entry.revision or "";
      git = {
        url = address;
        rev = revision;
        allRefs = true;
        submodules = true;
      };
      isCommit = builtins.match "[0-9a-f]{40}" revision != null;
      checkout = builtins.fetchGit git;
      # Read where it lies: what evaluates without a store to write has no copy.
      folder = placeAtHand address;
      sdist = entry.sdist or { };
      parts = archive (sdist.file or "");
      sha256 = sdist.sha256 or "";
      byName = {
        pname = lib.head parts;
        version = lib.elemAt parts 1;
        extension = lib.last parts;
        inherit sha256;
      };
      set = value: "{ ${lib.concatStrings (lib.mapAttrsToList (n: v: "${n} = ${code v}; ") value)}}";
      code = value: if builtins.isString value then quoted value else builtins.toJSON value;
    in
    if local != null && from == "directory" then
      {
        text = pathOf address;
        isKnown = place != null;
        src = folderOf folder;
        inherit folder;
      }
    else if local != null then
      {
        isKnown = from == "git" && isCommit;
        src = checkout;
        folder = "${checkout}${within entry}";
        text =
          if from == "hg" then
            "builtins.fetchMercurial ${set { url = address; rev = revision; }}"
          else
            "builtins.fetchGit ${
              set (if isCommit || revision == "" then git else { inherit (git) url; ref = revision; })
            }";
      }
    else if sdist ? path then
      {
        text = pathOf sdist.path;
        isKnown = placeOf sdist.path != null;
        src = atHand sdist;
      }
    else if sdist ? url then
      {
        text = "pkgs.fetchurl ${set { inherit (sdist) url; inherit sha256; }}";
        isKnown = sha256 != "";
        src = pkgs.fetchurl { inherit (sdist) url; inherit sha256; };
      }
    else if parts != null then
      {
        text = "pkgs.fetchPypi ${set byName}";
        isKnown = sha256 != "";
        src = pkgs.fetchPypi byName;
      }
    else if kind == "requirements.txt" || entry ? sdist then
      {
        text = "pkgs.fetchPypi { pname = ${quoted name}; version = ${quoted entry.version}; hash = \"\"; }";
        isKnown = false;
      }
    else
      {
        text = "null; # ${kind} has no source archive: lock another version of it, or for another Python";
        isKnown = false;
      };

  normal =
    name:
    lib.toLower (lib.concatStringsSep "-" (lib.filter lib.isString (builtins.split "[-_.]+" name)));

  # What the [build-system] of a pyproject.toml that can be read now requires; null for unknown.
  requiredBy =
    entry: source:
    let
      file = source.folder + "/pyproject.toml";
      value = builtins.fromTOML (builtins.readFile file);
      nameOf = text: normal (lib.head (builtins.match "[[:space:]]*([A-Za-z0-9._-]*).*" text));
    in
    if !(source.isKnown && source ? folder && builtins.pathExists file) then
      null
    else
      map nameOf (value.build-system.requires or [ "setuptools" ]);

  # What nearly all archives want that no wheel lies beside; what else one wants its build says.
  usual = [
    "setuptools"
    "wheel"
  ];

  within = entry: lib.optionalString (entry ? subdirectory) "/${entry.subdirectory}";

  # Arguments of buildPythonPackage that differ from package to package, strings and lists of them.
  shapeOf =
    name: entry:
    {
      pname = name;
      inherit (entry) version;
    }
    // lib.optionalAttrs (entry ? subdirectory && !lib.hasPrefix "directory " (entry.local or "")) {
      postUnpack = "sourceRoot+=${lib.escapeShellArg "/${entry.subdirectory}"}";
    };
  # What a package is built after: not what needs it.
  needsOf = entry: lib.filter (each: !lib.elem each (entry.circle or [ ])) entry.dependencies;

  isZip = entry: lib.hasSuffix ".zip" (entry.sdist.file or "");

  linesOfOne =
    name: entry:
    let
      source = sourceOf name entry;
      known = requiredBy entry source;
      ofSet = lib.concatMapStrings (each: "pkgs.${attribute}.pkgs.${named each} ");
    in
    [ "  ${named name} = pkgs.${attribute}.pkgs.buildPythonPackage {" ]
    ++ lib.mapAttrsToList (key: value: "    ${key} = ${quoted value};") (shapeOf name entry)
    ++ [
      "    pyproject = true; doCheck = false;"
      "    src = ${source.text};"
    ]
    ++ lib.optional (isZip entry) "    nativeBuildInputs = [ pkgs.unzip ];"
    ++ [
      "    build-system = [ ${ofSet (if known == null then [ "setuptools" ] else known)}];${
        lib.optionalString (known == null) " # or what its pyproject.toml has as [build-system]"
      }"
      "    dependencies = [ ${lib.concatMapStrings (each: "final.${named each} ") (needsOf entry)}];"
      "  };"
    ];
in
rec {
  inherit needsOf;

  # Lines of `overrides`, to be pasted.
  linesOf =
    entries:
    [ "overrides = final: prev: {" ]
    ++ lib.concatLists (lib.mapAttrsToList linesOfOne entries)
    ++ [ "};" ];

  # Whether a package can be built as it was locked, with nothing written by hand.
  isBuildable = name: entry: (sourceOf name entry).isKnown;

  # The package; its backend is nixpkgs'.
  build =
    final: name: entry:
    let
      source = sourceOf name entry;
      known = requiredBy entry source;
      wanted = if known == null then usual else known;
      ofSet = each: if lib.elem each entry.dependencies then final.${each} else python.pkgs.${each};
    in
    python.pkgs.buildPythonPackage (
      shapeOf name entry
      // {
        inherit (source) src;
        pyproject = true;
        build-system = map ofSet (lib.filter (each: python.pkgs ? ${each}) wanted);
        nativeBuildInputs = lib.optional (isZip entry) pkgs.unzip;
        dependencies = map (each: final.${each}) (needsOf entry);
        # Of a backend there is the version that nixpkgs has, whatever one is asked for.
        pypaBuildFlags = [ "--skip-dependency-check" ];
        dontCheckRuntimeDeps = true;
        doCheck = false;
        passthru.locked = entry;
        failureHook = ''
          echo ${lib.escapeShellArg ''
            nix-manylinux: manylinuxLockedPackages: no wheel of ${name} fits, and its source could not be built as it is.
            What it lacks is added beside `python`, in environment.nix:
              overrides = final: prev: {
                ${named name} = prev.${named name}.overridePythonAttrs (old: {
                  build-system = old.build-system ++ [ ]; # what its [build-system] requires: pkgs.${attribute}.pkgs.hatchling
                  nativeBuildInputs = old.nativeBuildInputs ++ [ ]; # programs: pkgs.pkg-config
                  buildInputs = [ ]; # libraries
                });
              };''} >&2
        '';
      }
    );
}
