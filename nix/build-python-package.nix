# buildPythonPackage and buildPythonApplication that know the formats named
# after manylinux and musllinux policies. Takes the function of nixpkgs and
# gives one that is called, overridden and introspected in the same way.
#
# Which attributes the arguments have never depends on what `format` is: a
# package may compute its format from finalAttrs, and nixpkgs allows that.
# Values that don't apply are null, which derivations leave out.
{
  lib,
  python,
  manylinuxFixupHook,
  manylinuxInstallHook,
  pythonManylinuxPackages,
  buildManylinuxWheel,
}:
let
  manylinux = import ./lib;

  interpreter = manylinux.interpreterOf python;

  # The package's own interpreter says where packages go, and compiles.
  installsHere = python.stdenv.buildPlatform == python.stdenv.hostPlatform;

  # What an error calls the package.
  labelOf = attrs: attrs.pname or attrs.name or "a Python package";

  refuse =
    attrs: reason: hint:
    throw ''
      nix-manylinux: ${labelOf attrs} (format = "${attrs.format}") for ${interpreter.name}: ${reason}.
        What would fit: ${manylinux.whatFits interpreter}.
        ${hint}'';

  # Why no wheel of a policy can be installed, or null: asked of one that has
  # nothing else to complain of.
  reasonAgainst =
    policy:
    manylinux.whyUnfit {
      python = interpreter;
      file = "format-0-py2.py3-none-${policy}_${interpreter.arch}.whl";
    };
  reasons = lib.genAttrs (map (policy: policy.name) manylinux.policies) reasonAgainst;

  # The value, if the platform's libc is one that the format is for.
  requirePlatform =
    attrs: format: value:
    let
      reason = reasons.${format.policy} or (reasonAgainst format.policy);
    in
    if reason == null then
      value
    else
      refuse attrs "no wheel of this format can be installed: ${reason}"
        "Take a wheel that was built for this platform, with its format, or build from source.";

  # The wheel, if its name says that it can be installed here.
  requireWheel =
    attrs: format: src:
    let
      file = src.name or src;
      wheel = manylinux.parseWheelName file;
      shown = manylinux.fileName file;
      reason = manylinux.whyUnfit {
        python = interpreter;
        inherit file wheel;
      };
      # Most wheels name their format's policy itself, so their floor is no newer.
      floor =
        if lib.elem "${format.policy}_${interpreter.arch}" wheel.platforms then
          null
        else
          manylinux.manylinuxFloor file;
      allowed = map (policy: policy.version) (
        lib.filter (policy: policy.family == "manylinux") [ format ]
      );
    in
    if !lib.hasSuffix ".whl" shown then
      refuse attrs "src is ${shown}, and that is no wheel"
        ''Fetch the wheel with `fetchPypi { inherit pname version format; pythonVersion = python.version; hash = "..."; }`, or drop the format to build from source.''
    # Names that nobody can read are left to the build, which reads WHEEL.
    else if wheel == null then
      src
    else if reason != null then
      refuse attrs "${shown} can't be installed: ${reason}"
        "`nix-manylinux expr ${attrs.pname or wheel.distribution}==${wheel.version} --python-version ${python.pythonVersion}` finds the wheel for this one."
    else if floor != null && allowed != [ ] && lib.versionOlder (lib.head allowed) floor then
      refuse attrs "${shown} is built for glibc ${floor}, newer than the format allows" ''Write `format = "manylinux_${
        lib.replaceStrings [ "." ] [ "_" ] floor
      }";`.''
    else
      src;

  expand =
    attrs:
    let
      format = manylinux.parseFormat attrs.format;
      isOurs =
        if manylinux.isMisspeltFormat attrs.format then
          throw ''
            nix-manylinux: ${labelOf attrs}: format = "${attrs.format}" is misspelt.
              The formats are "manylinux1", "manylinux2010", "manylinux2014", "manylinux_X_Y" (X_Y is the glibc version, as in "manylinux_2_28") and "musllinux_X_Y", without an architecture.''
        else
          format != null;
      # stdenv would strip and shrink again what patchManylinuxWheel has done.
      isPatched = attrs.format == "wheel" && attrs.src.isManylinuxPatched or false;
    in
    removeAttrs attrs [ "manylinuxAutoLibs" ]
    // {
      format = if isOurs then "wheel" else attrs.format;
      nativeBuildInputs =
        attrs.nativeBuildInputs or [ ]
        ++ lib.optional isOurs (requirePlatform attrs format manylinuxFixupHook)
        ++ lib.optional (isOurs && installsHere) manylinuxInstallHook;
      buildInputs =
        attrs.buildInputs or [ ]
        ++ lib.optionals isOurs (
          pythonManylinuxPackages.${format.policy}
            or pythonManylinuxPackages.${(manylinux.policyFor attrs.format).name}
        )
        ++ lib.optionals (isOurs && attrs.manylinuxAutoLibs or false) pythonManylinuxPackages.common;
      dontStrip = attrs.dontStrip or (if isOurs || isPatched then true else null);
      dontPatchELF = attrs.dontPatchELF or (if isPatched then true else null);
      meta =
        lib.optionalAttrs isOurs { sourceProvenance = [ lib.sourceTypes.binaryNativeCode ]; }
        // attrs.meta or { };
    }
    // lib.optionalAttrs (attrs ? src) {
      src =
        if isOurs then requirePlatform attrs format (requireWheel attrs format attrs.src) else attrs.src;
    }
    # nixpkgs takes one of the two; overriding a source package adds the other.
    // lib.optionalAttrs (attrs ? pyproject) {
      pyproject = if isOurs then null else attrs.pyproject;
    };

  # Without a `format` there is nothing of ours to do.
  expandSet = attrs: if attrs ? format then expand attrs else attrs;
  expandArgs =
    args: if lib.isFunction args then finalAttrs: expandSet (args finalAttrs) else expandSet args;

  # newArgs as overridePythonAttrs takes it: a set, a function of the old
  # arguments, or (finalAttrs: old: { ... }), over arguments in either form.
  overrideWith =
    newArgs: args:
    let
      over =
        finalAttrs: old:
        let
          given = newArgs old;
        in
        if !lib.isFunction newArgs then
          newArgs
        else if lib.isFunction given then
          newArgs finalAttrs old
        else
          given;
    in
    if lib.isFunction args then
      finalAttrs:
      let
        old = args finalAttrs;
      in
      old // over finalAttrs old
    else if lib.isFunction newArgs && lib.isFunction (newArgs args) then
      finalAttrs: args // newArgs finalAttrs args
    else
      args // over null args;

  # What nixpkgs' own makeOverridablePythonPackage does, over arguments that
  # are not expanded yet.
  overridable =
    build: args:
    let
      overridePythonAttrs = newArgs: overridable build (overrideWith newArgs args);
      # What a package calls itself has our way of overriding, not nixpkgs' own. To
      # put that into the package would make each derivation twice.
      known = finalAttrs: {
        finalPackage = finalAttrs.finalPackage // {
          inherit overridePythonAttrs;
        };
      };
      result = build (
        if lib.isFunction args then finalAttrs: args (finalAttrs // known finalAttrs) else args
      );
    in
    if lib.isAttrs result then
      let
        package = result // {
          inherit overridePythonAttrs;
          overrideAttrs = newArgs: overridable (args': (build args').overrideAttrs newArgs) args;
          # Beside the derivation, whose hash doesn't know of it.
          manylinuxWheel = buildManylinuxWheel { inherit package; };
        };
      in
      package
    else
      result;

  mirror = original: lib.flip lib.setFunctionArgs (lib.functionArgs original);

  wrap =
    build:
    mirror build (overridable (args: build (expandArgs args)))
    // lib.optionalAttrs (build ? override) {
      override = mirror build.override (newArgs: wrap (build.override newArgs));
    };
in
wrap
