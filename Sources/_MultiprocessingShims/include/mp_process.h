// Processes, descriptors and memory, where Swift cannot see the libc interface: macros (CMSG_*), calls hidden behind _GNU_SOURCE
// (memfd_create, pidfd_open), variadics (syscall, fcntl, prctl), and code that runs between fork and exec.
//
// Every function returns 0 or a result >= 0 on success and -errno on failure, so that errno never has to survive Swift code.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#pragma clang assume_nonnull begin

// Descriptors. Everything made here is close-on-exec and numbered above standard error: a process started with closed
// standard streams must not have one of our sockets taken for its standard output.
int _mp_socketpair(int *ends);
int _mp_pipe(int *ends);
int _mp_memfd(const char *name);
int _mp_open(const char *path, int flags);
int _mp_duplicate(int fd, int minimum, bool close_on_exec);
int _mp_dup2(int from, int to);
int _mp_set_cloexec(int fd, bool on);
int _mp_set_nonblocking(int fd, bool on);
int _mp_close_range(int first, int last);
bool _mp_is_open(int fd);

// One packet with descriptors beside it (SCM_RIGHTS). `*fd_count` is -1 if this process had no room for them: then all are lost.
int64_t _mp_send(int fd, const void *_Nullable bytes, size_t count, const int *_Nullable fds, int fd_count, bool wait);
int _mp_shutdown_sending(int fd);
int64_t _mp_receive(
    int fd, void *bytes, size_t capacity, int *_Nullable fds, int fd_capacity, int *fd_count, bool wait
);

// Waiting. `timeout_ns` < 0 waits without end.
struct _mp_pollfd { int fd; short events; short revents; };
int _mp_poll(struct _mp_pollfd *fds, int count, int64_t timeout_ns);

int _mp_epoll_create(void);
int _mp_epoll_add(int epoll, int fd, uint64_t token);
int _mp_epoll_remove(int epoll, int fd);
int _mp_epoll_wait(int epoll, uint64_t *tokens, int capacity, int timeout_ms);

// Processes.
struct _mp_exit { int kind; int status; int64_t peak_kib; int64_t user_us; int64_t system_us; };
enum { _mp_exit_running = 0, _mp_exit_code = 1, _mp_exit_signal = 2, _mp_exit_dumped = 3 };
/// Looks without reaping: 0 and kind `running` while the child lives, -ECHILD when it is not (or no longer) our child.
int _mp_peek_exit(pid_t pid, bool wait, struct _mp_exit *out);
/// Reaps a child that has ended; fills in its use of resources.
int _mp_reap(pid_t pid, struct _mp_exit *out);
int _mp_kill(pid_t pid, int signal);
int _mp_pidfd_open(pid_t pid);

/// The calling thread's id (gettid).
pid_t _mp_thread_id(void);

/// Forks so that the new process is a child of *our parent* (CLONE_PARENT). Single-threaded callers only.
pid_t _mp_fork_sibling(void);
/// Plain fork(2).
pid_t _mp_fork(void);

struct _mp_spawn {
    const char *path;
    char *const _Nullable *_Nonnull arguments;
    char *const _Nullable *_Nonnull environment;
    /// `targets[i]` in the child is `sources[i]` of ours; every other descriptor is closed.
    const int *sources;
    const int *targets;
    int count;
};
pid_t _mp_spawn(const struct _mp_spawn *request);

/// Has the kernel SIGKILL `owner` (a process, or -group) once every write end of the pipe behind `pipe` is closed.
/// Returns the descriptor that must stay open for it. See the definition.
int _mp_arm_lifeline(int pipe, pid_t owner);

/// A lifeline: ends[0] to be armed by children, ends[1] held by this process alone. Copies that anybody makes of it by fork()
/// close their ends[1]. One for each process, for its whole life.
int _mp_make_lifeline(int *ends);

int _mp_reset_signals(const int *_Nullable ignored, int ignored_count, const int *_Nullable blocked, int blocked_count);
/// In this thread: all but those of its own faults.
int _mp_block_outside_signals(void);

/// Gives this thread a stack for handlers of signals, which run also when its own stack is at its end; NULL if it has none. To be
/// removed by the same thread before it ends.
void *_Nullable _mp_install_signal_stack(void);
void _mp_remove_signal_stack(void *_Nullable base);
/// Default action for every signal, none blocked.
int _mp_default_signals(void);
int _mp_set_limit(int resource, uint64_t soft, uint64_t hard);
int _mp_get_limit(int resource, uint64_t *soft, uint64_t *hard);
int _mp_set_affinity(const int *cpus, int count);
int _mp_get_affinity(int *cpus, int capacity);
int _mp_set_niceness(int nice);
int _mp_set_identity(bool set_group, gid_t group, bool set_user, uid_t user);
int _mp_set_name(const char *name);
int _mp_set_group(void);
int _mp_chdir(const char *path);
int _mp_fchdir(int fd);
int _mp_get_cwd(void);
int _mp_fill_random(void *bytes, size_t count);
int _mp_thread_count(void);

// Memory.
void *_Nullable _mp_map(int fd, size_t count, bool writable, bool populate);
int _mp_unmap(void *address, size_t count);
// Asks for large pages for memory that is about to be written, where the system has them to give. May do nothing.
void _mp_prefer_large_pages(void *address, size_t count);
int64_t _mp_write_all(int fd, const void *bytes, size_t count);
/// The same into a file of ours: beyond the limit on file sizes it is -EFBIG, without SIGXFSZ.
int64_t _mp_fill(int fd, const void *bytes, size_t count);
int64_t _mp_file_size(int fd);
/// Writes what can be written; a broken pipe raises no SIGPIPE.
void _mp_write_quietly(int fd, const void *bytes, size_t count);

// stdio, which Swift 6 may not touch (its globals are mutable).
/// Serves Dispatch's main queue (so `@MainActor` code) on the calling main thread, for ever.
void _mp_serve_main_queue(void) __attribute__((noreturn));

/// Flushes every stream, or only standard output and error (false) while another thread waits on standard input.
bool _mp_flush_stdio(void);
/// Has standard output written at each line's end.
void _mp_buffer_output_by_line(void);
void _mp_exit_now(int code) __attribute__((noreturn));
void _mp_exit_with_handlers(int code) __attribute__((noreturn));

#pragma clang assume_nonnull end
