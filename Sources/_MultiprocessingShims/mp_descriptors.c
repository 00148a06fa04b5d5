#define _GNU_SOURCE
#include "mp_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

// Moves a new descriptor out of the way of the standard streams.
static int above_stdio(int fd) {
    if (fd < 0) return -errno;
    if (fd > 2) return fd;
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    int error = errno;
    close(fd);
    return moved < 0 ? -error : moved;
}

static int pair_above_stdio(int *ends) {
    ends[0] = above_stdio(ends[0]);
    ends[1] = above_stdio(ends[1]);
    if (ends[0] >= 0 && ends[1] >= 0) return 0;
    int error = ends[0] < 0 ? ends[0] : ends[1];
    if (ends[0] >= 0) close(ends[0]);
    if (ends[1] >= 0) close(ends[1]);
    return error;
}

int _mp_socketpair(int *ends) {
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) return -errno;
    return pair_above_stdio(ends);
}

int _mp_pipe(int *ends) {
    if (pipe2(ends, O_CLOEXEC) < 0) return -errno;
    return pair_above_stdio(ends);
}

int _mp_memfd(const char *name) { return above_stdio(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING)); }

int _mp_open(const char *path, int flags) { return above_stdio(open(path, flags | O_CLOEXEC, 0600)); }

int _mp_duplicate(int fd, int minimum, bool close_on_exec) {
    int copy = fcntl(fd, close_on_exec ? F_DUPFD_CLOEXEC : F_DUPFD, minimum);
    return copy < 0 ? -errno : copy;
}

int _mp_dup2(int from, int to) { return dup2(from, to) < 0 ? -errno : to; }

int _mp_set_cloexec(int fd, bool on) { return fcntl(fd, F_SETFD, on ? FD_CLOEXEC : 0) < 0 ? -errno : 0; }

int _mp_set_nonblocking(int fd, bool on) {
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0) return -errno;
    flags = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
    return fcntl(fd, F_SETFL, flags) < 0 ? -errno : 0;
}

int _mp_close_range(int first, int last) {
    if (first > last) return 0;
#ifdef SYS_close_range
    if (syscall(SYS_close_range, (unsigned)first, (unsigned)last, 0) == 0) return 0;
#endif
    // A kernel before 5.9. The limit bounds what may be open.
    long limit = sysconf(_SC_OPEN_MAX);
    if (limit < 0 || limit > 1 << 20) limit = 1 << 20;
    for (int fd = first; fd <= last && fd < limit; fd++) close(fd);
    return 0;
}


bool _mp_is_open(int fd) { return fcntl(fd, F_GETFD) >= 0; }

// SCM_MAX_FD of the kernel.
enum { most_descriptors = 253 };

int64_t _mp_send(int fd, const void *bytes, size_t count, const int *fds, int fd_count, bool wait) {
    if (fd_count > most_descriptors) return -E2BIG;
    struct iovec vector = {(void *)bytes, count};
    char control[CMSG_SPACE(sizeof(int) * most_descriptors)] __attribute__((aligned(8)));
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    if (fd_count > 0) {
        message.msg_control = control;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
        memcpy(CMSG_DATA(header), fds, sizeof(int) * fd_count);
    }
    for (;;) {
        // MSG_NOSIGNAL: a dead peer is an error for the caller, not a SIGPIPE for its process.
        ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL | (wait ? 0 : MSG_DONTWAIT));
        if (sent >= 0) return sent;
        if (errno != EINTR) return -errno;
    }
}

int64_t _mp_receive(int fd, void *bytes, size_t capacity, int *fds, int fd_capacity, int *fd_count, bool wait) {
    struct iovec vector = {bytes, capacity};
    char control[CMSG_SPACE(sizeof(int) * most_descriptors)] __attribute__((aligned(8)));
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    *fd_count = 0;
    ssize_t got;
    do {
        got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT));
    } while (got < 0 && errno == EINTR);
    if (got < 0) return -errno;
    int error = (message.msg_flags & MSG_TRUNC) ? -EMSGSIZE : 0;
    // There is room for all that a packet can carry: this process may open no more.
    bool lost = message.msg_flags & MSG_CTRUNC;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        int count = (int)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        for (int i = 0; i < count; i++) {
            int received;
            memcpy(&received, CMSG_DATA(header) + i * sizeof(int), sizeof received);
            if (received < 3) {
                received = above_stdio(received);
                if (received < 0 && error == 0) error = received;
            }
            // A descriptor nobody asked for is closed, never leaked.
            if (error == 0 && *fd_count < fd_capacity) {
                fds[(*fd_count)++] = received;
            } else if (received >= 0) {
                close(received);
                if (error == 0) error = -EMSGSIZE;
            }
        }
    }
    if (error || lost) {
        for (int i = 0; i < *fd_count; i++) close(fds[i]);
        *fd_count = error ? 0 : -1;
    }
    return error ? error : got;
}

