# Wheels made on the spot, each with the one thing that a test is about.
{ pkgs }:
let
  # The compiler of the platform that the wheel is for.
  compiler = pkgs.crossCompiler or "gcc";

  # A wheel out of a script that fills the folder $wheel.
  makeWheel =
    {
      name,
      script,
      attrs ? { },
    }:
    pkgs.runCommand name attrs ''
      wheel=$PWD/wheel
      mkdir $wheel
      cc() { ${compiler} -shared -fPIC "$@"; }
      ${script}
      ${pkgs.buildPackages.hostPython.interpreter} ${./make_wheel.py} $wheel ${name} $out
    '';

  # An extension that needs libnest.so.1, called by ctypes so that any Python can.
  probe =
    {
      name ? "probe-1.0-py3-none-manylinux_2_17_x86_64.whl",
      also ? "",
    }:
    makeWheel {
      inherit name;
      script = ''
        mkdir "$wheel/probe"
        echo 'int nest_answer(void); int probe_answer(void) { return nest_answer(); }' |
          cc -x c - -o $wheel/probe/_probe.so -L${pkgs.nest}/lib -l:libnest.so.1
        cat > $wheel/probe/__init__.py <<'PY'
        import ctypes, os
        answer = ctypes.CDLL(os.path.join(os.path.dirname(__file__), "_probe.so")).probe_answer()
        PY
        ${also}
      '';
    };

  # What a build from source gives: linked to a library by its store path.
  tied =
    { nest, script }:
    makeWheel {
      name = "probe-1.0-py3-none-linux_x86_64.whl";
      script = ''
        mkdir "$wheel/probe"
        echo 'int nest_answer(void); int probe_answer(void) { return nest_answer(); }' |
          cc -x c - -o $wheel/probe/_probe.so -L${nest}/lib -l:libnest.so.1 \
            -Wl,-rpath,${nest}/lib -Wl,--build-id=none
        cat > $wheel/probe/__init__.py <<'PY'
        import ctypes, os
        answer = ctypes.CDLL(os.path.join(os.path.dirname(__file__), "_probe.so")).probe_answer()
        PY
        ${script}
      '';
    };
  # A package that is built from source, by setuptools, with a function of which
  # glibc 2.29 has a new version.
  fromSource =
    { stdenv, nest }:
    let
      python = pkgs.hostPython.pkgs;
    in
    (python.buildPythonPackage.override { inherit stdenv; }) {
      pname = "probe";
      version = "1.0";
      pyproject = true;
      src = ./from-source;
      build-system = [ python.setuptools ];
      buildInputs = [ nest ];
      # What no wrapper tells the compiler of ring one.
      env = {
        LIBRARY_PATH = "${nest}/lib";
        LD_RUN_PATH = "${nest}/lib";
      };
      pythonImportsCheck = [ "probe" ];
    };
in
{
  inherit
    makeWheel
    probe
    tied
    fromSource
    ;

  # File and folder names that a careless script would take apart.
  oddNames = probe {
    name = "odd-1.0-py3-none-manylinux_2_17_x86_64.whl";
    also = ''
      mkdir "$wheel/probe/two words" "$wheel/probe/-dash" "$wheel/probe/a*b"
      for folder in "two words" -dash "a*b"; do
        cp $wheel/probe/_probe.so "$wheel/probe/$folder/lib \$x'q.so"
      done
    '';
  };

  # Needs a library that nixpkgs has and the package doesn't list.
  needsZlib = makeWheel {
    name = "zed-1.0-py3-none-manylinux_2_17_x86_64.whl";
    script = ''
      mkdir $wheel/zed
      echo 'const char *zlibVersion(void); const char *zed(void) { return zlibVersion(); }' |
        cc -x c - -o $wheel/zed/_zed.so -l:libz.so.1
      touch $wheel/zed/__init__.py
    '';
  };

  # Needs a library that nixpkgs has and the set's Python doesn't bring by accident.
  needsX11 = makeWheel {
    name = "ex-1.0-py3-none-manylinux_2_17_x86_64.whl";
    script = ''
      mkdir $wheel/ex
      echo | gcc -shared -nostdlib -x c - -Wl,-soname,libXcursor.so.1 -o libXcursor.so.1
      echo 'int ex;' | cc -x c - -o $wheel/ex/_ex.so -Wl,--no-as-needed -L. -l:libXcursor.so.1
      touch $wheel/ex/__init__.py
    '';
  };

  # Says x86_64, and holds code for another machine.
  foreign = makeWheel {
    name = "foreign-1.0-py3-none-manylinux_2_17_x86_64.whl";
    script = ''
      mkdir $wheel/foreign
      echo 'int foreign;' | aarch64-linux-gnu-gcc -shared -fPIC -x c - -o $wheel/foreign/_foreign.so
      touch $wheel/foreign/__init__.py
    '';
  };

  # Needs a symbol version that no glibc has yet.
  tooNew = makeWheel {
    name = "new-1.0-py3-none-manylinux_2_17_x86_64.whl";
    script = ''
      mkdir $wheel/new
      echo 'GLIBC_2.99 { global: from_the_future; };' > map
      echo 'void from_the_future(void) {}' |
        gcc -shared -fPIC -nostdlib -x c - -Wl,-soname,libc.so.6 -Wl,--version-script,map -o libc.so.6
      echo 'void from_the_future(void); void call(void) { from_the_future(); }' |
        gcc -shared -fPIC -nostdlib -x c - -o $wheel/new/_new.so -L. -l:libc.so.6
      touch $wheel/new/__init__.py
    '';
  };

  # Needs the graphics driver, and loads another library by its name.
  driver = probe {
    name = "driver-1.0-py3-none-manylinux_2_17_x86_64.whl";
    also = ''
      mkdir $wheel/driver
      touch $wheel/driver/__init__.py
      echo | gcc -shared -nostdlib -x c - -Wl,-soname,libcuda.so.1 -o libcuda.so.1
      echo '
        void *dlopen(const char *, int);
        int nest_answer(void);
        int driver(void) { return dlopen("libexpat.so.1", 2) ? nest_answer() : 0; }
      ' | cc -x c - -o $wheel/driver/_driver.so -L${pkgs.nest}/lib -l:libnest.so.1 -Wl,--no-as-needed -L. -l:libcuda.so.1
    '';
  };

  # What its name says is one thing, what its WHEEL says another.
  lyingTags = makeWheel {
    name = "lying-1.0-cp36-cp36m-manylinux1_x86_64.whl";
    script = ''
      mkdir $wheel/lying
      touch $wheel/lying/__init__.py
      echo 'void *PyInit__lying(void) { return 0; }' | gcc -shared -nostdlib -x c - \
        -o $wheel/lying/_lying.cpython-36m-x86_64-linux-gnu.so
    '';
  };
}
