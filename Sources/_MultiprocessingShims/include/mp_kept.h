#pragma once

// What a thread keeps for its next call: one Swift object per use. In C because Swift has no thread-local variables.
// There is no lock, so that a child forked by any thread finds nothing held: it keeps what its one thread had.

enum mp_kept { mp_kept_encoding, mp_kept_decoding, _mp_kept_count };

/// Takes what the calling thread keeps, and the reference with it; null if that is nothing. Whoever is called while it is
/// away finds nothing and makes its own.
void *_Nullable mp_kept_take(enum mp_kept use);

/// Gives an object, and the reference to it, to the calling thread. False if the thread already has one: the reference
/// stays with the caller then. What a thread keeps is released when it ends.
_Bool mp_kept_give(enum mp_kept use, void *_Nonnull object);
