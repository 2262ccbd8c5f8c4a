/*
 * The functions of libc that stand in front of the real ones. Each asks the rules first, then makes the call under the
 * vault's lock where the vault keeps record, then leaves a line in the trace.
 */
#define _GNU_SOURCE
#define _LARGEFILE64_SOURCE
#include "shim.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

void fail(const char *format, ...) {
    char text[512] = "fault shim: ";
    va_list values;
    va_start(values, format);
    vsnprintf(text + 12, sizeof text - 14, format, values);
    va_end(values);
    strcat(text, "\n");
    syscall(SYS_write, 2, text, strlen(text));
    abort();
}

void *real_function(_Atomic(void *) *cache, const char *name) {
    void *found = atomic_load_explicit(cache, memory_order_relaxed);
    if (!found) {
        found = dlsym(RTLD_NEXT, name);
        if (!found) fail("libc has no %s", name);
        atomic_store_explicit(cache, found, memory_order_relaxed);
    }
    return found;
}

__attribute__((constructor)) static void start(void) {
    paths_start();
    rules_start();
    trace_start();
    vault_start();
}

/* A call that a rule made fail. */
static int refused(const char *word, const struct name *name, const struct name *other, int error) {
    trace_call(word, name, other, error, true);
    errno = error;
    return -1;
}

/* A call that was made. */
static void made(const char *word, const struct name *name, const struct name *other, bool failed, struct verdict verdict) {
    trace_call(word, name, other, failed ? errno : 0, false);
    if (verdict.kill_after) rules_kill();
}

/* -- opening and closing ------------------------------------------------------------------------------------------- */

static int open_file(int dir, const char *path, int flags, mode_t mode) {
    const struct name *name = (flags & O_TMPFILE) == O_TMPFILE ? NULL : paths_name(dir, path);
    if (!name) {
        int fd = REAL(openat)(dir, path, flags, mode);
        paths_set(fd, NULL);
        return fd;
    }
    const char *word = flags & O_CREAT ? "create" : "open";
    struct verdict verdict = rules_judge(flags & O_CREAT ? OP_CREATE : OP_OPEN, name, NULL);
    if (verdict.error) return refused(word, name, NULL, verdict.error);
    struct opening opening = vault_begin_open(name, flags);
    int fd = REAL(openat)(dir, path, flags, mode);
    paths_set(fd, name);
    vault_end_open(opening, name, fd);
    made(word, name, NULL, fd < 0, verdict);
    return fd;
}

#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & O_CREAT || ((flags) & O_TMPFILE) == O_TMPFILE) { \
        va_list more; \
        va_start(more, flags); \
        mode = va_arg(more, mode_t); \
        va_end(more); \
    }

EXPORT int open(const char *path, int flags, ...) {
    MODE(flags)
    return open_file(AT_FDCWD, path, flags, mode);
}

EXPORT int open64(const char *path, int flags, ...) {
    MODE(flags)
    return open_file(AT_FDCWD, path, flags | O_LARGEFILE, mode);
}

EXPORT int openat(int dir, const char *path, int flags, ...) {
    MODE(flags)
    return open_file(dir, path, flags, mode);
}

EXPORT int openat64(int dir, const char *path, int flags, ...) {
    MODE(flags)
    return open_file(dir, path, flags | O_LARGEFILE, mode);
}

