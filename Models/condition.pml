/*
 * Who waits for a condition, and who was notified (Sources/Multiprocessing/Synchronization/ConditionTable.swift).
 *
 * Waiters 1 to N wait once each; a notifier gives one notification, GIVES times; up to DEATHS of them die, each between any two
 * steps. Every load that others can change, every store and every exchange is a step of its own. The condition's lock is one
 * that survives its owners. A waiter looks for something to inherit whenever there is something, and withdraws whenever it likes
 * if TIMEOUTS is set. Futexes are left out: a waiter sees its word change at any time later, which covers each wake-up that is
 * late or lost.
 *
 * Checked:
 *   sums        given = had + left + gone, whatever happens: nothing is lost, nothing doubled
 *   legacies    when nothing moves any more, no notification of a dead waiter is left that a living one may have; and none was
 *               thrown away that a living one could have had
 *   order       who inherits was there when the notification was made
 *
 * Left out: the order of memory, the map of taken slots (a slot is free here when its word is), a full table, the limit on
 * owners that one look asks about, misuse without the lock.
 */

#define N 3
#ifndef GIVES
#define GIVES 2
#endif
#ifndef DEATHS
#define DEATHS 1
#endif

#define SLOTS N
#define NOTIFIER (N + 1)
mtype:marks = { FREE, WAITING, NOTIFIED }

typedef Slot { mtype:marks mark = FREE; byte owner; byte ticket; byte horizon; bool taken }

Slot table[SLOTS];
byte next = 1;              /* the next ticket */
byte lock;
bool dead[N + 2];
byte given, had, gone;

#define DEAD(o) ((o) == 0 || dead[o])

/* Somebody alive waits in the slot, and was there at `limit`. */
#define HEIR(s, limit) (table[s].mark == WAITING && !DEAD(table[s].owner) && table[s].ticket < limit)
#define NO_HEIR(limit) (!HEIR(0, limit) && !HEIR(1, limit) && !HEIR(2, limit))

/* A notification that nobody alive owns. */
#define LEGACY(s) (table[s].mark == NOTIFIED && DEAD(table[s].owner))

inline take() { atomic { lock == 0 || dead[lock] -> lock = me } }

inline scanFirst() {
    /* isFirst: nobody alive has waited longer. */
    first = true; k = 0;
    do
    :: k < SLOTS ->
        d_step {
            if
            :: table[k].mark == WAITING && table[k].ticket < mine && !DEAD(table[k].owner) -> first = false
            :: else
            fi
        };
        k++
    :: k == SLOTS -> break
    od
}

inline scanStale() {
    first = true; k = 0;
    do
    :: k < SLOTS ->
        d_step {
            if
            :: table[k].mark == WAITING && table[k].ticket < table[i].horizon -> first = false
            :: else
            fi
        };
        k++
    :: k == SLOTS -> break
    od
}

proctype Waiter() provided (!dead[_pid]) {
    byte me = _pid, slot, mine, i, k, seen;
    bool first, notified;
    take();
    d_step { slot = 0; do :: table[slot].taken -> slot++ :: else -> break od; table[slot].taken = true };
    d_step { mine = next; next++ };
    table[slot].ticket = mine;
    d_step { table[slot].owner = me; table[slot].mark = WAITING };
    lock = 0;
wait:
    do
    :: table[slot].mark == NOTIFIED -> notified = true; break
#ifdef TIMEOUTS
    :: goto withdraw
#endif
    :: atomic {
        table[slot].mark == WAITING && (LEGACY(0) || LEGACY(1) || LEGACY(2)) ->
        if
        :: LEGACY(0) -> i = 0
        :: LEGACY(1) -> i = 1
        :: LEGACY(2) -> i = 2
        fi;
        seen = table[i].owner };
        if
        :: table[i].horizon > mine ->
            scanFirst();
            if
            :: first ->
                if
                :: atomic { table[i].mark == NOTIFIED && table[i].owner == seen ->
                    assert(table[i].horizon > mine);
                    table[i].owner = me };
                    /* withdraw(waiter) */
                    if
                    :: atomic { table[slot].mark == WAITING -> table[slot].mark = FREE };
                        table[slot].taken = false;
                        slot = i
                    :: atomic { table[slot].mark == NOTIFIED -> skip };
                        table[i].owner = 0
                    fi;
                    notified = true;
                    break
                :: !(table[i].mark == NOTIFIED && table[i].owner == seen)
                fi
            :: !first
            fi
        :: table[i].horizon <= mine ->
            scanStale();
            if
            :: first ->
                if
                :: atomic { table[i].mark == NOTIFIED && table[i].owner == seen ->
                    assert(NO_HEIR(table[i].horizon));
                    table[i].mark = FREE; gone++ };
                    table[i].taken = false
                :: !(table[i].mark == NOTIFIED && table[i].owner == seen)
                fi
            :: !first
            fi
        fi
    od;
    goto relock;
#ifdef TIMEOUTS
withdraw:
    if
    :: atomic { table[slot].mark == WAITING -> table[slot].mark = FREE };
        table[slot].taken = false
    :: table[slot].mark == NOTIFIED -> notified = true
    fi;
#endif
relock:
    take();
    if
    :: notified ->
        d_step {
            assert(table[slot].mark == NOTIFIED && table[slot].owner == me);
            table[slot].mark = FREE; had++
        };
        table[slot].taken = false
    :: !notified
    fi;
    lock = 0
}

proctype Notifier() provided (!dead[_pid]) {
    byte me = _pid, gives, k, best, seen;
    do
    :: gives < GIVES ->
        gives++;
        take();
again:
        best = SLOTS; k = 0;
        do
        :: k < SLOTS ->
            d_step {
                if
                :: table[k].mark == WAITING && (best == SLOTS || table[k].ticket < table[best].ticket) ->
                    best = k; seen = table[k].owner
                :: else
                fi
            };
            k++
        :: k == SLOTS -> break
        od;
        if
        :: best < SLOTS ->
            table[best].horizon = next;
            if
            :: atomic { table[best].mark == WAITING && table[best].owner == seen -> table[best].mark = NOTIFIED; given++ };
                if
                :: skip                     /* somebody slept there, or it has only come */
                :: dead[seen] ->
                    if
                    :: atomic { table[best].mark == NOTIFIED && table[best].owner == seen ->
                        table[best].mark = FREE; given-- };
                        table[best].taken = false;
                        goto again
                    :: !(table[best].mark == NOTIFIED && table[best].owner == seen)
                    fi
                fi
            :: !(table[best].mark == WAITING && table[best].owner == seen) -> goto again
            fi
        :: best == SLOTS
        fi;
        lock = 0
    :: gives == GIVES -> break
    od
}

proctype Death() {
    byte deaths = DEATHS, k;
end:
    do
    :: deaths > 0 ->
        select(k : 1 .. NOTIFIER);
        if
        :: atomic { !dead[k] -> dead[k] = true; deaths-- }
        :: dead[k]
        fi
    :: deaths = 0; break
    od
}

init {
    byte i, left;
    atomic {
        i = 0;
        do
        :: i < N -> run Waiter(); i++
        :: i == N -> break
        od;
        run Notifier();
        run Death()
    };
    timeout;
    /* Nothing moves any more. */
    d_step {
        left = 0; i = 0;
        do
        :: i < SLOTS ->
            if
            :: table[i].mark == NOTIFIED ->
                left++;
                assert(DEAD(table[i].owner) && NO_HEIR(table[i].horizon))
            :: else
            fi;
            i++
        :: i == SLOTS -> break
        od;
        assert(given == had + left + gone)
    }
}
