#define _GNU_SOURCE
#include "mp_segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <sys/un.h>
#include <unistd.h>

// Where shm_open has its files; by path, because it can neither make a file without a name nor give one a name later.
#define DIRECTORY "/dev/shm/"

// Marks a segment that is removed when nobody uses it. On a plain file the sticky bit means nothing else on Linux, and it is
// part of the file: whoever has it open can see it, whatever process made it.
enum { removable_bit = S_ISVTX };

static int above_stdio(int fd) {
    if (fd < 0) return -errno;
    if (fd > 2) return fd;
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, 3), error = errno;
    close(fd);
    return moved < 0 ? -error : moved;
}

static int path_of(const char *name, char *path, size_t capacity) {
    int count = snprintf(path, capacity, DIRECTORY "%s", name);
    return count < 0 || (size_t)count >= capacity ? -ENAMETOOLONG : 0;
}

// What can never succeed is refused before it has taken all the memory that there is.
static int check_room(int fd, int64_t size) {
    struct statvfs room;
    struct sysinfo machine;
    if (fstatvfs(fd, &room) == 0 && room.f_blocks && (uint64_t)size > (uint64_t)room.f_bavail * room.f_frsize) return -ENOSPC;
    if (sysinfo(&machine) == 0 && (uint64_t)size > ((uint64_t)machine.totalram + machine.totalswap) * machine.mem_unit)
        return -ENOSPC;
    return 0;
}

// tmpfs takes back all that it allocated when a signal comes. In steps, or a program with a timer would never get far.
static int allocate(int fd, int64_t size) {
    const int64_t step = 32 << 20;
    for (int64_t done = 0; done < size;) {
        int64_t next = size - done < step ? size - done : step;
        if (fallocate(fd, 0, done, next) == 0) {
            done += next;
        } else if (errno != EINTR) {
            return -errno;
        }
    }
    return 0;
}

int _mp_segment_make(int64_t size, bool removable) {
    // Beyond the limit on file sizes the kernel would send SIGXFSZ.
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && (uint64_t)size > limit.rlim_cur)
        return -EFBIG;
    int fd = above_stdio(open(DIRECTORY, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    if (fd < 0) return fd;
    // The umask does not get a say in the mode. The lock comes before the name: nobody ever finds it unused.
    int error = fchmod(fd, 0600 | (removable ? removable_bit : 0)) < 0 || flock(fd, LOCK_SH | LOCK_NB) < 0 ? -errno : 0;
    if (!error) error = check_room(fd, size);
    if (!error) error = allocate(fd, size);
    if (error) {
        close(fd);
        return error;
    }
    return fd;
}

int _mp_segment_name(int fd, const char *name) {
    char path[512], source[48];
    int error = path_of(name, path, sizeof path);
    if (error) return error;
    snprintf(source, sizeof source, "/proc/self/fd/%d", fd);
    return linkat(AT_FDCWD, source, AT_FDCWD, path, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

int _mp_segment_open(const char *name) {
    char path[512];
    int error = path_of(name, path, sizeof path);
    if (error) return error;
    // Not blocking: somebody may have put a fifo there.
    return above_stdio(open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
}

int _mp_segment_look(int fd, struct _mp_segment *out) {
    struct stat status;
    if (fstat(fd, &status) < 0) return -errno;
    if (!S_ISREG(status.st_mode)) return -ENODEV;
    out->device = status.st_dev;
    out->inode = status.st_ino;
    out->size = status.st_size;
    out->owner = status.st_uid;
    out->has_name = status.st_nlink > 0;
    out->removable = (status.st_mode & 07777) == (0600 | removable_bit);
    return 0;
}

int _mp_segment_lock(int fd, bool for_removal) {
    int result;
    do {
        result = flock(fd, (for_removal ? LOCK_EX : LOCK_SH) | LOCK_NB);
    } while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : 0;
}

int _mp_segment_unlink(const char *name, uint64_t device, uint64_t inode) {
    char path[512];
    int error = path_of(name, path, sizeof path);
    if (error) return error;
    struct stat status;
    if (lstat(path, &status) < 0) return -errno;
    if (status.st_dev != device || status.st_ino != inode) return -ENOENT;
    return unlink(path) < 0 ? -errno : 0;
}

int _mp_segment_list(const char *prefix, void *context, void (*body)(void *, const char *)) {
    DIR *directory = opendir(DIRECTORY);
    if (directory == NULL) return -errno;
    for (struct dirent *entry; (entry = readdir(directory));)
        if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0) body(context, entry->d_name);
    closedir(directory);
    return 0;
}

// In the abstract namespace, a first byte of zero: no file to be left behind.
static int address_of(const char *name, struct sockaddr_un *address, socklen_t *size) {
    size_t count = strlen(name);
    if (count == 0 || count >= sizeof address->sun_path) return -EINVAL;
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path + 1, name, count);
    *size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + count);
    return 0;
}

static int rendezvous(const char *name, bool listens) {
    struct sockaddr_un address;
    socklen_t size;
    int error = address_of(name, &address, &size);
    if (error) return error;
    int fd = above_stdio(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (fd < 0) return fd;
    int result = listens ? bind(fd, (struct sockaddr *)&address, size) : connect(fd, (struct sockaddr *)&address, size);
    if (result == 0 && listens) result = listen(fd, 128);
    if (result < 0) {
        error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

int _mp_rendezvous_listen(const char *name) { return rendezvous(name, true); }
int _mp_rendezvous_connect(const char *name) { return rendezvous(name, false); }

int _mp_rendezvous_accept(int fd) { return above_stdio(accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)); }

int _mp_peer_user(int fd, uid_t *user) {
    struct ucred credentials;
    socklen_t size = sizeof credentials;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0) return -errno;
    *user = credentials.uid;
    return 0;
}

uid_t _mp_user(void) { return geteuid(); }
int _mp_new_session(void) { return setsid() < 0 ? -errno : 0; }
