/*
 * A barrier's rounds (Sources/Multiprocessing/Synchronization/BarrierCore.swift, BarrierState.swift).
 *
 * CALLERS callers come WAITS times each to a barrier of P parties; up to DEATHS of them die, each between any two steps; up to
 * ORDERS times somebody aborts or resets. A party may give up whenever it likes if TIMEOUTS is set, and the last one's action may
 * throw if ACTIONS is set. Every load that others can change, every store and every exchange is a step of its own. The
 * guard is one that survives its owners. Futexes are left out: who waits sees a change at any time later, which covers each
 * wake-up that is late or lost.
 *
 * Checked:
 *   lockstep    a round passes only when P parties have come to it, each with an index of its own, and none of them was told otherwise
 *   agreement   all that return from a round were told the same, and it is what was decided
 *   deaths      when nothing moves any more, nobody alive waits in a round one of whose parties is dead, or for a place that
 *               nobody alive has
 *
 * Left out: the order of memory, the number of a round coming back, the choice of whom a party looks at (all of them here).
 */

#ifndef P
#define P 2
#endif
#ifndef CALLERS
#define CALLERS 3
#endif
#ifndef WAITS
#define WAITS 2
#endif
#ifndef DEATHS
#define DEATHS 1
#endif
#ifndef ORDERS
#define ORDERS 0
#endif

#define ROUNDS (CALLERS * WAITS + ORDERS + 2)
mtype:phases = { FILLING, PASSED, BROKEN, RESETTING, PASSEDTHENBROKEN }
mtype:marks = { NONE, WAITING, TOLDPASSED, TOLDBROKEN }

typedef Row { mtype:marks mark[P]; byte owner[P] }

byte round;
mtype:phases phase = FILLING;
byte count, guard;
Row rows[2];
bool dead[CALLERS + 2];
mtype:marks decided[ROUNDS];    /* ghost: TOLDPASSED or TOLDBROKEN once a round is decided */

#define DEAD(o) ((o) == 0 || dead[o])
#define MARK(r, i) rows[(r) % 2].mark[i]
#define OWNER(r, i) rows[(r) % 2].owner[i]
#define DEADPARTY(i) (i < count && MARK(round, i) == WAITING && DEAD(OWNER(round, i)))
#if P == 2
#define SOMEDEAD (DEADPARTY(0) || DEADPARTY(1))
#else
#define SOMEDEAD (DEADPARTY(0) || DEADPARTY(1) || DEADPARTY(2))
#endif

/* One exchange each: what there is to do is done, if there is. */
inline breakRound(r) {
    atomic {
        if
        :: round == r && phase == FILLING -> phase = BROKEN; decided[r] = TOLDBROKEN; did = true
        :: else -> did = false
        fi
    }
}

inline passRound(r) {
    atomic {
        if
        :: round == r && phase == FILLING ->
            assert(count == P);
            k = 0;
            do
            :: k < P -> assert(MARK(r, k) == WAITING); k++
            :: k == P -> break
            od;
            phase = PASSED; decided[r] = TOLDPASSED; did = true
        :: else -> did = false
        fi
    }
}

