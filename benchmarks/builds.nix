# One package, built in three ways: what benchmarks/builds.py times. The set is
# that of the tests' second ring, a real nixpkgs.
{
  pureWheels,
  wheel,
  pname,
  version,
  policy,
  # Makes it another derivation each time.
  nonce,
}:
let
  pkgs = import ../tests/nix/world.nix {
    ring = "two";
    inherit pureWheels;
  };
  inherit (pkgs.hostPython.pkgs) buildPythonPackage;
  more = [
    pkgs.libxkbcommon
    pkgs.dbus
    pkgs.fontconfig
    pkgs.freetype
  ];
  base = {
    inherit pname version nonce;
    src = wheel;
  };
in
{
  inherit (pkgs) nix-manylinux;
  python = pkgs.hostPython;
  installer = pkgs.hostPython.pkgs.installer;

  # Packages of theirs that aren't here, such as shiboken6, may stay missing in both.
  ours = buildPythonPackage (
    base
    // {
      format = policy;
      buildInputs = more;
      manylinuxFixupFlags = [ "--missing=warn" ];
    }
  );
  autoPatchelf = buildPythonPackage (
    base
    // {
      format = "wheel";
      nativeBuildInputs = [ pkgs.autoPatchelfHook ];
      buildInputs = pkgs.pythonManylinuxPackages.${policy} ++ more;
      autoPatchelfIgnoreMissingDeps = [ "*" ];
      dontStrip = true;
    }
  );
  nothing = buildPythonPackage (
    base
    // {
      format = "wheel";
      dontStrip = true;
      dontPatchELF = true;
    }
  );
}
