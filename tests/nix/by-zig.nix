# A library and what needs it, compiled by manylinuxStdenv for the machine of the set, as a
# package with a wheel.
{
  manylinuxStdenv,
  buildPackages,
}:
let
  stdenv = manylinuxStdenv "manylinux_2_17";
  machine = stdenv.hostPlatform.uname.processor;

  nest = stdenv.mkDerivation {
    name = "nest-1";
    buildCommand = ''
      mkdir -p $out/lib
      echo 'int nest_answer(void) { return 42; }' > nest.c
      $CC -shared -fPIC nest.c -Wl,-soname,libnest.so.1 -o $out/lib/libnest.so.1
      ln -s libnest.so.1 $out/lib/libnest.so
    '';
  };
in
stdenv.mkDerivation {
  pname = "probe";
  version = "1.0";
  outputs = [
    "out"
    "dist"
  ];
  buildInputs = [ nest ];
  # `pow` is of glibc 2.29 where nothing else is asked for, on the machines that are older.
  buildCommand = ''
    mkdir -p $out $dist wheel/probe
    cat > probe.c <<'C'
    #include <math.h>
    int nest_answer(void);
    double probe_answer(double of) { return nest_answer() + pow(of, 3); }
    C
    $CC -shared -fPIC probe.c -lnest -lm -o wheel/probe/_probe.so
    cp wheel/probe/_probe.so $out/
    ${buildPackages.hostPython.interpreter} ${./make_wheel.py} wheel \
      probe-1.0-py3-none-linux_${machine}.whl $dist/probe-1.0-py3-none-linux_${machine}.whl
  '';
}
