// Unix sockets with addresses, a look at packets before they are taken, and files whose content is settled for good. C because of
// sockaddr_un, ucred, and recv's flags, which Swift sees as macros or behind _GNU_SOURCE.
//
// Every function returns 0 or a result >= 0 on success and -errno on failure.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#pragma clang assume_nonnull begin

/// The most bytes of an address: sun_path without its closing or leading zero.
enum { _mp_address_most = 107 };

/// A listening packet socket. `abstract`: a name in the kernel's table, which goes with the last descriptor; else a path, made
/// with mode 0600.
int _mp_listen(const void *name, size_t count, bool abstract, int backlog);
/// Connects; -EAGAIN when the listener's backlog is full. Never waits.
int _mp_connect(const void *name, size_t count, bool abstract);
/// The next connection; -EAGAIN when there is none. Never waits.
int _mp_accept(int fd);
/// The process that connected, listened or made the pair, as it was then.
int _mp_peer(int fd, int32_t *pid, uint32_t *uid, uint32_t *gid);
uint32_t _mp_effective_user(void);
/// Device and inode of what a path names, without following a link at its end.
int _mp_path_identity(const char *path, uint64_t *device, uint64_t *inode);
int _mp_unlink(const char *path);

/// The first bytes of the next packet, which stays where it is; 0 at end of file, -EAGAIN when there is none.
int64_t _mp_peek(int fd, void *bytes, size_t capacity);
/// Throws the next packet away, with its descriptors.
int64_t _mp_drop(int fd);
/// Whether the other end of a socket is gone.
bool _mp_has_hung_up(int fd);

/// A counter that is readable while it is not zero.
int _mp_eventfd(void);
void _mp_eventfd_signal(int fd);
void _mp_eventfd_clear(int fd);

/// Nobody can change the file's content or size from now on. Fails while it is mapped for writing.
int _mp_seal_content(int fd);
/// Whether nobody can change the file's content or size.
bool _mp_is_immutable(int fd);
/// The bytes of memory or disk that a file really uses.
int64_t _mp_file_use(int fd);
/// Maps a file for reading.
void *_Nullable _mp_map_private(int fd, size_t count, int *error);
/// Reads all of `count` bytes from `offset` on; -EIO if there are fewer.
int64_t _mp_read_at(int fd, void *bytes, size_t count, int64_t offset);

#pragma clang assume_nonnull end
