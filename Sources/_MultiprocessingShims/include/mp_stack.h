#pragma once
#include <stdint.h>

// How much stack is left, so that recursion over untrusted input stops with an error instead of a segmentation fault.
// In C because glibc tells it through pthread_getattr_np, and because the answer is cached in a thread-local variable.

/// Lowest address of the calling thread's stack, or 0 when it is unknown.
uintptr_t mp_stack_lowest(void);

/// Highest address of the calling thread's stack, or 0 when it is unknown.
uintptr_t mp_stack_highest(void);

/// An address inside the caller's frame.
static inline uintptr_t mp_stack_pointer(void) {
    return (uintptr_t)__builtin_frame_address(0);
}
