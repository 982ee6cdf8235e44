# A nixpkgs in small, for tests that must run where no nixpkgs is at hand: real
# Nix, a stdenv that keeps what the nixpkgs manual promises to hooks, the host's
# tools and libraries. No sandbox, no download. The real one is ring two.
{
  overlays ? [ ],
  config ? { },
  # The interpreter that becomes `python3`, and its full version.
  pythonExecutable ? "/usr/bin/python3",
  pythonVersion ? "3.11.2",
  # Folder of pure Python wheels that stand in for Python packages.
  wheels ? null,
  # Whether buildPythonPackage takes a function, as newer nixpkgs does.
  functionForm ? true,
  # "aarch64" makes a set for that platform, built on this one.
  crossTo ? null,
  nativeSet ? null,
}@args:
let
  lib = import ./lib.nix;

  system = builtins.currentSystem;
  platform = processor: linker: {
    system = "${processor}-linux";
    config = "${processor}-unknown-linux-gnu";
    inherit linker;
    isLinux = true;
    isDarwin = false;
    isMusl = false;
    isGnu = true;
    is64bit = true;
    isx86_64 = processor == "x86_64";
    isAarch64 = processor == "aarch64";
    libc = "glibc";
    uname = {
      inherit processor;
      system = "Linux";
    };
    parsed.cpu.name = processor;
  };
  platforms = {
    x86_64 = platform "x86_64" "ld-linux-x86-64.so.2";
    aarch64 = platform "aarch64" "ld-linux-aarch64.so.1";
  };
  buildPlatform = platforms.${lib.head (lib.splitString "-" system)};
  hostPlatform = if crossTo == null then buildPlatform else platforms.${crossTo};
  cross = crossTo != null;

  raw =
    name: script:
    derivation {
      inherit name system;
      builder = "/bin/bash";
      # The last word is bash's own: coreutils close their output before they
      # exit, and Nix kills a builder whose output has ended.
      args = [
        "-euc"
        "${script}\n:"
      ];
      PATH = "/usr/local/bin:/usr/bin:/bin";
    };
  asPackage =
    drv:
    drv
    // {
      outputs = [ "out" ];
      outputSpecified = true;
      meta = { };
      override = _: asPackage drv;
    };

  # The first directory of the host's loader that has the library is copied from.
  copyLibraries = names: ''
    mkdir -p $out/lib
    for name in ${lib.escapeShellArgs names}; do
      for directory in ${
        if cross then "/usr/${hostPlatform.uname.processor}-linux-gnu/lib" else "/lib/*-linux-gnu /usr/lib/*-linux-gnu /lib64 /usr/lib64"
      }; do
        if [ -e $directory/$name ]; then cp -L $directory/$name $out/lib/; break; fi
      done
      ${lib.optionalString cross ''
        # The compiler for that platform brings little more than a libc.
        [ -e $out/lib/$name ] || echo | ${hostPlatform.uname.processor}-linux-gnu-gcc -shared -nostdlib -x c - -Wl,-soname,$name -o $out/lib/$name
      ''}
      [ -e $out/lib/$name ] || { echo "this machine has no $name: install it, or name another library in the test" >&2; exit 1; }
    done
  '';
  hostLibs = name: names: asPackage (raw name (copyLibraries names));

  glibc =
    hostLibs "glibc-host" (
    [
      hostPlatform.linker
      "libc.so.6"
      "libm.so.6"
      "libdl.so.2"
      "libpthread.so.0"
      "librt.so.1"
      "libutil.so.1"
      "libresolv.so.2"
      "libanl.so.1"
      "libnsl.so.1"
    ]
    # These alone have vector routines.
    ++ lib.optional (hostPlatform.isx86_64 || hostPlatform.isAarch64) "libmvec.so.1"
    )
    // {
      version = config.glibcVersion or "2.36";
    };

  hostTools = asPackage (raw "host-tools" "mkdir -p $out/bin; ln -s /usr/bin/* $out/bin/") // {
    pname = "host-tools";
    version = "0";
  };

  bintools =
    asPackage (
      raw "bintools-host" ''
        mkdir -p $out/nix-support
        echo ${glibc}/lib/${hostPlatform.linker} > $out/nix-support/dynamic-linker
        echo ${glibc} > $out/nix-support/orig-libc
        echo "export NIX_BINTOOLS=$out" > $out/nix-support/setup-hook
        ${lib.optionalString cross "echo export STRIP=${hostPlatform.uname.processor}-linux-gnu-strip >> $out/nix-support/setup-hook"}
      ''
    )
    // {
      dynamicLinker = "${glibc}/lib/${hostPlatform.linker}";
    };

  setup = asPackage (raw "stdenv-small" "mkdir -p $out; cp ${./setup.sh} $out/setup");

  base =
    final:
    let
      mkDerivation =
        argument:
        let
          rattrs = lib.toFunction argument;
          attrs = rattrs (attrs // { finalPackage = package; });
          names = attrs.outputs or [ "out" ];
          inputs = map (x: if lib.isAttrs x then lib.getDev x else x);
          structured = attrs.__structuredAttrs or false;
          env = attrs.env or { };
          cleaned = removeAttrs attrs [
            "passthru"
            "meta"
            "env"
            "pos"
          ];
          drv = derivation (
            cleaned
            // {
              name = attrs.name or "${attrs.pname}-${attrs.version}";
              inherit system;
              stdenv = setup;
              builder = "${hostTools}/bin/bash";
              args =
                attrs.args or [
                  "-e"
                  ./builder.sh
                ];
              initialPath = [ hostTools ];
              outputs = names;
              __ignoreNulls = true;
              strictDeps = attrs.strictDeps or cross;
              defaultNativeBuildInputs = [ bintools ];
              nativeBuildInputs = inputs (attrs.nativeBuildInputs or [ ]);
              buildInputs = inputs (attrs.buildInputs or [ ]);
              propagatedBuildInputs = inputs (attrs.propagatedBuildInputs or [ ]);
            }
            // (if structured then { inherit env; } else env)
          );
          extra = {
            meta = attrs.meta or { };
            passthru = attrs.passthru or { };
            inherit names;
            outputs = names;
            overrideAttrs =
              new:
              mkDerivation (
                final':
                let
                  prev = rattrs final';
                  result = lib.toFunction new;
                  given = result final';
                in
                prev // (if builtins.isFunction given then given prev else result prev)
              );
          }
          // removeAttrs cleaned [
            "outputs"
            "args"
          ]
          // {
            inherit (drv) name;
          }
          // (attrs.passthru or { });
          decorate = output: output // extra // lib.genAttrs names (name: drv.${name} // extra // { outputSpecified = true; });
          package = decorate drv;
        in
        package;

      runCommand =
        name: attrs: buildCommand:
        stdenv.mkDerivation (attrs // { inherit name buildCommand; });

      stdenv = {
        inherit mkDerivation buildPlatform hostPlatform;
        targetPlatform = hostPlatform;
        shell = "${hostTools}/bin/bash";
        isLinux = true;
        cc = {
          cc = final.gccLibs // {
            lib = final.gccLibs;
          };
          libc = glibc;
          inherit bintools;
          isGNU = true;
        };
      };

      # As nixpkgs' own: what was said, in the place of what was to be built.
      testers.testBuildFailure =
        drv:
        drv.overrideAttrs {
          args = [
            "-c"
            ''
              ${hostTools}/bin/bash -e ${./builder.sh} 2>&1 | ${hostTools}/bin/tee "$NIX_BUILD_TOP/log"
              status=''${PIPESTATUS[0]}
              [[ $status != 0 ]] || exit 1
              . "$NIX_ATTRS_SH_FILE"
              for name in "''${!outputs[@]}"; do
                ${hostTools}/bin/mkdir -p "''${outputs[$name]}"
              done
              ${hostTools}/bin/mv "$NIX_BUILD_TOP/log" "''${outputs[out]}/testBuildFailure.log"
              echo "$status" > "''${outputs[out]}/testBuildFailure.exit"
            ''
          ];
        };

      callPackage = lib.callPackageWith final;

      # Another compiler, beside all else that a stdenv brings.
      overrideCC =
        env: cc:
        env
        // {
          inherit cc;
          mkDerivation =
            argument:
            env.mkDerivation (
              finalAttrs:
              let
                attrs = lib.toFunction argument finalAttrs;
              in
              attrs // { nativeBuildInputs = attrs.nativeBuildInputs or [ ] ++ [ cc ]; }
            );
        };
    in
    {
      inherit overrideCC;
      inherit
        lib
        config
        stdenv
        runCommand
        callPackage
        testers
        hostLibs
        hostTools
        glibc
        bintools
        system
        ;
      pkgs = final;
      stdenvNoCC = stdenv;
      runCommandCC = runCommand;
      runCommandLocal = runCommand;
      bash = hostTools;
      coreutils = hostTools;
      patchelf = hostTools;
      unzip = hostTools;
      runtimeShell = "/bin/bash";
      buildPackages =
        if !cross then
          final
        else if nativeSet != null then
          nativeSet
        else
          import ./. (removeAttrs args [ "crossTo" ]);
      pythonPackagesExtensions = [ ];

      gccLibs = hostLibs "gcc-libs-host" [
        "libstdc++.so.6"
        "libgcc_s.so.1"
        "libatomic.so.1"
      ];
      zlib = hostLibs "zlib-host" [ "libz.so.1" ];
      expat = hostLibs "expat-host" [ "libexpat.so.1" ];

      writeText =
        name: text:
        runCommand name {
          inherit text;
          passAsFile = [ "text" ];
        } ''cp "$textPath" $out'';
      writeShellScriptBin =
        name: text:
        runCommand name { meta.mainProgram = name; } ''
          mkdir -p $out/bin
          printf '#!/bin/bash\n%s\n' ${lib.escapeShellArg text} > $out/bin/${name}
          chmod +x $out/bin/${name}
        '';
      symlinkJoin = { name, paths, ... }: final.buildEnv { inherit name paths; };

      # Folders become folders, files become links, and two files of one name must be
      # equal: as nixpkgs' buildEnv has it.
      buildEnv =
        {
          name,
          paths,
          postBuild ? "",
          ignoreCollisions ? false,
          ...
        }:
        runCommand name { inherit ignoreCollisions; } ''
          mkdir -p $out
          for path in ${lib.concatMapStringsSep " " toString paths}; do
            (cd $path && find -L . -type f -not -path './nix-support/*') > files
            while read -r file; do
              if [ -z "$ignoreCollisions" ] && [ -e "$out/$file" ] && ! cmp -s "$path/$file" "$out/$file"; then
                echo "error: collision between $path/$file and $(readlink -f "$out/$file")" >&2
                exit 1
              fi
            done < files
            cp -rsn $path/. $out/
            chmod -R u+w $out
          done
          ${postBuild}
        '';

      makeSetupHook =
        {
          name,
          substitutions ? { },
          propagatedBuildInputs ? [ ],
          meta ? { },
          passthru ? { },
        }:
        script:
        runCommand name
          {
            inherit propagatedBuildInputs meta passthru;
          }
          ''
            mkdir -p $out/nix-support
            expressions=(-e "")
            ${lib.concatStrings (
              lib.mapAttrsToList (key: value: ''
                expressions+=(-e "s|@${key}@|${toString value}|g")
              '') substitutions
            )}
            sed "''${expressions[@]}" ${script} > $out/nix-support/setup-hook
          '';

      fetchurl =
        lib.makeOverridable (
          {
            url ? "",
            urls ? [ url ],
            name ? baseNameOf (lib.head urls),
            # As nixpkgs' option of this name: the way to another server.
            rewriteURL ? config.rewriteURL or lib.id,
            hash ? "",
            sha256 ? "",
            ...
          }:
          stdenv.mkDerivation {
            inherit name;
            urls = map rewriteURL urls;
            outputHash = if hash != "" then hash else sha256;
            outputHashMode = "flat";
            ${if hash == "" then "outputHashAlgo" else null} = "sha256";
            buildCommand = ''
              for url in $urls; do
                if curl -fsS "$url" -o $out; then exit 0; fi
              done
              echo "cannot download $name from any of: $urls" >&2
              runHook failureHook
              exit 1
            '';
          }
        );

      hostPython = callPackage ./python.nix {
        inherit
          raw
          asPackage
          pythonExecutable
          pythonVersion
          wheels
          functionForm
          cross
          ;
      };
      python3 = final.hostPython;
      python3Packages = final.hostPython.pkgs;
      # As nixpkgs calls it by its version: python313.
      ${"python${lib.concatStrings (lib.match "([0-9]+)[.]([0-9]+).*" pythonVersion)}"} = final.hostPython;
      fetchPypi = callPackage ./fetch-pypi.nix { };
    };
in
lib.fix (
  lib.foldl' (set: overlay: lib.extends overlay set) base overlays
)
// {
  extend = overlay: import ./. (args // { overlays = overlays ++ [ overlay ]; });
}
