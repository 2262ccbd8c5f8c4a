/*
 * What is needed to undo everything that was not synced, kept in CHANCERY_SHIM_VAULT, which lies on the file system of the watched
 * directories: a hard link named DEV-INO to each file that was written, removed or renamed, a copy of what a file held when it was last
 * synced, and `journal`, one line for each effect, written before it takes place:
 *
 *   a PATH                 the name came into being            r PATH INO        the name of this file, or `dir`, went away
 *   m FROM INO TO OLD      renamed; OLD: the file that TO stood for, or `-`
 *   w INO COPY             the content differs from what was synced last, which is in COPY (`-`: nothing)
 *   f INO                  the content was synced               p INO             a sync of the content failed
 *   t INO                  the content was cut to nothing; what is written from now on has nothing to do with what was there
 *   d PATH                 the directory was synced             x                 what the line before says did not happen
 *
 * Syncs of watched files are not passed on to the disk: the process dies, the machine does not, and the record alone
 * decides what a power cut would have left.
 */
#define _GNU_SOURCE
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BUCKETS 4096

static const char *vault;
static int journal = -1;
/* Between threads; `flock` on the journal does the same between processes. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Files whose content this process changed since it was synced. */
struct dirty {
    struct dirty *next;
    dev_t dev;
    ino_t ino;
};
static struct dirty *dirty[BUCKETS];

struct facts {
    mode_t mode;
    dev_t dev;
    ino_t ino;
    off_t size;
    unsigned names;
};

void vault_start(void) {
    vault = getenv("CHANCERY_SHIM_VAULT");
    if (!vault || !*vault) return;
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/journal", vault);
    journal = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (journal < 0) fail("cannot open %s: %s", path, strerror(errno));
}

bool vault_on(void) { return journal >= 0; }

static void take(void) {
    pthread_mutex_lock(&lock);
    while (flock(journal, LOCK_EX)) {
        if (errno != EINTR) fail("cannot lock the journal: %s", strerror(errno));
    }
}

static void leave(void) {
    flock(journal, LOCK_UN);
    pthread_mutex_unlock(&lock);
}

static bool ours(const struct name *name) { return vault_on() && name && name->watched; }

static bool facts_of(int dir, const char *path, int flags, struct facts *facts) {
    struct statx found;
    if (syscall(SYS_statx, dir, path, flags, STATX_BASIC_STATS, &found)) return false;
    *facts = (struct facts){found.stx_mode, (dev_t)found.stx_dev_major << 32 | found.stx_dev_minor,
                            found.stx_ino, (off_t)found.stx_size, found.stx_nlink};
    return true;
}

static bool facts_at(const char *path, struct facts *facts) { return facts_of(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, facts); }

/* Writes a line: 'n' is a path, 'i' a file's facts (null: `-`), 's' a word. */
static void note(const char *kinds, ...) {
    char line[2 * FIELD_BYTES + 256], *at = line;
    va_list values;
    va_start(values, kinds);
    for (const char *kind = kinds; *kind; kind++) {
        if (at > line) *at++ = ' ';
        if (*kind == 'n') {
            at = paths_escape(at, va_arg(values, const char *));
        } else if (*kind == 'i') {
            const struct facts *facts = va_arg(values, const struct facts *);
            at += !facts ? sprintf(at, "-")
                : S_ISDIR(facts->mode)
                    ? sprintf(at, "dir")
                    : sprintf(at, "%llx-%llx", (unsigned long long)facts->dev, (unsigned long long)facts->ino);
        } else {
            at += sprintf(at, "%s", va_arg(values, const char *));
        }
    }
    va_end(values);
    *at++ = '\n';
    if (syscall(SYS_write, journal, line, at - line) != at - line) fail("cannot write the journal: %s", strerror(errno));
}

/* Keeps a file within reach whatever becomes of its names. */
static void keep(const char *path, const struct facts *facts) {
    if (!S_ISREG(facts->mode)) return;
    char link[PATH_BYTES];
    snprintf(link, sizeof link, "%s/%llx-%llx", vault, (unsigned long long)facts->dev, (unsigned long long)facts->ino);
    if (syscall(SYS_linkat, AT_FDCWD, path, AT_FDCWD, link, AT_SYMLINK_FOLLOW) && errno != EEXIST)
        fail("cannot keep %s in %s (both must lie on one file system): %s", path, vault, strerror(errno));
}

static struct dirty **find_dirty(const struct facts *facts) {
    struct dirty **at = &dirty[(facts->ino ^ facts->dev) % BUCKETS];
    while (*at && ((*at)->ino != facts->ino || (*at)->dev != facts->dev)) at = &(*at)->next;
    return at;
}

static void set_clean(const struct facts *facts) {
    struct dirty **at = find_dirty(facts), *old = *at;
    if (old) {
        *at = old->next;
        free(old);
    }
}

