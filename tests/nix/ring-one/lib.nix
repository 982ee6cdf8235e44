# The part of nixpkgs' `lib` that nix/ and the tests use, as its manual has it.
let
  inherit (builtins)
    attrNames
    concatLists
    concatStringsSep
    elem
    elemAt
    filter
    foldl'
    functionArgs
    genList
    head
    isAttrs
    isFunction
    isString
    length
    listToAttrs
    map
    match
    replaceStrings
    split
    stringLength
    substring
    tail
    ;

  lib = rec {
    inherit (builtins)
      add
      all
      any
      attrNames
      attrValues
      catAttrs
      compareVersions
      concatLists
      concatMap
      concatStringsSep
      elem
      elemAt
      filter
      foldl'
      fromJSON
      genList
      getAttr
      groupBy
      hasAttr
      head
      intersectAttrs
      isAttrs
      isBool
      isInt
      isList
      isString
      length
      lessThan
      listToAttrs
      map
      mapAttrs
      match
      partition
      readFile
      removeAttrs
      replaceStrings
      seq
      deepSeq
      sort
      split
      stringLength
      substring
      tail
      toJSON
      tryEval
      typeOf
      unsafeDiscardStringContext
      unsafeGetAttrPos
      zipAttrsWith
      ;

    # Functions and fixed points.
    id = x: x;
    const = x: _: x;
    flip =
      f: a: b:
      f b a;
    pipe = foldl' (x: f: f x);
    fix =
      f:
      let
        x = f x;
      in
      x;
    isFunction = f: builtins.isFunction f || f ? __functor;
    functionArgs = f: if f ? __functor then f.__functionArgs or { } else builtins.functionArgs f;
    setFunctionArgs = f: args: {
      __functor = _: f;
      __functionArgs = args;
    };
    mirrorFunctionArgs = f: setFunctionArgs' (functionArgs f);
    setFunctionArgs' = args: f: setFunctionArgs f args;
    toFunction = v: if isFunction v then v else _: v;
    extends =
      overlay: f: final:
      let
        prev = f final;
      in
      prev // overlay final prev;
    composeExtensions =
      f: g: final: prev:
      let
        fApplied = f final prev;
      in
      fApplied // g final (prev // fApplied);
    composeManyExtensions = foldr composeExtensions (_: _: { });
    callPackageWith =
      scope: f: args:
      let
        function = if isFunction f then f else import f;
        found = builtins.intersectAttrs (functionArgs function) scope;
      in
      makeOverridable function (found // args);
    makeOverridable =
      f:
      mirrorFunctionArgs f (
        args:
        let
          result = f args;
          again = new: args // (if isFunction new then new args else new);
        in
        if isAttrs result then
          result // { override = new: makeOverridable f (again new); }
        else if isFunction result then
          setFunctionArgs result (functionArgs result) // { override = new: makeOverridable f (again new); }
        else
          result
      );

    # Lists.
    singleton = x: [ x ];
    optional = test: x: if test then [ x ] else [ ];
    optionals = test: xs: if test then xs else [ ];
    toList = x: if builtins.isList x then x else [ x ];
    last = xs: elemAt xs (length xs - 1);
    init = xs: genList (elemAt xs) (length xs - 1);
    take = n: xs: genList (elemAt xs) (min n (length xs));
    drop = n: xs: genList (i: elemAt xs (i + n)) (max 0 (length xs - n));
    reverseList = xs: genList (i: elemAt xs (length xs - 1 - i)) (length xs);
    range = first: final: if first > final then [ ] else genList (n: first + n) (final - first + 1);
    imap0 = f: xs: genList (i: f i (elemAt xs i)) (length xs);
    zipLists = a: b: zipListsWith (fst: snd: { inherit fst snd; }) a b;
    zipListsWith =
      f: a: b:
      genList (i: f (elemAt a i) (elemAt b i)) (min (length a) (length b));
    foldr =
      f: nul: xs:
      let
        go = n: if n == length xs then nul else f (elemAt xs n) (go (n + 1));
      in
      go 0;
    foldl = foldl';
    findFirst =
      test: default: xs:
      let
        found = filter test xs;
      in
      if found == [ ] then default else head found;
    unique = foldl' (seen: x: if elem x seen then seen else seen ++ [ x ]) [ ];
    flatten = x: if builtins.isList x then builtins.concatMap flatten x else [ x ];
    subtractLists = gone: filter (x: !elem x gone);
    intersectLists = a: filter (x: elem x a);
    remove = gone: filter (x: x != gone);
    count = test: xs: length (filter test xs);
    sortOn = f: builtins.sort (a: b: f a < f b);
    min = a: b: if a < b then a else b;
    max = a: b: if a > b then a else b;
    toInt = s: builtins.fromJSON (head (match "0*([0-9]+)" s));

    # Attribute sets.
    nameValuePair = name: value: { inherit name value; };
    optionalAttrs = test: set: if test then set else { };
    attrByPath =
      path: default: set:
      if path == [ ] then
        set
      else if isAttrs set && set ? ${head path} then
        attrByPath (tail path) default set.${head path}
      else
        default;
    hasAttrByPath = path: set: path == [ ] || (set ? ${head path} && hasAttrByPath (tail path) set.${head path});
    getAttrFromPath = path: attrByPath path (throw "no attribute ${concatStringsSep "." path}");
    setAttrByPath = path: value: if path == [ ] then value else { ${head path} = setAttrByPath (tail path) value; };
    getAttrs = names: set: genAttrs names (name: set.${name});
    genAttrs = names: f: listToAttrs (map (name: nameValuePair name (f name)) names);
    filterAttrs = test: set: listToAttrs (map (name: nameValuePair name set.${name}) (filter (name: test name set.${name}) (attrNames set)));
    mapAttrs' = f: set: listToAttrs (map (name: f name set.${name}) (attrNames set));
    mapAttrsToList = f: set: map (name: f name set.${name}) (attrNames set);
    attrsToList = mapAttrsToList nameValuePair;
    concatMapAttrs = f: set: foldl' (a: b: a // b) { } (mapAttrsToList f set);
    foldlAttrs = f: init: set: foldl' (acc: name: f acc name set.${name}) init (attrNames set);
    recurseIntoAttrs = set: set // { recurseForDerivations = true; };
    isDerivation = x: x.type or null == "derivation";

    # Text.
    optionalString = test: text: if test then text else "";
    concatStrings = concatStringsSep "";
    concatMapStrings = f: xs: concatStrings (map f xs);
    concatMapStringsSep =
      sep: f: xs:
      concatStringsSep sep (map f xs);
    concatLines = concatMapStrings (line: line + "\n");
    hasPrefix = prefix: text: substring 0 (stringLength prefix) text == prefix;
    hasSuffix =
      suffix: text:
      let
        rest = stringLength text - stringLength suffix;
      in
      rest >= 0 && substring rest (-1) text == suffix;
    hasInfix = infix: text: length (splitString infix text) > 1;
    removePrefix = prefix: text: if hasPrefix prefix text then substring (stringLength prefix) (-1) text else text;
    removeSuffix =
      suffix: text:
      if hasSuffix suffix text then substring 0 (stringLength text - stringLength suffix) text else text;
    splitString =
      sep: text:
      map builtins.unsafeDiscardStringContext (
        filter isString (split (escapeRegex sep) text)
      );
    escapeRegex = replaceStrings regexChars (map (c: "\\" + c) regexChars);
    regexChars = [ "\\" "^" "$" "." "|" "?" "*" "+" "(" ")" "[" "]" "{" "}" ];
    stringToCharacters = text: genList (i: substring i 1 text) (stringLength text);
    toLower = replaceStrings (stringToCharacters upper) (stringToCharacters lower);
    toUpper = replaceStrings (stringToCharacters lower) (stringToCharacters upper);
    upper = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    lower = "abcdefghijklmnopqrstuvwxyz";
    escapeShellArg = arg: "'${replaceStrings [ "'" ] [ "'\\''" ] (toString arg)}'";
    escapeShellArgs = concatMapStringsSep " " escapeShellArg;
    makeSearchPath = sub: xs: concatStringsSep ":" (map (x: "${x}/${sub}") (filter (x: x != null) xs));
    makeLibraryPath = xs: makeSearchPath "lib" (map getLib xs);
    makeBinPath = xs: makeSearchPath "bin" (map getBin xs);
    versionOlder = a: b: builtins.compareVersions b a == 1;
    versionAtLeast = a: b: !versionOlder a b;
    versions = rec {
      splitVersion = builtins.splitVersion;
      major = v: elemAt (splitVersion v) 0;
      minor = v: elemAt (splitVersion v) 1;
      majorMinor = v: concatStringsSep "." (take 2 (splitVersion v));
    };
    fileContents = file: removeSuffix "\n" (builtins.readFile file);
    cleanSource = src: src;
    sourceByRegex =
      src: regexes:
      builtins.path {
        path = src;
        name = "source";
        filter =
          path: _: any (regex: match regex (removePrefix "${toString src}/" (toString path)) != null) regexes;
      };

    # Errors.
    throwIf = test: message: if test then throw message else id;
    throwIfNot = test: throwIf (!test);
    assertMsg = test: message: test || throw message;
    warn = message: builtins.trace "warning: ${message}";
    warnIf = test: message: if test then warn message else id;
    addErrorContext = builtins.addErrorContext;

    # Derivations.
    getOutput = output: drv: if drv.outputSpecified or false then drv else drv.${output} or drv.out or drv;
    getLib = getOutput "lib";
    getBin = getOutput "bin";
    getDev = getOutput "dev";
    getName = x: if isString x then (builtins.parseDrvName x).name else x.pname or (builtins.parseDrvName x.name).name;
    getVersion = x: if isString x then (builtins.parseDrvName x).version else x.version or (builtins.parseDrvName x.name).version;
    getExe = drv: getExe' drv (drv.meta.mainProgram or (getName drv));
    getExe' = drv: name: "${getBin drv}/bin/${name}";

    licenses = genAttrs [ "mit" "bsd3" "asl20" "unfree" ] (name: { shortName = name; });
    platforms = {
      linux = [ "x86_64-linux" "aarch64-linux" ];
      all = [ ];
    };
    sourceTypes = genAttrs [ "binaryNativeCode" "fromSource" ] (shortName: { inherit shortName; });
    maintainers = { };
    systems.elaborate = x: x;

    # runTests: the tests whose `expr` isn't `expected`.
    runTests =
      tests:
      concatLists (
        mapAttrsToList (
          name: test:
          if test.expr == test.expected then
            [ ]
          else
            [
              {
                inherit name;
                inherit (test) expected;
                result = test.expr;
              }
            ]
        ) (filterAttrs (name: _: hasPrefix "test" name) tests)
      );
  };
in
lib
