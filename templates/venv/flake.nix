{
  description = "A virtual environment for uv, pip and poetry, whose wheels load";

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
      forEachSystem = nixpkgs.lib.genAttrs [
        "x86_64-linux"
        "aarch64-linux"
      ];
    in
    {
      devShells = forEachSystem (system: {
        default = import ./shell.nix {
          pkgs = nixpkgs.legacyPackages.${system}.extend nix-manylinux.overlays.default;
        };
      });
    };
}
