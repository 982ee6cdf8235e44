{
  description = "The environment of a lock file, for everybody the same";

  inputs = {
    nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";
    # The name that you gave this template's home with `nix registry add`. Nix 2.34 takes no
    # such name for an input: write the URL.
    nix-manylinux.url = "flake:nix-manylinux";
    nix-manylinux.inputs.nixpkgs.follows = "nixpkgs";
  };

  outputs =
    { nixpkgs, nix-manylinux, ... }:
    let
      # What `nix-manylinux lock` was asked for by --system.
      forEachSystem = nixpkgs.lib.genAttrs [ "x86_64-linux" ];
    in
    {
      packages = forEachSystem (system: {
        # environment.nix is what `nix-manylinux lock` writes to standard output.
        default = import ./environment.nix {
          pkgs = nixpkgs.legacyPackages.${system}.extend nix-manylinux.overlays.default;
        };
      });
    };
}
