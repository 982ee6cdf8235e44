# Claims about buildPythonPackage's formats, in lib.runTests form, on any
# package set that has the overlay.
{
  # With the overlay, and without.
  pkgs,
  plain,
  # Whether this nixpkgs takes `finalAttrs: { ... }`.
  functionForm ? true,
}:
let
  inherit (pkgs) lib pythonManylinuxPackages;
  set = pkgs.python3.pkgs;
  inherit (set) buildPythonPackage buildPythonApplication;

  before = plain.python3.pkgs.buildPythonPackage;

  abi = "cp${lib.replaceStrings [ "." ] [ "" ] (lib.versions.majorMinor set.python.version)}";
  file = "demo-1.0-${abi}-${abi}-manylinux_2_17_x86_64.manylinux2014_x86_64.whl";
  wheel = name: builtins.toFile name "no wheel, for evaluation only";
  src = wheel file;

  base = {
    pname = "demo";
    version = "1.0";
    inherit src;
  };
  format = "manylinux2014";
  short = buildPythonPackage (base // { inherit format; });
  source = {
    pname = "demo";
    version = "1.0";
    pyproject = true;
    src = ./ring-one;
  };

  # The same package, written in other ways.
  spellings = {
    parts = buildPythonPackage (
      base
      // {
        format = "wheel";
        nativeBuildInputs = [
          pkgs.manylinuxFixupHook
          pkgs.manylinuxInstallHook
        ];
        buildInputs = pythonManylinuxPackages.manylinux_2_17;
        dontStrip = true;
      }
    );
    otherSpelling = buildPythonPackage (base // { format = "manylinux_2_17"; });
    overridden = (buildPythonPackage (base // { format = "other"; })).overridePythonAttrs {
      inherit format;
    };
    overriddenByFunction =
      (buildPythonPackage (base // { format = "manylinux1"; })).overridePythonAttrs
        (old: {
          format = if old.format == "manylinux1" then format else throw "the format was expanded already";
        });
    fromSource = (buildPythonPackage source).overridePythonAttrs (old: {
      inherit format src;
    });
    twice = (short.overridePythonAttrs { format = "other"; }).overridePythonAttrs { inherit format; };
    afterOverrideAttrs = (short.overrideAttrs (_: { })).overridePythonAttrs { inherit format; };
    overrideOfTheFunction = buildPythonPackage.override { } (base // { inherit format; });
    called = set.callPackage (
      { buildPythonPackage }: buildPythonPackage (base // { inherit format; })
    ) { };
  }
  // lib.optionalAttrs functionForm {
    function = buildPythonPackage (finalAttrs: base // { inherit format; });
    functionOverridden = (buildPythonPackage (finalAttrs: base // { format = "other"; })).overridePythonAttrs (
      old: { inherit format; }
    );
    # Names of attributes must not depend on what the format is.
    computed = buildPythonPackage (
      finalAttrs:
      base
      // {
        format = finalAttrs.passthru.wanted;
        passthru.wanted = format;
      }
    );
    finalAndOld = short.overridePythonAttrs (
      finalAttrs: old: { inherit (old) format; }
    );
  };

  drvPaths = lib.mapAttrs (_: package: package.drvPath);

  # What is left of a package whose wheel doesn't fit: enough to be listed.
  unfit = buildPythonPackage (
    base
    // {
      inherit format;
      src = wheel "demo-1.0-cp27-cp27mu-manylinux1_x86_64.whl";
      meta.description = "still there";
    }
  );

  misspelt = unfit.overridePythonAttrs { format = "manylinux2020"; };
  # The places that a wheel with these tags, or a src of one's own, leaves.
  placesOf = src: (short.overridePythonAttrs { inherit src; }).meta.platforms;
  unfitElsewhere = short.overridePythonAttrs { src = wheel "demo-1.0-py3-none-manylinux1_s390x.whl"; };

  patched = derivation {
    name = file;
    system = "x86_64-linux";
    builder = "/bin/sh";
  } // { isManylinuxPatched = true; };
  fromPatched = buildPythonPackage (
    base
    // {
      format = "wheel";
      src = patched;
    }
  );
in
{
  testOneDerivationForAllSpellings = {
    expr = drvPaths spellings;
    expected = lib.mapAttrs (_: _: short.drvPath) spellings;
  };
  testFunctionArgsAreKept = {
    expr = lib.functionArgs buildPythonPackage == lib.functionArgs before;
    expected = true;
  };
  testApplications = {
    expr =
      let
        app = buildPythonApplication (base // { inherit format; });
      in
      [
        (lib.hasPrefix "demo-" app.name)
        (app.drvPath == (app.overridePythonAttrs { }).drvPath)
        (lib.elem pkgs.manylinuxFixupHook app.nativeBuildInputs)
      ];
    expected = [ true true true ];
  };
  testLibrariesOfThePolicy = {
    expr = map (drv: drv.outPath) (lib.filter (drv: lib.elem drv pythonManylinuxPackages.manylinux_2_17) short.buildInputs);
    expected = map (drv: drv.outPath) pythonManylinuxPackages.manylinux_2_17;
  };
  testBinaryProvenance = {
    expr = map (type: type.shortName) short.meta.sourceProvenance;
    expected = [ "binaryNativeCode" ];
  };
  testProvenanceOfOnesOwn = {
    expr = (short.overridePythonAttrs { meta.sourceProvenance = [ ]; }).meta.sourceProvenance;
    expected = [ ];
  };
  testStripIsOffUnlessAskedFor = {
    expr = [ short.dontStrip (short.overridePythonAttrs { dontStrip = false; }).dontStrip ];
    expected = [ true false ];
  };
  testNameAndMetaOfAWheelThatDoesNotFit = {
    expr = [ (lib.hasSuffix "demo-1.0" unfit.name) unfit.meta.description (builtins.tryEval unfit.drvPath).success ];
    expected = [ true "still there" false ];
  };
  testNameAndMetaOfAMisspeltFormat = {
    expr = [ (lib.hasSuffix "demo-1.0" misspelt.name) misspelt.meta.description (builtins.tryEval misspelt.drvPath).success ];
    expected = [ true "still there" false ];
  };
  testPlatformsAreThoseOfTheWheel = {
    expr = [
      (placesOf (wheel "demo-1.0-py3-none-manylinux1_s390x.whl"))
      (placesOf (wheel "demo-1.0-py3-none-manylinux2014_x86_64.manylinux2014_aarch64.whl"))
      (placesOf (wheel "demo-1.0-py3-none-any.whl") == lib.platforms.linux)
      (placesOf (throw "none of the files fits") == lib.platforms.linux)
      (short.overridePythonAttrs { meta.platforms = [ "x86_64-linux" ]; }).meta.platforms
    ];
    expected = [
      [ "s390x-linux" ]
      [ "x86_64-linux" "aarch64-linux" ]
      true
      true
      [ "x86_64-linux" ]
    ];
  };
  testAvailableWhereTheWheelIsFor = {
    # The small set knows nothing of availability.
    expr = [ (short.meta.available or true) (unfitElsewhere.meta.available or false) ];
    expected = [ true false ];
  };
  # A package of sources turns into its wheel; who writes both is told.
  testPyprojectBesideAFormat = {
    expr = map (package: (builtins.tryEval package.drvPath).success) [
      (buildPythonPackage (base // { inherit format; pyproject = true; }))
      (buildPythonPackage (base // { inherit format; pyproject = null; }))
      ((buildPythonPackage source).overridePythonAttrs { inherit format src; })
    ];
    expected = [ false true true ];
  };
  # The build looks at the wheel's own tags: evaluation has no more to say here.
  testOverrideAttrsGoesRoundEvaluation = {
    expr = (builtins.tryEval (short.overrideAttrs { src = wheel "demo-1.0-cp27-cp27mu-manylinux1_x86_64.whl"; }).drvPath).success;
    expected = true;
  };
  # But not what METADATA would contradict ever after.
  testOverrideAttrsWithAnotherVersion = {
    expr = map (attrs: (builtins.tryEval (short.overrideAttrs attrs).drvPath).success) [
      { src = wheel "demo-2.0-py3-none-manylinux1_x86_64.whl"; }
      { src = wheel "demo-2.0-py3-none-manylinux1_x86_64.whl"; version = "2.0"; }
      (old: { src = wheel "demo-2.0-py3-none-manylinux1_x86_64.whl"; })
    ];
    expected = [ false true false ];
  };
  # The package as its own arguments see it is overridden by ours as well.
  testFinalPackage = {
    expr =
      if functionForm then
        (buildPythonPackage (
          finalAttrs:
          base
          // {
            format = "other";
            passthru.wheel = finalAttrs.finalPackage.overridePythonAttrs { inherit format; };
          }
        )).wheel.drvPath
      else
        short.drvPath;
    expected = short.drvPath;
  };
  testPatchedWheelsAreLeftAlone = {
    expr = [ fromPatched.dontStrip fromPatched.dontPatchELF ];
    expected = [ true true ];
  };
  testPatchedWheelsOfOtherFormatsKeepTheirHash = {
    expr = (fromPatched.overridePythonAttrs { src = removeAttrs patched [ "isManylinuxPatched" ]; }).drvPath;
    expected = (before (base // { format = "wheel"; src = patched; })).drvPath;
  };
  testOverridePythonAttrsSeesWhatWasWritten = {
    expr = (short.overridePythonAttrs (old: { passthru.seen = builtins.attrNames old; })).seen;
    expected = [ "format" "pname" "src" "version" ];
  };
  testOwnInputsComeFirst = {
    expr = (builtins.head (short.overridePythonAttrs { buildInputs = [ pkgs.zlib ]; }).buildInputs).outPath;
    expected = pkgs.zlib.outPath;
  };
  # Who asks for a format asks for linking; that nothing is to be linked is said by its own name.
  testNothingIsLinkedOnPurposeOnly = {
    expr = map (more: (builtins.tryEval (short.overridePythonAttrs more).drvPath).success) [
      { dontFixup = true; }
      { dontFixup = false; }
      { dontFixup = true; dontManylinuxFixup = true; }
      { format = "wheel"; dontFixup = true; }
    ];
    expected = [ false true true true ];
  };
  testLibrariesThatAreAskedForInAnyFormat = {
    expr =
      let
        inputsOf = attrs: map toString (buildPythonPackage attrs).buildInputs;
        without = base // { format = "wheel"; };
      in
      map (attrs: inputsOf (attrs // { manylinuxAutoLibs = true; }) == inputsOf attrs ++ map toString pythonManylinuxPackages.common) [
        without
        source
        (base // { inherit format; })
      ];
    expected = [ true true true ];
  };
  testMisspeltNames = {
    expr = import ../../nix/misspelt-names.nix lib pkgs.manylinuxFixupHook.variables {
      manylinuxAutoLib = 1;
      manylinuxExclude = 1;
      autopatchelfIgnoreMissingDeps = 1;
      dontFixup = 1;
    };
    expected = [
      "no hook reads autopatchelfIgnoreMissingDeps: is autoPatchelfIgnoreMissingDeps meant?"
      "no hook reads manylinuxAutoLib: is manylinuxAutoLibs meant?"
    ];
  };
}
