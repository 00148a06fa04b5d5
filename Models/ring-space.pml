/*
 * Senders that wait for room in a connection's ring (wantsSpace in Sources/Multiprocessing/Connections).
 *
 *   sender      takes the guard; reads the head; if the ring is full: sets the flag, gives the guard back, sleeps while the
 *               head is what it read
 *   receiver    moves the head; if the flag is set: clears it, wakes all sleepers
 *
 * Between the receiver's move and its clearing, a sender may have seen the new head, found the ring full again and set the flag
 * for the next move: that flag must stay. So (TAG) the flag is the head that its sender saw, and the receiver clears only
 * a flag of an earlier head, and only if it is still the one that it read. Without TAG the model finds the lost wake-up.
 *
 * Checked: no state is the last one in which a sender sleeps and the receiver waits for it. Left out: the order of memory (spin's is
 * sequentially consistent, and so are these accesses), the bytes, the guard (one step here; it has a model of its own), deaths
 * (they only delay: nobody sleeps longer than half a second).
 */

#ifndef SENDERS
#define SENDERS 2
#endif
#ifndef MESSAGES
#define MESSAGES 4
#endif
#define CAPACITY 1

byte tail, head;
byte flag;              /* zero, or one more than a head */
bool guard;
byte coming = MESSAGES;
chan sleepers = [SENDERS] of { byte };
bool woken[SENDERS];

proctype Sender(byte me) {
    byte seen;
    do
    :: atomic { coming == 0 -> break }
    :: atomic { coming > 0 -> coming = coming - 1 };
again:  atomic { !guard -> guard = 1 };
        seen = head;
        if
        :: tail - seen < CAPACITY -> tail = tail + 1; guard = 0
        :: else ->
            flag = seen + 1;
            guard = 0;
            atomic {
                if
                :: head == seen -> sleepers!me
                :: else -> goto again
                fi
            };
            atomic { woken[me] -> woken[me] = 0; goto again }
        fi;
        seen = 0
    od
}

proctype Receiver() {
    byte left = MESSAGES;
    byte found, first;
    do
    :: left == 0 -> break
    :: left > 0 ->
        tail > head;
        head = head + 1;
        found = flag;
        if
#ifdef TAG
        :: found != 0 && found != head + 1 ->
            atomic {
                if
                :: flag == found -> flag = 0
                :: else
                fi
            };
#else
        :: found != 0 ->
            flag = 0;
#endif
            atomic {
                do
                :: sleepers?first -> woken[first] = 1
                :: empty(sleepers) -> break
                od
            }
        :: else
        fi;
        d_step { left = left - 1; found = 0; first = 0 }
    od
}

init {
    byte i;
    atomic {
        for (i : 0 .. SENDERS - 1) { run Sender(i) }
        run Receiver()
    }
}
