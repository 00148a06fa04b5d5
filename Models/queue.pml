/*
 * What a queue commits, and what is left by processes that die (Sources/Multiprocessing/Queues/QueueCore+Put.swift, +Get, +Holds).
 *
 *   put       with the producer guard: read the tail; read the head without its guard, until two looks at its word agree; copy
 *             the item; write the position into the copy that the word does not name; change the word, which commits
 *   lease     with the consumer guard: fill a hold; write position and end of what may be overwritten into the other copy; change
 *             the head's word, which commits; a hold whose sequence the head has not passed is void
 *   get       (with SHORT) the short way: nothing is held; with the consumer guard, if nobody had it and still nothing is held, read the
 *             item, and move the head and the end of what may be overwritten behind it
 *   complete  without a guard: change the hold's state, if it is what it was when it was leased
 *   sweep     with the consumer guard: what the dead had leased, or was leased for too long, is returned, and is delivered first;
 *             whoever gets the guard from a dead process frees void holds
 *
 * A process can die at every DIE. Checked: a position is that of its word; each committed item is completed once, by somebody
 * who read it whole from the place where it lay; nothing that was not committed is seen; in the last state everything is
 * completed that was committed, and nobody waits.
 *
 * With COMMITFIRST (the word is changed before the position is written), KEEPVOID (void holds are not freed), FREEEARLY (what a
 * hold keeps may be overwritten) or LOOKBEFORE (the short way does not look again, with the guard, whether anything is held) it shows
 * the mistake. Left out: sizes, descriptors, batches, dead letters, shutdown, moving and
 * the restart of the ring (tests kill processes at each of their steps); the guards, which are the owner word's model; sleep, which
 * is the bell's; the order of memory.
 */

#ifndef PRODUCERS
#define PRODUCERS 2
#endif
#ifndef CONSUMERS
#define CONSUMERS 2
#endif
#ifndef PUTS
#define PUTS 2          /* by each producer */
#endif
#ifndef DEATHS
#define DEATHS 1        /* fewer than consumers: somebody has to be left */
#endif
#ifndef EXPIRIES
#define EXPIRIES 0
#endif
#define RING 2
#define HOLDS CONSUMERS
#define ALL (PRODUCERS * PUTS)

#define FREE 0
#define LEASED 1
#define RETURNED 2

byte tail, head;                    /* the number of items, twice, and the copy that is valid */
byte tailPosition[2], headPosition[2], headFree[2];
byte first[RING], second[RING];     /* an item's two halves: its number, from 1 */
byte state[HOLDS], deliveries[HOLDS], owner[HOLDS], sequence[HOLDS];
byte producerGuard, consumerGuard;  /* whose it is, from 1 */
bool gone[PRODUCERS + CONSUMERS];
byte deaths = DEATHS, expiries = EXPIRIES;
byte producing = PRODUCERS;
byte completed[ALL];
byte completions;

#define COUNT(word) ((word) >> 1)
#define COPY(word) ((word) & 1)
#define NEXT(word, n) (((COUNT(word) + (n)) << 1) | (1 - COPY(word)))
#define DIE if :: skip :: atomic { deaths > 0 -> deaths = deaths - 1; gone[me] = true; goto died } fi
#define VALID(k) (state[k] != FREE && sequence[k] < COUNT(head))
#define LOST(k) (VALID(k) && state[k] == LEASED && gone[owner[k]])
#define DONE (producing == 0 && completions == COUNT(tail))
#if HOLDS == 2
#define ANY(what) (what(0) || what(1))
#else
#define ANY(what) (what(0) || what(1) || what(2))
#endif
#define IS_RETURNED(k) (VALID(k) && state[k] == RETURNED)
#define IS_FREE(k) (state[k] == FREE)
#define IN_LINE (COUNT(tail) > COUNT(head))
#define IS_HELD(k) (state[k] != FREE)

/* The oldest item that a hold keeps, or else the head's position. */
inline findOldest(position) {
    d_step {
    oldest = position;
    k = 0;
    do
    :: k == HOLDS -> break
    :: else ->
#ifndef FREEEARLY
        if :: state[k] != FREE && sequence[k] < oldest -> oldest = sequence[k] :: else fi;
#endif
        k = k + 1
    od;
    k = 0
    }
}

/* With the consumer guard. */
inline sweep() {
    atomic {
    k = 0;
    do
    :: k == HOLDS -> break
    :: else ->
        if
        :: LOST(k) -> state[k] = RETURNED
        :: expiries > 0 && VALID(k) && state[k] == LEASED -> expiries = expiries - 1; state[k] = RETURNED
        :: !LOST(k) -> skip
        fi;
        k = k + 1
    od;
    k = 0
    }
}

inline freeVoid() {
#ifndef KEEPVOID
    d_step {
    k = 0;
    do
    :: k == HOLDS -> break
    :: else ->
        if :: state[k] != FREE && sequence[k] >= COUNT(head) -> state[k] = FREE :: else fi;
        k = k + 1
    od;
    k = 0
    }
#else
    skip
#endif
}

/* The first hold of which that is true; a macro, because macros cannot be given to an inline. */
#define FIND(what) d_step { \
        mine = HOLDS; k = 0; \
        do \
        :: k == HOLDS -> break \
        :: else -> \
            if :: mine == HOLDS && what(k) -> mine = k :: else fi; \
            k = k + 1 \
        od; \
        k = 0 \
    }

