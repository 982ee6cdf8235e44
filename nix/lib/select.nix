# Which wheel an installer would take, and why it would not take another.
let
  text = import ./text.nix;
  inherit (import ./wheel-name.nix) parseWheelName;
  inherit (import ./platform.nix) parsePlatformTag;
  inherit (import ./interpreter.nix) interpreterOf;
  inherit (import ./version.nix) compareVersions isPrerelease;

  toInterpreter =
    python:
    if python._type or null == "nix-manylinux-interpreter" then python else interpreterOf python;

  # A file as selectWheel takes it: a name, a path, or a set with one of these.
  fileOf = item: if builtins.isAttrs item then item.file or item.url or item.name or "" else item;
  parseItem =
    item:
    let
      file = fileOf item;
    in
    if builtins.isString file || builtins.isPath file || builtins.isAttrs file then
      parseWheelName file
    else
      null;

  minimum = builtins.foldl' (
    least: x: if x == null || (least != null && least <= x) then least else x
  ) null;

  # The place of the wheel's best tag among the supported ones, null where none is.
  rank =
    interpreter:
    let
      inherit (interpreter._places) native any platforms;
      width = builtins.length interpreter.platforms;
      below = width * builtins.length interpreter.nativeTags;
      place =
        pair: platform:
        if platform == "any" then
          if any ? ${pair} then below + any.${pair} else null
        else if native ? ${pair} && platforms ? ${platform} then
          native.${pair} * width + platforms.${platform}
        else
          null;
    in
    wheel: minimum (map (tag: place tag.pair tag.platform) (tagsOf wheel));

  pairsOf =
    wheel: builtins.concatMap (python: map (abi: "${python}-${abi}") wheel.abis) wheel.pythons;
  tagsOf =
    wheel:
    builtins.concatMap (pair: map (platform: { inherit pair platform; }) wheel.platforms) (
      pairsOf wheel
    );

  join = builtins.concatStringsSep;

  # One sentence on the platform tags, or null where one of them fits.
  platformReason =
    interpreter: wheel:
    let
      parsed = builtins.filter (tag: tag != null) (map parsePlatformTag wheel.platforms);
      sameArch = builtins.filter (tag: tag.arch == interpreter.arch) parsed;
      family = if interpreter.libc == "musl" then "musllinux" else "manylinux";
      sameLibc = builtins.filter (tag: tag.family == family) sameArch;
      least = builtins.head (
        builtins.sort (
          a: b: text.compareLists [ a.major a.minor ] [ b.major b.minor ] < 0
        ) sameLibc
      );
      numbers = builtins.filter text.isDigits (builtins.splitVersion interpreter.libcVersion);
      have = join "." (text.take 2 numbers);
      tags = join "." wheel.platforms;
    in
    if builtins.any (tag: tag == "any" || builtins.elem tag interpreter.platforms) wheel.platforms then
      null
    else if parsed == [ ] then
      "it is built for ${tags}, and this platform is Linux on ${interpreter.arch}"
    else if sameArch == [ ] then
      "it is built for ${join ", " (text.unique (map (tag: tag.arch) parsed))}, and this platform is ${interpreter.arch}"
    else if sameLibc == [ ] then
      "it is built for ${
        if family == "musllinux" then "glibc" else "musl"
      } (${tags}), and this platform's libc is ${interpreter.libc}"
    else if builtins.length numbers < 2 then
      "it needs ${interpreter.libc} ${least.version} or newer, and this platform's libc has no known version"
    else if
      text.compareLists [ least.major least.minor ] (map text.toInt (text.take 2 numbers)) > 0
    then
      "it needs ${interpreter.libc} ${least.version} or newer, and this platform has ${have}"
    else
      "no installer takes ${tags} on ${interpreter.arch}";

  # Likewise on the python and abi tags.
  pythonReason =
    interpreter: wheel:
    let
      pairs = pairsOf wheel;
      isAny = builtins.elem "any" wheel.platforms;
      known = interpreter.nativeTags ++ (if isAny then interpreter.anyTags else [ ]);
      threaded = abi: builtins.match "(cp[0-9]+|abi3)t" abi != null;
      stable = builtins.any (abi: abi == "abi3" || abi == "abi3t") wheel.abis;
      given = "${join "." wheel.pythons}-${join "." wheel.abis}";
    in
    if builtins.any (pair: builtins.elem pair known) pairs then
      null
    else if interpreter.freeThreaded && !builtins.any threaded wheel.abis then
      "it is for builds with a GIL (${given}), and this is ${interpreter.name}"
    else if !interpreter.freeThreaded && builtins.all threaded wheel.abis then
      "it is for free-threaded builds (${given}), and this is ${interpreter.name}"
    else if stable then
      "it needs the stable ABI of a Python that is newer (${given}), and this is ${interpreter.name}"
    else
      "it is for ${given}, and this is ${interpreter.name}";
