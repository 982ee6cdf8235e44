# buildPythonPackage and what belongs to it, as the manual describes them: the
# arguments that the tests use, and the override functions in full.
{
  lib,
  pkgs,
  stdenv,
  final,
  functionForm,
  python,
}:
let
  inherit (python) sitePackages;
  native = python.pythonOnBuildForHost;
  buildSite = name: "${native.pkgs.${name}}/${sitePackages}";

  hook = name: script: pkgs.makeSetupHook { inherit name; } (pkgs.writeText "${name}.sh" script);

  wheelUnpackHook = hook "wheel-unpack-hook" ''
    wheelUnpackPhase() {
      mkdir -p dist
      cp "$src" "dist/$(stripHash "$src")"
    }
    : "''${unpackPhase=wheelUnpackPhase}"
  '';

  backendBuildHook = hook "backend-build-hook" ''
    backendBuildPhase() {
      runHook preBuild
      ${native.interpreter} - <<'PY'
    import importlib, tomllib
    with open("pyproject.toml", "rb") as file:
        backend = tomllib.load(file)["build-system"]["build-backend"]
    print("built", importlib.import_module(backend).build_wheel("dist"))
    PY
      runHook postBuild
    }
    : "''${buildPhase=backendBuildPhase}"
  '';

  installHook = hook "install-hook" ''
    pypaInstallPhase() {
      runHook preInstall
      for wheel in dist/*.whl; do
        env PYTHONPATH=${buildSite "installer"} ${native.interpreter} -m installer --prefix "$out" "$wheel"
      done
      export PYTHONPATH="$out/${sitePackages}:''${PYTHONPATH-}"
      runHook postInstall
    }
    if [[ -z ''${dontUsePypaInstall-} ]]; then
      : "''${installPhase=pypaInstallPhase}"
    fi
  '';

  outputDistHook = hook "output-dist-hook" ''
    outputDistPhase() {
      mv dist "$dist"
    }
    appendToVar preFixupPhases outputDistPhase
  '';

  importsCheckHook = hook "imports-check-hook" ''
    importsCheckPhase() {
      local module
      cd "$out"
      for module in ''${pythonImportsCheck[@]}; do
        echo "Check whether $module can be imported"
        PYTHONPATH="$out/${sitePackages}:''${PYTHONPATH-}" ${native.interpreter} -c "import $module"
      done
    }
    if [[ -n "''${pythonImportsCheck[*]-}" ]]; then
      appendToVar preDistPhases importsCheckPhase
    fi
  '';

  namespacesHook = hook "namespaces-hook" ''
    namespacesPhase() {
      local namespace
      for namespace in ''${pythonNamespaces[@]}; do
        rm -f "$out/${sitePackages}/$namespace/__init__.py"
        rm -f "$out/${sitePackages}/$namespace"/__pycache__/__init__*
      done
    }
    if [[ -n "''${pythonNamespaces[*]-}" ]]; then
      postFixupHooks+=(namespacesPhase)
    fi
  '';

  # Scripts find their packages by themselves, and RECORD's row of them is stale.
  wrapHook = hook "wrap-python-hook" ''
    wrapPythonPrograms() {
      local script path
      path="$out/${sitePackages}"
      for package in ''${propagatedBuildInputs[@]-}; do
        path+="','$package/${sitePackages}"
      done
      for script in "$out"/bin/*; do
        if head -n 1 "$script" | grep -aq '^#!.*python'; then
          sed -i "1s|.*|#!${python.interpreter}|; 2i import sys; sys.path[0:0] = ['$path']" "$script"
          if [[ "''${makeWrapperArgs[*]-}" == *"--unset PYTHONPATH"* ]]; then
            mv "$script" "$out/bin/.''${script##*/}-wrapped"
            printf '#!/bin/bash\nunset PYTHONPATH PYTHONHOME\nexec %s "$@"\n' "$out/bin/.''${script##*/}-wrapped" > "$script"
            chmod +x "$script"
          fi
        fi
      done
    }
  '';

  hasModule = drv: drv.pythonModule or null == python;

  # What mkDerivation is given.
  derivationAttrs =
    { namePrefix, module }:
    attrs:
    let
      format =
        if attrs.pyproject or null != null then
          (if attrs.pyproject then "pyproject" else "other")
        else
          attrs.format or (throw "${attrs.pname}: format is missing");
      withDist = lib.elem format [
        "wheel"
        "pyproject"
      ];
      propagated =
        attrs.propagatedBuildInputs or [ ] ++ attrs.dependencies or [ ] ++ [ python ];
    in
    assert attrs.pyproject or null != null -> attrs.format or null == null;
    removeAttrs attrs [
      "disabled"
      "format"
      "pyproject"
      "dependencies"
      "optional-dependencies"
      "build-system"
      "doCheck"
    ]
    // {
      name = namePrefix + attrs.name or "${attrs.pname}-${attrs.version}";
      nativeBuildInputs = [
        native
        wrapHook
      ]
      ++ lib.optional (format == "wheel") wheelUnpackHook
      ++ lib.optional (format == "pyproject") backendBuildHook
      ++ lib.optional (format != "other") installHook
      ++ [ namespacesHook ]
      ++ lib.optional (pkgs.stdenv.buildPlatform == pkgs.stdenv.hostPlatform) importsCheckHook
      ++ lib.optional withDist outputDistHook
      ++ attrs.nativeBuildInputs or [ ]
      ++ attrs.build-system or [ ];
      propagatedBuildInputs = propagated;
      strictDeps = attrs.strictDeps or true;
      outputs = attrs.outputs or [ "out" ] ++ lib.optional withDist "dist";
      postFixup = "wrapPythonPrograms\n" + attrs.postFixup or "";
      meta = {
        platforms = lib.platforms.linux;
      }
      // attrs.meta or { };
      passthru = {
        disabled = attrs.disabled or false;
        dependencies = attrs.dependencies or [ ];
      }
      // lib.optionalAttrs module {
        pythonModule = python;
        requiredPythonModules = final.requiredPythonModules propagated;
      }
      // attrs.passthru or { };
    };

  build =
    kind: env: args:
    let
      drv = env.mkDerivation (
        if lib.isFunction args && functionForm then
          finalAttrs: derivationAttrs kind (args finalAttrs)
        else
          derivationAttrs kind args
      );
    in
    if drv.disabled then throw "${drv.name} not supported for interpreter ${python.executable}" else drv;

  overridable =
    f: args:
    let
      result = f args;
    in
    result
    // {
      overridePythonAttrs =
        new:
        overridable f (
          if lib.isFunction args then
            finalAttrs: args finalAttrs // lib.toFunction new (args finalAttrs)
          else
            args // lib.toFunction new args
        );
      overrideAttrs = new: overridable (args': (f args').overrideAttrs new) args;
    };

  builder =
    kind:
    let
      make = env: {
        __functor = _: overridable (build kind env);
        __functionArgs = {
          pname = true;
          version = true;
          format = true;
          pyproject = true;
        };
        override = new: make ({ stdenv = env; } // lib.toFunction new { stdenv = env; }).stdenv;
      };
    in
    make stdenv;
in
{
  inherit python pkgs lib stdenv;
  callPackage = lib.callPackageWith (pkgs // final);
  buildPythonPackage = builder {
    namePrefix = "${python.libPrefix}-";
    module = true;
  };
  buildPythonApplication = builder {
    namePrefix = "";
    module = false;
  };
  hasPythonModule = hasModule;
  requiredPythonModules =
    drvs:
    let
      modules = lib.filter hasModule drvs;
    in
    lib.unique (modules ++ lib.concatLists (lib.catAttrs "requiredPythonModules" modules));
  toPythonModule =
    drv:
    drv.overrideAttrs (old: {
      passthru = old.passthru or { } // {
        pythonModule = python;
        requiredPythonModules = final.requiredPythonModules (old.propagatedBuildInputs or [ ]);
      };
    });
  toPythonApplication =
    drv:
    drv.overrideAttrs (old: {
      passthru = old.passthru or { } // {
        pythonModule = false;
      };
    });
  inherit (pkgs) fetchPypi;
}
