#define _GNU_SOURCE
#include "CShared.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "CBaselines.h"

static void *shared_page(void) {
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return page == MAP_FAILED ? NULL : page;
}

static int reap(pid_t pid) {
    int status;
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR) return -errno;
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -ECHILD;
}

// Sleeps, and says for how long it was.
static int64_t sleep_for(int64_t nanoseconds) {
    if (nanoseconds <= 0) return 0;
    int64_t begin = mpb_now();
    mpb_sleep(nanoseconds);
    return mpb_now() - begin;
}

// The deadline of every sleep: a partner that is gone must not hold up the benchmark.
static const struct timespec patience = {5, 0};

// A word that one side writes and the other waits for, and whether that one sleeps: a hot round trip needs no system call.
struct box {
    _Atomic uint32_t value;
    _Atomic uint32_t sleeps;
    char rest[120];
};

static bool await_change(struct box *box, uint32_t old, bool spin) {
    for (int i = 0; spin && i < 1024; i++) {
        if (atomic_load_explicit(&box->value, memory_order_acquire) != old) return true;
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
    }
    atomic_store(&box->sleeps, 1);
    while (atomic_load(&box->value) == old) {
        if (syscall(SYS_futex, &box->value, FUTEX_WAIT, old, &patience, NULL, 0) < 0 && errno == ETIMEDOUT) return false;
    }
    atomic_store_explicit(&box->sleeps, 0, memory_order_relaxed);
    return true;
}

static void publish(struct box *box, uint32_t value) {
    atomic_store(&box->value, value);
    if (atomic_load(&box->sleeps)) syscall(SYS_futex, &box->value, FUTEX_WAKE, 1, NULL, NULL, 0);
}

int64_t mpb_pingpong_futex(int rounds, bool spin, int64_t pause) {
    struct box *boxes = shared_page();
    if (!boxes) return -ENOMEM;
    struct box *ping = &boxes[0], *pong = &boxes[1];
    pid_t pid = fork();
    if (pid == 0) {
        for (int i = 0; i < rounds + 1; i++) {
            if (!await_change(ping, (uint32_t)i, spin)) _exit(1);
            publish(pong, (uint32_t)i + 1);
        }
        _exit(0);
    }
    int error = pid < 0 ? -errno : 0;
    int64_t begin = 0, paused = 0;
    // The first round trip is the partner's start, and not counted.
    for (int i = 0; i < rounds + 1 && !error; i++) {
        if (i > 0) paused += sleep_for(pause);
        publish(ping, (uint32_t)i + 1);
        if (!await_change(pong, (uint32_t)i, spin)) error = -ETIMEDOUT;
        if (i == 0) begin = mpb_now();
    }
    int64_t time = mpb_now() - begin - paused;
    if (pid > 0) {
        if (error) kill(pid, SIGKILL);
        int result = reap(pid);
        if (!error) error = result;
    }
    munmap(boxes, 4096);
    return error ? error : time;
}

int64_t mpb_pingpong_pipe(int rounds, int64_t pause) {
    int down[2], up[2];
    if (pipe(down) < 0) return -errno;
    if (pipe(up) < 0) {
        int error = errno;
        close(down[0]);
        close(down[1]);
        return -error;
    }
    pid_t pid = fork();
    char byte = 0;
    if (pid == 0) {
        close(down[1]);
        close(up[0]);
        while (read(down[0], &byte, 1) == 1) {
            if (write(up[1], &byte, 1) != 1) _exit(1);
        }
        _exit(0);
    }
    close(down[0]);
    close(up[1]);
    int error = pid < 0 ? -errno : 0;
    int64_t begin = 0, paused = 0;
    for (int i = 0; i < rounds + 1 && !error; i++) {
        if (i > 0) paused += sleep_for(pause);
        if (write(down[1], &byte, 1) != 1 || read(up[0], &byte, 1) != 1) error = -EPIPE;
        if (i == 0) begin = mpb_now();
    }
    int64_t time = mpb_now() - begin - paused;
    close(down[1]);
    close(up[0]);
    if (pid > 0) {
        int result = reap(pid);
        if (!error) error = result;
    }
    return error ? error : time;
}

struct shared_mutex {
    pthread_mutex_t mutex;
    _Atomic int ready;
    _Atomic int go;
};

static struct shared_mutex *make_mutex(void) {
    struct shared_mutex *shared = shared_page();
    if (!shared) return NULL;
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&shared->mutex, &attributes);
    pthread_mutexattr_destroy(&attributes);
    return shared;
}

