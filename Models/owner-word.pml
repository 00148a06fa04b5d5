/*
 * The owner word: mutual exclusion in one word that names its owner (Sources/Multiprocessing/Waiting/OwnerWord.swift, with
 * the rules of OwnerWordState.swift).
 *
 * One process here stands for one thread or task that wants the word; STAMP says which process of the machine it belongs to.
 * An attempt reads the word, decides and exchanges it, and begins anew if the exchange fails: that is one step here, as the
 * decision depends on nothing but the word's value, on what the caller knows of its own wait, and on whether the owner is
 * dead, which it then stays. The kernel's comparison and its queueing are one step, as it holds a lock for both. Sleepers are
 * woken in their order.
 *
 * Checked, by which run: see Scripts/check-models.
 *   exclusion   never two that live hold the word
 *   reports     a death of an owner is told to the next taker, once; never lost, never told to two
 *   wake-ups    (no deaths, no BACKSTOP) nobody sleeps for ever: the search ends in no state in which somebody sleeps
 *   progress    (deaths, BACKSTOP) no cycle in which those that live look at the word for ever and none gets it
 *
 * Left out: the order of memory (spin's is sequentially consistent; OwnerWord.swift argues for its orders), process ids that
 * are used again, durations (whoever has slept may or may not count as starving; a sleeper's time may be over at any moment),
 * words that change back between the look of a task's reactor thread and its sleep, and numbers of turns above TURNS.
 */

#ifndef N
#define N 3             /* those who want the word */
#endif
#ifndef ROUNDS
#define ROUNDS 4        /* how often they want it, all together */
#endif
#ifndef DEATHS
#define DEATHS 0
#endif
#ifndef TURNS
#define TURNS 2         /* the most reserved turns */
#endif
#ifdef SAME             /* the first two are threads of one process */
#define STAMP(i) ((i) <= 2 -> 1 : (i))
#else
#define STAMP(i) (i)
#endif

typedef Word { byte owner; bool mark; bool fresh; byte turns }

Word word;
chan sleepers = [N] of { byte };
bool woken[N + 1];
bool dead[N + 1];       /* by stamp */
bool holds[N + 1];      /* inside, by place */
byte inside;            /* how many that live are inside */
bool untold;            /* an owner died, and nobody was told yet */
byte deaths = DEATHS;
byte rounds = ROUNDS;

#define FREE (word.owner == 0)
#define LEFTOVER (FREE && word.turns > 0)

/* OwnerWordState.step: took is set if the word was taken. */
inline attempt() {
    d_step {
        took = 0;
        if
        :: FREE && (word.turns == 0 || slept || starved) ->
            assert(!untold);
            word.mark = (slept -> 1 : word.mark);
            word.fresh = 0;
            word.turns = (overdue || word.turns == 0 -> 0 : word.turns - 1);
            word.owner = STAMP(me);
            took = 1
        :: !FREE && overdue && dead[word.owner] ->
            assert(untold);
            untold = 0;
            word.mark = 1;
            word.fresh = 0;
            word.owner = STAMP(me);
            took = 1
        :: else ->
            if
            :: look && FREE -> word.turns = word.turns - 1
            :: else
            fi;
            if
            :: willSleep || slept -> word.mark = 1; word.fresh = 1
            :: else
            fi;
            if
            :: last && slept ->
                if
                :: !FREE -> word.turns = 0
                :: else
                fi
            :: !(last && slept) && starved && word.turns < TURNS -> word.turns = TURNS
            :: else
            fi;
            owner = word.owner; mark = word.mark; fresh = word.fresh; turns = word.turns
        fi;
        if
        :: took -> holds[me] = 1; inside = inside + 1; assert(inside == 1)
        :: else
        fi
    }
}

