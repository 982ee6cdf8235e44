"""Link manylinux wheels to the libraries of the Nix store."""
