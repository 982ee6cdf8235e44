# Interpreters that take wheels as they come, as NIX_PYTHON_MANYLINUX allows.
{ pkgs }:
let
  fixtures = import ./fixtures.nix { inherit pkgs; };
  python = pkgs.hostPython;
  conditional = pkgs.manylinuxPython {
    inherit python;
    policy = "manylinux1";
    extraLibs = [ pkgs.nest ];
  };
  compat = python.pkgs.manylinux-compat;
in
{
  inherit conditional compat;
  plain = python;
  inherit (pkgs) glibc;
  # A search path for the PEP 513 libraries to be held against.
  libraries = map (package: "${package}/lib") conditional.libraries;

  environment = python.buildEnv.override { extraLibs = [ compat ]; };
  conditionalEnvironment = conditional.withPackages (ps: [ ps.packaging ]);

  # In a build that lists it.
  inBuild = pkgs.stdenv.mkDerivation {
    name = "in-build";
    dontUnpack = true;
    nativeBuildInputs = [
      python
      compat
      python.pkgs.packaging
    ];
    NIX_PYTHON_MANYLINUX = "manylinux2014";
    installPhase = ''
      python3 -c 'import packaging.tags; print(*packaging.tags.platform_tags())' > $out
    '';
  };

  wheels = pkgs.runCommand "wheels" { } (
    "mkdir $out\n"
    + builtins.concatStringsSep "\n" (
      map (name: "cp ${fixtures.probe { inherit name; }} $out/${name}") [
        "probe-1.0-py3-none-manylinux1_x86_64.whl"
        "probe-2.0-py3-none-manylinux2014_x86_64.whl"
        "probe-3.0-py3-none-manylinux_2_28_x86_64.whl"
      ]
    )
  );
}
