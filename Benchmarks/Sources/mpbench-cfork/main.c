// A C program that forks on request: what a fork costs a small program, where mpbench has a language runtime to copy the
// page tables of. Reads a count and a newline, answers with nanoseconds and a newline.
#include <stdio.h>

#include "CBaselines.h"

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    puts("C");
    int count;
    while (scanf("%d", &count) == 1) printf("%lld\n", (long long)mpb_fork_wait(count));
}
