/*
 * What is to go wrong. A line is one of
 *
 *   OP PATH-PREFIX ACTION [after=N] [times=M] [every=K]
 *   clock OFFSET-SECONDS
 *
 * OP: open create read write fsync rename unlink readdir stat, `change` for those that change something, `*` for all.
 * A rename or a link is met by a rule for either of its names.
 * ACTION: the name of an errno; `delay=MS`; `hang`, until the rule is gone; `kill`, the process ends before the call;
 * `kill-after`, it ends after it; `skip`, for fsync alone: it is reported as done and was not made.
 * Of the calls a rule meets the first N pass; of the rest each K-th is hit, M times at most. A rule that stands in the
 * file before and after a change of the file goes on counting. Each process counts for itself.
 *
 * The file is replaced by rename, never written in place.
 */
#define _GNU_SOURCE
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum action { FAIL, DELAY, HANG, KILL, KILL_AFTER, SKIP };

struct rule {
    struct rule *next;
    unsigned ops;
    enum action action;
    int error;
    long delay_ms, after, times, every;
    /* Shared with the same rule of earlier and later readings of the file. */
    atomic_long *seen;
    char *text, *prefix;
};

static const struct {
    int number;
    const char *name;
} errors[] = {
    {EIO, "EIO"},       {ENOSPC, "ENOSPC"}, {EROFS, "EROFS"},         {ESTALE, "ESTALE"},       {EACCES, "EACCES"},
    {EDQUOT, "EDQUOT"}, {EPERM, "EPERM"},   {ENOENT, "ENOENT"},       {EEXIST, "EEXIST"},       {EBUSY, "EBUSY"},
    {EMFILE, "EMFILE"}, {EINTR, "EINTR"},   {ETIMEDOUT, "ETIMEDOUT"}, {ENOTEMPTY, "ENOTEMPTY"}, {ENOTDIR, "ENOTDIR"},
    {EISDIR, "EISDIR"}, {EXDEV, "EXDEV"},   {EINVAL, "EINVAL"},       {EAGAIN, "EAGAIN"},       {EBADF, "EBADF"},
};

static const char *const op_names[OP_COUNT] = {
    [OP_OPEN] = "open",     [OP_CREATE] = "create", [OP_READ] = "read",     [OP_WRITE] = "write", [OP_FSYNC] = "fsync",
    [OP_RENAME] = "rename", [OP_UNLINK] = "unlink", [OP_READDIR] = "readdir", [OP_STAT] = "stat",
};

#define CHANGES (1u << OP_CREATE | 1u << OP_WRITE | 1u << OP_FSYNC | 1u << OP_RENAME | 1u << OP_UNLINK)
#define EVERYTHING ((1u << OP_COUNT) - 1)

static const char *file;
static pthread_mutex_t reading = PTHREAD_MUTEX_INITIALIZER;
/* Rules that were read are never freed, so they may be walked without a lock. */
static _Atomic(struct rule *) rules;
static atomic_llong clock_offset;
/* What the file looked like when it was read. */
static _Atomic unsigned long long stamp;

void rules_start(void) {
    file = getenv("CHANCERY_SHIM_RULES");
    if (file && !*file) file = NULL;
}

void rules_error_name(int error, char *to, size_t bytes) {
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        if (errors[i].number == error) {
            snprintf(to, bytes, "%s", errors[i].name);
            return;
        }
    }
    snprintf(to, bytes, "E%d", error);
}

static unsigned parse_op(const char *word) {
    if (!strcmp(word, "*")) return EVERYTHING;
    if (!strcmp(word, "change")) return CHANGES;
    for (unsigned op = 0; op < OP_COUNT; op++)
        if (!strcmp(word, op_names[op])) return 1u << op;
    return 0;
}

static bool parse_count(const char *text, long *to) {
    char *end;
    errno = 0;
    *to = strtol(text, &end, 10);
    return end != text && !*end && !errno && *to >= 0;
}

static bool parse_action(const char *word, struct rule *rule) {
    if (!strncmp(word, "delay=", 6)) {
        rule->action = DELAY;
        return parse_count(word + 6, &rule->delay_ms);
    }
    if (!strcmp(word, "hang")) return rule->action = HANG, true;
    if (!strcmp(word, "kill")) return rule->action = KILL, true;
    if (!strcmp(word, "kill-after")) return rule->action = KILL_AFTER, true;
    if (!strcmp(word, "skip")) return rule->action = SKIP, rule->ops == 1u << OP_FSYNC;
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (!strcmp(word, errors[i].name)) return rule->action = FAIL, rule->error = errors[i].number, true;
    return false;
}

static bool parse_option(const char *word, struct rule *rule) {
    if (!strncmp(word, "after=", 6)) return parse_count(word + 6, &rule->after);
    if (!strncmp(word, "times=", 6)) return parse_count(word + 6, &rule->times);
    return !strncmp(word, "every=", 6) && parse_count(word + 6, &rule->every) && rule->every;
}

/* Null when the line is no rule. */
static struct rule *parse(const char *line) {
    char *words = strdup(line), *rest = words;
    struct rule *rule = calloc(1, sizeof *rule);
    if (!words || !rule) fail("no memory for a rule");
    rule->text = strdup(line);
    rule->times = -1;
    rule->every = 1;
    const char *op = strsep(&rest, " ");
    char *prefix = rest ? strsep(&rest, " ") : NULL;
    const char *action = rest ? strsep(&rest, " ") : NULL;
    bool good = op && prefix && action && (rule->ops = parse_op(op)) && parse_action(action, rule);
    while (good && rest) good = parse_option(strsep(&rest, " "), rule);
    if (!good) return NULL;
    paths_unescape(prefix);
    rule->prefix = prefix;
    return rule;
}

