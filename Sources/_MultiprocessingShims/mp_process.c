#define _GNU_SOURCE
#include "mp_process.h"
#include "mp_shared.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <link.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void describe(const siginfo_t *info, struct _mp_exit *out) {
    out->status = info->si_status;
    switch (info->si_code) {
    case CLD_EXITED: out->kind = _mp_exit_code; break;
    case CLD_DUMPED: out->kind = _mp_exit_dumped; break;
    default: out->kind = _mp_exit_signal; break;
    }
}

int _mp_peek_exit(pid_t pid, bool wait, struct _mp_exit *out) {
    memset(out, 0, sizeof *out);
    siginfo_t info = {0};
    int result;
    do {
        result = waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT | (wait ? 0 : WNOHANG));
    } while (result < 0 && errno == EINTR);
    if (result < 0) return -errno;
    if (info.si_pid != 0) describe(&info, out);
    return 0;
}

int _mp_reap(pid_t pid, struct _mp_exit *out) {
    memset(out, 0, sizeof *out);
    siginfo_t info = {0};
    struct rusage usage;
    int result;
    do {
        // The system call, because libc's waitid has no rusage.
        result = (int)syscall(SYS_waitid, P_PID, pid, &info, WEXITED | WNOHANG, &usage);
    } while (result < 0 && errno == EINTR);
    if (result < 0) return -errno;
    if (info.si_pid == 0) return -EAGAIN;
    describe(&info, out);
    out->peak_kib = usage.ru_maxrss;
    out->user_us = usage.ru_utime.tv_sec * 1000000L + usage.ru_utime.tv_usec;
    out->system_us = usage.ru_stime.tv_sec * 1000000L + usage.ru_stime.tv_usec;
    return 0;
}

int _mp_kill(pid_t pid, int signal) { return kill(pid, signal) < 0 ? -errno : 0; }

int _mp_pidfd_open(pid_t pid) {
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0) return -errno;
    if (fd > 2) return fd;
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, 3), error = errno;
    close(fd);
    return moved < 0 ? -error : moved;
}

pid_t _mp_thread_id(void) { return (pid_t)syscall(SYS_gettid); }

struct renewal { int32_t old, new; };

// Half of a pointer may have the value of an id: the upper half of every address on the main thread's stack is about 0x7ffd.
static bool is_part_of_address(const int32_t *word) {
    uint64_t whole = *(const uint64_t *)((uintptr_t)word & ~(uintptr_t)7);
    if (whole >> 32 == 0 || (uint32_t)whole == 0) return false;
    // Fails where nothing is mapped.
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    return msync((void *)(whole & ~(page - 1)), 1, MS_ASYNC) == 0;
}

// Dispatch's main queue; a link that has no Dispatch in it has none.
extern char _dispatch_main_q[] __attribute__((weak));

// Dispatch's record of the main thread, the id and then the main queue, is in the executable where that is linked statically. The
// queue belongs to the thread by that same id, written there when the program was loaded: with another one Dispatch traps.
static bool is_of_dispatch(const int32_t *word, const int32_t *end) {
    if ((uintptr_t)word % 8 != 0 || end - word < 4 || _dispatch_main_q == NULL) return false;
    return *(char *const *)(word + 2) == _dispatch_main_q;
}

static int renew_in_module(struct dl_phdr_info *module, size_t size, void *context) {
    const struct renewal *ids = context;
    const char *slash = strrchr(module->dlpi_name, '/');
    const char *name = slash ? slash + 1 : module->dlpi_name;
    // The executable itself has the runtime in it where that is linked statically.
    if (size < sizeof *module || module->dlpi_tls_data == NULL) return 0;
    if (*module->dlpi_name != 0 && strncmp(name, "libswift", 8) != 0) return 0;
    for (int i = 0; i < module->dlpi_phnum; i++) {
        if (module->dlpi_phdr[i].p_type != PT_TLS) continue;
        // Before anybody has asked for an id the variable is zero: it is not among those that begin with a value.
        size_t first = (module->dlpi_phdr[i].p_filesz + sizeof(int32_t) - 1) / sizeof(int32_t);
        int32_t *word = (int32_t *)module->dlpi_tls_data + first;
        int32_t *end = (int32_t *)module->dlpi_tls_data + module->dlpi_phdr[i].p_memsz / sizeof *word;
        for (; word < end; word++)
            if (*word == ids->old && !is_part_of_address(word) && !is_of_dispatch(word, end)) *word = ids->new;
    }
    return 0;
}

