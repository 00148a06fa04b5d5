#define _GNU_SOURCE
#include "CShared.h"

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "CBaselines.h"

// ZeroMQ is looked for at run time: nobody has to install it to build this. Its interface, as far as it is needed here.
static void *(*ctx_new)(void);
static int (*ctx_term)(void *);
static void *(*socket_new)(void *, int);
static int (*socket_close)(void *);
static int (*socket_bind)(void *, const char *);
static int (*socket_connect)(void *, const char *);
static int (*socket_send)(void *, const void *, size_t, int);
static int (*socket_receive)(void *, void *, size_t, int);
static int (*socket_set)(void *, int, const void *, size_t);
enum { pull = 7, push = 8, receive_timeout = 27 };

static int load(void) {
    void *library = dlopen("libzmq.so.5", RTLD_NOW | RTLD_LOCAL);
    if (!library) return -ENOSYS;
    struct { void **function; const char *name; } symbols[] = {
        {(void **)&ctx_new, "zmq_ctx_new"}, {(void **)&ctx_term, "zmq_ctx_term"}, {(void **)&socket_new, "zmq_socket"},
        {(void **)&socket_close, "zmq_close"}, {(void **)&socket_bind, "zmq_bind"},
        {(void **)&socket_connect, "zmq_connect"}, {(void **)&socket_send, "zmq_send"},
        {(void **)&socket_receive, "zmq_recv"}, {(void **)&socket_set, "zmq_setsockopt"},
    };
    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++)
        if (!(*symbols[i].function = dlsym(library, symbols[i].name))) return -ENOSYS;
    return 0;
}

static int send_all(const char *address, size_t size, int count) {
    void *context = ctx_new(), *socket = socket_new(context, push);
    char *message = calloc(1, size ? size : 1);
    int failed = !socket || !message || socket_connect(socket, address) != 0;
    for (int i = 0; i < count + 1 && !failed; i++) failed = socket_send(socket, message, size, 0) < 0;
    // Messages that the receiver has not taken yet are lost if this side leaves now: it is killed when they have been.
    mpb_sleep(30000000000);
    return failed;
}

int64_t mpb_zeromq(size_t size, int count) {
    int error = load();
    if (error) return error;
    char directory[] = "/tmp/mpbench-XXXXXX", address[64], path[48];
    if (!mkdtemp(directory)) return -errno;
    snprintf(path, sizeof path, "%s/queue", directory);
    snprintf(address, sizeof address, "ipc://%s", path);
    // Forked before ZeroMQ starts its threads.
    pid_t pid = fork();
    if (pid == 0) _exit(send_all(address, size, count));
    void *context = ctx_new(), *socket = socket_new(context, pull);
    char *message = malloc(size ? size : 1);
    int patience = 10000;
    if (pid < 0 || !socket || !message || socket_set(socket, receive_timeout, &patience, sizeof patience) != 0
        || socket_bind(socket, address) != 0)
        error = -EIO;
    int64_t begin = 0;
    for (int i = 0; i < count + 1 && !error; i++) {
        if (socket_receive(socket, message, size, 0) < 0) error = -ETIMEDOUT;
        if (i == 0) begin = mpb_now();
    }
    int64_t time = mpb_now() - begin;
    free(message);
    socket_close(socket);
    ctx_term(context);
    if (pid > 0) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    unlink(path);
    rmdir(directory);
    return error ? error : time;
}