in
rec {
  /**
    The oldest glibc ("2.17") that any of the wheel's platform tags allows;
    null for wheels with no manylinux tag and for what is no wheel's name.

    # Type

    ```
    manylinuxFloor :: file -> null | string
    ```
  */
  manylinuxFloor =
    file:
    let
      wheel = parseWheelName file;
      tags = builtins.filter (tag: tag != null && tag.family == "manylinux") (
        map parsePlatformTag (if wheel == null then [ ] else wheel.platforms)
      );
      sorted = builtins.sort (
        a: b: text.compareLists [ a.major a.minor ] [ b.major b.minor ] < 0
      ) tags;
    in
    if tags == [ ] then null else (builtins.head sorted).version;

  /**
    Whether an installer would take it. False for what is no wheel's name.

    # Type

    ```
    wheelFits :: { python, file } -> bool
    ```
  */
  wheelFits =
    { python, file }:
    let
      wheel = parseWheelName file;
    in
    wheel != null && rank (toInterpreter python) wheel != null;

  /**
    Why an installer would refuse it: a sentence without a full stop, of all
    reasons that hold. Null where it fits.

    # Type

    ```
    whyUnfit :: { python, file } -> null | string
    ```
  */
  whyUnfit =
    {
      python,
      file,
      # What the name says, where the caller has read it.
      wheel ? parseWheelName file,
    }:
    let
      interpreter = toInterpreter python;
      reasons = builtins.filter (reason: reason != null) [
        (pythonReason interpreter wheel)
        (platformReason interpreter wheel)
      ];
    in
    if wheel == null then
      "it is no wheel's file name (NAME-VERSION[-BUILD]-PYTHON-ABI-PLATFORM.whl)"
    else if rank interpreter wheel != null then
      null
    else if reasons == [ ] then
      "none of its tags is one that ${interpreter.name} takes here"
    else
      join "; " reasons;

  /**
    The tags that would do, for the end of an error message.

    # Type

    ```
    whatFits :: python -> string
    ```
  */
  whatFits =
    python:
    let
      interpreter = toInterpreter python;
      newest = builtins.filter (tag: builtins.match "(many|musl)linux_.*" tag != null) interpreter.platforms;
      pairs =
        text.take 2 interpreter.nativeTags
        ++ [ (if interpreter.major == 2 then "py2-none" else "py3-none") ];
    in
    "${join ", " pairs} for "
    + (
      if newest == [ ] then
        "any platform"
      else
        "${builtins.head newest} or older, or for any platform"
    );

  /**
    What pip would install: the newest version (final releases before
    pre-releases), then the best tag, then the highest build number, then one
    without a variant label (PEP 825), which says less than it needs, then the
    first in the list. `files` are names, paths, URLs or sets with `file`,
    `url` or `name`; those that are no wheel's name are passed over. Null
    where none fits.

    # Type

    ```
    selectWheel :: { python, files } -> null | one of files
    ```
  */
  selectWheel =
    { python, files }:
    let
      rankOf = rank (toInterpreter python);
      ranked = builtins.filter (x: x.wheel != null && x.rank != null) (
        map (item: rec {
          inherit item;
          wheel = parseItem item;
          rank = if wheel == null then null else rankOf wheel;
        }) files
      );
      final = builtins.filter (x: !isPrerelease x.wheel.version) ranked;
      build = x: if x.wheel.build == null then [ ] else [ x.wheel.build.number x.wheel.build.suffix ];
      better =
        a: b:
        let
          byVersion = compareVersions a.wheel.version b.wheel.version;
        in
        if byVersion != 0 then
          byVersion > 0
        else if a.rank != b.rank then
          a.rank < b.rank
        else if build a != build b then
          text.compareLists (build a) (build b) > 0
        else
          b.wheel ? variant && !(a.wheel ? variant);
      best = builtins.foldl' (
        chosen: x: if chosen == null || better x chosen then x else chosen
      ) null (if final == [ ] then ranked else final);
    in
    if best == null then null else best.item;

  /**
    One line for each file, with what keeps it from being taken.

    # Type

    ```
    describeFiles :: { python, files } -> string
    ```
  */
  describeFiles =
    { python, files }:
    let
      nameOf =
        item:
        let
          file = fileOf item;
          wheel = parseItem item;
        in
        if wheel != null then
          wheel.file
        else if builtins.isString file then
          file
        else
          "(no file name)";
      reasonOf =
        item:
        let
          reason = whyUnfit {
            inherit python;
            file = nameOf item;
          };
        in
        if reason == null then "it fits" else reason;
    in
    join "\n" (map (item: "  ${nameOf item}: ${reasonOf item}") files);
}
