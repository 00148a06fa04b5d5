#define _GNU_SOURCE
#include "CBaselines.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bare.h"

extern char **environ;

int64_t mpb_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000L + now.tv_nsec;
}

void mpb_sleep(int64_t nanoseconds) {
    struct timespec left = {nanoseconds / 1000000000, nanoseconds % 1000000000};
    while (nanosleep(&left, &left) < 0 && errno == EINTR) {}
}

int mpb_processor_count(void) {
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) < 0 ? 1 : CPU_COUNT(&set);
}

static int wait_for(pid_t pid) {
    int status;
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR) return -errno;
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -ECHILD;
}

int64_t mpb_fork_wait(int count) {
    enum { most = 1024 };
    pid_t children[most];
    if (count > most) return -E2BIG;
    int64_t begin = mpb_now();
    int started = 0, error = 0;
    for (; started < count; started++) {
        children[started] = fork();
        if (children[started] == 0) _exit(0);
        if (children[started] < 0) {
            error = -errno;
            break;
        }
    }
    for (int i = 0; i < started; i++) {
        int result = wait_for(children[i]);
        if (error == 0) error = result;
    }
    return error ? error : mpb_now() - begin;
}

static int64_t spawn_wait(const char *path, char **environment) {
    char *arguments[] = {(char *)path, NULL};
    int64_t begin = mpb_now();
    pid_t pid;
    int error = posix_spawn(&pid, path, NULL, NULL, arguments, environment);
    if (error) return -error;
    error = wait_for(pid);
    return error ? error : mpb_now() - begin;
}

int64_t mpb_spawn_wait(const char *path) { return spawn_wait(path, environ); }

int64_t mpb_spawn_self_wait(void) {
    int count = 0;
    while (environ[count]) count++;
    char *environment[count + 2];
    memcpy(environment, environ, count * sizeof *environment);
    environment[count] = BARE_VARIABLE "=1";
    environment[count + 1] = NULL;
    return spawn_wait("/proc/self/exe", environment);
}

static void *note_time(void *place) {
    *(int64_t *)place = mpb_now();
    return NULL;
}

static int64_t run_thread(int64_t *first) {
    int64_t begin = mpb_now();
    pthread_t thread;
    int error = pthread_create(&thread, NULL, note_time, first);
    if (error) return -error;
    pthread_join(thread, NULL);
    int64_t end = mpb_now();
    *first -= begin;
    return end - begin;
}

int64_t mpb_thread_join(void) {
    int64_t first;
    return run_thread(&first);
}

int64_t mpb_thread_first_instruction(void) {
    int64_t first;
    int64_t total = run_thread(&first);
    return total < 0 ? total : first;
}

struct run {
    int64_t (*work)(void);
    int64_t *result;
};

static void *run_work(void *place) {
    struct run *run = place;
    *run->result = run->work();
    return NULL;
}

int64_t mpb_in_threads(int count, int64_t (*work)(void), int64_t *results) {
    int64_t begin = mpb_now();
    pthread_t threads[count];
    struct run runs[count];
    int started = 0, error = 0;
    for (; started < count && !error; started++) {
        runs[started] = (struct run){work, &results[started]};
        error = pthread_create(&threads[started], NULL, run_work, &runs[started]);
        if (error) break;
    }
    for (int i = 0; i < started; i++) pthread_join(threads[i], NULL);
    return error ? -error : mpb_now() - begin;
}

static void *fresh_memory(size_t count) {
    void *memory = mmap(NULL, count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

int64_t mpb_copy_twice(const void *bytes, size_t count) {
    int64_t begin = mpb_now();
    void *once = fresh_memory(count);
    if (once) memcpy(once, bytes, count);
    void *twice = fresh_memory(count);
    if (once && twice) memcpy(twice, once, count);
    // Keeps the optimizer from dropping copies that nobody reads.
    __asm__ volatile("" : : "r"(once), "r"(twice) : "memory");
    int64_t end = mpb_now();
    if (once) munmap(once, count);
    if (twice) munmap(twice, count);
    return once && twice ? end - begin : -ENOMEM;
}

int mpb_start_helper(const char *program, const char *const *arguments, int *requests, int *answers) {
    int down[2], up[2];
    if (pipe2(down, O_CLOEXEC) < 0) return -errno;
    if (pipe2(up, O_CLOEXEC) < 0) {
        int error = errno;
        close(down[0]);
        close(down[1]);
        return -error;
    }
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, down[0], 0);
    posix_spawn_file_actions_adddup2(&actions, up[1], 1);
    pid_t pid;
    int error = posix_spawnp(&pid, program, &actions, NULL, (char *const *)arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(down[0]);
    close(up[1]);
    if (error) {
        close(down[1]);
        close(up[0]);
        return -error;
    }
    *requests = down[1];
    *answers = up[0];
    return pid;
}

void mpb_stop_helper(int pid, int requests, int answers) {
    close(requests);
    close(answers);
    wait_for(pid);
}

int mpb_silence_stderr(void) {
    int saved = fcntl(2, F_DUPFD_CLOEXEC, 3);
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (null >= 0) {
        dup2(null, 2);
        close(null);
    }
    return saved;
}

void mpb_restore_stderr(int saved) {
    if (saved < 0) return;
    dup2(saved, 2);
    close(saved);
}
