#define _GNU_SOURCE
#include "mp_process.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <unistd.h>

// By these two Foundation's run loop serves Dispatch's main queue. Weak: a program need not have Dispatch.
__attribute__((weak)) extern int _dispatch_get_main_queue_handle_4CF(void);
__attribute__((weak)) extern void _dispatch_main_queue_callback_4CF(void *);

// dispatchMain() is of no use before `main`: it ends in a crash when the process exits.
void _mp_serve_main_queue(void) {
    if (_dispatch_get_main_queue_handle_4CF == NULL || _dispatch_main_queue_callback_4CF == NULL) {
        for (;;) pause();
    }
    int handle = _dispatch_get_main_queue_handle_4CF();
    for (;;) {
        struct pollfd entry = {handle, POLLIN, 0};
        if (poll(&entry, 1, -1) < 0 && errno != EINTR) pause();
        uint64_t value;
        if (entry.revents & POLLIN && read(handle, &value, sizeof value) == sizeof value)
            _dispatch_main_queue_callback_4CF(NULL);
    }
}
