/*
 * The bell of a queue: those who wait for a word announce themselves, so that whoever changes it knows whether to pay for a
 * wake-up (Sources/Multiprocessing/Queues/Bell.swift).
 *
 *   who waits           read the word; announce; look for an item; sleep while the word is what was read
 *   who puts            read the announcements; change the word (commit); read the announcements again; if there are any, wake one
 *                       sleeper; if nobody slept, and nobody has announced himself since the first look, forget the announcements
 *
 * The announcements are a count that never falls, and a bit (PENDING) that says that some were not forgotten: forgetting
 * clears the bit, and only if the count is still what it was. (A count that starts again from zero comes to the same value again.)
 *
 * Forgetting is the dangerous part: one who announced himself but does not sleep yet must not fall asleep with no announcement
 * left, if somebody else took the item. Here he cannot: forgotten are those who announced themselves before the change, so the
 * word that they read before is not the word any more, and the kernel does not let them sleep. Both orders are needed: with
 * READLATE (the word is read after the announcement), FORGETLATE (the announcements that are forgotten are those after the
 * change) or RECOUNT (the count starts again) the model finds a sleeper beside an item.
 *
 * Taking an item is one step here: the guard that makes it one is the owner word, which has a model of its own.
 *
 * Checked: (no deaths, no BACKSTOP) no state is the last one in which somebody sleeps although an item is there; (deaths of
 * those who put, BACKSTOP) no cycle of looks in which those who live get nothing although an item is there. Left out: the order of
 * memory (all accesses are sequentially consistent in the code), words and counts that come round to the same value.
 */

#ifndef CONSUMERS
#define CONSUMERS 2
#endif
#ifndef PRODUCERS
#define PRODUCERS 2
#endif
#ifndef ITEMS
#define ITEMS 3         /* put, and wanted: all together */
#endif
#ifndef DEATHS
#define DEATHS 0        /* of producers */
#endif

#define ANNOUNCE announced = announced + 2; announced = announced | 1
#ifdef RECOUNT
#define FORGET announced = 0
#else
#define FORGET announced = announced - 1
#endif
#define PENDING(calls) ((calls) & 1)

byte tail, head;        /* items put, and taken */
byte announced;         /* twice the count, and the bit */
byte wanted = ITEMS;
byte coming = ITEMS;
byte deaths = DEATHS;
chan sleepers = [CONSUMERS] of { byte };
bool woken[CONSUMERS];

proctype Consumer(byte me) {
    byte seen;
    do
    :: atomic { wanted == 0 -> break }
    :: atomic { wanted > 0 -> wanted = wanted - 1 };
again:  if
        :: skip
        :: atomic { tail > head -> head = head + 1; goto got }      /* without having to wait */
        fi;
#ifdef READLATE
        ANNOUNCE;
        seen = tail;
#else
        seen = tail;
        ANNOUNCE;
#endif
        if
        :: atomic { tail > head -> head = head + 1; goto got }
        :: tail == head
        fi;
        atomic {
            if
            :: tail == seen -> seen = 0; sleepers!me
            :: else -> seen = 0; goto again
            fi
        };
        if
        :: atomic { woken[me] -> woken[me] = 0 }
#ifdef BACKSTOP
        :: atomic { !woken[me] -> sleepers??eval(me) }
#endif
        fi;
        goto again;
got:
progress: skip;
        seen = 0
    od
}

#define MAYDIE atomic { deaths > 0 -> deaths = deaths - 1; goto dead }

proctype Producer() {
    byte before, calls, count, first;
    do
    :: atomic { coming == 0 -> break }
    :: atomic { coming > 0 -> coming = coming - 1 };
        before = announced;
        tail = tail + 1;
        if
        :: calls = announced
        :: MAYDIE
        fi;
        if
        :: PENDING(calls) ->
#ifdef FORGETLATE
            before = calls;
#endif
            if
            :: atomic {
                if
                :: sleepers?first -> woken[first] = 1; count = 1
                :: empty(sleepers) -> count = 0
                fi }
            :: MAYDIE
            fi;
            if
            :: count == 0 ->
                if
                :: atomic {
                    if
                    :: announced == before && PENDING(before) -> FORGET
                    :: else
                    fi }
                :: MAYDIE
                fi
            :: else
            fi
        :: else
        fi;
        d_step { before = 0; calls = 0; count = 0; first = 0 }
    od;
dead: skip
}

init {
    byte i;
    atomic {
        for (i : 0 .. CONSUMERS - 1) { run Consumer(i) }
        for (i : 1 .. PRODUCERS) { run Producer() }
    }
}