inline release() {
    d_step {
        assert(word.owner == STAMP(me) && holds[me] && !untold);
        holds[me] = 0; inside = inside - 1;
        mark = word.mark;
        fresh = word.fresh;
        turns = (word.mark -> word.turns : 0);
        word.turns = turns;
        word.mark = 0;
        word.fresh = 0;
        word.owner = 0
    }
}

proctype Wanting(byte me) {
    byte owner, turns, first;
    bool mark, fresh, took, slept, overdue, starved, willSleep, look, last;
    {
        do
        :: rounds == 0 -> break
        :: atomic { rounds > 0 -> rounds = rounds - 1 };
            if
            :: d_step { look = 1; overdue = 1; last = 1 }       /* with a timeout of zero */
            :: d_step { look = 1; overdue = 1; last = 1; willSleep = 1 }
            :: willSleep = 1                                    /* a task */
            :: skip                                             /* a thread, that spins first */
            fi;
again:      attempt();
            if
            :: took -> goto got
            :: !took && last -> goto over
            :: !took && !last && !willSleep -> willSleep = 1; goto again
            :: else
            fi;
            atomic {
                if
                :: word.owner == owner && word.mark == mark && word.fresh == fresh && word.turns == turns ->
                    sleepers!me;
                    d_step { owner = 0; mark = 0; fresh = 0; turns = 0 }
                :: else ->
                    /* Who did not queue up has not slept; and a thread spins again. */
                    d_step { owner = 0; mark = 0; fresh = 0; turns = 0; overdue = 0 };
                    if
                    :: skip
                    :: willSleep = 0
                    fi;
                    goto waking
                fi
            }
            if
            :: atomic { woken[me] -> woken[me] = 0; slept = 1; overdue = 0 }
#ifdef BACKSTOP
            :: atomic { !woken[me] && (BACKSTOP) -> sleepers??eval(me); slept = 1; overdue = 1 }
#endif
#ifdef GIVEUPS
            :: atomic { !woken[me] -> sleepers??eval(me); slept = 1; overdue = 1; last = 1 }
#endif
            fi;
waking:     if
            :: skip
#ifdef STARVING
            :: starved = 1
#endif
#ifdef GIVEUPS
            :: last = 1
#endif
            fi;
            goto again;
got:
progress:   skip;
            release();
            if
            :: mark ->
                atomic {
                    if
                    :: sleepers?first -> woken[first] = 1; turns = 0
                    :: empty(sleepers) -> skip
                    fi
                };
                /* Turns for which nobody sleeps, and nobody is about to. */
                d_step {
                    if
                    :: turns > 0 && !fresh && FREE && !word.mark && !word.fresh && word.turns == turns -> word.turns = 0
                    :: else
                    fi
                }
            :: else
            fi;
over:       skip;
            d_step { owner = 0; mark = 0; fresh = 0; turns = 0; took = 0; slept = 0; overdue = 0; starved = 0; look = 0; last = 0; willSleep = 0; first = 0 }
        od
    } unless { dead[STAMP(me)] }
}

/* SIGKILL, between any two steps: the kernel takes the dead out of its queue. */
proctype Death() {
    byte i, victim;
    do
    :: deaths == 0 -> break
    :: deaths > 0 -> break
    :: atomic {
        deaths > 0 ->
        deaths = deaths - 1;
        select(victim : 1 .. N);
        victim = STAMP(victim);
        if
        :: dead[victim] -> skip
        :: else ->
            dead[victim] = 1;
            if
            :: word.owner == victim -> assert(!untold); untold = 1
            :: else
            fi;
            for (i : 1 .. N) {
                if
                :: STAMP(i) == victim ->
                    if
                    :: holds[i] -> holds[i] = 0; inside = inside - 1
                    :: else
                    fi;
                    if
                    :: sleepers??[eval(i)] -> sleepers??eval(i)
                    :: else
                    fi
                :: else
                fi
            }
        fi
    }
    od
}

init {
    byte i;
    atomic {
        for (i : 1 .. N) { run Wanting(i) }
        run Death()
    }
}