proctype Producer(byte me) {
    byte left = PUTS, t, h, position, free, taken, k, oldest, was;
    do
    :: left == 0 -> break
    :: else ->
        atomic { producerGuard == 0 || gone[producerGuard - 1] -> producerGuard = me + 1 };
        DIE;
        t = tail;
        position = tailPosition[COPY(t)];
        assert(position == COUNT(t));
look:   h = head;
        taken = headPosition[COPY(h)];
        free = headFree[COPY(h)];
        if :: head != h -> goto look :: else fi;
        assert(taken == COUNT(h) && free <= taken);
        if
        :: position - free >= RING ->
            producerGuard = 0;
            /* Whoever waits looks by himself what the holds keep. */
            atomic {
                consumerGuard == 0 || gone[consumerGuard - 1] -> was = consumerGuard; consumerGuard = me + 1
            };
            DIE;
            if :: was != 0 -> freeVoid() :: else fi;
            sweep();
            h = head;
            findOldest(headPosition[COPY(h)]);
            if
            :: oldest != headFree[COPY(h)] ->
                headPosition[1 - COPY(h)] = headPosition[COPY(h)];
                headFree[1 - COPY(h)] = oldest;
                DIE;
                head = NEXT(h, 0);
                DIE;
                consumerGuard = 0
            :: else ->
                consumerGuard = 0;
                /* Until somebody did something; not again and again. */
                atomic { head != h || state[0] == FREE || state[1] == FREE || ANY(LOST) -> skip }
            fi;
            d_step { was = 0; oldest = 0 }
        :: else ->
            first[position % RING] = position + 1;
            DIE;
            second[position % RING] = position + 1;
            DIE;
#ifdef COMMITFIRST
            tail = NEXT(t, 1);
            DIE;
            tailPosition[1 - COPY(t)] = position + 1;
#else
            tailPosition[1 - COPY(t)] = position + 1;
            DIE;
            tail = NEXT(t, 1);
#endif
            DIE;
            producerGuard = 0;
            left = left - 1
        fi;
        d_step { t = 0; h = 0; position = 0; free = 0; taken = 0 }
    od;
died:
    producing = producing - 1
}

proctype Consumer(byte me) {
    byte h, k, mine, item, use, was, oldest, one, two;
    do
    :: atomic { DONE -> break }
#ifdef SHORT
    :: atomic { IN_LINE && !ANY(IS_HELD) -> skip };
        if
        :: atomic { consumerGuard == 0 -> consumerGuard = me + 1 }
        :: consumerGuard != 0 -> goto next
        fi;
        DIE;
        if
#ifndef LOOKBEFORE
        :: ANY(IS_HELD) -> consumerGuard = 0; goto next
#endif
        :: !IN_LINE -> consumerGuard = 0; goto next
        :: else
        fi;
        h = head;
        item = headPosition[COPY(h)];
        assert(item == COUNT(h));
        one = first[item % RING];
        two = second[item % RING];
        headPosition[1 - COPY(h)] = item + 1;
        headFree[1 - COPY(h)] = item + 1;
        DIE;
        atomic {
            head = NEXT(h, 1);
            assert(one == item + 1 && two == item + 1);
            completed[item] = completed[item] + 1;
            assert(completed[item] == 1);
            completions = completions + 1
        };
        DIE;
        consumerGuard = 0;
        goto next
#endif
    :: atomic {
            (IN_LINE || ANY(IS_RETURNED) || ANY(LOST)) && (consumerGuard == 0 || gone[consumerGuard - 1]) ->
            was = consumerGuard; consumerGuard = me + 1
        };
        DIE;
        if :: was != 0 -> freeVoid() :: else fi;
        sweep();
        FIND(IS_RETURNED);
        if
        :: mine != HOLDS ->
            owner[mine] = me;
            DIE;
            atomic { deliveries[mine] = deliveries[mine] + 1; state[mine] = LEASED };
            item = sequence[mine]
        :: mine == HOLDS && IN_LINE ->
            FIND(IS_FREE);
            /* All leased, by others who expired: later. */
            if :: mine == HOLDS -> consumerGuard = 0; goto next :: else fi;
            h = head;
            item = headPosition[COPY(h)];
            assert(item == COUNT(h));
            owner[mine] = me;
            sequence[mine] = item;
            DIE;
            atomic { deliveries[mine] = deliveries[mine] + 1; state[mine] = LEASED };
            DIE;
            headPosition[1 - COPY(h)] = item + 1;
            findOldest(item + 1);
            headFree[1 - COPY(h)] = oldest;
            DIE;
            head = NEXT(h, 1)
        :: else -> consumerGuard = 0; goto next
        fi;
        use = deliveries[mine];
        DIE;
        consumerGuard = 0;
        DIE;
        one = first[item % RING];
        two = second[item % RING];
        DIE;
        atomic {
            if
            :: state[mine] == LEASED && deliveries[mine] == use ->
                state[mine] = FREE;
                assert(one == item + 1 && two == item + 1);
                completed[item] = completed[item] + 1;
                assert(completed[item] == 1);
                completions = completions + 1
            :: else
            fi
        };
        /* What is not needed any more makes no states. */
next:   skip;
        d_step { h = 0; mine = 0; item = 0; use = 0; was = 0; oldest = 0; one = 0; two = 0 }
    od;
died: skip
}

init {
    byte i;
    atomic {
        i = 0;
        do :: i < PRODUCERS -> run Producer(i); i = i + 1 :: else -> break od;
        do :: i < PRODUCERS + CONSUMERS -> run Consumer(i); i = i + 1 :: else -> break od
    }
}