int _mp_poll(struct _mp_pollfd *fds, int count, int64_t timeout_ns) {
    struct timespec limit = {timeout_ns / 1000000000, timeout_ns % 1000000000};
    int ready = ppoll((struct pollfd *)fds, (nfds_t)count, timeout_ns < 0 ? NULL : &limit, NULL);
    return ready < 0 ? -errno : ready;
}
_Static_assert(sizeof(struct _mp_pollfd) == sizeof(struct pollfd), "the same layout");

int _mp_epoll_create(void) { return above_stdio(epoll_create1(EPOLL_CLOEXEC)); }

int _mp_epoll_add(int epoll, int fd, uint64_t token) {
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = token};
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

int _mp_epoll_remove(int epoll, int fd) { return epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL) < 0 ? -errno : 0; }

int _mp_epoll_wait(int epoll, uint64_t *tokens, int capacity, int timeout_ms) {
    struct epoll_event events[64];
    if (capacity > 64) capacity = 64;
    int count = epoll_wait(epoll, events, capacity, timeout_ms);
    if (count < 0) return -errno;
    for (int i = 0; i < count; i++) tokens[i] = events[i].data.u64;
    return count;
}

void *_mp_map(int fd, size_t count, bool writable, bool populate) {
    int protection = PROT_READ | (writable ? PROT_WRITE : 0);
    void *address = mmap(NULL, count, protection, MAP_SHARED | (populate ? MAP_POPULATE : 0), fd, 0);
    return address == MAP_FAILED ? NULL : address;
}

void _mp_prefer_large_pages(void *address, size_t count) {
    // Whole pages inside: what is beside them belongs to others.
    const uintptr_t page = 4096;
    uintptr_t begin = ((uintptr_t)address + page - 1) & ~(page - 1), end = ((uintptr_t)address + count) & ~(page - 1);
    if (begin < end) madvise((void *)begin, end - begin, MADV_HUGEPAGE);
}

int _mp_unmap(void *address, size_t count) { return munmap(address, count) < 0 ? -errno : 0; }

int64_t _mp_write_all(int fd, const void *bytes, size_t count) {
    size_t done = 0;
    while (done < count) {
        ssize_t wrote = write(fd, (const char *)bytes + done, count - done);
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote < 0) return -errno;
        done += (size_t)wrote;
    }
    return (int64_t)done;
}

int64_t _mp_file_size(int fd) {
    struct stat info;
    return fstat(fd, &info) < 0 ? -errno : info.st_size;
}

// SIGPIPE and SIGXFSZ go to the writing thread: blocked there for the moment of the write, and taken back if they came.
static int64_t write_without(int signal, int refusal, int fd, const void *bytes, size_t count) {
    sigset_t only, before, pending;
    sigemptyset(&only);
    sigaddset(&only, signal);
    sigpending(&pending);
    int was_pending = sigismember(&pending, signal);
    pthread_sigmask(SIG_BLOCK, &only, &before);
    int64_t result = _mp_write_all(fd, bytes, count);
    if (result == -refusal && !was_pending) {
        struct timespec now = {0, 0};
        while (sigtimedwait(&only, NULL, &now) < 0 && errno == EINTR) {}
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result;
}

int _mp_shutdown_sending(int fd) { return shutdown(fd, SHUT_WR) < 0 ? -errno : 0; }
void _mp_write_quietly(int fd, const void *bytes, size_t count) { write_without(SIGPIPE, EPIPE, fd, bytes, count); }

int64_t _mp_fill(int fd, const void *bytes, size_t count) { return write_without(SIGXFSZ, EFBIG, fd, bytes, count); }
