// What sharing costs without the library: words, locks and pipes between this process and forked ones, and the two message
// queues that C and C++ programs use, where they are installed.
//
// Every function returns nanoseconds for all of it, or a negative errno.
#ifndef C_SHARED_H
#define C_SHARED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// `rounds` round trips over two words of shared memory. With `spin`, each side looks at its word for some 40 microseconds before
// it sleeps on it; without, it sleeps at once. `pause` nanoseconds before each round trip, not counted, let the partner fall asleep.
int64_t mpb_pingpong_futex(int rounds, bool spin, int64_t pause);
// The same over two pipes.
int64_t mpb_pingpong_pipe(int rounds, int64_t pause);

// `count` times lock and unlock of a robust mutex that processes share; nobody else wants it.
int64_t mpb_mutex_pairs(int count);
// Each of `processes` does so at the same time, with the same mutex; from the common start to the end of the last.
int64_t mpb_mutex_contended(int count, int processes);

// `count` copies of `size` bytes from one place to another, both in use already.
int64_t mpb_copies(size_t size, int count);

// `count` times `size` bytes from a forked process to this one by two copies, into and out of four places of shared memory that both have
// touched before: what is left of a queue when everything but the copies is taken away.
int64_t mpb_ring_copies(size_t size, int count);

// `count` messages of `size` bytes from a forked process to this one; -ENOSYS where the library is not installed.
int64_t mpb_zeromq(size_t size, int count);
int64_t mpb_boost_queue(size_t size, int count);

#ifdef __cplusplus
}
#endif

#endif
