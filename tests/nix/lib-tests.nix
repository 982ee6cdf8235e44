# Tests of nix/lib in lib.runTests form: { testNAME = { expr; expected; }; },
# grouped by the export that they are about.
let
  manylinux = import ../../nix/lib;
  inherit (builtins)
    head
    length
    map
    tryEval
    ;

  python311 = manylinux.interpreter {
    pythonVersion = "3.11.5";
    arch = "x86_64";
    libcVersion = "2.36";
  };
  python313t = manylinux.interpreter {
    pythonVersion = "3.13";
    arch = "aarch64";
    libcVersion = "2.40-66";
    freeThreaded = true;
  };
  onMusl = manylinux.interpreter {
    pythonVersion = "3.12";
    arch = "x86_64";
    libc = "musl";
    libcVersion = "1.2.5";
  };
  pypy = manylinux.interpreter {
    pythonVersion = "3.10";
    arch = "x86_64";
    libcVersion = "2.40";
    implementation = "pypy";
    abis = [ "pypy310_pp73" ];
  };

  # As nixpkgs' interpreters look from outside.
  nixpkgsPython =
    {
      pythonVersion,
      executable ? "python${pythonVersion}",
      pythonABITags ? [ ],
      processor ? "x86_64",
      libc ? "glibc",
      libcVersion ? "2.40-66",
      implementation ? "cpython",
    }:
    {
      inherit
        pythonVersion
        executable
        pythonABITags
        implementation
        ;
      stdenv = {
        hostPlatform = {
          inherit libc;
          uname.processor = processor;
        };
        cc.libc.version = libcVersion;
      };
    };

  wheel = tags: "demo-1.0-${tags}.whl";
  choose =
    python: tags:
    manylinux.selectWheel {
      inherit python;
      files = map wheel tags;
    };
  why =
    python: file:
    manylinux.whyUnfit {
      inherit python file;
    };
  candidates = args: map (candidate: candidate.file) (manylinux.wheelCandidates args);
  demo = {
    pname = "demo";
    version = "1.0";
    arch = "x86_64";
  };
