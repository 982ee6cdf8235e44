#include <Python.h>

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "demo", 0, -1, 0};

PyMODINIT_FUNC PyInit_demo(void) {
  PyObject *demo = PyModule_Create(&definition);
  PyModule_AddIntConstant(demo, "answer", 42);
  return demo;
}
