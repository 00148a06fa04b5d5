#define _GNU_SOURCE
#include "mp_terminal.h"

#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <unistd.h>

static _Atomic int line_fd = -1;
static _Atomic pid_t line_owner;
static const int ending[] = {SIGINT, SIGTERM, SIGHUP};

int _mp_is_terminal(int fd) { return isatty(fd); }

int _mp_terminal_columns(int fd) {
    struct winsize size;
    return ioctl(fd, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

// Installed with SA_RESETHAND: the signal raised again ends the process when this returns.
static void erase(int signal) {
    int fd = atomic_load(&line_fd);
    // A copy made by fork has this handler too, but not the line.
    if (fd >= 0 && getpid() == atomic_load(&line_owner)) {
        ssize_t ignored = write(fd, "\r\033[K", 4);
        (void)ignored;
    }
    raise(signal);
}

void _mp_line_begin(int fd) {
    atomic_store(&line_owner, getpid());
    atomic_store(&line_fd, fd);
    for (size_t i = 0; i < sizeof ending / sizeof *ending; i++) {
        struct sigaction now;
        // What the program, or its parent, has decided about a signal is left alone.
        if (sigaction(ending[i], NULL, &now) != 0 || now.sa_flags & SA_SIGINFO || now.sa_handler != SIG_DFL) continue;
        struct sigaction action = {.sa_handler = erase, .sa_flags = SA_RESETHAND};
        sigaction(ending[i], &action, NULL);
    }
}

void _mp_line_end(void) {
    atomic_store(&line_fd, -1);
    for (size_t i = 0; i < sizeof ending / sizeof *ending; i++) {
        struct sigaction now;
        // Somebody may have come between: then the handler stays where it is, and does nothing but end the process.
        if (sigaction(ending[i], NULL, &now) != 0 || now.sa_flags & SA_SIGINFO || now.sa_handler != erase) continue;
        struct sigaction action = {.sa_handler = SIG_DFL};
        sigaction(ending[i], &action, NULL);
    }
}
