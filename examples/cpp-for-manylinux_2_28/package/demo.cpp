#include <Python.h>

#include <map>
#include <stdexcept>
#include <string>

// The C++ library is zig's, inside of this one: what is thrown here is caught here.
static long ask(const std::string &what) {
  static const std::map<std::string, long> known = {{"answer", 42}};
  try {
    return known.at(what);
  } catch (const std::out_of_range &) {
    return -1;
  }
}

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "demo", nullptr, -1, nullptr};

PyMODINIT_FUNC PyInit_demo(void) {
  PyObject *demo = PyModule_Create(&definition);
  PyModule_AddIntConstant(demo, "answer", ask("answer"));
  PyModule_AddIntConstant(demo, "other", ask("other"));
  return demo;
}
