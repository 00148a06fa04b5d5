// Memory that processes share: futexes on it, files behind it, and who is alive to use it. C because futex(2) and
// futex_waitv(2) have no libc wrapper, and because the identity of a process is cached where a fork can reset it.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#pragma clang assume_nonnull begin

// Futexes on 32-bit words in shared memory. `timeout_ns` < 0 waits without end. 0 when woken, -EAGAIN when the word did not
// hold `expected`, -ETIMEDOUT, -EINTR.
int _mp_futex_wait(const void *word, uint32_t expected, int64_t timeout_ns);
/// Wakes up to `count` waiters, those that have waited longest first; returns how many.
int _mp_futex_wake(const void *word, int count);

struct _mp_futex { const void *word; uint32_t expected; };
enum { _mp_futex_most = 128 };
/// Waits for any of up to 128 words; the index of one that was woken, or as `_mp_futex_wait`; -ENOSYS before Linux 5.16.
int _mp_futex_wait_any(const struct _mp_futex *futexes, int count, int64_t timeout_ns);

/// For the body of a loop that waits for another processor.
static inline void _mp_spin_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

// A process in one word: its id in bits 0–21, the low half of its start time (in ticks since boot) in bits 32–63. The id alone may
// be another process's tomorrow; the two together are not. Zero is nobody. Bits 22–31 are left to whoever stores the word.
/// This process. No system call but for the first time.
uint64_t _mp_stamp_self(void);
/// Another process, or 0 if there is none with that id.
uint64_t _mp_stamp_of(pid_t pid);
/// Whether the process runs: not when it is a zombie. Three system calls, some ten microseconds.
bool _mp_stamp_is_alive(uint64_t stamp);
/// After a fork that libc does not know of.
void _mp_stamp_forget(void);
/// How often this process forked since its stamp was first asked for: copies of it share its memory from then on.
uint32_t _mp_fork_count(void);

/// Who is running: the current Swift task if there is one, else the thread. Never zero, and never used again in this process.
uint64_t _mp_holder_self(void);

/// The processor that the caller runs on, from 1; 0 if that is not known. No system call.
uint32_t _mp_processor(void);

/// A memory file of `size` bytes that can neither shrink nor grow. `huge`: 2 MiB pages (from the reserved pool).
int _mp_memfd_sized(const char *name, uint64_t size, bool huge);
/// Whether the file behind `fd` can never shrink: only then is it safe to touch a mapping of one that somebody else sent.
bool _mp_cannot_shrink(int fd);
int _mp_file_identity(int fd, uint64_t *device, uint64_t *inode);
/// Maps `count` bytes of a file, shared; NULL and errno in `*error` if that fails.
void *_Nullable _mp_map_shared(int fd, size_t count, bool writable, int *error);

#pragma clang assume_nonnull end
