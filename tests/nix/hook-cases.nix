# What the hook hands to the command, with a stub in its place: builds whose
# output is how the command was called.
{ pkgs }:
let
  inherit (pkgs) manylinuxFixupHook;
  fixtures = import ./fixtures.nix { inherit pkgs; };
  python = pkgs.hostPython;

  # A build of an empty tree; `outputs` are made, and nothing else is.
  empty =
    attrs:
    pkgs.stdenv.mkDerivation (
      {
        name = "case";
        dontUnpack = true;
        strictDeps = true;
        nativeBuildInputs = [ manylinuxFixupHook ];
        installPhase = ''
          for name in $(getAllOutputNames); do
            mkdir -p "''${!name}"
          done
          runHook postInstall
        '';
      }
      // attrs
    );

  # Values that a careless script would take apart, expand or take for options.
  adversarial = [
    "two words"
    "*"
    "$(touch pwned)"
    "`touch pwned`"
    "--help"
    "-x"
    "a'b\"c"
    "semi;colon"
    "new\nline"
  ];
  everyList = structured: {
    __structuredAttrs = structured;
    manylinuxRuntimeLibs = [
      "libfoo.so.1"
      "${pkgs.nest}"
    ];
    manylinuxAppendRpaths = [ "/run/extra" ];
    manylinuxIgnoreMissingDeps = [ "sub/*:libgone.so.*" ];
    manylinuxProvidedLater = [ "liblater.so.1" ];
    manylinuxDriverLibs = [
      "libdriver.so.1"
      "/run/driver"
    ];
    manylinuxExclude = [ "*.template" ];
    manylinuxAllowForeign = [ "other/*" ];
    manylinuxFixupFlags = [
      "--keep-libc"
      "--missing"
      "warn"
    ];
    buildInputs = [ pkgs.nest ];
  };
  autoPatchelf = {
    autoPatchelfIgnoreMissingDeps = [ "libignored.so.1" ];
    runtimeDependencies = [ pkgs.nest ];
    appendRunpaths = [ "/run/appended" ];
    autoPatchelfFlags = [ "--keep-libc" ];
  };

  # nixpkgs has the real one; this has its interface.
  autoPatchelfHook =
    pkgs.autoPatchelfHook or (pkgs.makeSetupHook { name = "auto-patchelf-hook"; } (
      pkgs.writeText "auto-patchelf.sh" ''
        declare -a autoPatchelfLibs extraAutoPatchelfLibs
        addAutoPatchelfSearchPath() { extraAutoPatchelfLibs+=("$@"); }
        autoPatchelf() { echo "autoPatchelf ran"; exit 1; }
        autoPatchelfPostFixup() {
          if [[ -z "''${dontAutoPatchelf-}" ]]; then autoPatchelf; fi
        }
        postFixupHooks+=(autoPatchelfPostFixup)
      ''
    ));

  numbers = pkgs.stdenv.mkDerivation {
    name = "numbers";
    dontUnpack = true;
    installPhase = "mkdir -p $out/lib; touch $out/lib/libnumbers.so.1";
    propagatedBuildInputs = [ pkgs.nest ];
  };

  module =
    name: dependencies:
    python.pkgs.buildPythonPackage {
      pname = name;
      version = "1";
      format = "other";
      dontUnpack = true;
      inherit dependencies;
      propagatedBuildInputs = dependencies;
      installPhase = "mkdir -p $out/${python.sitePackages}/${name}";
    };
