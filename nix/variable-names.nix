# The names that a package may set for the setup hooks, for who has misspelt one:
# manylinuxFixupHook asks in every build that it is in, and evaluation where a package
# has a manylinux format. Of several that may be meant the first is named.
[
  "dontManylinuxFixup"
  "manylinuxRuntimeLibs"
  "manylinuxAppendRpaths"
  "manylinuxIgnoreMissingDeps"
  "manylinuxProvidedLater"
  "manylinuxDriverLibs"
  "manylinuxExclude"
  "manylinuxAllowForeign"
  "manylinuxFixupFlags"
  # autoPatchelfHook's switch, which manylinuxFixupHook sets.
  "dontAutoPatchelf"
]
# manylinuxInstallHook's.
++ [
  "manylinuxInstallFlags"
  "dontUseManylinuxInstall"
]
# What is no part of nixpkgs: for manylinux-compat, of manylinuxVenvHook, read by
# buildPythonPackage and no hook, and of autoPatchelfHook's own.
++ [
  "manylinuxPolicy"
  "dontUseManylinuxVenv"
  "manylinuxAutoLibs"
  "autoPatchelfIgnoreMissingDeps"
  "autoPatchelfFlags"
]