in
{
  compareVersions =
    let
      ordered = [
        "not a version"
        "1.dev0"
        "1.0.dev456"
        "1.0a1"
        "1.0a2.dev456"
        "1.0a12.dev456"
        "1.0a12"
        "1.0b1.dev456"
        "1.0b2"
        "1.0b2.post345.dev456"
        "1.0b2.post345"
        "1.0rc1.dev456"
        "1.0rc1"
        "1.0"
        "1.0+abc.5"
        "1.0+abc.7"
        "1.0+5"
        "1.0.post456.dev34"
        "1.0.post456"
        "1.0.15"
        "1.1.dev1"
        "1.9"
        "1.10"
        "1!0.1"
      ];
      compare =
        a: b:
        let
          x = builtins.elemAt ordered a;
          y = builtins.elemAt ordered b;
        in
        manylinux.compareVersions x y == (if a < b then -1 else if a == b then 0 else 1);
      indexes = builtins.genList (i: i) (length ordered);
    in
    {
      testTheOrderOfPep440 = {
        expr = builtins.concatMap (a: builtins.filter (b: !compare a b) indexes) indexes;
        expected = [ ];
      };
      testSpellingsOfOneVersion = {
        expr = map (pair: manylinux.compareVersions (head pair) (builtins.elemAt pair 1)) [
          [ "1.0" "1.0.0" ]
          [ "v1.0" "1.0" ]
          [ "1.0alpha1" "1.0-a.1" ]
          [ "1.0-1" "1.0.post1" ]
          [ "1.0RC1" "1.0c1" ]
          [ "1.0+ubuntu-1" "1.0+Ubuntu.1" ]
          [ "01.02" "1.2" ]
        ];
        expected = [ 0 0 0 0 0 0 0 ];
      };
    };

  systemOf.testTagsOfMachines = {
    expr = map manylinux.systemOf [
      "manylinux_2_17_x86_64"
      "manylinux2014_ppc64le"
      "musllinux_1_2_armv7l"
      "linux_riscv64"
      "any"
      "win_amd64"
      "manylinux_2_17_vax"
    ];
    expected = [ "x86_64-linux" "powerpc64le-linux" "armv7l-linux" "riscv64-linux" null null null ];
  };

  versionAgrees =
    let
      disagreeing = builtins.filter (
        pair: !manylinux.versionAgrees (head pair) (builtins.elemAt pair 1)
      );
    in
    {
      testSpellingsOfOneVersion = {
        expr = disagreeing [
          [ "1.0" "1.0.0" ]
          [ "v1.0" "1" ]
          [ "1.0-RC.1" "1.0rc1" ]
          [ "1.0-1" "1.0_1" ]
          [ "1.0-1" "1.0.post1" ]
          [ "2.0-dev3" "2.0.dev3" ]
          [ "1!1.0" "1!1.0.0" ]
          [ "2.13.0" "2.13.0+cpu" ]
          [ "2.13.0+cpu.1" "2.13.0+cpu_1" ]
        ];
        expected = [ ];
      };
      testWhatPep440DoesNotKnow = {
        expr = disagreeing [
          [ "0-unstable-2024-01-01" "1.0" ]
          [ "1.0-unstable-2024-01-01" "1.0.dev3" ]
          [ "nightly" "1.0" ]
          [ "1.0" "2004d" ]
        ];
        expected = [ ];
      };
      testOthers =
        let
          pairs = [
            [ "9.9.9" "6.1.3" ]
            [ "1.0" "1.0.post1" ]
            [ "1.0" "1.0rc1" ]
            [ "1.0.dev1" "1.0" ]
            [ "1.0" "1!1.0" ]
            [ "2.13.0+cpu" "2.13.0" ]
            [ "2.13.0+cpu" "2.13.0+cu128" ]
          ];
        in
        {
          expr = disagreeing pairs;
          expected = pairs;
        };
    };

  isPrerelease.testByPep440 = {
    expr = map manylinux.isPrerelease [ "1.0" "1.0rc1" "1.0.dev3" "1.0.post1" "1.0+cpu" "nonsense" ];
    expected = [ false true true false false false ];
  };

  fileName.testOfPathsUrlsAndStorePaths = {
    expr = map manylinux.fileName [
      "demo.tar.gz"
      ./demo.tar.gz
      "https://example.org/a/demo-1.0%2Bcpu.whl?token=1#sha256=0"
      "${builtins.storeDir}/0123456789abcdfghijklmnpqrsvwxyz-demo.tar.gz"
    ];
    expected = [ "demo.tar.gz" "demo.tar.gz" "demo-1.0+cpu.whl" "demo.tar.gz" ];
  };

  normalizeName.testByPep503 = {
    expr = map manylinux.normalizeName [ "Foo.Bar" "foo--__..bar" "scikit_learn" ];
    expected = [ "foo-bar" "foo-bar" "scikit-learn" ];
  };

  distributionNames = {
    testOneNameWhereAllAgree = {
      expr = map manylinux.distributionNames [ "numpy" "scikit-learn" "nvidia-cusparse-cu12" ];
      expected = [ [ "numpy" ] [ "scikit_learn" ] [ "nvidia_cusparse_cu12" ] ];
    };
    testOlderToolsKeptCaseAndDots = {
      expr = map manylinux.distributionNames [ "PyYAML" "zope.interface" ];
      expected = [
        [ "PyYAML" "pyyaml" ]
        [ "zope.interface" "zope_interface" ]
      ];
    };
  };

  parseWheelName = {
    testCompoundTagsAndBuild = {
      expr = manylinux.parseWheelName "triton-3.0.0-1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl";
      expected = {
        file = "triton-3.0.0-1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl";
        distribution = "triton";
        version = "3.0.0";
        build = {
          number = 1;
          suffix = "";
        };
        pythons = [ "cp311" ];
        abis = [ "cp311" ];
        platforms = [ "manylinux_2_17_x86_64" "manylinux2014_x86_64" ];
      };
    };
    testPathsAndUrls = {
      expr = map (file: (manylinux.parseWheelName file).file) [
        ./demo-1.0-py3-none-any.whl
        "https://example.org/torch-2.13.0%2Bcpu-cp311-cp311-linux_x86_64.whl#sha256=00"
        "https://example.org/demo-1.0-py3-none-any.whl?token=1"
        "${builtins.storeDir}/0123456789abcdfghijklmnpqrsvwxyz-demo-1.0-py3-none-any.whl"
      ];
      expected = [
        "demo-1.0-py3-none-any.whl"
        "torch-2.13.0+cpu-cp311-cp311-linux_x86_64.whl"
        "demo-1.0-py3-none-any.whl"
        "demo-1.0-py3-none-any.whl"
      ];
    };
    testNullForTheRest = {
      expr = map manylinux.parseWheelName [
        ""
        ".whl"
        "demo-1.0.tar.gz"
        "demo-1.0-py3-none.whl"
        "demo-1.0-build-py3-none-any.whl"
        "demo--py3-none-any.whl"
        "a-b-c-1.0-py3-none-any.whl"
      ];
      expected = [ null null null null null null null ];
    };
  };

  parseFormat = {
    testLegacyNamesAreAliases = {
      expr = map (format: (manylinux.parseFormat format).policy) [
        "manylinux1"
        "manylinux2010"
        "manylinux2014"
      ];
      expected = [ "manylinux_2_5" "manylinux_2_12" "manylinux_2_17" ];
    };
    testEveryPep600Name = {
      expr = manylinux.parseFormat "manylinux_2_28";
      expected = {
        family = "manylinux";
        legacy = null;
        major = 2;
        minor = 28;
        name = "manylinux_2_28";
        policy = "manylinux_2_28";
        version = "2.28";
      };
    };
    testMusl = {
      expr = (manylinux.parseFormat "musllinux_1_2").family;
      expected = "musllinux";
    };
    testNullForTheRest = {
      expr = map manylinux.parseFormat [
        null
        true
        "wheel"
        "manylinux"
        "manylinux2020"
        "manylinux_2_17_x86_64"
        "manylinux_2_017"
        "musllinux1"
      ];
      expected = [ null null null null null null null null ];
    };
  };

  isMisspeltFormat.testOnlyWhatIsMeantForUs = {
    expr = map manylinux.isMisspeltFormat [
      "manylinux2020"
      "manylinux-2-17"
      "musllinux"
      "manylinux2014"
      "wheel"
      "other"
      null
    ];
    expected = [ true true true false false false false ];
  };

  parsePlatformTag.testEachFamily = {
    expr = map manylinux.parsePlatformTag [
      "manylinux1_aarch64"
      "musllinux_1_2_ppc64le"
      "linux_armv7l"
      "any"
      "win_amd64"
      "manylinux_2_x86_64"
    ];
    expected = [
      {
        family = "manylinux";
        major = 2;
        minor = 5;
        version = "2.5";
        arch = "aarch64";
      }
      {
        family = "musllinux";
        major = 1;
        minor = 2;
        version = "1.2";
        arch = "ppc64le";
      }
      {
        family = "linux";
        arch = "armv7l";
      }
      {
        family = "any";
        arch = null;
      }
      null
      null
    ];
  };

  platformTags = {
    testGlibcCountsDownToTheFirstPolicy = {
      expr = manylinux.platformTags {
        arch = "aarch64";
        libc = "glibc";
        libcVersion = "2.19";
      };
      expected = [
        "linux_aarch64"
        "manylinux_2_19_aarch64"
        "manylinux_2_18_aarch64"
        "manylinux_2_17_aarch64"
        "manylinux2014_aarch64"
      ];
    };
    testMuslCountsDownToZero = {
      expr = manylinux.platformTags {
        arch = "x86_64";
        libc = "musl";
        libcVersion = "1.1.24";
      };
      expected = [ "linux_x86_64" "musllinux_1_1_x86_64" "musllinux_1_0_x86_64" ];
    };
    testArmv8lTakesArmv7lToo = {
      expr = builtins.elem "manylinux2014_armv7l" (
        manylinux.platformTags {
          arch = "armv8l";
          libc = "glibc";
          libcVersion = "2.31";
        }
      );
      expected = true;
    };
    testNoKnownLibc = {
      expr = manylinux.platformTags {
        arch = "arm64";
        libc = "libSystem";
        libcVersion = "0";
      };
      expected = [ "linux_arm64" ];
    };
  };

  abiTag.testByVersion = {
    expr = map (pythonVersion: manylinux.abiTag { inherit pythonVersion; }) [
      "2.7.18"
      "3.6"
      "3.7.17"
      "3.8"
      "3.13.1"
    ] ++ [
      (manylinux.abiTag {
        pythonVersion = "3.13";
        freeThreaded = true;
      })
    ];
    expected = [ "cp27mu" "cp36m" "cp37m" "cp38" "cp313" "cp313t" ];
  };

  interpreter = {
    testStableAbiOfAGilBuild = {
      expr = map (tag: builtins.elem tag python311.nativeTags) [ "cp37-abi3" "cp311-abi3" "cp312-abi3" ];
      expected = [ true true false ];
    };
    testFreeThreadedTakesNoAbi3 = {
      expr = map (tag: builtins.elem tag python313t.nativeTags) [
        "cp313-cp313t"
        "cp313-abi3t"
        "cp313-cp313"
        "cp313-abi3"
      ];
      expected = [ true true false false ];
    };
    testRefusesWhatIsNoVersion = {
      expr = (tryEval (builtins.deepSeq (manylinux.interpreter {
        pythonVersion = "3";
        arch = "x86_64";
        libcVersion = "2.36";
      }) true)).success;
      expected = false;
    };
  };

  interpreterOf = {
    testCPythonOfNixpkgs = {
      expr = removeAttrs (manylinux.interpreterOf (nixpkgsPython {
        pythonVersion = "3.12";
        pythonABITags = [ "abi3" "none" "cp312" ];
      })) [ "_places" "anyTags" "nativeTags" "platforms" ];
      expected = {
        _type = "nix-manylinux-interpreter";
        arch = "x86_64";
        freeThreaded = false;
        implementation = "cpython";
        libc = "glibc";
        libcVersion = "2.40-66";
        major = 3;
        minor = 12;
        name = "CPython 3.12";
      };
    };
    # nixpkgs lists abi3 for free-threaded builds too.
    testFreeThreadedByItsName = {
      expr =
        let
          found = manylinux.interpreterOf (nixpkgsPython {
            pythonVersion = "3.13";
            executable = "python3.13t";
            pythonABITags = [ "abi3" "none" "cp313" ];
          });
        in
        [ found.name (head found.nativeTags) ];
      expected = [ "CPython 3.13t" "cp313-cp313t" ];
    };
    testPyPy = {
      expr = head (manylinux.interpreterOf (nixpkgsPython {
        pythonVersion = "3.10";
        executable = "pypy3.10";
        implementation = "pypy";
        pythonABITags = [ "none" "pypy310_pp73" ];
      })).nativeTags;
      expected = "pp310-pypy310_pp73";
    };
    testUnameNotTheNameOfTheSystem = {
      expr = builtins.elem "manylinux2014_ppc64le" (manylinux.interpreterOf (nixpkgsPython {
        pythonVersion = "3.11";
        processor = "ppc64le";
      })).platforms;
      expected = true;
    };
  };

  # The order as a whole is held against packaging in test_lib.py.
  supportedTags.testTheBestFirst = {
    expr = head (manylinux.supportedTags onMusl);
    expected = "cp312-cp312-linux_x86_64";
  };

  policies = {
    testOldestFirst = {
      expr = (head manylinux.policies).name;
      expected = "manylinux_2_5";
    };
    testEachHasSonames = {
      expr = builtins.filter (policy: policy.sonames == [ ]) manylinux.policies;
      expected = [ ];
    };
  };

  policyFor.testTheNewestAtOrBelow = {
    expr = map (format: (manylinux.policyFor format).name) [
      "manylinux1"
      "manylinux_2_17"
      "manylinux_2_20"
      "manylinux_2_33"
      "manylinux_2_99"
      "manylinux_2_3"
      "musllinux_1_9"
    ] ++ [ (manylinux.policyFor "wheel") ];
    expected = [
      "manylinux_2_5"
      "manylinux_2_17"
      "manylinux_2_17"
      "manylinux_2_31"
      (builtins.elemAt manylinux.policies (length manylinux.policies - 3)).name
      "manylinux_2_5"
      "musllinux_1_2"
      null
    ];
  };

  manylinuxFloor.testTheOldestOfACompoundTag = {
    expr = map manylinux.manylinuxFloor [
      (wheel "cp311-cp311-manylinux_2_28_x86_64.manylinux2014_x86_64")
      (wheel "py3-none-manylinux1_x86_64.musllinux_1_1_x86_64")
      (wheel "py3-none-musllinux_1_1_x86_64")
      (wheel "py3-none-any")
      "demo.tar.gz"
    ];
    expected = [ "2.17" "2.5" null null null ];
  };

  wheelFits.testCompoundTagsNeedOneThatFits = {
    expr = map (file: manylinux.wheelFits { python = python311; inherit file; }) [
      (wheel "cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64")
      (wheel "py2.py3-none-any")
      (wheel "cp37-abi3-manylinux_2_99_x86_64.manylinux_2_28_x86_64")
      (wheel "cp311-cp311-win_amd64")
      "nonsense"
    ];
    expected = [ true true true false false ];
  };

  whyUnfit = {
    testNullWhereItFits = {
      expr = why python311 (wheel "py3-none-any");
      expected = null;
    };
    testEachReason = {
      expr = map (tags: why python311 (wheel tags)) [
        "cp38-cp38-manylinux1_x86_64"
        "cp312-abi3-manylinux1_x86_64"
        "cp311-cp311t-manylinux1_x86_64"
        "cp311-cp311-manylinux_2_38_x86_64"
        "cp311-cp311-musllinux_1_1_x86_64"
        "cp311-cp311-manylinux1_aarch64"
        "cp311-cp311-win_amd64"
        "cp37-none-manylinux1_x86_64"
      ];
      expected = [
        "it is for cp38-cp38, and this is CPython 3.11"
        "it needs the stable ABI of a Python that is newer (cp312-abi3), and this is CPython 3.11"
        "it is for free-threaded builds (cp311-cp311t), and this is CPython 3.11"
        "it needs glibc 2.38 or newer, and this platform has 2.36"
        "it is built for musl (musllinux_1_1_x86_64), and this platform's libc is glibc"
        "it is built for aarch64, and this platform is x86_64"
        "it is built for win_amd64, and this platform is Linux on x86_64"
        "it is for cp37-none, and this is CPython 3.11"
      ];
    };
    testAllReasonsAtOnce = {
      expr = why python313t (wheel "cp313-cp313-manylinux_2_41_x86_64");
      expected = "it is for builds with a GIL (cp313-cp313), and this is CPython 3.13t; it is built for x86_64, and this platform is aarch64";
    };
    testGlibcWheelOnMusl = {
      expr = why onMusl (wheel "cp312-cp312-manylinux2014_x86_64");
      expected = "it is built for glibc (manylinux2014_x86_64), and this platform's libc is musl";
    };
    testNoWheelsName = {
      expr = why python311 "demo-1.0.tar.gz";
      expected = "it is no wheel's file name (NAME-VERSION[-BUILD]-PYTHON-ABI-PLATFORM.whl)";
    };
  };

  whatFits.testTheNewestTagAndTheStableAbi = {
    expr = map manylinux.whatFits [ python311 onMusl ];
    expected = [
      "cp311-cp311, cp311-abi3, py3-none for manylinux_2_36_x86_64 or older, or for any platform"
      "cp312-cp312, cp312-abi3, py3-none for musllinux_1_2_x86_64 or older, or for any platform"
    ];
  };

  selectWheel = {
    testOwnAbiBeforeStableBeforePure = {
      expr = map (choose python311) [
        [ "py3-none-any" "cp37-abi3-manylinux1_x86_64" "cp311-cp311-manylinux1_x86_64" ]
        [ "py3-none-any" "cp37-abi3-manylinux1_x86_64" "cp39-abi3-manylinux1_x86_64" ]
        [ "py3-none-any" "py3-none-manylinux1_x86_64" ]
      ];
      expected = map wheel [
        "cp311-cp311-manylinux1_x86_64"
        "cp39-abi3-manylinux1_x86_64"
        "py3-none-manylinux1_x86_64"
      ];
    };
    testTheNewestPolicyThatFits = {
      expr = choose python311 [
        "cp311-cp311-manylinux_2_17_x86_64"
        "cp311-cp311-manylinux_2_38_x86_64"
        "cp311-cp311-manylinux_2_28_x86_64"
        "cp311-cp311-manylinux_2_5_x86_64"
      ];
      expected = wheel "cp311-cp311-manylinux_2_28_x86_64";
    };
    testBuildNumbersAreNumbers = {
      expr = manylinux.selectWheel {
        python = python311;
        files = map (build: "demo-1.0-${build}-py3-none-any.whl") [ "2" "10" "9" "10a" ];
      };
      expected = "demo-1.0-10a-py3-none-any.whl";
    };
    testNoBuildIsTheLowest = {
      expr = manylinux.selectWheel {
        python = python311;
        files = [ (wheel "py3-none-any") "demo-1.0-0-py3-none-any.whl" ];
      };
      expected = "demo-1.0-0-py3-none-any.whl";
    };
    testVersionBeforeTagsAndFinalBeforePre = {
      expr = manylinux.selectWheel {
        python = python311;
        files = map (version: "demo-${version}-py3-none-any.whl") [ "1.9" "1.10" "2.0rc1" ] ++ [
          "demo-1.9-cp311-cp311-manylinux1_x86_64.whl"
        ];
      };
      expected = "demo-1.10-py3-none-any.whl";
    };
    testPreReleasesWhereThereIsNothingElse = {
      expr = manylinux.selectWheel {
        python = python311;
        files = map (version: "demo-${version}-py3-none-any.whl") [ "2.0a10" "2.0a9" ];
      };
      expected = "demo-2.0a10-py3-none-any.whl";
    };
    testNamesThatNobodyCanReadArePassedOver = {
      expr = choose python311 [
        "cp311-cp311-manylinux_2_31_riscv64"
        "cp311-cp311-musllinux_1_2_ppc64le"
        "cp311-cp311-musllinux_1_2_armv6l"
        "py3-none-manylinux1_aarch64"
        "cp311"
        "cp311-cp311-manylinux_x_y_z"
        "py3-none-any"
      ];
      expected = wheel "py3-none-any";
    };
    testSetsComeBackWhole = {
      expr = manylinux.selectWheel {
        python = python311;
        files = [
          {
            file = wheel "cp310-cp310-manylinux1_x86_64";
            hash = "sha256-a";
          }
          {
            url = "https://example.org/${wheel "cp311-cp311-manylinux1_x86_64"}#sha256=00";
            hash = "sha256-b";
          }
          { hash = "sha256-c"; }
        ];
      };
      expected = {
        url = "https://example.org/${wheel "cp311-cp311-manylinux1_x86_64"}#sha256=00";
        hash = "sha256-b";
      };
    };
    testPlainBeforeAVariant = {
      expr = map (files: manylinux.selectWheel { python = python311; inherit files; }) [
        [ "demo-1.0-py3-none-any-cu128.whl" "demo-1.0-py3-none-any.whl" ]
        [ "demo-1.0-py3-none-any.whl" "demo-1.0-2-py3-none-any-cu128.whl" ]
        [ "demo-1.0-cp38-cp38-any.whl" "demo-1.0-py3-none-any-null.whl" ]
      ];
      expected = [
        "demo-1.0-py3-none-any.whl"
        "demo-1.0-2-py3-none-any-cu128.whl"
        "demo-1.0-py3-none-any-null.whl"
      ];
    };
    testTheFirstOfEquals = {
      expr = manylinux.selectWheel {
        python = python311;
        files = [
          "one-1.0-py3-none-any.whl"
          "two-1.0-py3-none-any.whl"
        ];
      };
      expected = "one-1.0-py3-none-any.whl";
    };
    testPyPy = {
      expr = choose pypy [ "py3-none-any" "pp310-pypy310_pp73-manylinux2014_x86_64" "cp310-cp310-manylinux2014_x86_64" ];
      expected = wheel "pp310-pypy310_pp73-manylinux2014_x86_64";
    };
    testAnInterpreterOfNixpkgs = {
      expr = choose (nixpkgsPython { pythonVersion = "3.12"; }) [ "py3-none-any" "cp312-cp312-manylinux2014_x86_64" ];
      expected = wheel "cp312-cp312-manylinux2014_x86_64";
    };
    testNullWhereNoneFits = {
      expr = choose python311 [ "cp38-cp38-manylinux1_x86_64" ];
      expected = null;
    };
  };

  describeFiles.testOneLineEach = {
    expr = manylinux.describeFiles {
      python = python311;
      files = [
        (wheel "py3-none-any")
        { file = wheel "cp38-cp38-any"; }
        "notes.txt"
      ];
    };
    expected = ''
      ${"  "}demo-1.0-py3-none-any.whl: it fits
        demo-1.0-cp38-cp38-any.whl: it is for cp38-cp38, and this is CPython 3.11
        notes.txt: it is no wheel's file name (NAME-VERSION[-BUILD]-PYTHON-ABI-PLATFORM.whl)'';
  };

  wheelCandidates = {
    testCompoundTagsOfManylinux2014 = {
      expr = candidates (demo // {
        format = "manylinux2014";
        pythonVersion = "3.11.5";
        arch = "aarch64";
      });
      expected = map wheel [
        "cp311-cp311-manylinux_2_17_aarch64.manylinux2014_aarch64"
        "cp311-cp311-manylinux2014_aarch64.manylinux_2_17_aarch64"
        "cp311-cp311-manylinux2014_aarch64"
        "cp311-cp311-manylinux2014_aarch64.manylinux_2_17_aarch64.manylinux_2_28_aarch64"
        "cp311-cp311-manylinux_2_17_aarch64.manylinux2014_aarch64.manylinux_2_28_aarch64"
        "cp311-cp311-manylinux_2_17_aarch64"
        "cp311-cp311-manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64"
      ];
    };
    testBothSpellingsOfAPolicyAskForTheSame = {
      expr = candidates (demo // {
        format = "manylinux_2_17";
        pythonVersion = "3.11";
      });
      expected = candidates (demo // {
        format = "manylinux2014";
        pythonVersion = "3.11";
      });
    };
    testOldAbisAndNames = {
      expr = head (candidates (demo // {
        pname = "scikit-learn";
        format = "manylinux1";
        pythonVersion = "3.7.4";
        build = 2;
      }));
      expected = "scikit_learn-1.0-2-cp37-cp37m-manylinux1_x86_64.whl";
    };
    testOnRequest = {
      expr = map head [
        (candidates (demo // {
          format = "manylinux_2_28";
          pythonVersion = "3.13";
          freeThreaded = true;
        }))
        (candidates (demo // {
          format = "manylinux_2_28";
          pythonVersion = "3.11";
          abi = "abi3";
        }))
        (candidates (demo // {
          format = "manylinux_2_28";
          python = "py3";
        }))
        (candidates (demo // {
          format = "manylinux_2_28";
          python = "cp37";
          abi = "abi3";
        }))
        (candidates (demo // {
          format = "manylinux_2_28";
          python = "cp36";
        }))
        (candidates (demo // {
          format = "manylinux_2_28";
          python = "py2.py3";
          platform = "manylinux_2_34_x86_64.manylinux_2_28_x86_64";
        }))
      ];
      expected = map wheel [
        "cp313-cp313t-manylinux_2_28_x86_64"
        "cp311-abi3-manylinux_2_28_x86_64"
        "py3-none-manylinux_2_28_x86_64"
        "cp37-abi3-manylinux_2_28_x86_64"
        "cp36-cp36m-manylinux_2_28_x86_64"
        "py2.py3-none-manylinux_2_34_x86_64.manylinux_2_28_x86_64"
      ];
    };
    # PEP 803: one file for both stable ABIs.
    testBothStableAbis = {
      expr = map
        (args: map (found: "${found.python}-${found.abi}") (manylinux.wheelCandidates (demo // args // {
          format = "manylinux_2_28";
          platform = "manylinux_2_28_x86_64";
          abi = "abi3";
        })))
        [
          { pythonVersion = "3.16"; }
          { python = "cp315"; }
          {
            python = "cp315";
            freeThreaded = true;
          }
          { python = "cp37"; }
        ];
      expected = [
        [
          "cp316-abi3"
          "cp316-abi3.abi3t"
          "cp315-abi3"
          "cp315-abi3.abi3t"
          "cp314-abi3"
          "cp313-abi3"
        ]
        [ "cp315-abi3" "cp315-abi3.abi3t" ]
        [ "cp315-abi3.abi3t" "cp315-abi3t" ]
        [ "cp37-abi3" ]
      ];
    };
    testAtMostADozen = {
      expr = builtins.filter (count: count > 12 || count < 1) (
        builtins.concatMap (
          format:
          map (args: length (candidates (demo // { pname = "Demo.Pkg"; inherit format; } // args))) [
            { pythonVersion = "3.11"; }
            {
              pythonVersion = "3.14";
              abi = "abi3";
            }
            { python = "py3"; }
          ]
        ) [ "manylinux1" "manylinux2010" "manylinux2014" "manylinux_2_24" "manylinux_2_28" "manylinux_2_40" "musllinux_1_1" "musllinux_1_2" ]
      );
      expected = [ ];
    };
    testSaysWhatIsMissing = {
      expr = (tryEval (candidates (demo // { format = "manylinux2014"; }))).success;
      expected = false;
    };
  };
}