// The Swift runtime keeps the id of each thread in a thread-local variable, and so does its Mutex: their locks go by it. A copy made
// by clone goes on with the id of the thread that it is a copy of, cannot give back what it locks once another thread waits for it
// (the kernel looks at the real id), and that one waits for ever: at a lazy constant, for instance. The variables have no names
// that could be linked against, so they are found by their value: a word that holds the old id among the few hundred bytes of
// thread-local data of Swift's libraries. A word of another meaning would have to be equal to the fork server's process id, begin as
// zero, and not be part of an address.
static void renew_thread_ids(int old) {
    struct renewal ids = {old, (int32_t)syscall(SYS_gettid)};
    dl_iterate_phdr(renew_in_module, &ids);
}

// CLONE_PARENT makes the child a child of the fork server's own parent, the user's process. So that process reaps it itself:
// no status has to be relayed, and none is lost when the server dies.
//
// libc's fork() cannot do that, hence the raw call, hence we do for the main thread what libc's fork does in its child:
// the cached thread id and the robust-mutex list. (The rest of it concerns other threads, of which a fork server has none:
// that it is single-threaded is checked by the caller.) glibc keeps `tid` 16 bytes in front of the list head; that is
// verified here, and the kernel's own record of the address is asked when it does not hold.
pid_t _mp_fork_sibling(void) {
    void *list = NULL;
    size_t length = 0;
    int *tid = NULL;
    if (syscall(SYS_get_robust_list, 0, &list, &length) == 0 && list != NULL) tid = (int *)((char *)list - 16);
    if (tid == NULL || *tid != (int)syscall(SYS_gettid)) {
        tid = NULL;
#ifdef PR_GET_TID_ADDRESS
        if (prctl(PR_GET_TID_ADDRESS, &tid) < 0) return -ENOTSUP;
#endif
        if (tid == NULL || *tid != (int)syscall(SYS_gettid)) return -ENOTSUP;
    }
    int own = *tid;
    unsigned long flags = CLONE_PARENT | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD;
#if defined(__x86_64__)
    long pid = syscall(SYS_clone, flags, 0, NULL, tid, 0);
#else
    long pid = syscall(SYS_clone, flags, 0, NULL, 0, tid);
#endif
    if (pid < 0) return -errno;
    if (pid == 0) {
        _mp_stamp_forget();
        renew_thread_ids(own);
        if (list != NULL) syscall(SYS_set_robust_list, list, length);
    }
    return (pid_t)pid;
}

pid_t _mp_fork(void) {
    pid_t pid = fork();
    return pid < 0 ? -errno : pid;
}

pid_t _mp_spawn(const struct _mp_spawn *request) {
    enum { most = 16 };
    if (request->count > most) return -E2BIG;
    // Sources are first moved above all targets: dup2 onto a number that is a later entry's source would lose that source.
    int moved[most], count = 0, highest = 2, error = 0;
    for (int i = 0; i < request->count; i++)
        if (request->targets[i] > highest) highest = request->targets[i];
    for (; count < request->count; count++) {
        moved[count] = fcntl(request->sources[count], F_DUPFD_CLOEXEC, highest + 1);
        if (moved[count] < 0) {
            error = errno;
            break;
        }
    }
    pid_t pid = -1;
    if (!error) {
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attributes;
        sigset_t none, all;
        sigemptyset(&none);
        sigfillset(&all);
        posix_spawn_file_actions_init(&actions);
        posix_spawnattr_init(&attributes);
        for (int i = 0; i < count && !error; i++)
            error = posix_spawn_file_actions_adddup2(&actions, moved[i], request->targets[i]);
        if (!error) error = posix_spawn_file_actions_addclosefrom_np(&actions, highest + 1);
        posix_spawnattr_setsigmask(&attributes, &none);
        posix_spawnattr_setsigdefault(&attributes, &all);
        posix_spawnattr_setpgroup(&attributes, 0);
        posix_spawnattr_setflags(
            &attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP
        );
        if (!error) {
            error = posix_spawn(&pid, request->path, &actions, &attributes, request->arguments, request->environment);
        }
        posix_spawn_file_actions_destroy(&actions);
        posix_spawnattr_destroy(&attributes);
    }
    for (int i = 0; i < count; i++) close(moved[i]);
    return error ? -error : pid;
}

