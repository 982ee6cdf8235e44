# Wheels of all layouts, installed by nixpkgs' hook and by ours, and by ours on one core.
{ pkgs, wheels }:
let
  inherit (pkgs) lib manylinuxFixupHook manylinuxInstallHook;
  inherit (pkgs.hostPython.pkgs) buildPythonPackage;

  package =
    number: attrs:
    buildPythonPackage (
      {
        pname = "made";
        version = "1.0";
        format = "wheel";
        src =
          let
            folder = wheels + "/${number}";
          in
          folder + "/${lib.head (lib.attrNames (builtins.readDir folder))}";
        nativeBuildInputs = [
          manylinuxFixupHook
          manylinuxInstallHook
        ];
        buildInputs = [ pkgs.nest ];
      }
      // attrs
    );

  ways = {
    theirs.dontUseManylinuxInstall = true;
    ours = { };
    single.preInstall = "export NIX_BUILD_CORES=1";
  };

  links = lib.concatMap (
    number:
    lib.mapAttrsToList (
      way: attrs:
      let
        built = package number attrs;
      in
      "ln -s ${built} $out/${number}-${way}; ln -s ${built.dist} $out/${number}-${way}-dist"
    ) ways
  ) (lib.attrNames (builtins.readDir wheels));

  first = package (lib.head (lib.attrNames (builtins.readDir wheels)));
in
{
  # Links to all of them.
  all = pkgs.runCommand "installed" { } ''
    mkdir $out
    ${lib.concatStringsSep "\n" links}
  '';

  # What the package itself wants is done.
  ownPhase = first { installPhase = "mkdir $out; cp dist/* $out"; };
  hooks = first {
    preInstall = "mkdir -p $out; echo before > $out/order";
    postInstall = ''
      echo after >> $out/order
      echo "added = 1" >> $out/${pkgs.hostPython.sitePackages}/made/__init__.py
    '';
  };
  # Any derivation can take a wheel.
  plain = pkgs.stdenv.mkDerivation {
    name = "plain";
    src = (first { }).src;
    dontUnpack = true;
    strictDeps = true;
    nativeBuildInputs = [
      manylinuxFixupHook
      manylinuxInstallHook
    ];
    buildInputs = [
      pkgs.hostPython
      pkgs.nest
    ];
    installPhase = "manylinuxInstallWheel $src";
  };
  withoutPython = pkgs.stdenv.mkDerivation {
    name = "without-python";
    src = (first { }).src;
    dontUnpack = true;
    strictDeps = true;
    nativeBuildInputs = [ manylinuxInstallHook ];
    installPhase = "manylinuxInstallWheel $src";
  };
  # Usable alone: it installs, and links nothing.
  alone = first { nativeBuildInputs = [ manylinuxInstallHook ]; };
  noBytecode = first { manylinuxInstallFlags = [ "--no-compile-bytecode" ]; };
  structured = first {
    __structuredAttrs = true;
    manylinuxInstallFlags = [ "--no-compile-bytecode" ];
  };
}
