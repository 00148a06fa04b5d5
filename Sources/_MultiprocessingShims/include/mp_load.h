#pragma once
#include <stdint.h>

// Loads from memory that another process may write to at the same time. In C because Swift has no volatile access: an
// ordinary load may be repeated by the compiler, so that the length that was checked is not the one that is used.
// A value that is torn (half old, half new) is as good as any other that a hostile writer could have put there.

static inline uint8_t mp_load_once_u8(const void *_Nonnull address) {
    return *(const volatile uint8_t *)address;
}

static inline uint32_t mp_load_once_u32(const void *_Nonnull address) {
    typedef uint32_t __attribute__((aligned(1), may_alias)) unaligned;
    return *(const volatile unaligned *)address;
}

static inline uint64_t mp_load_once_u64(const void *_Nonnull address) {
    typedef uint64_t __attribute__((aligned(1), may_alias)) unaligned;
    return *(const volatile unaligned *)address;
}
