/* Preloaded: counts every call that changes a file, and fails, shortens, kills or ends it at one.
 *
 * Nothing happens until fault_state() is given a block of shared memory. A call is known by
 * its name, its file and its offset if it gives one: their order is another one in every
 * run with threads, but what each of them does to one file isn't. It strikes at the call
 * that is the nth of its kind. What is random in our temporary names is written as *.
 * With `reads`, calls that read below `root` count as well. Writes to descriptors 1 and 2 are
 * talk, and are let through. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OFF, COUNT, FAIL_ONCE, KILL, FULL, SHORT, TERMINATE, DEAD, ALL_SHORT };
enum { NAMES = 1 << 20, LINE = 2 * PATH_MAX };

struct state {
  long mode, nth, code, reads;
  long seen, hits, room;
  char root[LINE], target[LINE], names[NAMES];
};
static struct state *state;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void fault_state(struct state *given) { state = given; }

/* The file's path: below the root without it, and without what is random. */
static void spell(char *line, size_t size, const char *name, int fd, const char *path, long at) {
  char whole[LINE] = "", link[64];
  if (fd != AT_FDCWD && (!path || *path != '/')) {
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, whole, PATH_MAX - 1);
    whole[length < 0 ? 0 : length] = 0;
    if (path) strcat(whole, "/");
  }
  if (path) strncat(whole, path, PATH_MAX - 1);
  const char mark[] = "nix-manylinux-";
  for (char *found = whole; (found = strstr(found, mark));) {
    found += sizeof mark - 1;
    size_t digits = strspn(found, "0123456789abcdef");
    if (digits == 16) {
      *found = '*';
      memmove(found + 1, found + digits, strlen(found + digits) + 1);
    }
  }
  size_t root = strlen(state->root);
  const char *below = root && !strncmp(whole, state->root, root) ? whole + root : whole;
  int length = snprintf(line, size, "%s %s", name, below);
  if (at >= 0) snprintf(line + length, size - length, " at %ld", at);
}

/* allocates: 1 for what a full disk refuses, -1 for what only reads. Gives -1 with errno set, 1 for half of it, 0 to go on. */
static int point_here(const char *line, int allocates) {
  size_t length = strlen(line);
  if (state->room + length + 3 >= NAMES) abort();
  char *place = state->names + state->room;
  *place = allocates > 0 ? '+' : allocates < 0 ? 'r' : ' ';
  memcpy(place + 1, line, length);
  place[length + 1] = '\n';
  state->room += length + 2;

  int here = !strcmp(line, state->target) && state->seen++ == state->nth;
  int behind = state->seen > state->nth; /* this one included */
  if (state->mode == FULL) here = behind && allocates > 0;
  if (state->mode == DEAD) here = behind;
  if (state->mode == ALL_SHORT) here = ++state->seen;
  if (!here || state->mode == COUNT) return 0;
  state->hits++;
  if (state->mode == KILL) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
  }
  if (state->mode == TERMINATE) {
    kill(getpid(), SIGTERM);
    return 0;
  }
  if (state->mode == SHORT || state->mode == ALL_SHORT) return 1;
  errno = (int)state->code;
  return -1;
}

static int point_at(const char *name, int allocates, int fd, const char *path, long at) {
  if (!state || state->mode == OFF) return 0;
  char line[LINE];
  spell(line, sizeof line, name, fd, path, at);
  pthread_mutex_lock(&lock);
  int verdict = point_here(line, allocates);
  pthread_mutex_unlock(&lock);
  return verdict;
}
static int point(const char *name, int allocates, int fd, const char *path) {
  return point_at(name, allocates, fd, path, -1);
}

static int is_below(int fd, const char *path) {
  char link[64], whole[PATH_MAX] = "";
  if (!path) {
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (readlink(link, whole, sizeof whole - 1) < 0) return 0;
    path = whole;
  }
  return !strncmp(path, state->root, strlen(state->root));
}
static int reading(const char *name, int fd, const char *path, long at) {
  if (!state || state->mode == OFF || !state->reads || !is_below(fd, path)) return 0;
  return point_at(name, -1, fd, path, at);
}

