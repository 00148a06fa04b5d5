#define _GNU_SOURCE
#include "mp_sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
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

static socklen_t fill(struct sockaddr_un *address, const void *name, size_t count, bool abstract) {
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path + (abstract ? 1 : 0), name, count);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + count + 1);
}

static int packet_socket(void) { return above_stdio(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)); }

int _mp_listen(const void *name, size_t count, bool abstract, int backlog) {
    if (count == 0 || count > _mp_address_most) return -EINVAL;
    int fd = packet_socket();
    if (fd < 0) return fd;
    struct sockaddr_un address;
    socklen_t size = fill(&address, name, count, abstract);
    // The file that bind makes takes its mode from the socket: there is no moment at which others may connect.
    if (!abstract && fchmod(fd, 0600) < 0) return fail(fd);
    if (bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, backlog) < 0) return fail(fd);
    return fd;
}

int _mp_connect(const void *name, size_t count, bool abstract) {
    if (count == 0 || count > _mp_address_most) return -EINVAL;
    int fd = packet_socket();
    if (fd < 0) return fd;
    struct sockaddr_un address;
    socklen_t size = fill(&address, name, count, abstract);
    int result;
    do {
        result = connect(fd, (struct sockaddr *)&address, size);
    } while (result < 0 && errno == EINTR);
    if (result < 0) return fail(fd);
    return fd;
}

int _mp_accept(int fd) {
    int accepted;
    do {
        accepted = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    } while (accepted < 0 && (errno == EINTR || errno == ECONNABORTED));
    return above_stdio(accepted);
}

int _mp_peer(int fd, int32_t *pid, uint32_t *uid, uint32_t *gid) {
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0) return -errno;
    *pid = peer.pid;
    *uid = peer.uid;
    *gid = peer.gid;
    return 0;
}

uint32_t _mp_effective_user(void) { return geteuid(); }

int _mp_path_identity(const char *path, uint64_t *device, uint64_t *inode) {
    struct stat status;
    if (lstat(path, &status) < 0) return -errno;
    *device = status.st_dev;
    *inode = status.st_ino;
    return 0;
}

int _mp_unlink(const char *path) { return unlink(path) < 0 ? -errno : 0; }

int64_t _mp_peek(int fd, void *bytes, size_t capacity) {
    ssize_t got;
    do {
        got = recv(fd, bytes, capacity, MSG_PEEK | MSG_DONTWAIT);
    } while (got < 0 && errno == EINTR);
    return got < 0 ? -errno : got;
}

int64_t _mp_drop(int fd) {
    char byte;
    ssize_t got;
    // Without room for descriptors the kernel closes those that come with the packet.
    do {
        got = recv(fd, &byte, 1, MSG_DONTWAIT);
    } while (got < 0 && errno == EINTR);
    return got < 0 ? -errno : got;
}

bool _mp_has_hung_up(int fd) {
    struct pollfd entry = {.fd = fd};
    int ready;
    do {
        ready = poll(&entry, 1, 0);
    } while (ready < 0 && errno == EINTR);
    return ready > 0 && (entry.revents & (POLLHUP | POLLERR));
}

int _mp_eventfd(void) { return above_stdio(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)); }

void _mp_eventfd_signal(int fd) {
    uint64_t one = 1;
    while (write(fd, &one, sizeof one) < 0 && errno == EINTR) {}
}

void _mp_eventfd_clear(int fd) {
    uint64_t count;
    while (read(fd, &count, sizeof count) < 0 && errno == EINTR) {}
}

enum { for_good = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE };

int _mp_seal_content(int fd) { return fcntl(fd, F_ADD_SEALS, for_good) < 0 ? -errno : 0; }

bool _mp_is_immutable(int fd) {
    int seals = fcntl(fd, F_GET_SEALS);
    enum { needed = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE };
    return seals >= 0 && (seals & needed) == needed;
}

int64_t _mp_file_use(int fd) {
    struct stat status;
    return fstat(fd, &status) < 0 ? -errno : (int64_t)status.st_blocks * 512;
}

void *_mp_map_private(int fd, size_t count, int *error) {
    // A shared mapping of a file sealed against writing is refused before Linux 6.7.
    void *address = mmap(NULL, count, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    *error = address == MAP_FAILED ? errno : 0;
    return address == MAP_FAILED ? NULL : address;
}

int64_t _mp_read_at(int fd, void *bytes, size_t count, int64_t offset) {
    size_t done = 0;
    while (done < count) {
        ssize_t got = pread(fd, (char *)bytes + done, count - done, (off_t)(offset + (int64_t)done));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return -errno;
        if (got == 0) return -EIO;
        done += (size_t)got;
    }
    return (int64_t)done;
}
