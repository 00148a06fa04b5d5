// Named shared memory (files in /dev/shm), and the sockets by which processes of one program find their tracker. C because of
// O_TMPFILE, flock and SO_PEERCRED, which Swift cannot see. Results >= 0, or -errno.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#pragma clang assume_nonnull begin

/// What is known of an open segment.
struct _mp_segment {
    uint64_t device, inode;
    int64_t size;
    uid_t owner;
    bool has_name;    // it is still in a directory
    bool removable;   // made by this library, to be removed when nobody uses it
};

/// A segment of `size` bytes without a name, all of its memory allocated, with a shared lock on it. Its descriptor.
/// -EFBIG beyond the limit on file sizes, -ENOSPC when /dev/shm is full. Nothing is left behind on failure.
int _mp_segment_make(int64_t size, bool removable);
/// Gives a segment its name; -EEXIST if it is taken. From then on others find it, with its size.
int _mp_segment_name(int fd, const char *name);
int _mp_segment_open(const char *name);
int _mp_segment_look(int fd, struct _mp_segment *out);
/// Locks the open file for use, or for removal; -EAGAIN if others have it locked against that. Never waits.
int _mp_segment_lock(int fd, bool for_removal);
/// Removes a name if it still is that of the segment; -ENOENT if not.
int _mp_segment_unlink(const char *name, uint64_t device, uint64_t inode);
/// Calls `body` with each name in /dev/shm that begins with `prefix`.
int _mp_segment_list(const char *prefix, void *context, void (*body)(void *context, const char *name));

/// A listening socket that is found by a name, in no directory. For sockets that keep packets apart.
int _mp_rendezvous_listen(const char *name);
/// Connects; never waits: -EAGAIN if too many others try at the same time.
int _mp_rendezvous_connect(const char *name);
/// Takes the next connection; never waits.
int _mp_rendezvous_accept(int fd);
/// The user who is at the other end (who listened, or who connected).
int _mp_peer_user(int fd, uid_t *user);
uid_t _mp_user(void);
/// Leaves session and terminal; not for the leader of a process group.
int _mp_new_session(void);

#pragma clang assume_nonnull end
