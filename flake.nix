{
  description = "Link manylinux wheels to the libraries of the Nix store, or say what is missing";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { self, nixpkgs }:
    let
      systems = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      # Where the command alone is of use: it looks at wheels for Linux, locks and repairs them.
      hosts = [
        "aarch64-darwin"
        "x86_64-darwin"
      ];
      forEach =
        systems: make:
        builtins.listToAttrs (
          map (system: {
            name = system;
            value = make (nixpkgs.legacyPackages.${system}.extend self.overlays.default);
          }) systems
        );
      forEachSystem = forEach systems;
      # With pip, to fetch what `lock` and `expr` look into.
      forPeople =
        pkgs:
        pkgs.python3Packages.toPythonApplication (
          pkgs.python3Packages.nix-manylinux.override { withPip = true; }
        );
    in
    {
      overlays = {
        default = import ./nix/overlay.nix;
        # For the sets of pyproject.nix and uv2nix; alone or beside the other one.
        pyproject = import ./nix/pyproject-overlay.nix { };
      };

      # Wheel names, tags and policies in pure Nix.
      lib = import ./nix/lib;

      packages =
        forEachSystem (pkgs: {
          default = forPeople pkgs;
          inherit (pkgs) nix-manylinux;
          manylinux-fixup-hook = pkgs.manylinuxFixupHook;
          manylinux-install-hook = pkgs.manylinuxInstallHook;
          manylinux-compat = pkgs.python3Packages.manylinux-compat;
        })
        // forEach hosts (pkgs: {
          default = forPeople pkgs;
          inherit (pkgs) nix-manylinux;
        });

      checks = forEachSystem (pkgs: import ./nix/checks.nix { inherit pkgs; });

      # All that ./dev test uses; Python's packages come from the set, not from pip.
      devShells = forEachSystem (pkgs: {
        default = import ./nix/shell.nix { inherit pkgs; };
        # For anybody's project: a virtual environment whose wheels are linked.
        venv = pkgs.mkShell {
          name = "venv";
          packages = [
            pkgs.manylinuxVenvHook
            pkgs.uv
          ];
        };
      });

      formatter = forEachSystem (pkgs: pkgs.nixfmt-tree or pkgs.nixfmt-rfc-style or pkgs.nixfmt);

      templates = {
        default = self.templates.wheel;
        wheel = {
          path = ./templates/wheel;
          description = "A Python package from its manylinux wheels";
        };
        lock = {
          path = ./templates/lock;
          description = "The environment of a lock file, for everybody the same";
        };
        venv = {
          path = ./templates/venv;
          description = "A virtual environment for uv, pip and poetry, whose wheels load";
        };
      };
    };
}
