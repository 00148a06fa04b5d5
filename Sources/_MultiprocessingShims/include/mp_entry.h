// How a re-executed process becomes a helper of ours before `main`. Why C: a constructor, its view of init_array, and libc's
// environ cannot be had from Swift.
#pragma once

#pragma clang assume_nonnull begin

#define _MP_ENTRY_VARIABLE "_SWIFT_MULTIPROCESSING_ENTRY"

/// The channel and the lifeline of a process that we re-executed have these numbers until its entry moved them.
enum { _mp_channel_number = 3, _mp_lifeline_number = 4 };

/// Keeps the object file with the constructor in the program: the Swift side calls it.
void _mp_keep_entry(void);

/// The arguments this program was started with, as the kernel handed them over (never changed afterwards).
int _mp_argument_count(void);
const char *_Nullable _mp_argument(int index);

/// libc's environment, for a process about to start another one.
char *_Nullable *_Nullable _mp_environment(void);
/// A number that changes when the environment does: cheap, and read without a lock as getenv(3) is.
unsigned long _mp_environment_fingerprint(void);

#pragma clang assume_nonnull end