#define REAL(name) __typeof__(name) *real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)
#define SIMPLE(name, allocates, file, parameters, arguments)       \
  int name parameters {                                            \
    REAL(name);                                                    \
    return point(#name, allocates, file) < 0 ? -1 : real arguments; \
  }
#define IS_WRITE(flags) (((flags) & O_ACCMODE) != O_RDONLY || ((flags) & (O_CREAT | O_TRUNC)))
#define MODE                                 \
  mode_t mode = 0;                           \
  if (flags & (O_CREAT | O_TMPFILE)) {       \
    va_list more;                            \
    va_start(more, flags);                   \
    mode = va_arg(more, mode_t);             \
    va_end(more);                            \
  }
static int opening(int folder, const char *path, int flags) {
  if (flags & O_DIRECTORY) return 0; /* as opendir() does past us */
  if (!IS_WRITE(flags)) return reading("openat", folder, path, -1);
  if (!strcmp(path, "/dev/null")) return 0;
  return point("openat", (flags & O_CREAT) != 0, folder, path);
}
#define OPEN(name)                                                               \
  int name(const char *path, int flags, ...) {                                   \
    int (*real)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, #name); \
    MODE if (opening(AT_FDCWD, path, flags) < 0) return -1;                      \
    return real(path, flags, mode);                                              \
  }
#define OPENAT(name)                                                             \
  int name(int folder, const char *path, int flags, ...) {                       \
    int (*real)(int, const char *, int, ...) =                                   \
        (int (*)(int, const char *, int, ...))dlsym(RTLD_NEXT, #name);           \
    MODE if (opening(folder, path, flags) < 0) return -1;                        \
    return real(folder, path, flags, mode);                                      \
  }

OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

static size_t half(int verdict, size_t size) { return verdict && size > 1 ? size / 2 : size; }

ssize_t read(int fd, void *data, size_t size) {
  REAL(read);
  int verdict = reading("read", fd, NULL, -1);
  return verdict < 0 ? -1 : real(fd, data, half(verdict, size));
}
ssize_t pread64(int fd, void *data, size_t size, off64_t at) {
  REAL(pread64);
  int verdict = reading("pread64", fd, NULL, at);
  return verdict < 0 ? -1 : real(fd, data, half(verdict, size), at);
}
ssize_t pread(int fd, void *data, size_t size, off_t at) { return pread64(fd, data, size, at); }
ssize_t readv(int fd, const struct iovec *pieces, int count) {
  REAL(readv);
  int verdict = reading("readv", fd, NULL, -1);
  if (verdict < 0) return -1;
  struct iovec first = {pieces->iov_base, half(verdict, pieces->iov_len)};
  return verdict ? real(fd, &first, 1) : real(fd, pieces, count);
}

ssize_t write(int fd, const void *data, size_t size) {
  REAL(write);
  int verdict = fd == 1 || fd == 2 ? 0 : point("write", 1, fd, NULL);
  return verdict < 0 ? -1 : real(fd, data, half(verdict, size));
}

/* Over bytes that are there already no room is needed; threads may leave holes. */
static int grows(int fd, off_t end) {
  struct stat status;
  return fstat(fd, &status) == 0 &&
         (end > status.st_size || status.st_blocks * 512 < status.st_size);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
  REAL(pwrite64);
  int verdict = point_at("pwrite64", grows(fd, at + (off64_t)size), fd, NULL, at);
  return verdict < 0 ? -1 : real(fd, data, half(verdict, size), at);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
  return pwrite64(fd, data, size, at);
}
ssize_t writev(int fd, const struct iovec *pieces, int count) {
  REAL(writev);
  return fd != 1 && fd != 2 && point("writev", 1, fd, NULL) < 0 ? -1 : real(fd, pieces, count);
}
ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t size, unsigned flags) {
  REAL(copy_file_range);
  int verdict = point("copy_file_range", 1, out, NULL);
  return verdict < 0 ? -1 : real(in, from, out, to, half(verdict, size), flags);
}
ssize_t sendfile64(int out, int in, off64_t *from, size_t size) {
  ssize_t (*real)(int, int, off64_t *, size_t) =
      (ssize_t(*)(int, int, off64_t *, size_t))dlsym(RTLD_NEXT, "sendfile64");
  return point("sendfile64", 1, out, NULL) < 0 ? -1 : real(out, in, from, size);
}

/* What a call is known by: a path, a path in a folder, or an open file. */
#define IN(folder, path) folder, path
#define AT(path) AT_FDCWD, path
#define OPENED fd, NULL
SIMPLE(ftruncate64, grows(fd, size), OPENED, (int fd, off64_t size), (fd, size))
int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }
SIMPLE(truncate64, 0, AT(path), (const char *path, off64_t size), (path, size))
int truncate(const char *path, off_t size) { return truncate64(path, size); }
SIMPLE(rename, 0, AT(to), (const char *from, const char *to), (from, to))
SIMPLE(renameat, 0, IN(b, to), (int a, const char *from, int b, const char *to), (a, from, b, to))
SIMPLE(link, 1, AT(to), (const char *from, const char *to), (from, to))
SIMPLE(linkat, 1, IN(b, to), (int a, const char *from, int b, const char *to, int flags),
       (a, from, b, to, flags))