static void lock_pairs(struct shared_mutex *shared, int count) {
    for (int i = 0; i < count; i++) {
        pthread_mutex_lock(&shared->mutex);
        pthread_mutex_unlock(&shared->mutex);
    }
}

int64_t mpb_mutex_pairs(int count) {
    struct shared_mutex *shared = make_mutex();
    if (!shared) return -ENOMEM;
    int64_t begin = mpb_now();
    lock_pairs(shared, count);
    int64_t time = mpb_now() - begin;
    munmap(shared, 4096);
    return time;
}

int64_t mpb_mutex_contended(int count, int processes) {
    enum { most = 64 };
    pid_t children[most];
    if (processes > most) return -E2BIG;
    struct shared_mutex *shared = make_mutex();
    if (!shared) return -ENOMEM;
    int error = 0, started = 0;
    for (; started < processes; started++) {
        children[started] = fork();
        if (children[started] == 0) {
            atomic_fetch_add(&shared->ready, 1);
            syscall(SYS_futex, &shared->ready, FUTEX_WAKE, 1, NULL, NULL, 0);
            while (!atomic_load(&shared->go)) syscall(SYS_futex, &shared->go, FUTEX_WAIT, 0, &patience, NULL, 0);
            lock_pairs(shared, count);
            _exit(0);
        }
        if (children[started] < 0) {
            error = -errno;
            break;
        }
    }
    for (int ready; (ready = atomic_load(&shared->ready)) < started;)
        syscall(SYS_futex, &shared->ready, FUTEX_WAIT, ready, &patience, NULL, 0);
    int64_t begin = mpb_now();
    atomic_store(&shared->go, 1);
    syscall(SYS_futex, &shared->go, FUTEX_WAKE, most, NULL, NULL, 0);
    for (int i = 0; i < started; i++) {
        int result = reap(children[i]);
        if (!error) error = result;
    }
    int64_t time = mpb_now() - begin;
    munmap(shared, 4096);
    return error ? error : time;
}

int64_t mpb_copies(size_t size, int count) {
    char *from = malloc(size), *to = malloc(size);
    int64_t time = -ENOMEM;
    if (from && to) {
        memset(from, 7, size);
        memset(to, 0, size);
        int64_t begin = mpb_now();
        for (int i = 0; i < count; i++) {
            memcpy(to, from, size);
            __asm__ volatile("" : : "r"(to) : "memory");
        }
        time = mpb_now() - begin;
    }
    free(from);
    free(to);
    return time;
}

enum { places = 4 };

// Waits until a counter has reached a number; false if nothing happens for seconds.
static bool await_count(struct box *box, uint32_t number) {
    uint32_t seen;
    while ((int32_t)((seen = atomic_load_explicit(&box->value, memory_order_acquire)) - number) < 0) {
        if (!await_change(box, seen, true)) return false;
    }
    return true;
}

int64_t mpb_ring_copies(size_t size, int count) {
    size_t ring_size = 4096 + places * size;
    char *shared = mmap(NULL, ring_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) return -ENOMEM;
    struct box *put = (struct box *)shared, *taken = put + 1;
    char *ring = shared + 4096, *own = malloc(size);
    memset(ring, 0, places * size);
    if (own) memset(own, 7, size);
    pid_t pid = own ? fork() : -1;
    if (pid == 0) {
        for (uint32_t i = 0; i < (uint32_t)count + places; i++) {
            if (i >= places && !await_count(taken, i - places + 1)) _exit(1);
            memcpy(ring + i % places * size, own, size);
            publish(put, i + 1);
        }
        _exit(0);
    }
    int error = pid < 0 ? -EAGAIN : 0;
    int64_t begin = 0;
    // The first round is not counted: the pages are touched.
    for (uint32_t i = 0; i < (uint32_t)count + places && !error; i++) {
        if (i == places) begin = mpb_now();
        if (!await_count(put, i + 1)) error = -ETIMEDOUT;
        memcpy(own, ring + i % places * size, size);
        __asm__ volatile("" : : "r"(own) : "memory");
        publish(taken, i + 1);
    }
    int64_t time = mpb_now() - begin;
    if (pid > 0) {
        if (error) kill(pid, SIGKILL);
        int result = reap(pid);
        if (!error) error = result;
    }
    free(own);
    munmap(shared, ring_size);
    return error ? error : time;
}
