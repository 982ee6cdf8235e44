#include <Python.h>
#include <math.h>

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "demo", 0, -1, 0};

PyMODINIT_FUNC PyInit_demo(void) {
  volatile double base = 2;
  PyObject *demo = PyModule_Create(&definition);
  /* Of glibc 2.29 where a new glibc is linked to: no older system has that one. */
  PyModule_AddIntConstant(demo, "answer", (long)pow(base, 5) + 10);
  return demo;
}
