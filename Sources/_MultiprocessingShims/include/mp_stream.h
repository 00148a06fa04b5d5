// Sockets that carry a stream of bytes, to this machine or another. C because of getaddrinfo's lists, sockaddr_storage, and socket
// options and flags that Swift sees as macros or behind _GNU_SOURCE.
//
// Every function returns 0 or a result >= 0 on success and -errno on failure. A name that cannot be resolved is -EHOSTUNREACH.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#pragma clang assume_nonnull begin

/// Room for what `_mp_stream_peer` writes.
enum { _mp_peer_text_most = 80 };

/// A listening socket. With `loopback_only`, -EACCES for an address that others than this machine can reach.
int _mp_stream_listen_tcp(const char *host, uint16_t port, int backlog, bool loopback_only);
/// A listening socket at a path that is made for it, with mode 0600.
int _mp_stream_listen_unix(const char *path, int backlog);
/// Connects, one of the host's addresses after the other, each within what is left of the time.
int _mp_stream_connect_tcp(const char *host, uint16_t port, int64_t timeout_ns);
int _mp_stream_connect_unix(const char *path, int64_t timeout_ns);
/// The port that a socket is bound to.
int _mp_stream_port(int fd);
/// Who is at the other end, as "address:port"; "a process of this machine" for a Unix socket.
int _mp_stream_peer(int fd, char *text, size_t capacity);
/// Makes a connected socket ready for frames: no delay, never waiting, given up by the kernel when nothing is acknowledged for so
/// long. -EPROTOTYPE if it is not a stream socket.
int _mp_stream_prepare(int fd, int acknowledge_within_ms);

/// Sends from two pieces of memory, as much as goes without waiting. No SIGPIPE.
int64_t _mp_stream_send(
    int fd, const void *_Nullable first, size_t first_count, const void *_Nullable second, size_t second_count
);
/// Receives what is there, without waiting; 0 at end of file.
int64_t _mp_stream_receive(int fd, void *bytes, size_t capacity);
/// Ends a connection in both directions; whoever waits for it is woken.
void _mp_stream_end(int fd);

/// Reports a descriptor when it can be written as well, or no more.
int _mp_epoll_modify(int epoll, int fd, uint64_t token, bool for_writing);
/// The name of this machine.
int _mp_host_name(char *text, size_t capacity);
/// Compares in a time that does not depend on where the bytes differ.
bool _mp_equal_secrets(const void *one, const void *other, size_t count);

#pragma clang assume_nonnull end