EXPORT int creat(const char *path, mode_t mode) { return open_file(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
EXPORT int creat64(const char *path, mode_t mode) { return creat(path, mode); }

EXPORT int close(int fd) {
    paths_set(fd, NULL);
    return REAL(close)(fd);
}

static int copied(int from, int to) {
    if (to >= 0) paths_set(to, paths_of(from));
    return to;
}

EXPORT int dup(int fd) { return copied(fd, REAL(dup)(fd)); }
EXPORT int dup2(int fd, int to) { return copied(fd, REAL(dup2)(fd, to)); }
EXPORT int dup3(int fd, int to, int flags) { return copied(fd, REAL(dup3)(fd, to, flags)); }

static int control(int fd, int command, void *argument) {
    int result = REAL(fcntl)(fd, command, argument);
    return command == F_DUPFD || command == F_DUPFD_CLOEXEC ? copied(fd, result) : result;
}

/* Whatever kind the argument is of, it was passed as one word. */
#define ARGUMENT(last) \
    va_list more; \
    va_start(more, last); \
    void *argument = va_arg(more, void *); \
    va_end(more);

EXPORT int fcntl(int fd, int command, ...) {
    ARGUMENT(command)
    return control(fd, command, argument);
}

EXPORT int fcntl64(int fd, int command, ...) {
    ARGUMENT(command)
    return control(fd, command, argument);
}

/* -- reading and writing ------------------------------------------------------------------------------------------- */

static bool may_read(int fd) {
    const struct name *name = paths_of(fd);
    if (!name) return true;
    struct verdict verdict = rules_judge(OP_READ, name, NULL);
    errno = verdict.error ? verdict.error : errno;
    return !verdict.error;
}

#define READ(function, fd, ...) return may_read(fd) ? REAL(function)(fd, __VA_ARGS__) : -1

EXPORT ssize_t read(int fd, void *to, size_t bytes) { READ(read, fd, to, bytes); }
EXPORT ssize_t pread(int fd, void *to, size_t bytes, off_t at) { READ(pread, fd, to, bytes, at); }
EXPORT ssize_t pread64(int fd, void *to, size_t bytes, off64_t at) { READ(pread64, fd, to, bytes, at); }
EXPORT ssize_t readv(int fd, const struct iovec *parts, int count) { READ(readv, fd, parts, count); }
EXPORT ssize_t preadv(int fd, const struct iovec *parts, int count, off_t at) { READ(preadv, fd, parts, count, at); }
EXPORT ssize_t preadv64(int fd, const struct iovec *parts, int count, off64_t at) { READ(preadv64, fd, parts, count, at); }

/* Makes a call that changes the content of `fd`; `word` says which in the trace. */
#define CHANGE(word, type, fd, call) \
    const struct name *name = paths_of(fd); \
    if (!name) return call; \
    struct verdict verdict = rules_judge(OP_WRITE, name, NULL); \
    if (verdict.error) return refused(word, name, NULL, verdict.error); \
    bool locked = vault_begin_write(name, fd); \
    type result = call; \
    vault_end(locked, false, result >= 0); \
    made(word, name, NULL, result < 0, verdict); \
    return result

EXPORT ssize_t write(int fd, const void *from, size_t bytes) { CHANGE("write", ssize_t, fd, REAL(write)(fd, from, bytes)); }
EXPORT ssize_t pwrite(int fd, const void *from, size_t bytes, off_t at) {
    CHANGE("write", ssize_t, fd, REAL(pwrite)(fd, from, bytes, at));
}
EXPORT ssize_t pwrite64(int fd, const void *from, size_t bytes, off64_t at) {
    CHANGE("write", ssize_t, fd, REAL(pwrite64)(fd, from, bytes, at));
}
EXPORT ssize_t writev(int fd, const struct iovec *parts, int count) {
    CHANGE("write", ssize_t, fd, REAL(writev)(fd, parts, count));
}
EXPORT ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) {
    CHANGE("write", ssize_t, fd, REAL(pwritev)(fd, parts, count, at));
}
EXPORT ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at) {
    CHANGE("write", ssize_t, fd, REAL(pwritev64)(fd, parts, count, at));
}
EXPORT int ftruncate(int fd, off_t length) { CHANGE("truncate", int, fd, REAL(ftruncate)(fd, length)); }
EXPORT int ftruncate64(int fd, off64_t length) { CHANGE("truncate", int, fd, REAL(ftruncate64)(fd, length)); }

EXPORT ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t bytes, unsigned flags) {
    if (!may_read(in)) return -1;
    CHANGE("write", ssize_t, out, REAL(copy_file_range)(in, from, out, to, bytes, flags));
}
EXPORT ssize_t sendfile(int out, int in, off_t *from, size_t bytes) {
    if (!may_read(in)) return -1;
    CHANGE("write", ssize_t, out, REAL(sendfile)(out, in, from, bytes));
}
EXPORT ssize_t sendfile64(int out, int in, off64_t *from, size_t bytes) {
    if (!may_read(in)) return -1;
    CHANGE("write", ssize_t, out, REAL(sendfile64)(out, in, from, bytes));
}
EXPORT ssize_t splice(int in, off64_t *from, int out, off64_t *to, size_t bytes, unsigned flags) {
    if (!may_read(in)) return -1;
    CHANGE("write", ssize_t, out, REAL(splice)(in, from, out, to, bytes, flags));
}

/* -- syncing ------------------------------------------------------------------------------------------------------- */

static int sync_file(const char *word, int fd, int (*real)(int)) {
    const struct name *name = paths_of(fd);
    if (!name) return real(fd);
    struct verdict verdict = rules_judge(OP_FSYNC, name, NULL);
    if (verdict.error) {
        vault_sync_failed(name, fd);
        return refused(word, name, NULL, verdict.error);
    }
    if (verdict.skip) {
        trace_call(word, name, NULL, 0, true);
        return 0;
    }
    int result = 0;
    if (vault_on() && name->watched) vault_sync(name, fd);
    else result = real(fd);
    made(word, name, NULL, result < 0, verdict);
    return result;
}

EXPORT int fsync(int fd) { return sync_file("fsync", fd, REAL(fsync)); }
EXPORT int fdatasync(int fd) { return sync_file("fsync", fd, REAL(fdatasync)); }

