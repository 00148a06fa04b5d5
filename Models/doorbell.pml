/*
 * The bell of a connection: how receivers that sleep on the socket learn of messages that lie in shared memory
 * (Sources/Multiprocessing/Connections/ConnectionEnd+Waiting.swift, +Sending.swift).
 *
 *   who sleeps    with the receive guard, at an empty ring: make the bell odd, by a value that it did not have; look at the ring again;
 *                 as long as there is a packet at the front of the socket, make the bell odd anew, look at the ring, and throw the
 *                 packet away; leave the guard; sleep while the socket is empty
 *   who sends     with the send guard: commit; if the bell is odd, send a packet, unless the socket is full, and then make it even,
 *                 unless it has changed
 *
 * Checked: no state is the last one in which a receiver sleeps although a message is there; every message is taken once.
 *
 * With NOLOOK (no second look at the ring), SAMEVALUE (a bell that is odd already stays as it is), ONCE (the bell is made odd once,
 * and not before each packet that is thrown away), BEHIND (not before, but behind it), or a socket with room for one packet only
 * (ROOM=1), it shows a sleeper beside a message. Left out: packets with descriptors; naps, which are over after four milliseconds;
 * deaths, after which whoever sleeps looks by himself; the order of memory (the accesses that matter are sequentially consistent in
 * the code).
 */

#ifndef SENDERS
#define SENDERS 2
#endif
#ifndef RECEIVERS
#define RECEIVERS 2
#endif
#ifndef MESSAGES
#define MESSAGES 4
#endif
#ifndef ROOM
#define ROOM 2
#endif

byte tail, head;            /* messages committed, and taken */
byte bell;
bool sending, receiving;    /* the guards */
byte coming = MESSAGES, wanted = MESSAGES;
chan socket = [ROOM] of { bit };

#ifdef SAMEVALUE
#define ARM bell = bell | 1
#else
#define ARM bell = (bell + 1) | 1
#endif

#define LOOK if :: tail > head -> receiving = false; goto again :: else fi

proctype Sender() {
    byte seen;
    do
    :: atomic { coming == 0 -> break }
    :: atomic { coming > 0 && !sending -> sending = true; coming = coming - 1 };
        tail = tail + 1;
        seen = bell;
        if
        :: seen & 1 ->
            if
            :: atomic { nfull(socket) -> socket!1 }
            :: full(socket)
            fi;
            atomic { if :: bell == seen -> bell = bell + 1 :: else fi }
        :: else
        fi;
        seen = 0;
        sending = false
    od
}

proctype Receiver() {
    do
    :: atomic { wanted == 0 -> break }
    :: atomic { wanted > 0 -> wanted = wanted - 1 };
again:  atomic { !receiving -> receiving = true };
        if
        :: tail > head -> head = head + 1; receiving = false; goto taken
        :: else
        fi;
        ARM;
#ifndef NOLOOK
        LOOK;
#endif
        do
        :: empty(socket) -> break
        :: nempty(socket) ->
#if !defined(ONCE) && !defined(BEHIND)
            ARM;
#endif
            LOOK;
            socket?_;
#ifdef BEHIND
            ARM;
            LOOK
#endif
        od;
        receiving = false;
        nempty(socket);
        goto again;
taken:  skip
    od;
}

init {
    byte i;
    atomic {
        i = 0;
        do :: i < SENDERS -> run Sender(); i = i + 1 :: else -> break od;
        i = 0;
        do :: i < RECEIVERS -> run Receiver(); i = i + 1 :: else -> break od
    }
}
