# Claims about pythonManylinuxPackages, in lib.runTests form, on any package set
# that has the overlay and packages for the libraries.
{ pkgs, plain }:
let
  inherit (pkgs) lib pythonManylinuxPackages;
  manylinux = import ../../nix/lib;

  lists = lib.filterAttrs (_: lib.isList) pythonManylinuxPackages;
  outPaths = map (drv: drv.outPath);
  names = list: map (drv: drv.outPath) (lib.unique list);

  # The set as a nixpkgs of another age has it.
  listsOf =
    set:
    import ../../nix/policies.nix {
      inherit lib;
      pkgs = set;
    };
  onlyOld = removeAttrs pkgs [ "libx11" "libxext" "libxrender" "libice" "libsm" ] // {
    xorg = {
      libX11 = pkgs.libx11;
      libXext = pkgs.libxext;
      libXrender = pkgs.libxrender;
      libICE = pkgs.libice;
      libSM = pkgs.libsm;
    };
  };
  onlyNew = removeAttrs pkgs [ "xorg" ];
  aliasThatThrows = onlyOld // {
    libx11 = throw "libx11 was renamed";
  };
in
{
  testEveryPolicyAndEveryNumberBetween = {
    expr = lib.filter (policy: !(lists ? ${policy.name})) manylinux.policies;
    expected = [ ];
  };
  testNumbersWithoutAPolicyTakeTheOneBelow = {
    expr = [
      (lists.manylinux_2_20 == lists.manylinux_2_17)
      (outPaths lists.manylinux_2_33 == outPaths lists.manylinux_2_31)
    ];
    expected = [ true true ];
  };
  testNothingTwice = {
    expr = lib.filter (name: names lists.${name} != outPaths lists.${name}) (lib.attrNames lists);
    expected = [ ];
  };
  # Each by the name that this set has for it; what it lacks, or may not build, is left out.
  testWhatWheelsCommonlyWant = {
    expr =
      let
        commonOf =
          more:
          (listsOf (
            {
              inherit (pkgs) stdenv runCommand;
            }
            // more
          )).common;
        plain = pkgs.libx11;
      in
      map (set: outPaths (lib.filter (package: package != lib.getLib pkgs.stdenv.cc.cc) (commonOf set)) == [ plain.outPath ]) [
        { libx11 = plain; }
        { xorg.libX11 = plain; }
        {
          libx11 = plain;
          libdrm = throw "libdrm was renamed";
          libxt = plain // { meta.available = false; };
          libxtst = plain // { meta = throw "it is unfree"; };
        }
        { brotli = plain; }
        { brotli = { type = "derivation"; inherit (plain) outPath; lib = plain; }; }
      ];
    expected = [ true true true true true ];
  };
  testTheOldNamesAreThere = {
    expr = map (name: lists.${name} != [ ]) [ "manylinux1" "manylinux2010" "manylinux2014" ];
    expected = [ true true true ];
  };
  testTheLibcIsNoneOfThePackages = {
    expr = lib.filter (name: lib.elem (lib.getLib pkgs.stdenv.cc.libc).outPath (outPaths lists.${name})) (
      lib.filter (lib.hasInfix "linux_") (lib.attrNames lists)
    );
    expected = [ ];
  };
  testTheCompilersLibraries = {
    expr = lib.elem (lib.getLib pkgs.stdenv.cc.cc).outPath (outPaths lists.manylinux_2_28);
    expected = true;
  };
  testManylinux1HasWhatPep513Lists = {
    expr = lib.subtractLists (outPaths lists.manylinux_2_12) (outPaths lists.manylinux_2_5);
    expected = outPaths [ (lib.getLib pkgs.libxcrypt-legacy) (lib.getLib pkgs.ncurses5) ];
  };
  testMuslHasZlibAlone = {
    expr = outPaths lists.musllinux_1_2;
    expected = outPaths [ (lib.getLib pkgs.zlib) ];
  };
  testOldAndNewNamesOfTheXLibraries = {
    expr = map (set: outPaths (listsOf set).manylinux_2_28) [ onlyOld onlyNew aliasThatThrows ];
    expected = [
      (outPaths lists.manylinux_2_28)
      (outPaths lists.manylinux_2_28)
      (outPaths lists.manylinux_2_28)
    ];
  };
  # Only what is asked for is looked up.
  testOtherListsDoWithoutAMissingPackage = {
    expr = [
      (builtins.tryEval (builtins.length (listsOf (removeAttrs pkgs [ "ncurses5" "ncurses" ])).manylinux_2_28)).success
      (builtins.tryEval (outPaths (listsOf (removeAttrs pkgs [ "ncurses5" "ncurses" ])).manylinux_2_5)).success
    ];
    expected = [ true false ];
  };
}
// lib.optionalAttrs (plain ? pythonManylinuxPackages) {
  # nixpkgs' own lists, where this one's evaluate: the same packages in the same order.
  testTheOldListsAreNixpkgsOwn = {
    expr = map (name: outPaths lists.${name}) [ "manylinux1" "manylinux2010" "manylinux2014" ];
    expected = map (name: outPaths plain.pythonManylinuxPackages.${name}) [
      "manylinux1"
      "manylinux2010"
      "manylinux2014"
    ];
  };
}
