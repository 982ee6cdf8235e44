# What makes packages of a lock that have no wheel: lines of `overrides`, to be pasted.
{
  lib,
  # The interpreter's attribute: "python312".
  attribute,
  # The kind of lock: of a requirements file's packages nobody knows whether they have an archive.
  kind,
  # From a path of the lock to the file or folder; null where it isn't known.
  placeOf,
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

  normal =
    name:
    lib.toLower (lib.concatStringsSep "-" (lib.filter lib.isString (builtins.split "[-_.]+" name)));

  # What the [build-system] of a folder's pyproject.toml requires; null where there is none.
  requiredBy =
    folder:
    let
      file = placeOf "${folder}/pyproject.toml";
      value = builtins.fromTOML (builtins.readFile file);
    in
    if file != null && builtins.pathExists file then value.build-system.requires or null else null;

  # From a source archive's file name to its parts, as fetchPypi takes them.
  archive = builtins.match "(.*)-([^-]*[0-9][^-]*)\\.(tar\\.[a-z0-9]+|tgz|zip)";

  sourceOf =
    name: entry:
    let
      local = builtins.match "([a-z]+) (.*)" (entry.local or "");
      from = lib.head local;
      place = lib.last local;
      inside = entry.subdirectory or "";
      revision = entry.revision or "";
      file = entry.sdist.file or "";
      parts = archive file;
      digest = quoted (entry.sdist.sha256 or "");
    in
    if local != null && (from == "directory" || from == "editable") then
      {
        lines = [ "src = ${pathOf (if inside == "" then place else "${place}/${inside}")};" ];
        requires = requiredBy (if inside == "" then place else "${place}/${inside}");
      }
    else if local != null then
      {
        lines = [
          (
            if from == "hg" then
              "src = builtins.fetchMercurial { url = ${quoted place}; rev = ${quoted revision}; };"
            else
              "src = builtins.fetchGit { url = ${quoted place}; ${
                if builtins.match "[0-9a-f]{40}" revision != null then
                  "rev = ${quoted revision}; allRefs = true; "
                else
                  lib.optionalString (revision != "") "ref = ${quoted revision}; "
              }};"
          )
        ]
        ++ lib.optional (inside != "") "sourceRoot = ${quoted "source/${inside}"};";
      }
    else if entry ? sdist.path then
      { lines = [ "src = ${pathOf entry.sdist.path};" ]; }
    else if entry ? sdist.url then
      {
        lines = [
          "src = pkgs.fetchurl { url = ${quoted entry.sdist.url}; sha256 = ${digest}; };"
        ];
      }
    else if parts != null then
      {
        lines = [
          "src = pkgs.fetchPypi { pname = ${quoted (lib.head parts)}; version = ${quoted (lib.elemAt parts 1)}; extension = ${quoted (lib.last parts)}; sha256 = ${digest}; };"
        ];
      }
    else if kind == "requirements.txt" || entry ? sdist then
      {
        lines = [
          "src = pkgs.fetchPypi { pname = ${quoted name}; version = ${quoted entry.version}; hash = \"\"; }; # Nix says the hash"
        ];
      }
    else
      {
        lines = [
          "src = null; # ${kind} has no source archive: lock another version of it, or for another Python"
        ];
      };

  of =
    name: entry:
    let
      source = sourceOf name entry;
      known = source.requires or null;
      names =
        if known == null then
          [ "setuptools" ]
        else
          map (text: normal (lib.head (builtins.match "[[:space:]]*([A-Za-z0-9._-]*).*" text))) known;
      ofSet = lib.concatMapStrings (each: "pkgs.${attribute}.pkgs.${named each} ");
      zip = lib.hasSuffix ".zip" (entry.sdist.file or "");
    in
    [
      "  ${named name} = pkgs.${attribute}.pkgs.buildPythonPackage {"
      "    pname = ${quoted name}; version = ${quoted entry.version}; pyproject = true; doCheck = false;"
    ]
    ++ map (line: "    ${line}") source.lines
    ++ lib.optional zip "    nativeBuildInputs = [ pkgs.unzip ];"
    ++ [
      "    build-system = [ ${ofSet names}];${
        lib.optionalString (known == null) " # or what its pyproject.toml has as [build-system]"
      }"
      "    dependencies = [ ${lib.concatMapStrings (each: "final.${named each} ") entry.dependencies}];"
      "  };"
    ];
in
entries:
[ "overrides = final: prev: {" ] ++ lib.concatLists (lib.mapAttrsToList of entries) ++ [ "};" ]
