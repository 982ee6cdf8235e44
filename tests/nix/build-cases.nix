# Small builds with the real command: those that must fail, with the message
# that was promised, and those whose references are looked at.
{ pkgs }:
let
  inherit (pkgs) lib manylinuxFixupHook;
  fixtures = import ./fixtures.nix { inherit pkgs; };
  inherit (pkgs.hostPython.pkgs) buildPythonPackage;

  # A package of a fixture by the format, or by a plain wheel and the hook.
  byFormat =
    src: attrs:
    buildPythonPackage (
      {
        pname = lib.head (lib.splitString "-" src.name);
        version = "1.0";
        format = "manylinux2014";
        inherit src;
      }
      // attrs
    );
  byHook =
    src: attrs:
    byFormat src (
      {
        format = "wheel";
        nativeBuildInputs = [ manylinuxFixupHook ];
      }
      // attrs
    );

  probe = fixtures.probe { };
  works = byHook probe {
    buildInputs = [ pkgs.nest ];
    pythonImportsCheck = [ "probe" ];
  };
  # Only the name counts where evaluation refuses.
  named = name: fixtures.probe { inherit name; };

  patched = pkgs.patchManylinuxWheel {
    src = fixtures.driver;
    libs = [
      pkgs.nest
      pkgs.expat
    ];
    manylinuxRuntimeLibs = [ "libexpat.so.1" ];
  };

  # A package as Nix builds it from source: its wheel is tied to the store.
  tied =
    {
      nest ? pkgs.nest,
      script ? "",
    }:
    buildPythonPackage {
      pname = "probe";
      version = "1.0";
      format = "wheel";
      src = fixtures.tied { inherit nest script; };
      buildInputs = [ nest ];
      pythonImportsCheck = [ "probe" ];
    };

  # A library and a package for an old glibc, whatever the platform's own is.
  oldNest = (pkgs.manylinuxStdenv "manylinux_2_17").mkDerivation {
    name = "nest-1";
    buildCommand = ''
      mkdir -p $out/lib
      echo 'int nest_answer(void) { return 42; }' > nest.c
      $CC -shared -fPIC nest.c -Wl,-soname,libnest.so.1 -o $out/lib/libnest.so.1
      ln -s libnest.so.1 $out/lib/libnest.so
    '';
  };
  ofToday = fixtures.fromSource { inherit (pkgs) stdenv nest; };