SIMPLE(symlink, 1, AT(to), (const char *from, const char *to), (from, to))
SIMPLE(symlinkat, 1, IN(b, to), (const char *from, int b, const char *to), (from, b, to))
SIMPLE(unlink, 0, AT(path), (const char *path), (path))
SIMPLE(unlinkat, 0, IN(a, path), (int a, const char *path, int flags), (a, path, flags))
SIMPLE(rmdir, 0, AT(path), (const char *path), (path))
SIMPLE(mkdir, 1, AT(path), (const char *path, mode_t mode), (path, mode))
SIMPLE(mkdirat, 1, IN(a, path), (int a, const char *path, mode_t mode), (a, path, mode))
SIMPLE(chmod, 0, AT(path), (const char *path, mode_t mode), (path, mode))
SIMPLE(fchmod, 0, OPENED, (int fd, mode_t mode), (fd, mode))
SIMPLE(fchmodat, 0, IN(a, path), (int a, const char *path, mode_t mode, int flags),
       (a, path, mode, flags))
SIMPLE(chown, 0, AT(path), (const char *path, uid_t u, gid_t g), (path, u, g))
SIMPLE(fchown, 0, OPENED, (int fd, uid_t u, gid_t g), (fd, u, g))
SIMPLE(fchownat, 0, IN(a, p), (int a, const char *p, uid_t u, gid_t g, int f), (a, p, u, g, f))
SIMPLE(utimensat, 0, IN(a, path),
       (int a, const char *path, const struct timespec times[2], int flags),
       (a, path, times, flags))
SIMPLE(futimens, 0, OPENED, (int fd, const struct timespec times[2]), (fd, times))
SIMPLE(fsync, 1, OPENED, (int fd), (fd))
SIMPLE(fdatasync, 1, OPENED, (int fd), (fd))
SIMPLE(setxattr, 1, AT(path), (const char *path, const char *n, const void *v, size_t s, int f),
       (path, n, v, s, f))
SIMPLE(lsetxattr, 1, AT(path), (const char *path, const char *n, const void *v, size_t s, int f),
       (path, n, v, s, f))
SIMPLE(fsetxattr, 1, OPENED, (int fd, const char *n, const void *v, size_t s, int f),
       (fd, n, v, s, f))