proctype Caller() provided (!dead[_pid]) {
    byte me = _pid, waits, r, index, k, c;
    mtype:phases ph;
    mtype:marks told;
    bool did;
    do
    :: waits == WAITS -> break
    :: atomic { waits < WAITS -> waits++ };
enter:
        if
        :: phase == BROKEN || phase == PASSEDTHENBROKEN -> goto next
        :: phase == FILLING || phase == PASSED || phase == RESETTING -> skip
        fi;
        atomic { guard == 0 || dead[guard] -> guard = me };
again:  skip;
        d_step { r = round; ph = phase; k = 0 };
        if
        :: ph == BROKEN || ph == PASSEDTHENBROKEN -> guard = 0; goto next
        :: ph == PASSED || ph == RESETTING ->
            do
            :: k < P ->
                d_step {
                    if
                    :: MARK(r, k) == WAITING -> MARK(r, k) = (ph == PASSED -> TOLDPASSED : TOLDBROKEN)
                    :: else
                    fi;
                    k++
                }
            :: k == P -> break
            od;
            count = 0;
            d_step {
                if
                :: round == r && (phase == PASSED || phase == RESETTING) -> round++; phase = FILLING
                :: else
                fi
            };
            goto again
        :: ph == FILLING ->
            index = count;
            if
            :: index == P ->
                if
                :: MARK(r, P - 1) == WAITING && DEAD(OWNER(r, P - 1)) -> breakRound(r); goto again
                :: guard = 0;
                    /* sleeps, and looks again when the last party is dead */
                    round != r || phase != FILLING || (MARK(r, P - 1) == WAITING && DEAD(OWNER(r, P - 1)));
                    goto enter
                fi
            :: index < P ->
                if
                :: MARK(r, index) == NONE || MARK(r, index) == WAITING || DEAD(OWNER(r, index)) -> skip
                :: (MARK(r, index) == TOLDPASSED || MARK(r, index) == TOLDBROKEN) && !DEAD(OWNER(r, index)) ->
                    guard = 0;
                    MARK(r, index) == NONE || MARK(r, index) == WAITING || DEAD(OWNER(r, index));
                    goto enter
                fi;
                d_step { MARK(r, index) = WAITING; OWNER(r, index) = me };
                count = index + 1;
                guard = 0
            fi
        fi;
        /* It is in. */
        told = NONE;
        if
        :: index == P - 1 ->
#ifdef ACTIONS
            if
            :: breakRound(r); told = TOLDBROKEN; goto leave
            :: skip
            fi;
#endif
            passRound(r);
            told = (did -> TOLDPASSED : TOLDBROKEN)
        :: index < P - 1 ->
wait:       skip;
            if
            :: d_step { (round == r && phase != FILLING) ->
                told = (phase == PASSED || phase == PASSEDTHENBROKEN -> TOLDPASSED : TOLDBROKEN) }
            :: round != r ->
                assert(OWNER(r, index) == me && MARK(r, index) != WAITING);
                told = MARK(r, index)
            :: round == r && phase == FILLING && SOMEDEAD ->
                c = count;
                k = 0;
                do
                :: k + 1 < c -> k++
                :: break
                od;
                if
                :: MARK(r, k) == WAITING && DEAD(OWNER(r, k)) ->
                    atomic {
                        assert(round != r || phase != FILLING || SOMEDEAD);
                        breakRound(r)
                    }
                :: !(MARK(r, k) == WAITING && DEAD(OWNER(r, k)))
                fi;
                goto wait
#ifdef TIMEOUTS
            :: round == r && phase == FILLING -> breakRound(r);
                if
                :: did -> told = TOLDBROKEN
                :: !did -> goto wait
                fi
#endif
            fi
        fi;
leave:  atomic {
            assert(told == decided[r]);
            MARK(r, index) = NONE; OWNER(r, index) = 0
        };
next:   skip
    od
}

/* Aborts and resets. */
proctype Orders() {
    byte orders = ORDERS;
end:
    do
    :: orders > 0 ->
        orders--;
        if
        :: atomic { phase == FILLING -> phase = BROKEN; decided[round] = TOLDBROKEN }
        :: atomic { phase == RESETTING -> phase = BROKEN }
        :: atomic { phase == PASSED -> phase = PASSEDTHENBROKEN }
        :: atomic { phase == FILLING && count > 0 -> phase = RESETTING; decided[round] = TOLDBROKEN }
        :: atomic { phase == BROKEN -> phase = RESETTING }
        :: atomic { phase == PASSEDTHENBROKEN -> phase = PASSED }
        fi
    :: orders = 0; break
    od
}

proctype Death() {
    byte deaths = DEATHS, k;
end:
    do
    :: deaths > 0 ->
        select(k : 1 .. CALLERS);
        if
        :: atomic { !dead[k] -> dead[k] = true; deaths-- }
        :: dead[k]
        fi
    :: deaths = 0; break
    od
}

init {
    byte i;
    atomic {
        i = 0;
        do
        :: i < P -> rows[0].mark[i] = NONE; rows[1].mark[i] = NONE; i++
        :: i == P -> break
        od;
        i = 0;
        do
        :: i < ROUNDS -> decided[i] = NONE; i++
        :: i == ROUNDS -> break
        od;
        i = 0;
        do
        :: i < CALLERS -> run Caller(); i++
        :: i == CALLERS -> break
        od;
        run Orders();
        run Death()
    };
    timeout;
    /* Nothing moves any more: somebody alive may wait, but for parties that have not come yet, and may still. */
    d_step {
        assert(phase != FILLING || count < P || (DEAD(OWNER(round, 0)) && DEAD(OWNER(round, 1))));
        i = 0;
        do
        :: i < P ->
            assert(!(phase == FILLING && SOMEDEAD && i < count && MARK(round, i) == WAITING && !DEAD(OWNER(round, i))));
            i++
        :: i == P -> break
        od
    }
}