// The lifeline: a pipe on which nothing is ever written, whose write end only the parent holds. When the parent ends, by
// whatever means, the kernel closes that end and tells the readers, and here the signal of that notice is SIGKILL. So a child
// goes at once, stopped or busy or in the middle of anything, and needs no thread to watch.
//
// The owner of a notice belongs to the open file, which a duplicate would share with every other reader: hence the new
// open file through /proc. (PR_SET_PDEATHSIG would follow the parent's *thread*.)
int _mp_arm_lifeline(int pipe, pid_t owner) {
    char path[48];
    snprintf(path, sizeof path, "/proc/self/fd/%d", pipe);
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return -errno;
    if (fcntl(fd, F_SETOWN, owner) < 0 || fcntl(fd, F_SETSIG, SIGKILL) < 0
        || fcntl(fd, F_SETFL, O_RDONLY | O_NONBLOCK | O_ASYNC) < 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    // Ended between our start and this point? Then no notice will come.
    struct pollfd state = {fd, POLLIN, 0};
    if (poll(&state, 1, 0) != 0) {
        close(fd);
        return -EOWNERDEAD;
    }
    return fd;
}

// A copy of this process made by fork() that goes on without exec, ours or anybody's, must not hold the write end: it would keep
// the children alive after their parent. The lock makes pipe and note one step for a thread that forks at that moment.
static pthread_mutex_t lifeline_lock = PTHREAD_MUTEX_INITIALIZER;
static int held = -1;

static void before_fork(void) { pthread_mutex_lock(&lifeline_lock); }
static void in_parent(void) { pthread_mutex_unlock(&lifeline_lock); }
static void in_copy(void) {
    if (held >= 0) close(held);
    held = -1;
    pthread_mutex_unlock(&lifeline_lock);
}

int _mp_make_lifeline(int *ends) {
    static bool installed;
    pthread_mutex_lock(&lifeline_lock);
    // Handlers outlive a fork: a copy that becomes a parent itself has them already.
    int error = installed ? 0 : -pthread_atfork(before_fork, in_parent, in_copy);
    if (!error) {
        installed = true;
        error = _mp_pipe(ends);
    }
    if (!error) held = ends[1];
    pthread_mutex_unlock(&lifeline_lock);
    return error;
}

int _mp_reset_signals(const int *ignored, int ignored_count, const int *blocked, int blocked_count) {
    for (int i = 0; i < ignored_count; i++)
        if (signal(ignored[i], SIG_IGN) == SIG_ERR) return -errno;
    sigset_t mask;
    sigemptyset(&mask);
    for (int i = 0; i < blocked_count; i++)
        if (sigaddset(&mask, blocked[i]) < 0) return -errno;
    return sigprocmask(SIG_SETMASK, &mask, NULL) < 0 ? -errno : 0;
}

int _mp_default_signals(void) {
    for (int n = 1; n < NSIG; n++) signal(n, SIG_DFL);  // SIGKILL and SIGSTOP refuse, and have no other
    sigset_t none;
    sigemptyset(&none);
    return sigprocmask(SIG_SETMASK, &none, NULL) < 0 ? -errno : 0;
}

int _mp_block_outside_signals(void) {
    sigset_t mask;
    sigfillset(&mask);
    // A fault while its signal is blocked ends the process at once, past the handler that would print a backtrace. By SIGPROF
    // that handler stops the other threads.
    const int faults[] = {SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGSYS, SIGPROF};
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) sigdelset(&mask, faults[i]);
    return -pthread_sigmask(SIG_SETMASK, &mask, NULL);
}

enum { SIGNAL_STACK = 64 << 10 };

