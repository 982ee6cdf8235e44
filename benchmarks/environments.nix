# A whole locked environment, made in four ways: what benchmarks/environments.py
# measures. The set is that of the tests' second ring, a real nixpkgs.
{
  pureWheels,
  # Folder of pyproject.toml and uv.lock; what `nix-manylinux lock` made of it, and
  # a folder of the wheels that both name.
  project,
  lock,
  wheels,
  # The command.
  uv,
}:
let
  world =
    extraOverlays:
    import ../tests/nix/world.nix {
      ring = "two";
      inherit pureWheels;
      # nixpkgs' own lists name it, and the tree's would have to be fetched.
      extraOverlays = extraOverlays ++ [ (final: _: { libxcrypt = final.libxcrypt-legacy; }) ];
    };
  pkgs = world [ ];
  inherit (pkgs) lib;
  python = pkgs.hostPython;

  fetch =
    entry:
    builtins.path {
      name = entry.file;
      path = wheels + "/${entry.file}";
    };
  locked = pkgs.manylinuxLockedPackages {
    inherit lock python fetch;
  };

  inherit (builtins.fromJSON (builtins.readFile lock)) environments;
  entries = (lib.head (lib.attrValues environments)).packages;
  # The same packages as nixpkgs' users write them.
  written =
    more:
    let
      set = lib.mapAttrs (
        pname: entry:
        python.pkgs.buildPythonPackage (
          {
            inherit pname;
            inherit (entry) version;
            format = "wheel";
            src = fetch entry;
            dependencies = map (each: set.${each}) (
              lib.filter (each: !lib.elem each (entry.circle or [ ])) entry.dependencies
            );
            dontCheckRuntimeDeps = true;
            doCheck = false;
          }
          // more entry
        )
      ) entries;
    in
    set;
  byHand = written (
    entry:
    lib.optionalAttrs (entry.format or "wheel" != "wheel") {
      nativeBuildInputs = [ pkgs.autoPatchelfHook ];
      buildInputs = pkgs.pythonManylinuxPackages.manylinux2014;
      dontStrip = true;
    }
  );

  uv2nix = import ../tests/nix/uv2nix-cases.nix {
    nixpkgs = world;
    inherit project uv;
    files = wheels;
  };
  way = set: env: rec {
    inherit env;
    # Each package, so that it can be deleted and built again.
    packages = lib.attrValues (lib.intersectAttrs entries set);
    sources = map (package: package.src) (lib.filter lib.isDerivation packages);
  };
  environment = set: python.buildEnv.override { extraLibs = lib.attrValues set; };
in
{
  inherit python;
  hooks = [
    pkgs.manylinuxFixupHook
    pkgs.manylinuxInstallHook
    pkgs.autoPatchelfHook
  ];
  tool = pkgs.nix-manylinux;
  libraries = map lib.getLib pkgs.pythonManylinuxPackages.manylinux2014;
  inherit (pkgs) glibc;
  locked = way locked.packages locked.env;
  plain = way (written (_: { })) (environment (written (_: { })));
  autoPatchelf = way byHand (environment byHand);
  uv2nixOurs = way uv2nix.ours.set uv2nix.ours.env;
  uv2nixTheirs = way uv2nix.theirs.set uv2nix.theirs.env;
}
