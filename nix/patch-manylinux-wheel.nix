# A wheel in, the same wheel linked to the store out: a file of the same name,
# for anything that takes wheels. What it is linked to stays in its closure and
# in the closure of what is installed from it.
{
  lib,
  runCommandCC,
  manylinuxFixupHook,
  pythonManylinuxPackages,
}:
{
  # The wheel: a fetched one, or a path.
  src,
  # Whose libraries to offer: "manylinux2014", "manylinux_2_28". By itself the
  # list is as long as what the wheel's own name promises.
  policy ? null,
  # More packages with libraries, before those of the policy.
  libs ? [ ],
  # Whether to offer pythonManylinuxPackages.common, too.
  manylinuxAutoLibs ? false,
  # Python packages whose own libraries the wheel needs, shiboken6 for PySide6.
  pythonLibs ? [ ],
  # An interpreter that the wheel has to fit.
  python ? null,
  # Anything else is an attribute of the build: manylinuxRuntimeLibs and so on.
  ...
}@args:
let
  manylinux = import ./lib;

  # A fetched file has a name, a path in the store may have a hash before it.
  name =
    let
      base = baseNameOf (toString (src.name or src));
      hashed = builtins.match "[0-9a-z]{32}-(.*)" base;
    in
    builtins.unsafeDiscardStringContext (if hashed == null then base else lib.head hashed);

  floor = manylinux.manylinuxFloor name;
  offered =
    if policy != null then
      policy
    else if floor == null then
      throw ''
        nix-manylinux: patchManylinuxWheel: ${name} names no manylinux policy.
          Say whose libraries it may need: `policy = "manylinux2014";`.''
    else
      "manylinux_${lib.replaceStrings [ "." ] [ "_" ] floor}";
in
(runCommandCC name
  (
    removeAttrs args [
      "policy"
      "libs"
      "manylinuxAutoLibs"
      "pythonLibs"
      "python"
    ]
    // {
      inherit src;
      strictDeps = true;
      nativeBuildInputs = args.nativeBuildInputs or [ ] ++ [ manylinuxFixupHook ];
      # Python inputs bring their interpreter, and the hook takes the first: ours.
      buildInputs =
        args.buildInputs or [ ]
        ++ lib.optional (python != null) python
        ++ libs
        ++ pythonLibs
        ++ pythonManylinuxPackages.${(manylinux.policyFor offered).name}
        ++ lib.optionals manylinuxAutoLibs pythonManylinuxPackages.common;
      meta = {
        description = "The wheel ${name}, linked to the Nix store";
        platforms = lib.platforms.linux;
        sourceProvenance = [ lib.sourceTypes.binaryNativeCode ];
      }
      // args.meta or { };
    }
  )
  ''
    mkdir wheel
    cp "$src" wheel/${lib.escapeShellArg name}
    chmod u+w wheel/*
    manylinuxFixup -- wheel/${lib.escapeShellArg name}
    cp wheel/${lib.escapeShellArg name} $out
  ''
).overrideAttrs
  (old: {
    passthru = old.passthru or { } // {
      # buildPythonPackage neither strips nor shrinks what is installed from it.
      isManylinuxPatched = true;
      policy = offered;
    };
  })
