#define _GNU_SOURCE
#include "mp_shared.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

// Not FUTEX_PRIVATE_FLAG: the words are in memory of several processes.

int _mp_futex_wait(const void *word, uint32_t expected, int64_t timeout_ns) {
    struct timespec timeout = { timeout_ns / 1000000000, timeout_ns % 1000000000 };
    long result = syscall(SYS_futex, word, FUTEX_WAIT, expected, timeout_ns < 0 ? NULL : &timeout, NULL, 0);
    return result < 0 ? -errno : 0;
}

int _mp_futex_wake(const void *word, int count) {
    long result = syscall(SYS_futex, word, FUTEX_WAKE, count, NULL, NULL, 0);
    return result < 0 ? -errno : (int)result;
}

int _mp_futex_wait_any(const struct _mp_futex *futexes, int count, int64_t timeout_ns) {
    // struct futex_waitv and FUTEX_32, which the libc headers of older systems lack.
    struct { uint64_t value, address; uint32_t flags, reserved; } entries[_mp_futex_most];
    if (count < 0 || count > _mp_futex_most) return -EINVAL;
    for (int i = 0; i < count; i++) {
        entries[i].value = futexes[i].expected;
        entries[i].address = (uintptr_t)futexes[i].word;
        entries[i].flags = 2;
        entries[i].reserved = 0;
    }
    // Unlike futex(2), an absolute time.
    struct timespec until;
    if (timeout_ns >= 0) {
        clock_gettime(CLOCK_MONOTONIC, &until);
        int64_t ns = until.tv_nsec + timeout_ns % 1000000000;
        until.tv_sec += timeout_ns / 1000000000 + ns / 1000000000;
        until.tv_nsec = ns % 1000000000;
    }
    long result = syscall(SYS_futex_waitv, entries, count, 0, timeout_ns < 0 ? NULL : &until, CLOCK_MONOTONIC);
    return result < 0 ? -errno : (int)result;
}

// Reads what /proc says of a process; false if it cannot be read. No stdio and no malloc: also called in forked copies.
static bool read_stat(pid_t pid, char *state, long *threads, uint64_t *start) {
    char path[32], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    ssize_t count = read(fd, text, sizeof text - 1);
    int error = errno;
    close(fd);
    errno = error;
    if (count <= 0) return false;
    text[count] = 0;
    // The name, in parentheses, may hold anything; the fields follow its last one.
    char *field = strrchr(text, ')');
    if (!field || field[1] != ' ') return false;
    field += 2;
    *state = *field;
    // Field 3 is the state, 20 the number of threads, 22 the start.
    for (int number = 3; number < 20; number++) {
        field = strchr(field, ' ');
        if (!field) return false;
        field++;
    }
    *threads = strtol(field, &field, 10);
    field = strchr(field + 1, ' ');
    if (!field) return false;
    *start = strtoull(field + 1, NULL, 10);
    return true;
}

static uint64_t make_stamp(pid_t pid, uint64_t start) { return (uint64_t)(pid & 0x3fffff) | (start << 32); }

static _Atomic uint64_t self;
static pthread_once_t once = PTHREAD_ONCE_INIT;

void _mp_stamp_forget(void) { atomic_store_explicit(&self, 0, memory_order_relaxed); }

static _Atomic uint32_t forks;

static void count_fork(void) { atomic_fetch_add_explicit(&forks, 1, memory_order_relaxed); }

uint32_t _mp_fork_count(void) { return atomic_load_explicit(&forks, memory_order_relaxed); }

// Counted before the fork, so that the count is right in both.
static void watch_forks(void) { pthread_atfork(count_fork, NULL, _mp_stamp_forget); }

