#define _GNU_SOURCE
#include "mp_stack.h"

#include <pthread.h>
#include <stddef.h>

static _Thread_local uintptr_t lowest;
static _Thread_local uintptr_t highest;
static _Thread_local int known;

static void look_up(void) {
    known = 1;
    pthread_attr_t attributes;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0) {
        return;
    }
    void *address = NULL;
    size_t size = 0;
    if (pthread_attr_getstack(&attributes, &address, &size) == 0 && address != NULL) {
        lowest = (uintptr_t)address;
        highest = (uintptr_t)address + size;
    }
    pthread_attr_destroy(&attributes);
}

uintptr_t mp_stack_lowest(void) {
    if (!known) {
        look_up();
    }
    return lowest;
}

uintptr_t mp_stack_highest(void) {
    if (!known) {
        look_up();
    }
    return highest;
}
