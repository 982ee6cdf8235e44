# The packages of a lock file, each built from its wheel and linked to what it
# needs: nothing is written by hand. `nix-manylinux lock` writes the JSON.
{
  lib,
  pkgs,
  fetchurl,
  fetchPypi,
  manylinuxFixupHook,
  manylinuxInstallHook,
  nix-manylinux,
}:
{
  # What `nix-manylinux lock` wrote: a path, or its value.
  lock,
  # The interpreter of the environment.
  python,
  system ? python.stdenv.hostPlatform.system,
  # The lock file itself: evaluation then fails where it has changed since.
  lockFile ? null,
  # From { file, sha256, url } to the wheel: another way to get one. `url` is null
  # where the lock names none.
  fetch ?
    {
      file,
      sha256,
      url,
    }:
    (
      if url != null then
        fetchurl {
          inherit url sha256;
          name = lib.replaceStrings [ "!" ] [ "-" ] file;
        }
      else
        fetchPypi { inherit file sha256; }
    ).overrideAttrs
      (_: {
        failureHook = ''
          echo ${lib.escapeShellArg ''
            nix-manylinux: manylinuxLockedPackages could not fetch ${file}. (What was deleted from its index is had no more: lock another version.)
            What `nix-manylinux lock` has fetched is in ~/.cache/nix-manylinux/wheels; with this argument it is taken from there:
              fetch = { file, sha256, url }: builtins.path { name = file; recursive = false; inherit sha256;
                path = /. + "''${builtins.getEnv "HOME"}/.cache/nix-manylinux/wheels/''${sha256}/''${file}"; };''} >&2
        '';
      }),
  # Whether the user's own projects are in it, too, which uv would install from their folders.
  projects ? false,
  # More libraries for every package, behind those that the lock names.
  libs ? [ ],
  # Whether to offer pythonManylinuxPackages.common; by itself that is done for
  # wheels that were not looked into (`lock --no-inspect`).
  autoLibs ? null,
  # final: prev: packages of the set, made otherwise.
  overrides ? _: _: { },
}:
let
  manylinux = import ./lib;

  value = if builtins.isAttrs lock then lock else builtins.fromJSON (builtins.readFile lock);
  # Of a flake's copy in the store the name alone leads anywhere.
  placed =
    path: if lib.hasPrefix builtins.storeDir (toString path) then baseNameOf path else toString path;
  shown = if builtins.isAttrs lock then "the lock" else placed lock;
  refuse = what: hint: throw ''
    nix-manylinux: manylinuxLockedPackages: ${what}
      ${hint}'';

  # The command that makes it anew, as it was asked for, with more environments.
  again =
    more:
    let
      keys = map (builtins.match "([^-]+)-(.*)") (lib.attrNames (value.environments or { }) ++ more);
      wheels = lib.concatMap (each: lib.attrValues each.packages) (
        lib.attrValues (value.environments or { })
      );
      unseen = wheels != [ ] && !lib.any (each: each ? format) wheels;
      each = option: names: lib.concatMapStrings (name: " --${option} ${name}") (lib.unique names);
    in
    "nix-manylinux lock ${if lockFile == null then "LOCKFILE" else placed lockFile} -o ${shown}"
    + each "python-version" (map lib.head keys)
    + each "system" (map lib.last keys)
    + each "extra" (value.lock.extras or [ ])
    + each "group" (value.lock.groups or [ ])
    + each "package" (value.lock.packages or [ ])
    + lib.optionalString (value.lock.allPackages or false) " --all-packages"
    + lib.optionalString unseen " --no-inspect";

  checked =
    if value.schema or null != 1 then
      refuse "${shown} is of schema ${toString (value.schema or "none")}, and 1 is known."
        "Write it again with this nix-manylinux: nix-manylinux lock LOCKFILE -o ${shown}"
    else if lockFile != null && builtins.hashFile "sha256" lockFile != value.lock.sha256 then
      refuse "${shown} is stale: ${placed lockFile} has changed since." (again [ ])
    else
      value;

  free = lib.optionalString (lib.hasSuffix "t" (python.executable or "")) "t";
  key = "${python.pythonVersion}${free}-${system}";
  # The interpreters that the lock has environments for, by nixpkgs' names.
  offered = lib.concatMapStrings (
    each:
    let
      version = lib.removeSuffix "-${system}" each;
      name = lib.replaceStrings [ "." "t" ] [ "" "FreeThreading" ] version;
    in
    lib.optionalString (version != each) "python = pkgs.python${name}; or: "
  ) (lib.attrNames checked.environments);
  environment =
    checked.environments.${key}
      or (refuse "${shown} has no environment for Python ${python.pythonVersion}${free} on ${system}, but ${lib.concatStringsSep ", " (lib.attrNames checked.environments)}."
        "${offered}${again [ key ]}"
      );

  inherit (import ./library.nix { inherit lib pkgs; }) library;

  carriedOptions = import ./carried-options.nix { inherit lib; };

  # Without a look into the wheel its name tells what it was built for.
  formatOf =
    entry:
    entry.format or (
      let
        floor = manylinux.manylinuxFloor entry.file;
        musl = builtins.match ".*-musllinux_([0-9]+_[0-9]+)_.*" entry.file;
      in
      if floor != null then
        "manylinux_${lib.replaceStrings [ "." ] [ "_" ] floor}"
      else if musl != null then
        "musllinux_${lib.head musl}"
      else
        "wheel"
    );

  wheelOf =
    entry:
    if entry ? path then
      atHand entry
    else
      fetch {
        inherit (entry) file sha256;
        url = entry.url or null;
      };

  # A path of the lock is from its folder; null where that isn't known.
  beside = if builtins.isAttrs lock then lockFile else lock;
  placeOf =
    path:
    if lib.hasPrefix "/" path then
      /. + path
    else if beside == null then
      null
    else
      dirOf beside + "/${path}";
  placeAtHand =
    path:
    let
      place = placeOf path;
    in
    if place == null then
      refuse "${shown} has ${path} by its path, and is handed over as a value."
        "Name its file, or lockFile beside it: lock = ./manylinux.lock.json;"
    else if !builtins.pathExists place then
      refuse "${shown} has ${path}, and nothing is there."
        "Put it there; in a flake of git, which sees what git knows: git add -f ${path}"
    else
      place;
  atHand =
    entry:
    let
      place = placeAtHand entry.path;
    in
    if entry ? sha256 && builtins.hashFile "sha256" place != entry.sha256 then
      refuse "${entry.path} is not the file that ${shown} was made with." (again [ ])
    else
      builtins.path {
        path = place;
        name = entry.file;
        recursive = false;
      };

  flags = [ "--missing=leaves" ];

  # Wheels of one namespace (nvidia, google) each bring its __init__.py, the same
  # in all of them; but its bytecode holds the path it was compiled at, and an
  # environment takes a file from two packages only if both are equal.
  dropSharedBytecode = ''
    find "$out" -path '*/site-packages/*/__init__.py' -print0 | while IFS= read -r -d "" init; do
      if [ ! -s "$init" ] || grep -qE 'extend_path|declare_namespace' "$init"; then
        rm -f "''${init%/*}"/__pycache__/__init__.*.pyc
        rmdir --ignore-fail-on-non-empty "''${init%/*}/__pycache__" 2>/dev/null || true
      fi
    done
  '';

  common =
    final: name: entry: {
      inherit (entry) version;
      format = formatOf entry;
      dependencies = map (each: final.${each}) (
        lib.filter (each: !lib.elem each (entry.circle or [ ])) entry.dependencies
      );
      buildInputs = librariesOf entry;
      manylinuxFixupFlags = flags;
      postFixup = dropSharedBytecode;
      # The lock has decided; extras and markers are its business.
      dontCheckRuntimeDeps = true;
      doCheck = false;
      passthru.locked = entry;
    };

  ofWheel =
    final: name: entry:
    python.pkgs.buildPythonPackage (
      common final name entry
      // {
        pname = name;
        src = wheelOf entry;
      }
    );

  # Packages that need each other are one derivation: no half of it could be
  # linked, or even named, without the other one.
  ofCircle =
    final: names:
    let
      entries = map (name: environment.packages.${name}) names;
      first = lib.head entries;
      each = field: lib.concatMap (entry: entry.${field} or [ ]) entries;
    in
    python.pkgs.buildPythonPackage {
      pname = lib.concatStringsSep "-and-" names;
      inherit (first) version;
      format = "other";
      srcs = map wheelOf entries;
      dontUnpack = true;
      # All in one call: it knows a file that several of them bring.
      buildPhase = ''
        mkdir dist
        for wheel in $srcs; do
          ln -s "$wheel" "dist/$(stripHash "$wheel")"
        done
      '';
      nativeBuildInputs = [
        manylinuxInstallHook
        manylinuxFixupHook
      ];
      dependencies = map (name: final.${name}) (
        lib.unique (lib.filter (name: !lib.elem name names) (each "dependencies"))
      );
      buildInputs =
        lib.unique (lib.concatMap librariesOf entries ++ lib.concatMap policyLibraries entries);
      manylinuxFixupFlags = flags;
      postFixup = dropSharedBytecode;
      dontCheckRuntimeDeps = true;
      doCheck = false;
      passthru.locked = entries;
    };

  # What a wheel is known to want, else what wheels are known to want.
  librariesOf =
    entry:
    lib.concatMap library (entry.needs.nixpkgs or [ ])
    ++ libs
    ++ lib.optionals (
      if autoLibs == null then !(entry ? needs) else autoLibs
    ) pkgs.pythonManylinuxPackages.common;

  policyLibraries =
    entry:
    let
      format = formatOf entry;
    in
    lib.optionals (format != "wheel") pkgs.pythonManylinuxPackages.${(manylinux.policyFor format).name};

  # What has no wheel comes from nixpkgs, in the version of the lock, on the
  # lock's own packages.
  ofNixpkgs =
    final: name: entry:
    python.pkgs.${name}.overridePythonAttrs (_: {
      dependencies = map (each: final.${each}) (sources.needsOf entry);
      propagatedBuildInputs = [ ];
      dontCheckRuntimeDeps = true;
      doCheck = false;
    });
  sources = import ./locked-sources.nix {
    inherit
      lib
      pkgs
      python
      placeOf
      placeAtHand
      atHand
      ;
    inherit (checked.lock) kind;
    attribute = "python${lib.replaceStrings [ "." ] [ "" ] python.pythonVersion}${
      lib.optionalString (free != "") "FreeThreading"
    }";
  };
  # What nixpkgs has is no fork of it, and no folder.
  isOfNixpkgs =
    name: entry: !(entry ? local) && (python.pkgs.${name}.version or null) == entry.version;
  absent = lib.filterAttrs (
    name: entry:
    !(overridden ? ${name} || isOfNixpkgs name entry || sources.isBuildable name entry)
  ) environment.sources;
  overridden = overrides packages { };

  # What makes them, to be pasted.
  ownSources = lib.concatMapStrings (line: "\n    ${line}") (sources.linesOf absent);

  packages = lib.fix (
    lib.extends overrides (
      final:
      let
        circles = lib.listToAttrs (
          map (names: lib.nameValuePair (lib.head names) (ofCircle final names)) (
            lib.unique (map (entry: entry.circle) (lib.filter (entry: entry ? circle) (lib.attrValues environment.packages)))
          )
        );
      in
      lib.mapAttrs (
        name: entry: if entry ? circle then circles.${lib.head entry.circle} else ofWheel final name entry
      ) environment.packages
      // lib.mapAttrs (
        name: entry:
        if absent ? ${name} then
          refuse "these have no wheel that fits, and nixpkgs has not what was locked: ${
            lib.concatStringsSep ", " (
              lib.mapAttrsToList (
                each: wanted:
                "${each} ${wanted.version} (${
                  wanted.local or "nixpkgs: ${python.pkgs.${each}.version or "none"}"
                })"
              ) absent
            )
          }" "Make them yourself:${ownSources}"
        else if isOfNixpkgs name entry then
          ofNixpkgs final name entry
        else
          sources.build final name entry
      ) environment.sources
      // lib.optionalAttrs projects (lib.mapAttrs (sources.build final) (environment.projects or { }))
    )
  );

  everything = lib.unique (lib.attrValues packages);

  environmentOf =
    extraLibs:
    python.buildEnv.override {
      inherit extraLibs;
      # Wheels bring the same file, stray ones too (tests/__init__.py, LICENSE), and
      # installers take that. The build says which one it took.
      ignoreCollisions = true;
      # Whatever the parts said: the whole has to load. What is in bin are buildEnv's
      # own wrappers; the programs behind them were checked where they lie.
      # What a package may lack it may lack here, by the labels that its files have there.
      postBuild = ''
        echo "manylinuxLockedPackages: checks the environment, but for bin: it has wrappers of programs that were checked in their packages"
        if ! ${lib.getExe nix-manylinux} check --missing leaves --python ${python.interpreter} --exclude 'bin/*' \
          ${lib.escapeShellArgs (carriedOptions (python.pkgs.requiredPythonModules extraLibs))} "$out"; then
          echo "manylinuxLockedPackages: each attribute belongs to the package that the file is from: overrides = final: prev: { NAME = prev.NAME.overridePythonAttrs { ATTRIBUTE = ...; }; };" >&2
          exit 1
        fi
      '';
    };
in
# Each by its name, but for projects that are called as one of these: they are in
# `packages`, as all are.
packages
// {
  # All packages of the lock, with the interpreter, checked as a whole.
  env = environmentOf everything;
  withPackages = choose: environmentOf (choose packages);
  inherit packages python;
}
