#include "mp_kept.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

// Of the Swift runtime.
void swift_release(void *object);

static _Thread_local void *kept[_mp_kept_count];
static _Thread_local bool watched;

static pthread_key_t at_end;
static bool has_key;

// Runs as the thread ends. Other destructors may still code something: `kept` is good until the thread is gone, and
// giving watches the thread again, so that this runs once more.
static void release_kept(void *unused) {
    (void)unused;
    watched = false;
    for (int use = 0; use < _mp_kept_count; use++) {
        void *object = kept[use];
        kept[use] = NULL;
        if (object != NULL) {
            swift_release(object);
        }
    }
}

__attribute__((constructor)) static void make_key(void) {
    has_key = pthread_key_create(&at_end, release_kept) == 0;
}

void *mp_kept_take(enum mp_kept use) {
    void *object = kept[use];
    kept[use] = NULL;
    return object;
}

bool mp_kept_give(enum mp_kept use, void *object) {
    if (kept[use] != NULL) {
        return false;
    }
    if (!watched) {
        if (!has_key || pthread_setspecific(at_end, kept) != 0) {
            return false;
        }
        watched = true;
    }
    kept[use] = object;
    return true;
}
