#define _GNU_SOURCE
#include "mp_signals.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

static _Atomic uint32_t bell;
static _Atomic uint32_t counts[NSIG];
static struct sigaction before[NSIG];

static void note(int signal) {
    int saved = errno;
    atomic_fetch_add(&counts[signal], 1);
    atomic_fetch_add(&bell, 1);
    syscall(SYS_futex, &bell, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
    errno = saved;
}

uint32_t *_mp_signal_bell(void) { return (uint32_t *)&bell; }

uint32_t _mp_signal_count(int signal) {
    return signal > 0 && signal < NSIG ? atomic_load(&counts[signal]) : 0;
}

int _mp_signal_watch(int signal) {
    if (signal <= 0 || signal >= NSIG) return -EINVAL;
    struct sigaction action = {.sa_handler = note, .sa_flags = SA_RESTART};
    sigfillset(&action.sa_mask);
    return sigaction(signal, &action, &before[signal]) < 0 ? -errno : 0;
}

int _mp_signal_unwatch(int signal) {
    if (signal <= 0 || signal >= NSIG) return -EINVAL;
    return sigaction(signal, &before[signal], NULL) < 0 ? -errno : 0;
}
