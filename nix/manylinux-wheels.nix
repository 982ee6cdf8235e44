# One package for several Pythons and machines: a folder of wheels, ready for
# upload, and a manifest beside it. Each wheel is a derivation of its own, so
# that builders share the work.
{
  lib,
  runCommand,
  buildPackages,
}:
{
  # From an interpreter to the package: python: python.pkgs.callPackage ./demo.nix { }
  package,
  # Interpreters, whatever set they are of:
  # [ pkgs.python312 pkgs.python313 pkgs.pkgsCross.aarch64-multiplatform.python313 ]
  pythons,
  name ? "manylinux-wheels",
  # All else is an argument of buildManylinuxWheel.
  ...
}@args:
let
  options = removeAttrs args [
    "package"
    "pythons"
    "name"
  ];
  # By the interpreter's own set: it knows the strip of its machine.
  wheels = map (
    python: python.pkgs.buildManylinuxWheel (options // { package = package python; })
  ) pythons;
in
runCommand name
  {
    outputs = [
      "out"
      "manifest"
    ];
    inherit wheels;
    allowedReferences = [ ];
    passthru = {
      inherit pythons;
    };
    meta = {
      description = "Wheels for several Pythons and machines, ready for upload";
      platforms = lib.platforms.linux;
    };
  }
  ''
    mkdir "$out"
    for folder in ${lib.escapeShellArgs (map toString wheels)}; do
      for wheel in "$folder"/*.whl; do
        if [[ -e $out/''${wheel##*/} ]]; then
          echo "nix-manylinux: two of the wheels are called ''${wheel##*/}" >&2
          echo "  each Python gives a wheel of its own, unless the wheel is for all of them (abi3)" >&2
          exit 1
        fi
        cp "$wheel" "$out/"
      done
    done
    ${buildPackages.python3.interpreter} ${./manifest.py} "$out" > "$manifest"
  ''
