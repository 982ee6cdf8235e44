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
        ${hint}'';

  refuseUnfit =
    attrs: reason: hint:
    refuse attrs reason "What would fit: ${manylinux.whatFits interpreter}.\n  ${hint}";

  # Why no wheel of a policy can be installed, or null: asked of one that has
  # nothing else to complain of.
  reasonAgainst =
    policy:
    manylinux.whyUnfit {
      python = interpreter;
      file = "format-0-py2.py3-none-${policy}_${interpreter.arch}.whl";
    };
  reasons = lib.genAttrs (map (policy: policy.name) manylinux.policies) reasonAgainst;

  misspeltIn = import ./misspelt-names.nix lib manylinuxFixupHook.variables;

  isSet = value: !(lib.elem value [ null false "" ]);

  # What was asked for, with a word on names that look like ours and that nobody reads.
  spelt =
    attrs: value:
    let
      misspelt = misspeltIn attrs;
    in
    if misspelt == [ ] then
      value
    else
      lib.warn "nix-manylinux: ${labelOf attrs}: ${lib.concatStringsSep " " misspelt}" value;

  # The hook, if it will run: who asks for a format asks for linking.
  requireFixup =
    attrs: hook:
    if isSet (attrs.dontFixup or null) && !isSet (attrs.dontManylinuxFixup or null) then
      throw ''
        nix-manylinux: ${labelOf attrs}: format = "${attrs.format}" and dontFixup = true exclude each other: nothing would be linked.
          Drop dontFixup; or, if nothing is to be linked, write `dontManylinuxFixup = true;` beside it.''
    else
      spelt attrs hook;

  isFixupHook = input: input.name or "" == "manylinux-fixup-hook";

  # The value, if the platform's libc is one that the format is for.
  requirePlatform =
    attrs: format: value:
    let
      reason = reasons.${format.policy} or (reasonAgainst format.policy);
    in
    if reason == null then
      value
    else
      refuseUnfit attrs "no wheel of this format can be installed: ${reason}"
        "Take a wheel that was built for this platform, with its format, or build from source.";

  # The wheel, if it is of the version that the package calls itself: installers
  # and whatever reads the metadata see the wheel's own.
  requireVersion =
    attrs: wheel: src:
    let
      version = attrs.version or null;
    in
    if
      wheel == null || !builtins.isString version || manylinux.versionAgrees version wheel.version
    then
      src
    else
      throw ''
        nix-manylinux: ${labelOf attrs}: version = "${version}", and the wheel is of ${wheel.version}: ${wheel.file}.
          Write `version = "${wheel.version}";`, or take the wheel of ${version}: `nix-manylinux expr ${
            attrs.pname or wheel.distribution
          }==${version} --python-version ${python.pythonVersion}` finds it.'';

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
      refuseUnfit attrs "src is ${shown}, and that is no wheel"
        ''Fetch the wheel with `fetchPypi { inherit pname version format; pythonVersion = python.version; hash = "..."; }`, or drop the format to build from source.''
    # Names that nobody can read are left to the build, which reads WHEEL.
    else if wheel == null then
      src
    else if reason != null then
      refuseUnfit attrs "${shown} can't be installed: ${reason}"
        "`nix-manylinux expr ${attrs.pname or wheel.distribution}==${wheel.version} --python-version ${python.pythonVersion}` finds the wheel for this one."
    else if floor != null && allowed != [ ] && lib.versionOlder (lib.head allowed) floor then
      refuse attrs "${shown} is built for glibc ${floor}, newer than the format allows" ''Write `format = "manylinux_${
        lib.replaceStrings [ "." ] [ "_" ] floor
      }";`.''
    else
      requireVersion attrs wheel src;

  # The systems that a wheel is for, so that a list of packages is without it on
  # others. What else keeps it off is told by `src`, as by nixpkgs' `disabled`.
  platformsOf =
    attrs:
    let
      found = builtins.tryEval (manylinux.parseWheelName (attrs.src.name or attrs.src));
      wheel = if found.success then found.value else null;
      systems =
        if !(attrs ? src) || wheel == null then [ null ] else map manylinux.systemOf wheel.platforms;
    in
    if lib.elem null systems then lib.platforms.linux else lib.unique systems;

  expand =
    isOverridden: attrs:
    let
      format = manylinux.parseFormat attrs.format;
      isMisspelt = manylinux.isMisspeltFormat attrs.format;
      # Of our kind, so that name and meta evaluate; what is built does not.
      isOurs = format != null || isMisspelt;
      misspelt = throw ''
        nix-manylinux: ${labelOf attrs}: format = "${attrs.format}" is misspelt.
          The formats are "manylinux1", "manylinux2010", "manylinux2014", "manylinux_X_Y" (X_Y is the glibc version, as in "manylinux_2_28") and "musllinux_X_Y", without an architecture.'';
      require = value: if isMisspelt then misspelt else requirePlatform attrs format value;
      # stdenv would strip and shrink again what patchManylinuxWheel has done.
      isPatched = attrs.format == "wheel" && attrs.src.isManylinuxPatched or false;
    in
    removeAttrs attrs [ "manylinuxAutoLibs" ]
    // {
      format = if isOurs then "wheel" else attrs.format;
      nativeBuildInputs =
        map (input: if !isOurs && isFixupHook input then spelt attrs input else input) (
          attrs.nativeBuildInputs or [ ]
        )
        ++ lib.optional isOurs (require (requireFixup attrs manylinuxFixupHook))
        ++ lib.optional (isOurs && installsHere) manylinuxInstallHook;
      buildInputs =
        attrs.buildInputs or [ ]
        ++ lib.optionals (format != null) (
          pythonManylinuxPackages.${format.policy}
            or pythonManylinuxPackages.${(manylinux.policyFor attrs.format).name}
        )
        ++ autoLibsOf attrs;
      dontStrip = attrs.dontStrip or (if isOurs || isPatched then true else null);
      dontPatchELF = attrs.dontPatchELF or (if isPatched then true else null);
      passthru = {
        isManylinuxFormat = isOurs;
      }
      // attrs.passthru or { };
      meta =
        lib.optionalAttrs (format != null) {
          sourceProvenance = [ lib.sourceTypes.binaryNativeCode ];
          platforms = platformsOf attrs;
        }
        // attrs.meta or { };
    }
    // lib.optionalAttrs (attrs ? src) {
      src =
        if isOurs then
          require (requireWheel attrs format attrs.src)
        else if
          isPatched
          || attrs.format == "wheel" && lib.any isFixupHook (attrs.nativeBuildInputs or [ ])
        then
          requireVersion attrs (manylinux.parseWheelName (attrs.src.name or attrs.src)) attrs.src
        else
          attrs.src;
    }
    # nixpkgs takes one of the two; overriding a source package adds the other.
    // lib.optionalAttrs (attrs ? pyproject) {
      pyproject =
        if !isOurs then
          attrs.pyproject
        else if isOverridden || attrs.pyproject == null then
          null
        else
          throw ''
            nix-manylinux: ${labelOf attrs}: format = "${attrs.format}" and `pyproject` exclude each other.
              A wheel is installed as it is: drop `pyproject`. To build from source, drop `format`.'';
    };

  autoLibsOf = attrs: lib.optionals (attrs.manylinuxAutoLibs or false) pythonManylinuxPackages.common;

  # Without a `format` only libraries may be asked for: the fixup hook may be there by hand.
  expandSet =
    isOverridden: attrs:
    if attrs ? format then
      expand isOverridden attrs
    else if attrs ? manylinuxAutoLibs then
      removeAttrs attrs [ "manylinuxAutoLibs" ]
      // {
        buildInputs = attrs.buildInputs or [ ] ++ autoLibsOf attrs;
      }
    else
      attrs;
  expandArgs =
    isOverridden: args:
    if lib.isFunction args then
      finalAttrs: expandSet isOverridden (args finalAttrs)
    else
      expandSet isOverridden args;

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

  # A derivation that was given another wheel: of the version that it still calls itself.
  withRightSrc =
    package:
    package.overrideAttrs (
      _: old:
      lib.optionalAttrs (old ? src) {
        src =
          # nixpkgs' list of native inputs depends on src.
          if old.passthru.isManylinuxFormat or false then
            requireVersion old (manylinux.parseWheelName (old.src.name or old.src)) old.src
          else
            old.src;
      }
    );

  # What nixpkgs' own makeOverridablePythonPackage does, over arguments that
  # are not expanded yet. `build` is told whether they are what somebody wrote down.
  overridable =
    build: isOverridden: args:
    let
      overridePythonAttrs = newArgs: overridable build true (overrideWith newArgs args);
      # What a package calls itself has our way of overriding, not nixpkgs' own. To
      # put that into the package would make each derivation twice.
      known = finalAttrs: {
        finalPackage = finalAttrs.finalPackage // {
          inherit overridePythonAttrs;
        };
      };
      result = build isOverridden (
        if lib.isFunction args then finalAttrs: args (finalAttrs // known finalAttrs) else args
      );
    in
    if lib.isAttrs result then
      let
        package = result // {
          inherit overridePythonAttrs;
          overrideAttrs =
            newArgs:
            overridable (is: args': withRightSrc ((build is args').overrideAttrs newArgs)) isOverridden args;
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
    mirror build (overridable (isOverridden: args: build (expandArgs isOverridden args)) false)
    // lib.optionalAttrs (build ? override) {
      override = mirror build.override (newArgs: wrap (build.override newArgs));
    };
in
wrap
