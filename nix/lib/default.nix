# Wheel names, tags and policies in pure Nix; needs nothing, so
# `import ./nix/lib` is all it takes. Every export has tests in
# tests/nix/lib-tests.nix.
import ./version.nix
// import ./wheel-name.nix
// import ./platform.nix
// import ./interpreter.nix
// import ./policy.nix
// import ./select.nix
// import ./candidates.nix
