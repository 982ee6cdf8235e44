{
  description = "A Python package from its manylinux wheels";

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
      packages = forEachSystem (
        system:
        let
          pkgs = nixpkgs.legacyPackages.${system}.extend nix-manylinux.overlays.default;
          numpy = pkgs.python311.pkgs.callPackage ./numpy.nix { };
        in
        {
          inherit numpy;
          default = pkgs.python311.withPackages (_: [ numpy ]);
        }
      );
    };
}
