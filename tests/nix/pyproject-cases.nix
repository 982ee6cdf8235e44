# A set of Python packages in the form that pyproject.nix gives its sets: a fixed
# point to be extended, in which packages say in passthru what they require and an
# environment links whatever its packages bring. The wheels are those of
# torch-cases.nix, and say that they require each other.
{ pkgs }:
let
  inherit (pkgs) lib;
  inherit (import ./torch-cases.nix { inherit pkgs; }) wheels;
  fixtures = import ./fixtures.nix { inherit pkgs; };
  python = pkgs.hostPython;

  # As a library it could be an optional plugin; this name is an extension module's.
  probe = fixtures.probe { also = "cp $wheel/probe/_probe.so $wheel/probe/_probe.abi3.so"; };

  packageOf =
    final: pname: src: dependencies:
    pkgs.stdenv.mkDerivation {
      inherit pname src;
      version = "1.0";
      passthru = {
        format = "wheel";
        inherit dependencies;
        optional-dependencies = { };
      };
      nativeBuildInputs = [
        final.autoPatchelfHook
        python
      ];
      dontUnpack = true;
      buildPhase = ''
        mkdir dist
        ln -s "$src" "dist/$(stripHash "$src")"
      '';
      installPhase = ''
        runHook preInstall
        for wheel in dist/*.whl; do
          PYTHONPATH=${python.pkgs.installer}/${python.sitePackages} \
            ${python.interpreter} -m installer --prefix "$out" --compile-bytecode 0 "$wheel"
        done
        runHook postInstall
      '';
    };

  base = final: {
    inherit pkgs python;
    inherit (pkgs) autoPatchelfHook;
    nvidia-cublas = packageOf final "nvidia-cublas" wheels.cublas { };
    nvidia-cudnn = packageOf final "nvidia-cudnn" wheels.cudnn {
      nvidia-cublas = [ ];
      torchlike = [ ];
    };
    torchlike = packageOf final "torchlike" wheels.torchlike { nvidia-cudnn = [ ]; };
    probe = packageOf final "probe" probe { };
    mkVirtualEnv =
      name: specification:
      pkgs.stdenv.mkDerivation {
        inherit name;
        dontUnpack = true;
        roots = lib.unique (map (each: final.${each}) (lib.attrNames specification));
        installPhase = ''
          mkdir -p $out/bin
          ln -s ${python.interpreter} $out/bin/python3
          printf 'home = %s\nversion = %s\n' ${dirOf python.interpreter} ${python.version} > $out/pyvenv.cfg
          for root in $roots; do
            cp -rsn --no-preserve=mode $root/lib $out/
          done
          runHook postInstall
        '';
      };
  };

  extended = overlay: lib.fix (lib.extends overlay base);
  ours = extended (import ../../nix/pyproject-overlay.nix { libs = [ pkgs.nest ]; });
  everything = {
    nvidia-cublas = [ ];
    nvidia-cudnn = [ ];
    torchlike = [ ];
    probe = [ ];
  };
in
{
  set = ours;
  environment = ours.mkVirtualEnv "environment" everything;
  # Without the library that the probe needs.
  refused = (extended (import ../../nix/pyproject-overlay.nix { })).probe;
  # The probe's library is ignored by the probe: the environment does without it, too.
  ignoring =
    let
      allowed = final: prev: {
        probe = prev.probe.overrideAttrs (_: {
          manylinuxIgnoreMissingDeps = [ "probe/*:libnest.so.1" ];
        });
      };
    in
    (extended (lib.composeExtensions (import ../../nix/pyproject-overlay.nix { }) allowed)).mkVirtualEnv
      "ignoring"
      { probe = [ ]; };
  # What is built past the overlay is found out in the end.
  unlinked =
    let
      broken = final: prev: {
        probe = prev.probe.overrideAttrs { dontManylinuxFixup = true; };
      };
    in
    (extended (
      lib.composeExtensions (import ../../nix/pyproject-overlay.nix { libs = [ pkgs.nest ]; }) broken
    )).mkVirtualEnv
      "unlinked"
      everything;
}
