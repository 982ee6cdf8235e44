# A package that Nix has built in, a wheel that pip installs on any Linux out:
# a folder that holds it, with no reference to the store. The package's own
# derivation stays what it is.
{
  lib,
  runCommandCC,
  # The set whose programs run where things are built.
  buildPackages,
}:
let
  manylinux = import ./lib;

  # The wheel that a package came as, where what it installs is linked to the store:
  # that one runs on any Linux, and no linked one ever does. Null for all others.
  originalOf =
    package:
    let
      src = package.src or null;
      isPatched = src.isManylinuxPatched or false;
      isLinked =
        isPatched
        || lib.any (input: input.name or "" == "manylinux-fixup-hook") (
          package.nativeBuildInputs or [ ]
        );
      original = if isPatched then src.src else src;
    in
    if
      isLinked && src != null && lib.hasSuffix ".whl" (manylinux.fileName (original.name or original))
    then
      original
    else
      null;
in
{
  # A Python package with an output `dist`, as every format of nixpkgs gives it.
  package,
  # "manylinux_2_28", or the oldest that is kept.
  policy ? "auto",
  # Sonames to leave to the system that the wheel is installed on: [ "libcuda.so" ].
  exclude ? [ ],
  # More packages with libraries, before those of the package's own closure and inputs.
  libs ? [ ],
  # Members that may name the store: [ "demo/paths.py" ].
  allowStorePaths ? [ ],
  # Libraries that are loaded at run time: [ "libcairo.so.2" ].
  graft ? [ ],
  # Whether symbols and debug sections go, which name the store, too. Not by itself
  # where the package came as a wheel.
  strip ? originalOf package == null,
  # Whether dist-info gets a bill of materials.
  sbom ? true,
  # More options of `nix-manylinux repair`.
  flags ? [ ],
}@args:
let
  label = package.pname or package.name or "a Python package";
  meta = {
    description = "Wheel of ${label} for any Linux";
    platforms = lib.platforms.linux;
  }
  // lib.optionalAttrs (package ? meta.license) { inherit (package.meta) license; };

  original = originalOf package;
  asItCame =
    runCommandCC "${label}-manylinux-wheel"
      {
        inherit original meta;
        passthru = {
          inherit package policy;
        };
        allowedReferences = [ ];
      }
      ''
        mkdir "$out"
        cp "$original" "$out"/${lib.escapeShellArg (manylinux.fileName (original.name or original))}
      '';

  wheel =
    if original != null then
      asItCame
    else
      package.dist or (throw ''
        nix-manylinux: buildManylinuxWheel: ${label} has no output `dist`, which would hold its wheel.
          Packages of `pyproject = true` have one; `format = "other"` builds none.'');

  # What the package was built with, in all outputs that may hold libraries: buildInputs
  # name another one than that, and a file without a search path leads to none.
  inputFolders =
    let
      keyed = map (drv: {
        key = builtins.unsafeDiscardStringContext drv.outPath;
        inherit drv;
      });
      given = keyed (
        lib.filter lib.isDerivation (package.buildInputs or [ ] ++ package.propagatedBuildInputs or [ ])
      );
      all = builtins.genericClosure {
        startSet = given;
        operator = { drv, ... }: keyed (lib.filter lib.isDerivation (drv.propagatedBuildInputs or [ ]));
      };
      # No libraries are in these, and they need not be fetched.
      others = [
        "debug"
        "devdoc"
        "doc"
        "info"
        "man"
      ];
      outputsOf = drv: map (name: drv.${name}) (lib.subtractLists others (drv.outputs or [ "out" ]));
    in
    lib.unique (map (output: "${output}/lib") (lib.concatMap ({ drv, ... }: outputsOf drv) all));

  repeated = option: lib.concatMap (value: [ option value ]);

  # What the files of a bill of materials are from, as far as packages are known.
  inputs =
    libs
    ++ lib.concatMap (each: each.buildInputs or [ ] ++ each.propagatedBuildInputs or [ ]) (
      [ package ] ++ package.buildInputs or [ ]
    );
  describe = drv: {
    paths = [ "${lib.getLib drv}" ];
    name = drv.pname or (builtins.parseDrvName drv.name).name;
    version = drv.version or (builtins.parseDrvName drv.name).version;
    licenses = lib.concatMap (license: lib.optional (license ? spdxId) license.spdxId) (
      lib.toList (drv.meta.license or [ ])
    );
    source =
      let
        src = drv.src or null;
      in
      if lib.isAttrs src then toString (lib.head (src.urls or [ ] ++ [ (src.url or "") ])) else "";
  };
  described = map describe (lib.filter lib.isDerivation inputs);

  options = [
    "--policy"
    policy
  ]
  ++ repeated "--exclude" exclude
  ++ repeated "--allow-store-paths" allowStorePaths
  ++ repeated "--graft" graft
  ++ repeated "--libs" (map (drv: "${lib.getLib drv}/lib") libs)
  ++ lib.optional strip "--strip"
  ++ lib.optionals sbom [
    "--sbom"
    "cyclonedx"
    "--packages"
    "packages.json"
  ]
  ++ flags;

  # What the command says of its options, and of compilers, in terms of Nix.
  format = manylinux.parseFormat policy;
  hints = [
    "buildManylinuxWheel: options are its arguments: policy, libs, exclude, graft, allowStorePaths, strip; others stand in flags"
  ]
  ++ lib.optional (format != null && format.family == "manylinux")
    "  Symbol versions that are too new: build the package with buildPythonPackage.override { stdenv = pkgs.manylinuxStdenv \"${policy}\"; }, and its libraries with that stdenv, too";
in
if original != null && removeAttrs args [ "package" ] == { } then
  asItCame
else
  runCommandCC "${label}-manylinux-wheel"
    {
      inherit wheel meta inputFolders;
      # The libraries are found through `out`: the closure of `dist` is only itself.
      exportReferencesGraph = [
        "closure"
        package
      ];
      packages = builtins.toJSON described;
      passAsFile = [ "packages" ];
      # What is portable needs nothing of this store.
      allowedReferences = [ ];
      passthru = {
        inherit package policy;
      };
    }
    ''
      cp "$packagesPath" packages.json
      # By name, not by hash: a rebuilt dependency is searched in the same place.
      mapfile -t folders < <(
        grep '^/' closure | sort -u | while read -r path; do
          if [[ -d $path/lib ]]; then
            name=''${path##*/}
            printf '%s\t%s\n' "''${name:33}" "$path/lib"
          fi
        done | sort | cut -f 2
      )
      libs=()
      for folder in "''${folders[@]}" $inputFolders; do
        if [[ -d $folder ]]; then
          libs+=(--libs "$folder")
        fi
      done
      mkdir "$out"
      if ! ${lib.getExe buildPackages.nix-manylinux} repair "$wheel"/*.whl --output-dir "$out" \
        ${lib.escapeShellArgs options} "''${libs[@]}"; then
        printf '%s\n' ${lib.escapeShellArgs hints} >&2
        exit 1
      fi
    ''