in
{
  inherit works patched probe;
  nothingToLink = pkgs.stdenv.mkDerivation {
    name = "nothing-to-link";
    dontUnpack = true;
    nativeBuildInputs = [ manylinuxFixupHook ];
    installPhase = "mkdir $out; touch $out/file";
  };
  ignoresAll = byHook probe { manylinuxIgnoreMissingDeps = [ "*" ]; };
  tied = tied { };
  portable = (tied { }).manylinuxWheel;
  portableSpeltOut = pkgs.buildManylinuxWheel { package = tied { }; };
  # No search path leads to the library, and buildInputs name another output than its own.
  portableWithoutPath =
    (buildPythonPackage {
      pname = "probe";
      version = "1.0";
      format = "wheel";
      src = named "probe-1.0-py3-none-linux_x86_64.whl";
      buildInputs = [
        (pkgs.runCommand "nest-of-parts"
          {
            outputs = [
              "out"
              "dev"
              "libraries"
            ];
          }
          "mkdir $out $dev $libraries; cp -r ${pkgs.nest}/lib $libraries/lib"
        )
      ];
    }).manylinuxWheel;
  # The same library under another hash.
  portableRebuilt =
    (tied { nest = pkgs.nest.overrideAttrs { rebuilt = "once more"; }; }).manylinuxWheel;
  portableFor = pkgs.buildManylinuxWheel {
    package = tied { };
    policy = "manylinux_2_28";
    exclude = [ "libnest.so" ];
    sbom = false;
    strip = false;
  };
  # Came as a wheel, and what it installs is linked to the store.
  asItCame = works.manylinuxWheel;
  asItCamePatched = (byFormat patched { format = "wheel"; }).manylinuxWheel;
  asItCameAndMore = pkgs.buildManylinuxWheel {
    package = works;
    policy = "manylinux_2_28";
  };
  # As above, but for what tells that it came as one.
  linkedAlready = pkgs.buildManylinuxWheel {
    package = removeAttrs works [ "src" ];
  };
  # Names its store in a Python file.
  notPortable =
    (tied { script = "echo 'NEST = \"${pkgs.nest}\"' >> $wheel/probe/__init__.py"; }).manylinuxWheel;
  portableAllTheSame = pkgs.buildManylinuxWheel {
    package = tied { script = "echo 'NEST = \"${pkgs.nest}\"' >> $wheel/probe/__init__.py"; };
    allowStorePaths = [ "probe/*.py" ];
  };
  wheels = pkgs.manylinuxWheels {
    package = _: tied { };
    pythons = [ pkgs.hostPython ];
    policy = "manylinux_2_28";
  };
  portableOld =
    (fixtures.fromSource {
      stdenv = pkgs.manylinuxStdenv "manylinux_2_17";
      nest = oldNest;
    }).manylinuxWheel;
  portableNew = ofToday.manylinuxWheel;
  tooNewForIts = pkgs.buildManylinuxWheel {
    package = ofToday;
    policy = "manylinux_2_17";
  };
  inherit oldNest;
  noSuchStdenv = (pkgs.manylinuxStdenv "manylinux_2").mkDerivation { name = "none"; };
  wheelsOfOneName = pkgs.manylinuxWheels {
    package = _: tied { };
    pythons = [
      pkgs.hostPython
      pkgs.hostPython
    ];
  };
  withoutDist = pkgs.buildManylinuxWheel { package = pkgs.nest; };
  hookTest = manylinuxFixupHook.tests.links;
  hookRefusesTest = manylinuxFixupHook.tests.refuses;
  installHookTest = pkgs.manylinuxInstallHook.tests.installs;
  inherit (fixtures) driver;

  # Nothing that is installed may look into the build's folder.
  searchesTheBuild = byFormat probe {
    buildInputs = [ pkgs.nest ];
    preFixup = ''manylinuxAppendRpaths="$TMPDIR/lib"'';
  };
  runsTheBuild = byFormat probe {
    buildInputs = [ pkgs.nest ];
    postInstall = ''
      mkdir -p $out/bin
      echo real > $out/bin/.tool-wrapped
      echo "exec $TMPDIR/tool" > $out/bin/tool
    '';
  };

  structured = works.overrideAttrs { __structuredAttrs = true; };
  notStrict = byHook probe {
    strictDeps = false;
    buildInputs = [ pkgs.nest ];
    pythonImportsCheck = [ "probe" ];
  };
  oddNames = byHook fixtures.oddNames { buildInputs = [ pkgs.nest ]; };
  # An output beside `out`, and a file in one that needs a library in the other.
  severalOutputs = byHook probe {
    outputs = [
      "out"
      "lib"
    ];
    postInstall = ''
      mkdir -p $lib/lib
      cp ${pkgs.nest}/lib/libnest.so.1 $lib/lib/
      addManylinuxSearchPath $lib/lib
    '';
    pythonImportsCheck = [ "probe" ];
  };

  # A program that is compiled here, beside what the wheel brings.
  stripsItsOwn = byHook probe {
    buildInputs = [ pkgs.nest ];
    dontStrip = false;
    stripDebugList = [ "bin" ];
    postInstall = ''
      mkdir -p $out/bin
      echo 'int main(void) { return 0; }' | ''${CC:-gcc} -g -x c - -o $out/bin/own
      cp $out/bin/own $out/lib/own
    '';
  };
  missing = byHook fixtures.needsX11 { };
  missingAfterStrip = byHook fixtures.needsX11 { dontStrip = false; };
  foreign = byFormat fixtures.foreign { };
  # Without the platforms of the wheel, of which nixpkgs speaks first.
  foreignByName = byFormat (named "probe-1.0-py3-none-manylinux_2_17_aarch64.whl") {
    meta.platforms = lib.platforms.linux;
  };
  wrongPython = byHook fixtures.lyingTags { };
  wrongPythonByName = byFormat fixtures.lyingTags { };
  tooNew = byHook fixtures.tooNew { };
  tooNewByName = byFormat (named "probe-1.0-py3-none-manylinux_2_99_x86_64.whl") {
    format = "manylinux_2_99";
  };
  ignoredInVain = byHook probe {
    buildInputs = [ pkgs.nest ];
    manylinuxIgnoreMissingDeps = [ "libnothing.so.*" ];
  };
  unknownFormat = byFormat probe { format = "manylinux2015"; };
  swapped = (byFormat probe { buildInputs = [ pkgs.nest ]; }).overrideAttrs {
    src = fixtures.lyingTags;
  };

  # A patched wheel is neither stripped nor shrunk where it is installed: our
  # buildPythonPackage sees to that, for others it is said by hand.
  fromPatched = byFormat patched { format = "wheel"; };
  fromPatchedElsewhere = byFormat (removeAttrs patched [ "isManylinuxPatched" ]) {
    format = "wheel";
    dontStrip = true;
    dontPatchELF = true;
  };
  fromPatchedCarelessly = byFormat (removeAttrs patched [ "isManylinuxPatched" ]) {
    format = "wheel";
  };
  patchedWithoutPolicy = pkgs.patchManylinuxWheel {
    src = named "probe-1.0-py3-none-linux_x86_64.whl";
  };
  patchedForAnotherPython = pkgs.patchManylinuxWheel {
    src = fixtures.lyingTags;
    python = pkgs.hostPython;
  };

  # What worked with autoPatchelfHook, with nothing but its name changed.
  formerAutoPatchelf = byHook probe {
    buildInputs = [ pkgs.nest ];
    runtimeDependencies = [ pkgs.expat ];
    appendRunpaths = [ "/run/appended" ];
    preFixup = "addAutoPatchelfSearchPath $out/lib";
  };
}
