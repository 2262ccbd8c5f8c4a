/*
 * The record of calls: SEQ OP PATH [PATH2] RESULT, a line appended in one write when the call is over.
 *
 * SEQ counts from 1 in each process; the order of lines is the order in which calls ended. OP is the kind of call. RESULT is `ok` or
 * the name of an errno; a `!` behind it says that a rule answered and the call was not made.
 */
#define _GNU_SOURCE
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int file = -1;
static long number;
/* One line at a time, so that the numbers stand in order. */
static pthread_mutex_t writing = PTHREAD_MUTEX_INITIALIZER;

void trace_start(void) {
    const char *path = getenv("CHANCERY_SHIM_TRACE");
    if (!path || !*path) return;
    file = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (file < 0) fail("cannot open CHANCERY_SHIM_TRACE %s: %s", path, strerror(errno));
}

void trace_call(const char *word, const struct name *name, const struct name *other, int error, bool injected) {
    if (file < 0 || !(name->watched || (other && other->watched))) return;
    int before = errno;
    char line[2 * FIELD_BYTES + 64], result[16] = "ok";
    if (error) rules_error_name(error, result, sizeof result);
    pthread_mutex_lock(&writing);
    char *at = line + snprintf(line, 48, "%ld %s ", ++number, word);
    at = paths_escape(at, name->path);
    if (other) {
        *at++ = ' ';
        at = paths_escape(at, other->path);
    }
    at += sprintf(at, " %s%s\n", result, injected ? "!" : "");
    if (syscall(SYS_write, file, line, at - line) != at - line) fail("cannot write the trace: %s", strerror(errno));
    pthread_mutex_unlock(&writing);
    errno = before;
}
