/* A disk that fails as told: preloaded into the program, it lets calls fail on files whose path holds a
 * part that the orders name. TILLSYNC_FAULT is the path of a file of orders, read at each call, one a line:
 *
 *     <call> <part of the path> <errno>        e.g. `write /state/tillsync.db 122`
 *
 * `call` is read, write (pwrite, ftruncate and fallocate, too) or sync. Without the file nothing fails. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int fails(int fd, const char *call) {
    const char *orders = getenv("TILLSYNC_FAULT");
    if (!orders) return 0;
    int before = errno;
    int file = syscall(SYS_openat, AT_FDCWD, orders, O_RDONLY | O_CLOEXEC, 0);
    if (file < 0) { errno = before; return 0; }
    char text[2048], path[4096], link[64];
    long n = syscall(SYS_read, file, text, sizeof text - 1);
    syscall(SYS_close, file);
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    long m = readlink(link, path, sizeof path - 1);
    errno = before;
    if (n <= 0 || m <= 0) return 0;
    text[n] = path[m] = 0;
    char *rest, *line = strtok_r(text, "\n", &rest);
    for (; line; line = strtok_r(NULL, "\n", &rest)) {
        char what[16], part[1024];
        int error;
        if (sscanf(line, "%15s %1023s %d", what, part, &error) == 3 && !strcmp(what, call) && strstr(path, part)) {
            errno = error;
            return 1;
        }
    }
    return 0;
}

#define WRAP(type, name, call, params, ...)                                       \
    type name params {                                                            \
        static type (*next) params;                                               \
        if (!next) next = (type (*) params) dlsym(RTLD_NEXT, #name);              \
        return fails(fd, call) ? (type) -1 : next(__VA_ARGS__);                   \
    }

WRAP(ssize_t, read, "read", (int fd, void *to, size_t n), fd, to, n)
WRAP(ssize_t, pread, "read", (int fd, void *to, size_t n, off_t at), fd, to, n, at)
WRAP(ssize_t, pread64, "read", (int fd, void *to, size_t n, off64_t at), fd, to, n, at)
WRAP(ssize_t, write, "write", (int fd, const void *from, size_t n), fd, from, n)
WRAP(ssize_t, pwrite, "write", (int fd, const void *from, size_t n, off_t at), fd, from, n, at)
WRAP(ssize_t, pwrite64, "write", (int fd, const void *from, size_t n, off64_t at), fd, from, n, at)
WRAP(int, ftruncate, "write", (int fd, off_t n), fd, n)
WRAP(int, ftruncate64, "write", (int fd, off64_t n), fd, n)
WRAP(int, fsync, "sync", (int fd), fd)
WRAP(int, fdatasync, "sync", (int fd), fd)