/* Starts or waits for writing, but makes nothing durable: the vault takes no note of it. */
EXPORT int sync_file_range(int fd, off64_t from, off64_t bytes, unsigned flags) {
    const struct name *name = paths_of(fd);
    if (!name) return REAL(sync_file_range)(fd, from, bytes, flags);
    struct verdict verdict = rules_judge(OP_FSYNC, name, NULL);
    if (verdict.error) return refused("sync-range", name, NULL, verdict.error);
    int result = REAL(sync_file_range)(fd, from, bytes, flags);
    made("sync-range", name, NULL, result < 0, verdict);
    return result;
}

/* -- names --------------------------------------------------------------------------------------------------------- */

static int rename_file(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
    const struct name *old = paths_name(from_dir, from), *new = paths_name(to_dir, to);
    if (!old || !new) return REAL(renameat2)(from_dir, from, to_dir, to, flags);
    struct verdict verdict = rules_judge(OP_RENAME, old, new);
    if (verdict.error) return refused("rename", old, new, verdict.error);
    bool recorded, locked = vault_begin_rename(old, new, flags, &recorded);
    int result = REAL(renameat2)(from_dir, from, to_dir, to, flags);
    vault_end(locked, recorded, !result);
    made("rename", old, new, result < 0, verdict);
    return result;
}

EXPORT int rename(const char *from, const char *to) { return rename_file(AT_FDCWD, from, AT_FDCWD, to, 0); }
EXPORT int renameat(int from_dir, const char *from, int to_dir, const char *to) {
    return rename_file(from_dir, from, to_dir, to, 0);
}
EXPORT int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
    return rename_file(from_dir, from, to_dir, to, flags);
}

static int link_file(int from_dir, const char *from, int to_dir, const char *to, int flags) {
    const struct name *old = paths_name(from_dir, from), *new = paths_name(to_dir, to);
    if (!old || !new) return REAL(linkat)(from_dir, from, to_dir, to, flags);
    struct verdict verdict = rules_judge(OP_CREATE, old, new);
    if (verdict.error) return refused("link", old, new, verdict.error);
    bool locked = vault_begin_add(new);
    int result = REAL(linkat)(from_dir, from, to_dir, to, flags);
    vault_end(locked, true, !result);
    made("link", old, new, result < 0, verdict);
    return result;
}

EXPORT int link(const char *from, const char *to) { return link_file(AT_FDCWD, from, AT_FDCWD, to, 0); }
EXPORT int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags) {
    return link_file(from_dir, from, to_dir, to, flags);
}

static int remove_name(int dir, const char *path, int flags) {
    const struct name *name = paths_name(dir, path);
    if (!name) return REAL(unlinkat)(dir, path, flags);
    struct verdict verdict = rules_judge(OP_UNLINK, name, NULL);
    if (verdict.error) return refused("unlink", name, NULL, verdict.error);
    bool locked = vault_begin_remove(name);
    int result = REAL(unlinkat)(dir, path, flags);
    vault_end(locked, true, !result);
    made("unlink", name, NULL, result < 0, verdict);
    return result;
}

EXPORT int unlink(const char *path) { return remove_name(AT_FDCWD, path, 0); }
EXPORT int unlinkat(int dir, const char *path, int flags) { return remove_name(dir, path, flags); }
EXPORT int rmdir(const char *path) { return remove_name(AT_FDCWD, path, AT_REMOVEDIR); }

static int make_dir(int dir, const char *path, mode_t mode) {
    const struct name *name = paths_name(dir, path);
    if (!name) return REAL(mkdirat)(dir, path, mode);
    struct verdict verdict = rules_judge(OP_CREATE, name, NULL);
    if (verdict.error) return refused("mkdir", name, NULL, verdict.error);
    bool locked = vault_begin_add(name);
    int result = REAL(mkdirat)(dir, path, mode);
    vault_end(locked, true, !result);
    made("mkdir", name, NULL, result < 0, verdict);
    return result;
}

EXPORT int mkdir(const char *path, mode_t mode) { return make_dir(AT_FDCWD, path, mode); }
EXPORT int mkdirat(int dir, const char *path, mode_t mode) { return make_dir(dir, path, mode); }

/* -- looking ------------------------------------------------------------------------------------------------------- */

EXPORT DIR *opendir(const char *path) {
    const struct name *name = paths_name(AT_FDCWD, path);
    if (!name) return REAL(opendir)(path);
    struct verdict verdict = rules_judge(OP_READDIR, name, NULL);
    if (verdict.error) return refused("readdir", name, NULL, verdict.error), NULL;
    DIR *opened = REAL(opendir)(path);
    if (opened) paths_set(dirfd(opened), name);
    made("readdir", name, NULL, !opened, verdict);
    return opened;
}