uint64_t _mp_stamp_self(void) {
    uint64_t known = atomic_load_explicit(&self, memory_order_relaxed);
    if (known) return known;
    pthread_once(&once, watch_forks);
    char state;
    long threads;
    uint64_t start = 0;
    // Without descriptors to spare there is no telling; the id alone has to do, as for everybody else who asks then. And for good:
    // what was taken under one stamp could not be released under another.
    if (!read_stat(getpid(), &state, &threads, &start)) start = 0;
    uint64_t stamp = make_stamp(getpid(), start);
    // Another thread may have found out more, or less, meanwhile: the first to store decides.
    return atomic_compare_exchange_strong_explicit(&self, &known, stamp, memory_order_relaxed, memory_order_relaxed)
        ? stamp
        : known;
}

uint64_t _mp_stamp_of(pid_t pid) {
    char state;
    long threads;
    uint64_t start;
    return pid > 0 && read_stat(pid, &state, &threads, &start) ? make_stamp(pid, start) : 0;
}

bool _mp_stamp_is_alive(uint64_t stamp) {
    pid_t pid = (pid_t)(stamp & 0x3fffff);
    if (pid == 0) return false;
    if (kill(pid, 0) < 0 && errno == ESRCH) return false;
    char state;
    long threads;
    uint64_t start;
    // It exists. If /proc hides it, or there is no descriptor to look with, it counts as alive: never take from the living.
    if (!read_stat(pid, &state, &threads, &start)) return !(kill(pid, 0) < 0 && errno == ESRCH);
    if ((stamp >> 32) != 0 && (uint32_t)start != (uint32_t)(stamp >> 32)) return false;
    // A zombie leader may have threads that run: a program's main thread can leave with pthread_exit.
    return !((state == 'Z' || state == 'X') && threads <= 1);
}

// The Swift runtime's, as Runtime/Concurrency.h of the toolchain declares them. A task's id is a 64-bit count: its address will
// be another task's soon, and a thread's (pthread_self, gettid) another thread's.
__attribute__((swiftcall)) void *swift_task_getCurrent(void);
__attribute__((swiftcall)) uint64_t swift_task_getJobTaskId(void *job);

static _Thread_local uint64_t thread;
static _Atomic uint64_t threads;

uint64_t _mp_holder_self(void) {
    void *task = swift_task_getCurrent();
    if (task) return swift_task_getJobTaskId(task) << 1 | 1;
    if (!thread) thread = (atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed) + 1) << 1;
    return thread;
}

// A load, where libc has the kernel keep the number up to date (rseq).
uint32_t _mp_processor(void) { return (uint32_t)(sched_getcpu() + 1); }

int _mp_memfd_sized(const char *name, uint64_t size, bool huge) {
    // Memory files are not accounted for when they are made: what no machine of this size can ever hold is refused here,
    // rather than by the out-of-memory killer. Small ones spare the question.
    struct sysinfo machine;
    if (size >> 30 && sysinfo(&machine) == 0
        && size > ((uint64_t)machine.totalram + machine.totalswap) * machine.mem_unit)
        return -ENOMEM;
    // Beyond the limit on file sizes ftruncate would raise SIGXFSZ.
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && size > limit.rlim_cur) return -EFBIG;
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | (huge ? MFD_HUGETLB : 0));
    if (fd < 0) return -errno;
    if (fd <= 2) {
        int moved = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        int error = errno;
        close(fd);
        if (moved < 0) return -error;
        fd = moved;
    }
    if (ftruncate(fd, (off_t)size) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

bool _mp_cannot_shrink(int fd) {
    int seals = fcntl(fd, F_GET_SEALS);
    return seals >= 0 && (seals & F_SEAL_SHRINK);
}

int _mp_file_identity(int fd, uint64_t *device, uint64_t *inode) {
    struct stat status;
    if (fstat(fd, &status) < 0) return -errno;
    *device = status.st_dev;
    *inode = status.st_ino;
    return 0;
}

void *_mp_map_shared(int fd, size_t count, bool writable, int *error) {
    void *address = mmap(NULL, count, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, fd, 0);
    *error = address == MAP_FAILED ? errno : 0;
    return address == MAP_FAILED ? NULL : address;
}
