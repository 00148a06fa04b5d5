#include <stdlib.h>
#include <unistd.h>

#include "bare.h"

// The bare run of this executable: everything that the loader does for it is done (libraries mapped, relocated and
// initialised), nothing of ours is. So it is the floor for any way of starting this program anew.
__attribute__((constructor)) static void leave_if_bare(void) {
    if (getenv(BARE_VARIABLE)) _exit(0);
}