static void copy_content(const char *from, const char *to) {
    int in = (int)syscall(SYS_openat, AT_FDCWD, from, O_RDONLY | O_CLOEXEC);
    int out = (int)syscall(SYS_openat, AT_FDCWD, to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    char buffer[16384];
    ssize_t got = -1;
    if (in >= 0 && out >= 0)
        while ((got = syscall(SYS_read, in, buffer, sizeof buffer)) > 0)
            if (syscall(SYS_write, out, buffer, got) != got) break;
    if (got) fail("cannot copy %s to %s: %s", from, to, strerror(errno));
    syscall(SYS_close, in);
    syscall(SYS_close, out);
}

/* Notes that a file, reachable as `path`, is about to differ from what was synced. */
static void set_dirty(const char *path, const struct facts *facts) {
    struct dirty **at = find_dirty(facts);
    if (*at || !S_ISREG(facts->mode)) return;
    static atomic_long copies;
    char name[64] = "-", copy[PATH_BYTES];
    keep(path, facts);
    if (facts->size) {
        snprintf(name, sizeof name, "copy-%d-%ld", getpid(), atomic_fetch_add(&copies, 1));
        snprintf(copy, sizeof copy, "%s/%s", vault, name);
        copy_content(path, copy);
    }
    struct dirty *fresh = calloc(1, sizeof *fresh);
    if (!fresh) fail("no memory");
    fresh->dev = facts->dev;
    fresh->ino = facts->ino;
    *at = fresh;
    note("sis", "w", facts, name);
}

struct opening vault_begin_open(const struct name *name, int flags) {
    struct opening opening = {false, false};
    if (!ours(name) || !(flags & (O_CREAT | O_TRUNC))) return opening;
    struct facts facts;
    take();
    opening.locked = true;
    if (facts_at(name->path, &facts)) {
        /* An open that fails truncates nothing; the file is then taken for unsynced while it is not, which loses no name. */
        if (flags & O_TRUNC && !(flags & O_EXCL)) {
            set_dirty(name->path, &facts);
            note("si", "t", &facts);
        }
    } else if (flags & O_CREAT) {
        opening.made = true;
        note("sn", "a", name->path);
    }
    return opening;
}

void vault_end_open(struct opening opening, const struct name *name, int fd) {
    if (!opening.locked) return;
    int before = errno;
    struct facts facts;
    if (opening.made && fd < 0) note("s", "x");
    if (opening.made && fd >= 0 && facts_of(fd, "", AT_EMPTY_PATH, &facts)) {
        set_clean(&facts);
        set_dirty(name->path, &facts);
    }
    leave();
    errno = before;
}

bool vault_begin_write(const struct name *name, int fd) {
    struct facts facts;
    if (!ours(name)) return false;
    take();
    /* A file without any name is nobody's after a power cut. */
    if (facts_of(fd, "", AT_EMPTY_PATH, &facts) && facts.names) {
        char path[32];
        /* Its name may be another file's by now; the descriptor is not. */
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        set_dirty(path, &facts);
    }
    return true;
}

bool vault_begin_add(const struct name *name) {
    if (!ours(name)) return false;
    take();
    note("sn", "a", name->path);
    return true;
}

bool vault_begin_remove(const struct name *name) {
    struct facts facts;
    if (!ours(name)) return false;
    take();
    if (facts_at(name->path, &facts)) {
        keep(name->path, &facts);
        note("sni", "r", name->path, &facts);
        return true;
    }
    leave();
    return false;
}

bool vault_begin_rename(const struct name *from, const struct name *to, unsigned flags, bool *recorded) {
    struct facts file, old;
    *recorded = false;
    if (!ours(from) && !ours(to)) return false;
    if (flags & ~1u) fail("a rename with flags %#x is not understood by the vault", flags);
    take();
    if (!facts_at(from->path, &file)) return true;
    bool replaces = facts_at(to->path, &old);
    if (replaces && flags) return true;
    keep(from->path, &file);
    if (replaces) keep(to->path, &old);
    note("snini", "m", from->path, &file, to->path, replaces ? &old : NULL);
    *recorded = true;
    return true;
}

void vault_end(bool locked, bool recorded_name, bool happened) {
    if (!locked) return;
    int before = errno;
    if (recorded_name && !happened) note("s", "x");
    leave();
    errno = before;
}

static void note_sync(const struct name *name, int fd, const char *word) {
    struct facts facts;
    int before = errno;
    take();
    if (facts_of(fd, "", AT_EMPTY_PATH, &facts)) {
        if (!S_ISDIR(facts.mode)) {
            set_clean(&facts);
            note("si", word, &facts);
        } else if (*word == 'f') {
            note("sn", "d", name->path);
        }
    }
    leave();
    errno = before;
}

void vault_sync(const struct name *name, int fd) { note_sync(name, fd, "f"); }

void vault_sync_failed(const struct name *name, int fd) {
    if (ours(name)) note_sync(name, fd, "p");
}
