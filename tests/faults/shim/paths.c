/* Which path a call is about: from the directory and the name it was given, or from its descriptor. */
#define _GNU_SOURCE
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DESCRIPTORS 65536
#define BUCKETS 8192
#define WATCHED_MAX 64

static _Atomic(const struct name *) open_files[DESCRIPTORS];

static pthread_mutex_t names_lock = PTHREAD_MUTEX_INITIALIZER;
static struct name *names[BUCKETS];

static char *watched[WATCHED_MAX];
static size_t watched_count;

void paths_start(void) {
    const char *list = getenv("CHANCERY_SHIM_WATCH");
    char *copy = list ? strdup(list) : NULL, *rest = copy;
    for (char *dir; copy && (dir = strsep(&rest, ":"));) {
        size_t length = strlen(dir);
        while (length > 1 && dir[length - 1] == '/') dir[--length] = 0;
        if (!length) continue;
        if (dir[0] != '/') fail("CHANCERY_SHIM_WATCH names %s: a watched directory is named by its absolute path", dir);
        if (watched_count == WATCHED_MAX) fail("CHANCERY_SHIM_WATCH names more than %d directories", WATCHED_MAX);
        watched[watched_count++] = dir;
    }
}

bool paths_watched(const char *path) {
    for (size_t i = 0; i < watched_count; i++) {
        size_t length = strlen(watched[i]);
        if (!strncmp(path, watched[i], length) && (!path[length] || path[length] == '/')) return true;
    }
    return false;
}

/* Takes doubled slashes, "." and ".." out. Links are not followed: the caller's word for a place is the one that rules use. */
static void tidy(char *path) {
    char *to = path;
    for (char *from = path; *from;) {
        while (*from == '/') from++;
        size_t length = strcspn(from, "/");
        if (length == 2 && from[0] == '.' && from[1] == '.') {
            while (to > path && *--to != '/') {
            }
        } else if (length && !(length == 1 && from[0] == '.')) {
            *to++ = '/';
            memmove(to, from, length);
            to += length;
        }
        from += length;
    }
    if (to == path) *to++ = '/';
    *to = 0;
}

static bool absolute(int dir, const char *path, char *out) {
    size_t length = 0;
    if (path[0] != '/') {
        const struct name *known = dir == AT_FDCWD ? NULL : paths_of(dir);
        if (known) {
            length = strlen(known->path);
            memcpy(out, known->path, length);
        } else {
            char link[32] = "/proc/self/cwd";
            if (dir != AT_FDCWD) snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
            ssize_t found = readlink(link, out, PATH_BYTES - 1);
            if (found <= 0) return false;
            length = (size_t)found;
        }
        out[length++] = '/';
    }
    size_t more = strlen(path);
    if (length + more >= PATH_BYTES) return false;
    memcpy(out + length, path, more + 1);
    tidy(out);
    return true;
}

static bool boring(const char *path) {
    static const char *const places[] = {"/proc/", "/sys/", "/dev/", "/etc/", "/usr/", "/lib/"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (!strncmp(path, places[i], strlen(places[i])) && !(i == 2 && !strncmp(path, "/dev/shm/", 9))) return true;
    return false;
}

static const struct name *intern(const char *path) {
    uint64_t hash = 14695981039346656037u;
    for (const char *at = path; *at; at++) hash = (hash ^ (unsigned char)*at) * 1099511628211u;
    struct name **bucket = &names[hash % BUCKETS], *name;
    pthread_mutex_lock(&names_lock);
    for (name = *bucket; name && strcmp(name->path, path); name = name->next) {
    }
    if (!name && (name = malloc(sizeof *name + strlen(path) + 1))) {
        strcpy(name->path, path);
        name->watched = paths_watched(path);
        name->next = *bucket;
        *bucket = name;
    }
    pthread_mutex_unlock(&names_lock);
    return name;
}

const struct name *paths_name(int dir, const char *path) {
    char whole[PATH_BYTES];
    int before = errno;
    bool known = path && *path && absolute(dir, path, whole) && !boring(whole);
    const struct name *name = known ? intern(whole) : NULL;
    errno = before;
    return name;
}

const struct name *paths_of(int fd) {
    return fd >= 0 && fd < DESCRIPTORS ? atomic_load_explicit(&open_files[fd], memory_order_acquire) : NULL;
}

void paths_set(int fd, const struct name *name) {
    if (fd >= 0 && fd < DESCRIPTORS) atomic_store_explicit(&open_files[fd], name, memory_order_release);
}

char *paths_escape(char *to, const char *path) {
    static const char digits[] = "0123456789ABCDEF";
    for (; *path; path++) {
        unsigned char byte = (unsigned char)*path;
        if (byte > ' ' && byte != '%' && byte != 127) {
            *to++ = *path;
        } else {
            *to++ = '%';
            *to++ = digits[byte >> 4];
            *to++ = digits[byte & 15];
        }
    }
    *to = 0;
    return to;
}

static int digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void paths_unescape(char *field) {
    char *to = field;
    for (char *from = field; *from;) {
        if (from[0] == '%' && digit(from[1]) >= 0 && digit(from[2]) >= 0) {
            *to++ = (char)(digit(from[1]) << 4 | digit(from[2]));
            from += 3;
        } else {
            *to++ = *from++;
        }
    }
    *to = 0;
}
