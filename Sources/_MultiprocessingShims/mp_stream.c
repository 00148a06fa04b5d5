#define _GNU_SOURCE
#include "mp_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

// Out of the way of the standard streams, as every descriptor of ours.
static int above_stdio(int fd) {
    if (fd < 0) return -errno;
    if (fd > 2) return fd;
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    int error = errno;
    close(fd);
    return moved < 0 ? -error : moved;
}

static int fail(int fd) {
    int error = errno;
    close(fd);
    return -error;
}

static int stream_socket(int family) {
    return above_stdio(socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

static int resolve(const char *host, uint16_t port, int flags, struct addrinfo **found) {
    char service[8];
    snprintf(service, sizeof service, "%u", (unsigned)port);
    struct addrinfo hints = {.ai_flags = flags | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
    int error = getaddrinfo(host, service, &hints, found);
    if (error == 0) return 0;
    return error == EAI_SYSTEM ? -errno : error == EAI_MEMORY ? -ENOMEM : -EHOSTUNREACH;
}

static bool is_loopback(const struct sockaddr *address) {
    if (address->sa_family == AF_INET) {
        return ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) >> 24 == 127;
    }
    return address->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)address)->sin6_addr);
}

int _mp_stream_listen_tcp(const char *host, uint16_t port, int backlog, bool loopback_only) {
    struct addrinfo *list;
    int result = resolve(host, port, AI_PASSIVE, &list);
    if (result < 0) return result;
    result = -EADDRNOTAVAIL;
    for (struct addrinfo *entry = list; entry; entry = entry->ai_next) {
        if (loopback_only && !is_loopback(entry->ai_addr)) {
            result = -EACCES;
            continue;
        }
        int fd = stream_socket(entry->ai_family);
        if (fd < 0) {
            result = fd;
            continue;
        }
        // A port whose last connections are still winding down may be used again at once.
        int on = 1;
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        if (bind(fd, entry->ai_addr, entry->ai_addrlen) < 0 || listen(fd, backlog) < 0) {
            result = fail(fd);
            continue;
        }
        result = fd;
        break;
    }
    freeaddrinfo(list);
    return result;
}

static int unix_address(struct sockaddr_un *address, const char *path) {
    size_t count = strlen(path);
    if (count == 0 || count >= sizeof address->sun_path) return -ENAMETOOLONG;
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, path, count);
    return 0;
}

int _mp_stream_listen_unix(const char *path, int backlog) {
    struct sockaddr_un address;
    int result = unix_address(&address, path);
    if (result < 0) return result;
    int fd = stream_socket(AF_UNIX);
    if (fd < 0) return fd;
    // The file that bind makes takes its mode from the socket: there is no moment at which others may connect.
    if (fchmod(fd, 0600) < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, backlog) < 0) {
        return fail(fd);
    }
    return fd;
}

static int64_t now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

// Connects a socket that never waits; the waiting is done here. A full backlog of a Unix socket (-EAGAIN) is tried again.
static int connect_within(int fd, const struct sockaddr *address, socklen_t size, int64_t end_ns) {
    for (;;) {
        if (connect(fd, address, size) == 0) return fd;
        if (errno != EAGAIN && errno != EINTR) break;
        if (now_ns() >= end_ns) return errno = ETIMEDOUT, fail(fd);
        poll(NULL, 0, 5);
    }
    if (errno != EINPROGRESS) return fail(fd);
    struct pollfd entry = {.fd = fd, .events = POLLOUT};
    for (;;) {
        int64_t left = end_ns - now_ns();
        if (left <= 0) return errno = ETIMEDOUT, fail(fd);
        int64_t milliseconds = left / 1000000 + 1;
        int ready = poll(&entry, 1, milliseconds > 1000000 ? 1000000 : (int)milliseconds);
        if (ready < 0 && errno != EINTR) return fail(fd);
        if (ready > 0) break;
    }
    int error = 0;
    socklen_t length = sizeof error;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0) return fail(fd);
    if (error != 0) return errno = error, fail(fd);
    return fd;
}

// Below zero is without end.
static int64_t end_after(int64_t timeout_ns) {
    int64_t now = now_ns();
    return timeout_ns < 0 || timeout_ns > INT64_MAX - now ? INT64_MAX : now + timeout_ns;
}