/* Takes over the counter of the same rule as read before, or begins a new one. */
static void count_on(struct rule *rule) {
    for (struct rule *old = atomic_load(&rules); old; old = old->next)
        if (!strcmp(old->text, rule->text)) rule->seen = old->seen;
    if (!rule->seen && !(rule->seen = calloc(1, sizeof *rule->seen))) fail("no memory for a rule");
}

static char *read_whole(int fd) {
    size_t length = 0, room = 4096;
    char *text = malloc(room);
    for (ssize_t got; text && (got = syscall(SYS_read, fd, text + length, room - length - 1)) > 0;) {
        length += (size_t)got;
        if (room - length < 2) text = realloc(text, room *= 2);
    }
    if (!text) fail("no memory for %s", file);
    text[length] = 0;
    return text;
}

static void read_rules(void) {
    int fd = (int)syscall(SYS_openat, AT_FDCWD, file, O_RDONLY | O_CLOEXEC);
    /* Without the file there are no rules. A process that may not open files any more keeps those it has. */
    if (fd < 0 && errno != ENOENT) return;
    char *text = fd < 0 ? NULL : read_whole(fd), *rest = text;
    if (fd >= 0) syscall(SYS_close, fd);
    struct rule *first = NULL, **last = &first;
    long long offset = 0;
    int number = 0;
    for (char *line; rest && (line = strsep(&rest, "\n"));) {
        number++;
        if (!*line || *line == '#') continue;
        double seconds;
        char end;
        if (sscanf(line, "clock %lf%c", &seconds, &end) == 1) {
            offset = (long long)(seconds * 1e9);
            continue;
        }
        struct rule *rule = parse(line);
        if (!rule)
            fail("%s, line %d: %s is no rule; expected OP PATH-PREFIX ACTION [after=N] [times=M] [every=K] or clock SECONDS",
                 file, number, line);
        count_on(rule);
        *last = rule;
        last = &rule->next;
    }
    free(text);
    atomic_store(&rules, first);
    atomic_store(&clock_offset, offset);
}

static void refresh(void) {
    if (!file) return;
    struct statx now;
    unsigned long long seen = 1;
    int before = errno;
    if (!syscall(SYS_statx, AT_FDCWD, file, 0, STATX_INO | STATX_MTIME | STATX_SIZE, &now))
        seen = (now.stx_ino << 40) ^ ((unsigned long long)now.stx_mtime.tv_sec << 30) ^ now.stx_mtime.tv_nsec ^ (now.stx_size << 3);
    if (seen != atomic_load_explicit(&stamp, memory_order_acquire)) {
        pthread_mutex_lock(&reading);
        if (seen != atomic_load(&stamp)) {
            read_rules();
            atomic_store_explicit(&stamp, seen, memory_order_release);
        }
        pthread_mutex_unlock(&reading);
    }
    errno = before;
}

static void pause_for(long ms) {
    struct timespec span = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&span, &span) && errno == EINTR) {
    }
}

void rules_kill(void) {
    for (;;) syscall(SYS_kill, getpid(), SIGKILL);
}

static bool meets(const struct rule *rule, enum op op, const struct name *name, const struct name *other) {
    if (!(rule->ops & 1u << op)) return false;
    size_t length = strlen(rule->prefix);
    return !strncmp(name->path, rule->prefix, length) || (other && !strncmp(other->path, rule->prefix, length));
}

static bool hits(const struct rule *rule) {
    long count = atomic_fetch_add(rule->seen, 1) + 1 - rule->after;
    return count > 0 && count % rule->every == 0 && (rule->times < 0 || count / rule->every <= rule->times);
}

/* Whether a rule still stands in the file. */
static bool stands(const struct rule *rule) {
    refresh();
    for (const struct rule *now = atomic_load(&rules); now; now = now->next)
        if (now->seen == rule->seen) return true;
    return false;
}

struct verdict rules_judge(enum op op, const struct name *name, const struct name *other) {
    struct verdict verdict = {0, false, false};
    int before = errno;
    refresh();
    for (const struct rule *rule = atomic_load(&rules); rule && !verdict.error; rule = rule->next) {
        if (!meets(rule, op, name, other) || !hits(rule)) continue;
        switch (rule->action) {
        case FAIL: verdict.error = rule->error; break;
        case DELAY: pause_for(rule->delay_ms); break;
        case HANG:
            while (stands(rule)) pause_for(5);
            break;
        case KILL: rules_kill();
        case KILL_AFTER: verdict.kill_after = true; break;
        case SKIP: verdict.skip = true; break;
        }
    }
    errno = before;
    return verdict;
}

long long rules_clock_offset(void) {
    /* Clocks are read often: once in a millisecond is soon enough to look for a new file. */
    static _Atomic long long looked;
    struct timespec now;
    if (file && !REAL(clock_gettime)(CLOCK_MONOTONIC_COARSE, &now)) {
        long long ms = now.tv_sec * 1000LL + now.tv_nsec / 1000000;
        if (atomic_exchange(&looked, ms) != ms) refresh();
    }
    return atomic_load(&clock_offset);
}
