// Noticing signals. C because a handler may do next to nothing: no allocation, no lock, no Swift.
#pragma once

#include <stdint.h>

#pragma clang assume_nonnull begin

/// A word that changes, and whose sleepers (futex) are woken, when a watched signal comes.
uint32_t *_mp_signal_bell(void);
/// How often a watched signal has come.
uint32_t _mp_signal_count(int signal);
/// Has a signal counted, instead of what it did until now. Not from several threads at once.
int _mp_signal_watch(int signal);
/// Gives a signal back what it did before. Not from several threads at once.
int _mp_signal_unwatch(int signal);

#pragma clang assume_nonnull end
