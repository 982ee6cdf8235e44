# Claims about fetchPypi, in lib.runTests form, on any package set that has the
# overlay; `plain` is the same set without.
{ pkgs, plain }:
let
  inherit (pkgs) lib fetchPypi;

  hash = "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE=";
  demo = {
    pname = "demo-pkg";
    version = "1.0";
    inherit hash;
  };

  # All that nixpkgs' own function takes.
  otherUses = [
    { }
    { extension = "zip"; }
    { format = "setuptools"; }
    { format = "wheel"; }
    {
      format = "wheel";
      python = "py3";
      dist = "py3";
    }
    {
      format = "wheel";
      python = "cp311";
      dist = "cp311";
      abi = "cp311";
      platform = "manylinux2014_x86_64";
    }
  ];

  # Wheels as nixpkgs' expressions ask for them.
  stockWheels = [
    {
      python = "py3";
      dist = "py3";
      platform = "manylinux_2_17_${arch}.manylinux2014_${arch}";
    }
    {
      python = "cp37.cp38";
      dist = "cp37";
      abi = "abi3";
      platform = "manylinux2014_${arch}";
    }
    {
      python = "py2.py3";
      platform = "manylinux2014_${arch}";
    }
    {
      python = "cp311";
      dist = "cp311";
      abi = "cp311";
      platform = "manylinux2014_${arch}";
    }
  ];

  files = drv: map baseNameOf drv.urls;
  # "packages/cp311/d/demo_pkg/": the path without the index's host.
  folder = drv: lib.concatStringsSep "/" (lib.drop 3 (lib.init (lib.splitString "/" (lib.head drv.urls))));

  arch = pkgs.stdenv.hostPlatform.uname.processor;
  guess = fetchPypi (
    demo
    // {
      format = "manylinux2014";
      pythonVersion = "3.11.5";
    }
  );
  list = map (tags: {
    file = "demo_pkg-1.0-${tags}.whl";
    inherit hash;
  }) [
    "py3-none-any"
    "cp310-cp310-manylinux2014_${arch}"
    "cp311-cp311-manylinux2014_${arch}"
    "cp311-cp311-manylinux_2_99_${arch}"
    "cp313-cp313t-manylinux2014_${arch}"
    "cp311-cp311-win_amd64"
  ];
  chosen = args: (fetchPypi ({ files = list; } // args)).name;

  # A fetchurl of one's own, as a mirror or a netrc would be added.
  marked = args: pkgs.fetchurl args // { isMarked = true; };
in
{
  testOtherUsesAreUntouched = {
    expr = map (args: (fetchPypi (demo // args)).drvPath) otherUses;
    expected = map (args: (plain.fetchPypi (demo // args)).drvPath) otherUses;
  };
  testSha256IsUntouchedToo = {
    expr = (fetchPypi { pname = "demo"; version = "1"; sha256 = lib.concatStrings (lib.genList (_: "0") 52); }).drvPath;
    expected = (plain.fetchPypi { pname = "demo"; version = "1"; sha256 = lib.concatStrings (lib.genList (_: "0") 52); }).drvPath;
  };
  # A call of nixpkgs' own, in which the format alone is changed: the same file is asked for first.
  testOneWordIsEnough = {
    expr = map (
      args: lib.head (fetchPypi (demo // args // { pname = "demo"; format = "manylinux2014"; })).urls
    ) stockWheels;
    expected = map (
      args: lib.head (plain.fetchPypi (demo // args // { pname = "demo"; format = "wheel"; })).urls
    ) stockWheels;
  };
  testFunctionArgsAreKept = {
    expr = lib.functionArgs fetchPypi;
    expected = lib.functionArgs plain.fetchPypi;
  };
  testTheSeedsCall = {
    expr = [
      guess.name
      (folder guess)
      (files guess == guess.candidates)
      (lib.head guess.candidates == guess.name)
    ];
    expected = [
      "demo_pkg-1.0-cp311-cp311-manylinux_2_17_${arch}.manylinux2014_${arch}.whl"
      "packages/cp311/d/demo_pkg"
      true
      true
    ];
  };
  testOneOutputForAllCandidates = {
    expr = guess.outputHash == (plain.fetchPypi demo).outputHash && guess.outPath != "";
    expected = true;
  };
  testOverrideOfTheResult = {
    expr = [
      (guess.override { pythonVersion = "3.7"; }).name
      (guess.override (old: { version = "${old.version}.1"; })).name
    ];
    expected = [
      "demo_pkg-1.0-cp37-cp37m-manylinux_2_17_${arch}.manylinux2014_${arch}.whl"
      "demo_pkg-1.0.1-cp311-cp311-manylinux_2_17_${arch}.manylinux2014_${arch}.whl"
    ];
  };
  testPlainResultsBecomeWheels = {
    expr = ((fetchPypi demo).override {
      format = "manylinux2014";
      pythonVersion = "3.11.5";
    }).drvPath;
    expected = guess.drvPath;
  };
  testOverrideOfTheFunction = {
    expr =
      let
        own = fetchPypi.override { fetchurl = marked; };
      in
      [
        (own demo).isMarked
        (own (demo // { format = "manylinux2014"; pythonVersion = "3.11"; })).candidates
      ];
    expected = [
      true
      guess.candidates
    ];
  };
  testByFile = {
    expr =
      let
        drv = fetchPypi {
          file = "triton-3.0.0-1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl";
          inherit hash;
        };
      in
      [
        drv.name
        (folder drv)
        (files drv)
      ];
    expected = [
      "triton-3.0.0-1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"
      "packages/cp311/t/triton"
      [ "triton-3.0.0-1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl" ]
    ];
  };
  # What a caller has anyway may be inherited.
  testFileBesideTheUsualArguments = {
    expr = (fetchPypi (demo // {
      format = "manylinux2014";
      pythonVersion = "3.11";
      file = guess.name;
    })).urls;
    expected = [ (lib.head guess.urls) ];
  };
  # PEP 825: the label is asked for, too, behind what nixpkgs takes for the platform.
  testFileOfAVariant = {
    expr = map (file: files (fetchPypi { inherit file hash; })) [
      "demo_pkg-1.0-py3-none-manylinux2014_x86_64-cu12.8.whl"
      "demo_pkg-1.0-1b-py3-none-manylinux2014_x86_64-null.whl"
    ];
    expected = [
      [ "demo_pkg-1.0-py3-none-manylinux2014_x86_64-cu12.8.whl" ]
      [ "demo_pkg-1.0-1b-py3-none-manylinux2014_x86_64-null.whl" ]
    ];
  };
  testByUrl = {
    expr =
      let
        drv = fetchPypi {
          url = "https://mirror.invalid/a/b/torch-2.13.0%2Bcpu-cp311-cp311-linux_x86_64.whl#sha256=0";
          inherit hash;
        };
      in
      [
        drv.name
        (files drv)
      ];
    expected = [
      "torch-2.13.0+cpu-cp311-cp311-linux_x86_64.whl"
      [ "torch-2.13.0%2Bcpu-cp311-cp311-linux_x86_64.whl#sha256=0" ]
    ];
  };
  testByList = {
    expr = [
      (chosen { pythonVersion = "3.11.5"; })
      (chosen { pythonVersion = "3.10"; })
      (chosen { pythonVersion = "3.12"; })
      (chosen {
        pythonVersion = "3.13";
        freeThreaded = true;
      })
    ];
    expected = [
      "demo_pkg-1.0-cp311-cp311-manylinux2014_${arch}.whl"
      "demo_pkg-1.0-cp310-cp310-manylinux2014_${arch}.whl"
      "demo_pkg-1.0-py3-none-any.whl"
      "demo_pkg-1.0-cp313-cp313t-manylinux2014_${arch}.whl"
    ];
  };
  testByListOfUrls = {
    expr = (fetchPypi {
      pythonVersion = "3.11";
      files = [
        {
          url = "https://mirror.invalid/demo-1.0-py3-none-any.whl";
          inherit hash;
        }
      ];
    }).urls;
    expected = (pkgs.fetchurl { url = "https://mirror.invalid/demo-1.0-py3-none-any.whl"; inherit hash; }).urls;
  };
  # "!" and the like may be in a file name and not in a store path.
  testStoreNames = {
    expr = (fetchPypi (demo // {
      version = "1!2.0";
      format = "manylinux2014";
      pythonVersion = "3.11";
    })).name;
    expected = "demo_pkg-1-2.0-cp311-cp311-manylinux_2_17_${arch}.manylinux2014_${arch}.whl";
  };
}