EXPORT DIR *fdopendir(int fd) {
    const struct name *name = paths_of(fd);
    if (!name) return REAL(fdopendir)(fd);
    struct verdict verdict = rules_judge(OP_READDIR, name, NULL);
    if (verdict.error) return refused("readdir", name, NULL, verdict.error), NULL;
    DIR *opened = REAL(fdopendir)(fd);
    made("readdir", name, NULL, !opened, verdict);
    return opened;
}

EXPORT int closedir(DIR *opened) {
    paths_set(dirfd(opened), NULL);
    return REAL(closedir)(opened);
}

/* Entries are not traced one by one, unless a rule refuses one. */
static bool may_list(DIR *opened) {
    const struct name *name = paths_of(dirfd(opened));
    if (!name) return true;
    struct verdict verdict = rules_judge(OP_READDIR, name, NULL);
    return !verdict.error || refused("readdir", name, NULL, verdict.error) == 0;
}

EXPORT struct dirent *readdir(DIR *opened) { return may_list(opened) ? REAL(readdir)(opened) : NULL; }
EXPORT struct dirent64 *readdir64(DIR *opened) { return may_list(opened) ? REAL(readdir64)(opened) : NULL; }

/*
 * No path or an empty one stands for the descriptor itself. Some callers pass null where the headers promise that nobody does; the
 * compiler, which believes the headers, must not see both at once.
 */
__attribute__((noipa)) static const struct name *looked_at(int dir, const char *path) {
    return path && *path ? paths_name(dir, path) : paths_of(dir);
}

#define LOOK(dir, path, call) \
    const struct name *name = looked_at(dir, path); \
    if (!name) return call; \
    struct verdict verdict = rules_judge(OP_STAT, name, NULL); \
    if (verdict.error) return refused("stat", name, NULL, verdict.error); \
    int result = call; \
    made("stat", name, NULL, result < 0, verdict); \
    return result

EXPORT int stat(const char *restrict path, struct stat *restrict to) { LOOK(AT_FDCWD, path, REAL(stat)(path, to)); }
EXPORT int stat64(const char *restrict path, struct stat64 *restrict to) { LOOK(AT_FDCWD, path, REAL(stat64)(path, to)); }
EXPORT int lstat(const char *restrict path, struct stat *restrict to) { LOOK(AT_FDCWD, path, REAL(lstat)(path, to)); }
EXPORT int lstat64(const char *restrict path, struct stat64 *restrict to) { LOOK(AT_FDCWD, path, REAL(lstat64)(path, to)); }
EXPORT int fstat(int fd, struct stat *to) { LOOK(fd, "", REAL(fstat)(fd, to)); }
EXPORT int fstat64(int fd, struct stat64 *to) { LOOK(fd, "", REAL(fstat64)(fd, to)); }
EXPORT int fstatat(int dir, const char *restrict path, struct stat *restrict to, int flags) {
    LOOK(dir, path, REAL(fstatat)(dir, path, to, flags));
}
EXPORT int fstatat64(int dir, const char *restrict path, struct stat64 *restrict to, int flags) {
    LOOK(dir, path, REAL(fstatat64)(dir, path, to, flags));
}
EXPORT int statx(int dir, const char *restrict path, int flags, unsigned mask, struct statx *restrict to) {
    LOOK(dir, path, REAL(statx)(dir, path, flags, mask, to));
}
EXPORT int access(const char *path, int mode) { LOOK(AT_FDCWD, path, REAL(access)(path, mode)); }
EXPORT int faccessat(int dir, const char *path, int mode, int flags) { LOOK(dir, path, REAL(faccessat)(dir, path, mode, flags)); }

/* -- clocks -------------------------------------------------------------------------------------------------------- */

static void shift(struct timespec *to) {
    long long at = to->tv_sec * 1000000000LL + to->tv_nsec + rules_clock_offset();
    to->tv_sec = at / 1000000000;
    to->tv_nsec = at % 1000000000;
    if (to->tv_nsec < 0) {
        to->tv_nsec += 1000000000;
        to->tv_sec--;
    }
}

EXPORT int clock_gettime(clockid_t clock, struct timespec *to) {
    int result = REAL(clock_gettime)(clock, to);
    if (!result && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_TAI)) shift(to);
    return result;
}

EXPORT int gettimeofday(struct timeval *restrict to, void *restrict zone) {
    int result = REAL(gettimeofday)(to, zone);
    if (!result) {
        struct timespec at = {to->tv_sec, to->tv_usec * 1000};
        shift(&at);
        to->tv_sec = at.tv_sec;
        to->tv_usec = at.tv_nsec / 1000;
    }
    return result;
}

EXPORT time_t time(time_t *to) {
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now)) return (time_t)-1;
    if (to) *to = now.tv_sec;
    return now.tv_sec;
}
