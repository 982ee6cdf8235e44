# Platform tags (PEP 425, 513, 571, 599, 600, 656) and the formats named after them.
let
  text = import ./text.nix;

  # PEP 600, "Legacy manylinux tags".
  legacy = {
    manylinux1 = 5;
    manylinux2010 = 12;
    manylinux2014 = 17;
  };
  legacyNames = builtins.listToAttrs (
    map (name: {
      name = toString legacy.${name};
      value = name;
    }) (builtins.attrNames legacy)
  );

  number = "(0|[1-9][0-9]*)";

  describe =
    family: major: minor:
    {
      inherit family major minor;
      version = "${toString major}.${toString minor}";
    };
in
rec {
  /**
    "manylinux2014" or "manylinux_2_28" or "musllinux_1_2". `version` is the
    libc's ("2.17"), `policy` the PEP 600 spelling, `legacy` the old one or
    null. Null for anything else, misspelt ones included.

    # Type

    ```
    parseFormat :: any -> null | { family, major, minor, version, name, policy, legacy }
    ```
  */
  parseFormat =
    format:
    let
      modern = builtins.match "(many|musl)linux_${number}_${number}" format;
      parsed =
        if !builtins.isString format then
          null
        else if legacy ? ${format} then
          describe "manylinux" 2 legacy.${format}
        else if modern == null then
          null
        else
          describe "${builtins.head modern}linux" (text.toInt (builtins.elemAt modern 1)) (
            text.toInt (builtins.elemAt modern 2)
          );
    in
    if parsed == null then
      null
    else
      parsed
      // {
        name = format;
        policy = "${parsed.family}_${toString parsed.major}_${toString parsed.minor}";
        legacy =
          if parsed.family == "manylinux" && parsed.major == 2 then
            legacyNames.${toString parsed.minor} or null
          else
            null;
      };

  /**
    Whether it was meant for a format of ours and is none: nixpkgs would take
    it silently and fail much later with "do not know how to unpack".

    # Type

    ```
    isMisspeltFormat :: any -> bool
    ```
  */
  isMisspeltFormat =
    format:
    builtins.isString format
    && (text.hasPrefix "manylinux" format || text.hasPrefix "musllinux" format)
    && parseFormat format == null;

  /**
    One tag, not a compound one. `family` is "manylinux", "musllinux", "linux"
    or "any"; null for other systems' tags and for what is no tag.

    # Type

    ```
    parsePlatformTag :: string -> null | { family, arch, major ?, minor ?, version ? }
    ```
  */
  parsePlatformTag =
    tag:
    let
      modern = builtins.match "((many|musl)linux_[0-9]+_[0-9]+)_(.+)" tag;
      old = builtins.match "(manylinux[0-9]+)_(.+)" tag;
      plain = builtins.match "linux_(.+)" tag;
      of =
        format: arch:
        let
          parsed = parseFormat format;
        in
        if parsed == null then
          null
        else
          {
            inherit (parsed) family major minor version;
            inherit arch;
          };
    in
    if tag == "any" then
      {
        family = "any";
        arch = null;
      }
    else if modern != null then
      of (builtins.head modern) (builtins.elemAt modern 2)
    else if old != null then
      of (builtins.head old) (builtins.elemAt old 1)
    else if plain != null then
      {
        family = "linux";
        arch = builtins.head plain;
      }
    else
      null;

  /**
    What Nix calls the machine of a platform tag ("x86_64-linux"); null for "any"
    and for what is no machine of nixpkgs with Linux.

    # Type

    ```
    systemOf :: string -> null | string
    ```
  */
  systemOf =
    tag:
    let
      parsed = parsePlatformTag tag;
      spelt = {
        armv8l = "armv7l";
        ppc64le = "powerpc64le";
        ppc64 = "powerpc64";
      };
      known = [
        "aarch64"
        "armv6l"
        "armv7l"
        "i686"
        "loongarch64"
        "powerpc64"
        "powerpc64le"
        "riscv64"
        "s390x"
        "x86_64"
      ];
      name = spelt.${parsed.arch} or parsed.arch;
    in
    if parsed == null || parsed.arch == null || !builtins.elem name known then
      null
    else
      "${name}-linux";

  /**
    All platform tags that a system takes, the best first, as
    packaging.tags.platform_tags lists them from 26.3 on. `libc` is "glibc",
    "musl" or anything else (then only linux_ARCH), `libcVersion` its "2.40".

    # Type

    ```
    platformTags :: { arch, libc, libcVersion } -> [ string ]
    ```
  */
  platformTags =
    {
      arch,
      libc,
      libcVersion,
    }:
    let
      numbers = map text.toInt (builtins.filter text.isDigits (builtins.splitVersion libcVersion));
      major = builtins.head numbers;
      minor = builtins.elemAt numbers 1;
      archs = [ arch ] ++ (if arch == "armv8l" then [ "armv7l" ] else [ ]);
      # PEP 600 tags go back to what the legacy ones stood for on that machine.
      oldest = if builtins.elem arch [ "x86_64" "i686" ] then 5 else 17;
      glibc =
        arch':
        builtins.concatMap (
          y:
          [ "manylinux_2_${toString y}_${arch'}" ]
          ++ (if legacyNames ? ${toString y} then [ "${legacyNames.${toString y}}_${arch'}" ] else [ ])
        ) (text.countDown minor oldest);
      musl =
        arch':
        map (y: "musllinux_${toString major}_${toString y}_${arch'}") (text.countDown minor 0);
    in
    map (arch': "linux_${arch'}") archs
    ++ (
      if builtins.length numbers < 2 then
        [ ]
      else if libc == "glibc" then
        builtins.concatMap glibc archs
      else if libc == "musl" then
        builtins.concatMap musl archs
      else
        [ ]
    );
}