void *_mp_install_signal_stack(void) {
    void *base = mmap(NULL, SIGNAL_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (base == MAP_FAILED) return NULL;
    stack_t stack = {.ss_sp = base, .ss_size = SIGNAL_STACK};
    if (sigaltstack(&stack, NULL) == 0) return base;
    munmap(base, SIGNAL_STACK);
    return NULL;
}

void _mp_remove_signal_stack(void *base) {
    if (!base) return;
    stack_t none = {.ss_flags = SS_DISABLE};
    sigaltstack(&none, NULL);
    munmap(base, SIGNAL_STACK);
}

int _mp_set_limit(int resource, uint64_t soft, uint64_t hard) {
    struct rlimit limit = {soft, hard};
    return setrlimit(resource, &limit) < 0 ? -errno : 0;
}

int _mp_get_limit(int resource, uint64_t *soft, uint64_t *hard) {
    struct rlimit limit;
    if (getrlimit(resource, &limit) < 0) return -errno;
    *soft = limit.rlim_cur;
    *hard = limit.rlim_max;
    return 0;
}

int _mp_set_affinity(const int *cpus, int count) {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (int i = 0; i < count; i++) {
        if (cpus[i] < 0 || cpus[i] >= CPU_SETSIZE) return -EINVAL;
        CPU_SET(cpus[i], &set);
    }
    return sched_setaffinity(0, sizeof set, &set) < 0 ? -errno : 0;
}

int _mp_get_affinity(int *cpus, int capacity) {
    // Larger than cpu_set_t: a machine may have more than 1024 processors.
    enum { bits = 16384 };
    unsigned long words[bits / 64] = {0};
    long bytes = syscall(SYS_sched_getaffinity, 0, sizeof words, words);
    if (bytes < 0) return -errno;
    int count = 0;
    for (int cpu = 0; cpu < bytes * 8 && count < capacity; cpu++)
        if (words[cpu / 64] >> (cpu % 64) & 1) cpus[count++] = cpu;
    return count;
}

int _mp_set_niceness(int nice) { return setpriority(PRIO_PROCESS, 0, nice) < 0 ? -errno : 0; }

int _mp_set_identity(bool set_group, gid_t group, bool set_user, uid_t user) {
    // Supplementary groups go first and the user last: afterwards neither could be changed any more.
    if ((set_group || set_user) && geteuid() == 0 && setgroups(set_group ? 1 : 0, &group) < 0) return -errno;
    if (set_group && setresgid(group, group, group) < 0) return -errno;
    if (set_user && setresuid(user, user, user) < 0) return -errno;
    return 0;
}

int _mp_set_name(const char *name) { return prctl(PR_SET_NAME, name) < 0 ? -errno : 0; }
int _mp_set_group(void) { return setpgid(0, 0) < 0 ? -errno : 0; }
int _mp_chdir(const char *path) { return chdir(path) < 0 ? -errno : 0; }
int _mp_fchdir(int fd) { return fchdir(fd) < 0 ? -errno : 0; }
int _mp_get_cwd(void) { return _mp_open(".", O_PATH | O_DIRECTORY); }

int _mp_fill_random(void *bytes, size_t count) {
    size_t done = 0;
    while (done < count) {
        ssize_t got = getrandom((char *)bytes + done, count - done, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return -errno;
        done += (size_t)got;
    }
    return 0;
}

int _mp_thread_count(void) {
    DIR *directory = opendir("/proc/self/task");
    if (directory == NULL) return -errno;
    int count = 0;
    for (struct dirent *entry; (entry = readdir(directory));) count += entry->d_name[0] != '.';
    closedir(directory);
    return count;
}


void _mp_buffer_output_by_line(void) { setvbuf(stdout, NULL, _IOLBF, 0); }

bool _mp_flush_stdio(void) {
    // fflush(NULL) takes the lock of every stream, and a thread that waits for input holds standard input's as long.
    bool all = ftrylockfile(stdin) == 0;
    if (all) {
        fflush(NULL);
        funlockfile(stdin);
    } else {
        fflush(stdout);
        fflush(stderr);
    }
    return all;
}

void _mp_exit_now(int code) { _exit(code); }
void _mp_exit_with_handlers(int code) { exit(code); }
