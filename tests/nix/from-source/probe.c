/* Without Python.h, which zig would not find beside the host's own headers. */
#include <math.h>

extern void *PyModule_Create2(void *, int);
extern int PyModule_AddIntConstant(void *, const char *, long);
extern int nest_answer(void);

static struct {
  long count;
  void *type, *init;
  long index;
  void *copy;
  const char *name, *doc;
  long size;
  void *rest[5];
} definition = {1, 0, 0, 0, 0, "probe", 0, -1};

void *PyInit_probe(void) {
  void *probe = PyModule_Create2(&definition, 1013);
  volatile double two = 2;
  PyModule_AddIntConstant(probe, "answer", nest_answer() + (long)pow(two, 3));
  return probe;
}
