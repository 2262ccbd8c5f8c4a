/*
 * A library for LD_PRELOAD that makes file systems and clocks misbehave on command, and keeps a record of what a program did to them.
 *
 *   CHANCERY_SHIM_RULES=FILE        what is to go wrong (rules.c); looked at again before each call
 *   CHANCERY_SHIM_WATCH=DIR[:DIR]   the directories whose calls are recorded
 *   CHANCERY_SHIM_TRACE=FILE        a line for each call on a watched path (trace.c)
 *   CHANCERY_SHIM_VAULT=DIR         what is needed to undo all that was not synced (vault.c)
 *
 * Only calls that go through libc are seen. A store through a memory map, a call that a program makes without libc, and
 * what libc does for itself inside stdio are not.
 *
 * A field of a line never holds a blank: blanks, '%' and control characters are written as %XX, here and in each file named above.
 */
#ifndef CHANCERY_FAULT_SHIM_H
#define CHANCERY_FAULT_SHIM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* The longest absolute path, with its end. */
#define PATH_BYTES 4096
/* A path in which each byte was escaped. */
#define FIELD_BYTES (3 * PATH_BYTES)

/* Calls as rules name them. Making a directory or a link counts as create, changing a length as write. */
enum op { OP_OPEN, OP_CREATE, OP_READ, OP_WRITE, OP_FSYNC, OP_RENAME, OP_UNLINK, OP_READDIR, OP_STAT, OP_COUNT };

/* A path that was met. Names are kept for ever, so they may be read without a lock. */
struct name {
    struct name *next;
    bool watched;
    char path[];
};

/* The function that the program would have called without us, found once. */
#define REAL(function) \
    (__extension__({ \
        static _Atomic(void *) cache; \
        (__typeof__(&(function)))real_function(&cache, #function); \
    }))
void *real_function(_Atomic(void *) *cache, const char *name);

/* Says why the shim cannot go on, and ends the process: a fault that silently does not happen would be taken for a success. */
void fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* paths.c: which file a descriptor stands for. */
void paths_start(void);
/* Whether a path lies in a watched directory or is one. */
bool paths_watched(const char *path);
/* The name of `path` as seen from the directory `dir`, or null for what is of no interest (devices, /proc). */
const struct name *paths_name(int dir, const char *path);
const struct name *paths_of(int fd);
void paths_set(int fd, const struct name *name);
/* Copies a path as one field; returns the end. `to` has room for FIELD_BYTES. */
char *paths_escape(char *to, const char *path);
/* Undoes it in place. */
void paths_unescape(char *field);

/* rules.c: what happens instead of, or before, a call. */
struct verdict {
    int error;       /* The errno to fail with; 0: make the call. */
    bool kill_after; /* End the process once the call was made. */
    bool skip;       /* Do not make it, and say that it was made. */
};
void rules_start(void);
/* Sleeps, blocks or ends the process as the rules say. `other` may be null. */
struct verdict rules_judge(enum op op, const struct name *name, const struct name *other);
/* Nanoseconds by which the clock of the wall is off. */
long long rules_clock_offset(void);
/* Ends the process as SIGKILL does. */
void rules_kill(void) __attribute__((noreturn));
/* Writes the name of an errno. */
void rules_error_name(int error, char *to, size_t bytes);

/* trace.c */
void trace_start(void);
/* Records a call. `error` is its errno, 0 if it succeeded; `injected`: it was never made, whatever the program was told. Keeps errno. */
void trace_call(const char *word, const struct name *name, const struct name *other, int error, bool injected);

/* vault.c: each function returns with the vault locked where `vault_begin...` returned true; then call vault_end. */
void vault_start(void);
bool vault_on(void);
struct opening {
    bool locked, made;
};
/* Before a file is opened with `flags`. */
struct opening vault_begin_open(const struct name *name, int flags);
/* After it was; `fd` is negative if that failed. */
void vault_end_open(struct opening opening, const struct name *name, int fd);
/* Before the content of an open file changes. */
bool vault_begin_write(const struct name *name, int fd);
/* Before names change; the kind says how. */
bool vault_begin_add(const struct name *name);
bool vault_begin_remove(const struct name *name);
bool vault_begin_rename(const struct name *from, const struct name *to, unsigned flags, bool *recorded);
/* After any of these. A name that did not change after all is struck from the record. */
void vault_end(bool locked, bool recorded_name, bool happened);
/* Takes note of a sync, which is not passed on: what is durable is decided by the record. */
void vault_sync(const struct name *name, int fd);
/* Takes note of a sync that was made to fail: what was not durable then never will be. */
void vault_sync_failed(const struct name *name, int fd);

#endif