in
{
  plain = empty (everyList false);
  structured = empty (everyList true);

  adversarial = empty {
    __structuredAttrs = true;
    manylinuxExclude = adversarial;
    manylinuxFixupFlags = adversarial;
  };

  outputs = empty {
    outputs = [
      "out"
      "zoo"
      "debug"
      "lib"
      "dist"
    ];
    installPhase = ''
      for name in $(getAllOutputNames); do
        mkdir -p "''${!name}"
      done
      cp ${fixtures.probe { }} $dist/probe-1.0-py3-none-manylinux_2_17_x86_64.whl
    '';
  };
  outputsStructured = empty {
    __structuredAttrs = true;
    outputs = [
      "out"
      "zoo"
      "debug"
      "lib"
    ];
  };

  transitive = empty { buildInputs = [ numbers ]; };
  buildTools = empty {
    strictDeps = false;
    nativeBuildInputs = [
      manylinuxFixupHook
      numbers
    ];
    buildInputs = [ pkgs.zlib ];
  };
  strict = empty {
    nativeBuildInputs = [
      manylinuxFixupHook
      numbers
    ];
    buildInputs = [ pkgs.zlib ];
  };
  pythonPackage = python.pkgs.buildPythonPackage {
    pname = "uses";
    version = "1";
    format = "other";
    dontUnpack = true;
    installPhase = "mkdir -p $out/${python.sitePackages}/uses";
    nativeBuildInputs = [ manylinuxFixupHook ];
    propagatedBuildInputs = [ (module "outer" [ (module "inner" [ ]) ]) ];
  };

  misplaced = empty {
    nativeBuildInputs = [ ];
    buildInputs = [ manylinuxFixupHook ];
  };
  # The top level's and another's hook in one build.
  twice = empty {
    nativeBuildInputs = [
      manylinuxFixupHook
      (manylinuxFixupHook.overrideAttrs { name = "another-fixup-hook"; })
    ];
  };
  off = empty { dontManylinuxFixup = true; };

  searchPath = empty {
    preFixup = ''
      mkdir -p "$out/own libs" $out/deep/er
      touch $out/deep/er/libdeep.so
      addManylinuxSearchPath "$out/own libs"
      addAutoPatchelfSearchPath $out/deep
    '';
    buildInputs = [ pkgs.nest ];
  };
  absentSearchPath = empty { preFixup = "addManylinuxSearchPath $out/nowhere"; };

  autoPatchelfVariables = empty autoPatchelf;
  autoPatchelfEverything = empty { autoPatchelfIgnoreMissingDeps = true; };
  bothOursFirst = empty {
    nativeBuildInputs = [
      manylinuxFixupHook
      autoPatchelfHook
    ];
  };
  bothOursLast = empty {
    nativeBuildInputs = [
      autoPatchelfHook
      manylinuxFixupHook
    ];
  };

  # The switches as the build sees them in its last phase.
  defaults = empty {
    preFixup = ''
      printf '%s,' "$dontStrip" "$dontPatchELF" "$dontAutoPatchelf" "$NIX_PYTHON_MANYLINUX" > $out/switches
    '';
  };
  switchedBack = empty {
    dontStrip = false;
    dontPatchELF = false;
    dontAutoPatchelf = false;
    manylinuxPolicy = "manylinux_2_28";
    preFixup = ''
      printf '%s,' "$dontStrip" "$dontPatchELF" "$dontAutoPatchelf" "$NIX_PYTHON_MANYLINUX" > $out/switches
    '';
  };
  switchedBackStructured = empty {
    __structuredAttrs = true;
    dontStrip = false;
    dontPatchELF = false;
    dontAutoPatchelf = false;
    env.NIX_PYTHON_MANYLINUX = "0";
    preFixup = ''
      printf '%s,' "$dontStrip" "$dontPatchELF" "$dontAutoPatchelf" "$NIX_PYTHON_MANYLINUX" > $out/switches
    '';
  };

  # Every function under `set -u`, and with PYTHONPATH set.
  nounset = empty {
    preFixup = ''
      export PYTHONPATH=/poison PYTHONHOME=/poison
      set -u
    '';
    postFixup = "set -u";
  };

  # As the guide has it: no hook runs in this installPhase.
  withoutFixup = empty {
    dontFixup = true;
    manylinuxIgnoreMissing = [ "libgone.so.1" ];
    installPhase = "mkdir $out";
  };
  withoutPhases = empty { phases = [ "installPhase" ]; };
  withoutPostFixup = empty { fixupPhase = "true"; };
  byCommand = empty { buildCommand = "mkdir $out"; };
  byCommandByHand = empty { buildCommand = "mkdir $out; manylinuxFixup $out"; };
  misspelt = empty {
    manylinuxIgnoreMissing = [ "libgone.so.1" ];
    manyLinuxExcludes = [ "*.template" ];
    manylinuxLibs = [ "libodd.so.1" ];
    manylinuxAutoLibs = true;
    autoPatchelfIgnoreMissing = [ "libodd.so.1" ];
    dontManylinuxFix = false;
    manylinuxInstallFlags = [ "--no-compile-bytecode" ];
    nativeBuildInputs = [
      manylinuxFixupHook
      pkgs.manylinuxInstallHook
    ];
  };
  untagged = empty {
    installPhase = ''
      mkdir -p $out/lib/python3.11/site-packages/probe-1.0.dist-info
      touch $out/lib/python3.11/site-packages/probe-1.0.dist-info/WHEEL
    '';
  };
  tagged = empty {
    buildInputs = [ python ];
    installPhase = ''
      mkdir -p $out/probe-1.0.dist-info
      touch $out/probe-1.0.dist-info/WHEEL
    '';
  };
  otherWheels = empty {
    installPhase = ''
      runHook preInstall
      mkdir -p $out/wheels
      cp ${fixtures.probe { }} $out/wheels/probe-1.0-py3-none-manylinux_2_17_x86_64.whl
      touch $out/pip-24.0-py3-none-any.whl
      runHook postInstall
    '';
  };

  # By hand: a wheel beside a tree, options before the paths.
  byHand = empty {
    dontManylinuxFixup = true;
    preFixup = ''
      cp ${fixtures.probe { }} ./-odd.whl
      mkdir tree "venv dir"
      touch "venv dir/pyvenv.cfg"
      manylinuxFixup --gc-roots=roots -- tree -odd.whl
      manylinuxFixup "venv dir"
    '';
  };
  byHandNothing = empty { preFixup = "manylinuxFixup"; };
  byHandAbsent = empty { preFixup = "manylinuxFixup nowhere"; };

  shell = pkgs.stdenv.mkDerivation {
    name = "shell";
    nativeBuildInputs = [ manylinuxFixupHook ];
    buildInputs = [ pkgs.nest ];
    strictDeps = true;
  };
  # As `nix-shell -p manylinuxFixupHook nest` has it.
  shellOfPackages = pkgs.stdenv.mkDerivation {
    name = "shell";
    buildInputs = [
      manylinuxFixupHook
      pkgs.nest
    ];
  };
}
