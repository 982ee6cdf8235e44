# torch and its CUDA wheels in small: libraries of other wheels, the driver, and
# a cycle, in one merged environment.
{ pkgs }:
let
  fixtures = import ./fixtures.nix { inherit pkgs; };
  python = pkgs.hostPython;

  # A wheel of libraries; the others are unpacked beside it, to be linked to.
  wheelOf =
    name: script:
    fixtures.makeWheel {
      inherit name;
      script = ''
        # library FILE CODE [OPTION...]: with its soname, needing whatever is named.
        library() {
          local file=$1 code=$2
          shift 2
          mkdir -p "$(dirname "$wheel/$file")"
          echo "$code" | cc -x c - -o "$wheel/$file" -Wl,-soname,"$(basename "$file")" -Wl,--no-as-needed "$@"
        }
        ${script}
      '';
    };
  tag = "py3-none-manylinux_2_17_x86_64.whl";
  # Stands for a library of another wheel while this one is linked.
  stub = soname: ''
    mkdir -p stubs
    echo | gcc -shared -nostdlib -x c - -Wl,-soname,${soname} -o stubs/${soname}
  '';

  wheels = {
    cublas = wheelOf "nvidia_cublas_cu12-12.0-${tag}" ''
      library nvidia/cublas/lib/libcublasLt.so.12 'int lt(void) { return 1; }'
      library nvidia/cublas/lib/libcublas.so.12 \
        'int lt(void); int cublas(void) { return 10 + lt(); }' \
        -L"$wheel/nvidia/cublas/lib" -l:libcublasLt.so.12 -Wl,-rpath,'$ORIGIN'
      touch "$wheel/nvidia/__init__.py" "$wheel/nvidia/cublas/__init__.py"
    '';
    # libcudnn_graph needs torch, which needs libcudnn: a cycle.
    cudnn = wheelOf "nvidia_cudnn_cu12-9.0-${tag}" ''
      ${stub "libcublas.so.12"}
      ${stub "libtorch_cuda.so"}
      library nvidia/cudnn/lib/libcudnn.so.9 \
        'int cublas(void); int cudnn(void) { return 100 + cublas(); }' \
        -Wl,--allow-shlib-undefined -Lstubs -l:libcublas.so.12 \
        -Wl,--disable-new-dtags -Wl,-rpath,'$ORIGIN/../../cublas/lib:$ORIGIN'
      library nvidia/cudnn/lib/libcudnn_graph.so.9 \
        'int torch(void); int graph(void) { return 10000 + torch(); }' \
        -Lstubs -l:libtorch_cuda.so -Wl,-rpath,'$ORIGIN/../../../torchlike/lib'
      touch "$wheel/nvidia/__init__.py" "$wheel/nvidia/cudnn/__init__.py"
    '';
    torchlike = wheelOf "torchlike-2.0-${tag}" ''
      ${stub "libcublas.so.12"}
      ${stub "libcudnn.so.9"}
      ${stub "libcuda.so.1"}
      library torchlike/lib/libtorch_cuda.so \
        'int cudnn(void); int cublas(void); int cuInit(unsigned); int torch(void) { return 1000 + cudnn() + cublas() + cuInit(0); }' \
        -Lstubs -l:libcudnn.so.9 -l:libcublas.so.12 -l:libcuda.so.1 -Wl,--disable-new-dtags \
        -Wl,-rpath,'$ORIGIN/../../nvidia/cublas/lib:$ORIGIN/../../nvidia/cudnn/lib:$ORIGIN'
      library torchlike/_C.so 'int torch(void); int answer(void) { return torch(); }' \
        -L"$wheel/torchlike/lib" -l:libtorch_cuda.so -Wl,--allow-shlib-undefined \
        -Wl,-rpath,'$ORIGIN/lib'
      # The same as in the others: installers take a file that several bring.
      mkdir -p "$wheel/nvidia" && touch "$wheel/nvidia/__init__.py"
      cat > "$wheel/torchlike/__init__.py" <<'PY'
      import ctypes, os
      answer = ctypes.CDLL(os.path.join(os.path.dirname(__file__), "_C.so"), os.RTLD_NOW).answer()
      PY
    '';
  };

  # What the host has and no package: here it has a place that can be tested.
  driver = pkgs.runCommand "cuda-driver" { } ''
    mkdir -p $out/lib
    echo 'int cuInit(unsigned flags) { return 100000; }' |
      gcc -shared -fPIC -x c - -Wl,-soname,libcuda.so.1 -o $out/lib/libcuda.so.1
  '';

  package =
    pname: version: src: attrs:
    python.pkgs.buildPythonPackage (
      {
        inherit pname version src;
        format = "manylinux2014";
      }
      // attrs
    );
  packages = {
    # Every such wheel ships nvidia/__init__.py, which nixpkgs deletes by this.
    cublas = package "nvidia-cublas-cu12" "12.0" wheels.cublas { pythonNamespaces = [ "nvidia" ]; };
    cudnn = package "nvidia-cudnn-cu12" "9.0" wheels.cudnn {
      pythonNamespaces = [ "nvidia" ];
      propagatedBuildInputs = [ packages.cublas ];
      manylinuxProvidedLater = [ "libtorch_cuda.so" ];
    };
    torchlike = package "torchlike" "2.0" wheels.torchlike {
      propagatedBuildInputs = [
        packages.cublas
        packages.cudnn
      ];
      manylinuxDriverLibs = [ "${driver}/lib" ];
      pythonNamespaces = [ "nvidia" ];
      pythonImportsCheck = [ "torchlike" ];
    };
  };
in
packages
// {
  inherit driver wheels;
  # What `withPackages` is in nixpkgs, by the tree's own function: ring two's host
  # has a simpler one, which merges nothing.
  environment = python.buildEnv.override { extraLibs = [ packages.torchlike ]; };
  # Without the wheels that it needs it is refused.
  alone = package "torchlike" "2.0" wheels.torchlike { };
}