int _mp_stream_connect_tcp(const char *host, uint16_t port, int64_t timeout_ns) {
    int64_t end = end_after(timeout_ns);
    struct addrinfo *list;
    int result = resolve(host, port, 0, &list);
    if (result < 0) return result;
    result = -EHOSTUNREACH;
    for (struct addrinfo *entry = list; entry; entry = entry->ai_next) {
        int fd = stream_socket(entry->ai_family);
        result = fd < 0 ? fd : connect_within(fd, entry->ai_addr, entry->ai_addrlen, end);
        if (result >= 0) break;
    }
    freeaddrinfo(list);
    return result;
}

int _mp_stream_connect_unix(const char *path, int64_t timeout_ns) {
    struct sockaddr_un address;
    int result = unix_address(&address, path);
    if (result < 0) return result;
    int fd = stream_socket(AF_UNIX);
    if (fd < 0) return fd;
    return connect_within(fd, (struct sockaddr *)&address, sizeof address, end_after(timeout_ns));
}

int _mp_stream_port(int fd) {
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &size) < 0) return -errno;
    if (address.ss_family == AF_INET) return ntohs(((struct sockaddr_in *)&address)->sin_port);
    if (address.ss_family == AF_INET6) return ntohs(((struct sockaddr_in6 *)&address)->sin6_port);
    return -EPROTOTYPE;
}

int _mp_stream_peer(int fd, char *text, size_t capacity) {
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    if (getpeername(fd, (struct sockaddr *)&address, &size) < 0) return -errno;
    if (address.ss_family == AF_UNIX) {
        snprintf(text, capacity, "a process of this machine");
        return 0;
    }
    char host[64], port[8];
    int error = getnameinfo(
        (struct sockaddr *)&address, size, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV
    );
    if (error != 0) return -EPROTOTYPE;
    snprintf(text, capacity, address.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
    return 0;
}

int _mp_stream_prepare(int fd, int acknowledge_within_ms) {
    int type = 0, domain = 0, on = 1;
    socklen_t size = sizeof type;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0) return -errno;
    if (type != SOCK_STREAM) return -EPROTOTYPE;
    size = sizeof domain;
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0) return -errno;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) return -errno;
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) return -errno;
    if (domain != AF_INET && domain != AF_INET6) return 0;
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0) return -errno;
    if (setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on) < 0) return -errno;
    unsigned within = (unsigned)acknowledge_within_ms;
    return setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &within, sizeof within) < 0 ? -errno : 0;
}

int64_t _mp_stream_send(int fd, const void *first, size_t first_count, const void *second, size_t second_count) {
    struct iovec pieces[2];
    int count = 0;
    if (first_count > 0) pieces[count++] = (struct iovec){(void *)first, first_count};
    if (second_count > 0) pieces[count++] = (struct iovec){(void *)second, second_count};
    if (count == 0) return 0;
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = (size_t)count};
    ssize_t sent;
    do {
        sent = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : sent;
}

int64_t _mp_stream_receive(int fd, void *bytes, size_t capacity) {
    ssize_t got;
    do {
        got = recv(fd, bytes, capacity, MSG_DONTWAIT);
    } while (got < 0 && errno == EINTR);
    return got < 0 ? -errno : got;
}

void _mp_stream_end(int fd) { shutdown(fd, SHUT_RDWR); }

int _mp_epoll_modify(int epoll, int fd, uint64_t token, bool for_writing) {
    struct epoll_event event = {.events = EPOLLIN | (for_writing ? EPOLLOUT : 0), .data.u64 = token};
    return epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event) < 0 ? -errno : 0;
}

int _mp_host_name(char *text, size_t capacity) {
    if (gethostname(text, capacity) < 0) return -errno;
    text[capacity - 1] = 0;
    return 0;
}

bool _mp_equal_secrets(const void *one, const void *other, size_t count) {
    const volatile unsigned char *left = one, *right = other;
    unsigned char difference = 0;
    for (size_t i = 0; i < count; i++) difference |= left[i] ^ right[i];
    return difference == 0;
}
