// What the operating system itself costs: the yardsticks of the benchmark, without a line of Swift in them.
//
// Every measuring function returns nanoseconds, or a negative errno.
#ifndef C_BASELINES_H
#define C_BASELINES_H

#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>

// CLOCK_MONOTONIC, which all processes of a machine share: a child's timestamp can be compared with its parent's.
int64_t mpb_now(void);
void mpb_sleep(int64_t nanoseconds);

// How many processors this process may run on.
int mpb_processor_count(void);

// `count` times fork, `_exit` in each child, then one wait for each.
int64_t mpb_fork_wait(int count);

// posix_spawn of a program without arguments, and the wait for its end.
int64_t mpb_spawn_wait(const char *path);
// posix_spawn of this very executable, which leaves before `main` (see bare.c), and the wait for its end.
int64_t mpb_spawn_self_wait(void);

// pthread_create of an empty thread, and the join.
int64_t mpb_thread_join(void);
// From before pthread_create to the thread's first instruction.
int64_t mpb_thread_first_instruction(void);

// Runs `work` in as many threads at once; from before the first pthread_create to the last join. Its results are in `results`.
int64_t mpb_in_threads(int count, int64_t (*work)(void), int64_t *results);

// Copies the bytes into fresh memory and from there into fresh memory; giving the memory back is not counted.
int64_t mpb_copy_twice(const void *bytes, size_t count);

// Starts a program that reads requests from one pipe and answers on another; returns its process id.
int mpb_start_helper(const char *program, const char *const *arguments, int *requests, int *answers);
// Closes the pipes, by which the helper ends, and waits for it.
void mpb_stop_helper(int pid, int requests, int answers);

// Points descriptor 2 at /dev/null; returns what mpb_restore_stderr takes to undo it.
int mpb_silence_stderr(void);
void mpb_restore_stderr(int saved);

#endif
