"""What nixpkgs calls it, and how Nix spells it."""
