// Fails the n-th file operation of a program below a folder. Preloaded by Scripts/faults.py.
//
// FAULT_ROOT  the folder whose files are watched
// FAULT_KIND  kill, torn (half a write, then kill), enospc, full (no space from then on), eio, short, eintr
// FAULT_AT    which operation, from 1; with FAULT_LOG instead, operations are only written down
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { kFiles = 4096 };
static atomic_bool watched[kFiles];
static atomic_long count;
static const char *root, *kind;
static long at;
static int log_file = -1;

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void start(void) {
  root = getenv("FAULT_ROOT");
  kind = getenv("FAULT_KIND");
  at = getenv("FAULT_AT") ? atol(getenv("FAULT_AT")) : 0;
  const char* log = getenv("FAULT_LOG");
  if (log) log_file = NEXT(open)(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  unsetenv("LD_PRELOAD");
}

static int below(int folder, const char* path) {
  if (!root || !path) return 0;
  if (path[0] != '/' && folder != AT_FDCWD) {
    return folder >= 0 && folder < kFiles && watched[folder];
  }
  return strncmp(path, root, strlen(root)) == 0;
}

static int mine(int file) { return root && file >= 0 && file < kFiles && watched[file]; }

// What happens to an operation: 0 it goes on, 1 it goes on by half, otherwise minus the error.
static int fate(const char* name, const char* path, int writes, int moves_bytes, int waits) {
  long number = atomic_fetch_add(&count, 1) + 1;
  if (log_file >= 0) dprintf(log_file, "%ld %s %s\n", number, name, path ? path : "");
  if (!kind || !at) return 0;
  if (!strcmp(kind, "full")) return number >= at && writes ? -ENOSPC : 0;
  if (number != at) return 0;
  if (!strcmp(kind, "kill")) kill(getpid(), SIGKILL);
  if (!strcmp(kind, "torn")) {
    if (moves_bytes && writes) return 2;
    kill(getpid(), SIGKILL);
  }
  if (!strcmp(kind, "enospc")) return writes ? -ENOSPC : 0;
  if (!strcmp(kind, "eio")) return -EIO;
  if (!strcmp(kind, "short")) return moves_bytes ? 1 : 0;
  if (!strcmp(kind, "eintr")) return waits ? -EINTR : 0;
  return 0;
}

#define FAIL(result)  \
  if ((result) < 0) { \
    errno = -(result); \
    return -1;        \
  }

static int opened(int folder, const char* path, int flags, mode_t mode, int watch) {
  if (watch) {
    int result = fate("open", path, (flags & O_ACCMODE) != O_RDONLY, 0, 1);
    FAIL(result);
  }
  int file = NEXT(openat)(folder, path, flags, mode);
  if (file >= 0 && file < kFiles) watched[file] = watch;
  return file;
}

#define OPEN(name)                               \
  int name(const char* path, int flags, ...) {   \
    va_list rest;                                \
    va_start(rest, flags);                       \
    mode_t mode = va_arg(rest, mode_t);          \
    va_end(rest);                                \
    return opened(AT_FDCWD, path, flags, mode, below(AT_FDCWD, path)); \
  }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                       \
  int name(int folder, const char* path, int flags, ...) { \
    va_list rest;                                          \
    va_start(rest, flags);                                 \
    mode_t mode = va_arg(rest, mode_t);                    \
    va_end(rest);                                          \
    return opened(folder, path, flags, mode, below(folder, path)); \
  }
OPENAT(openat)
OPENAT(openat64)

ssize_t write(int file, const void* bytes, size_t size) {
  if (mine(file)) {
    int result = fate("write", "", 1, size > 1, 1);
    FAIL(result);
    if (result > 0) size = size / 2;
    if (result == 2) {
      (void)!NEXT(write)(file, bytes, size);
      kill(getpid(), SIGKILL);
    }
  }
  return NEXT(write)(file, bytes, size);
}

ssize_t read(int file, void* bytes, size_t size) {
  if (mine(file)) {
    int result = fate("read", "", 0, size > 1, 1);
    FAIL(result);
    if (result > 0) size = size / 2;
  }
  return NEXT(read)(file, bytes, size);
}

int close(int file) {
  if (mine(file)) {
    int result = fate("close", "", 1, 0, 1);
    watched[file] = 0;
    if (result < 0) {
      NEXT(close)(file);
      errno = -result;
      return -1;
    }
  }
  return NEXT(close)(file);
}

int fsync(int file) {
  if (mine(file)) {
    int result = fate("fsync", "", 1, 0, 1);
    FAIL(result);
  }
  return 0;  // no power is cut here, and a disk of a test machine is slow
}

int flock(int file, int operation) {
  if (mine(file)) {
    int result = fate("flock", "", 0, 0, 1);
    FAIL(result);
  }
  return NEXT(flock)(file, operation);
}

#define MAP(name)                                                                     \
  void* name(void* address, size_t size, int rights, int flags, int file, off_t from) { \
    if (!(flags & MAP_ANONYMOUS) && mine(file)) {                                     \
      int result = fate("mmap", "", 0, 0, 0);                                         \
      if (result < 0) {                                                               \
        errno = -result;                                                              \
        return MAP_FAILED;                                                            \
      }                                                                               \
    }                                                                                 \
    return NEXT(name)(address, size, rights, flags, file, from);                      \
  }
MAP(mmap)
MAP(mmap64)

int rename(const char* old, const char* path) {
  if (below(AT_FDCWD, path) || below(AT_FDCWD, old)) {
    int result = fate("rename", path, 1, 0, 0);
    FAIL(result);
  }
  return NEXT(rename)(old, path);
}

int unlink(const char* path) {
  if (below(AT_FDCWD, path)) {
    int result = fate("unlink", path, 0, 0, 0);
    FAIL(result);
  }
  return NEXT(unlink)(path);
}

int unlinkat(int folder, const char* path, int flags) {
  if (below(folder, path)) {
    int result = fate("unlinkat", path, 0, 0, 0);
    FAIL(result);
  }
  return NEXT(unlinkat)(folder, path, flags);
}

int rmdir(const char* path) {
  if (below(AT_FDCWD, path)) {
    int result = fate("rmdir", path, 0, 0, 0);
    FAIL(result);
  }
  return NEXT(rmdir)(path);
}

int mkdir(const char* path, mode_t mode) {
  if (below(AT_FDCWD, path)) {
    int result = fate("mkdir", path, 1, 0, 0);
    FAIL(result);
  }
  return NEXT(mkdir)(path, mode);
}
