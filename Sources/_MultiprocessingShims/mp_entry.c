#define _GNU_SOURCE
#include "mp_entry.h"
#include "mp_process.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

static int argument_count;
static char **arguments;

int _mp_argument_count(void) { return argument_count; }
const char *_mp_argument(int index) { return arguments[index]; }

// Implemented in Swift (module Multiprocessing). Weak: a program may link only the lower layers.
__attribute__((weak)) extern void _mp_swift_entry(const char *role);

typedef void (*initializer)(int, char **, char **);
__attribute__((weak, visibility("hidden"))) extern initializer __init_array_start[];
__attribute__((weak, visibility("hidden"))) extern initializer __init_array_end[];

void _mp_keep_entry(void) {}

// How a process that never reached `main` leaves. Registered first, so it runs last of all exit handlers but those of the
// loaded libraries, which it thereby skips: their destructors touch, and so copy, a page or more of each library, a third of
// the cost of a short child, to tidy up memory that is about to go. What was registered since (by the body, and by what it
// uses) has run by then.
static void leave(int status, void *unused) {
    (void)unused;
    // Where a thread waits on standard input, exit's own way of flushing, which takes no locks, has to do it.
    if (_mp_flush_stdio()) _exit(status);
}

// Runs before `main`, and in a process that we re-executed never returns: user code in `main` must not run there.
//
// Constructors run in link order. With -static-stdlib Dispatch's own comes after ours, and Swift concurrency hangs without
// it; users' C libraries may have constructors too. So every later entry is called first, as the loader would have done.
__attribute__((constructor)) static void enter(int argc, char **argv, char **envp) {
    argument_count = argc;
    arguments = argv;

    // secure_getenv: a set-uid program must not be steered by its caller's environment.
    const char *value = secure_getenv(_MP_ENTRY_VARIABLE);
    if (value == NULL) return;
    char role[64];
    if (strlen(value) >= sizeof role || _mp_swift_entry == NULL) {
        fputs("multiprocessing: this program cannot take the role it was re-executed for\n", stderr);
        _exit(127);
    }
    strcpy(role, value);
    unsetenv(_MP_ENTRY_VARIABLE);  // before user code, and before anything that it starts

    on_exit(leave, NULL);
    if (__init_array_start != NULL) {
        initializer *entry = __init_array_start;
        while (entry < __init_array_end && *entry != (initializer)enter) entry++;
        for (entry++; entry < __init_array_end; entry++) {
            if (*entry != NULL && *entry != (initializer)-1) (*entry)(argc, argv, envp);
        }
    }
    _mp_swift_entry(role);
    _exit(127);
}

char **_mp_environment(void) { return environ; }

unsigned long _mp_environment_fingerprint(void) {
    unsigned long sum = 1469598103934665603UL;
    for (char **entry = environ; entry && *entry; entry++) sum = (sum ^ (unsigned long)*entry) * 1099511628211UL;
    return sum;
}
