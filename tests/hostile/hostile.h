/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_HOSTILE_H
#define TESTS_HOSTILE_H

/*
 * A guest that lies, dies or stalls: one case for each way to, against a running back end.
 *
 *      main.c  --list, or for each case named:   case runs   -> was the connection closed?   -> an honest front end comes up
 *                                                                                              on the same socket and sends
 *      rings.c     what it sends by: descriptors, chains, tables, indices
 *      receive.c   what it receives by: the same lies, buffers of no use, nobody who empties them
 *      headers.c   what stands before the frame
 *      memory.c    memory tables, memory that goes away, the dirty log
 *      vrings.c    ring messages: sizes, addresses, indices, eventfds
 *      messages.c  the stream of messages itself
 *      life.c      comings and goings
 *
 * A case is a row: a name, what must become of the connection, and the name under which the back end counts what it cost: a
 * drop reason of the port's, or a fault of the connection's. This program sees the first by itself; the second is for the system test that runs it (test_hostile.py),
 * which looks into the port's counters, and at everybody else.
 *
 * What the cases did to others, with Debian 12's versions: dpdk-testpmd 22.11 and ovs-vswitchd 3.1 die (SIGBUS) of mem-frames-cut-off,
 * -cut-in-half, mem-rings-cut-off and mem-frames-flicker; testpmd also of mem-size-max-while-running (SIGSEGV), and of
 * ring-call-is-a-full-pipe and -broken-pipe (SIGPIPE). Both take overlapping regions. In testpmd, a ring with one descriptor that lies
 * stands still without a word.
 *
 * The frames that are sent come from HOSTILE_MAC and go to HOSTILE_MAC, which a switch has behind this very port and so sends
 * nowhere, or to VICTIM_MAC where a case wants the switch to send on what it was given.
 */

#include "front.h"

enum fate {
	MAY,   /* stay or be closed */
	STAY,  /* the lie costs its frame and nothing else */
	CLOSE, /* the back end has to hang up */
};

struct hostile {
	struct front f;
	const char *path;
	bool connect;
	double wait_s;
	bool hold;     /* the caller says when enough frames have come */
	char why[160]; /* what a failing case has to say */
};

struct hostile_case {
	const char *name;
	enum fate fate;
	const char *drop;	      /* drop reason or fault that is counted at the port, or NULL; alternatives with | between */
	int (*run)(struct hostile *); /* 0, or -errno with h->why: the back end did not do what it must. */
	const void *lie;	      /* for cases that share a function */
};

/* The row being run. */
extern const struct hostile_case *current_case;

extern const struct hostile_case ring_cases[], receive_cases[], header_cases[], memory_cases[], vring_cases[], message_cases[],
	life_cases[];

/* One descriptor that lies; `addr` is counted from `base`. */
enum place { AT_BUFFER, AT_END, AT_ABSOLUTE, AT_START }; /* of a buffer, of region 1 behind its end, of nothing, of region 1 */

struct descriptor_lie {
	enum place base;
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

#define HOSTILE_RING   256
#define HOSTILE_BUFFER 2048
#define HOSTILE_LARGE  4096 /* in larger rings, buffers hold the shortest frames only */

/*
 * A front end that is honest so far: connected, negotiated, rings running, a buffer for each slot in region 1, receive buffers
 * offered. 0 or -errno.
 */
int honest_open(struct hostile *h, const struct front_conf *more);
/* The same up to the negotiation: memory and rings are made and not yet told. */
int honest_negotiated(struct hostile *h, const struct front_conf *more);
/* Write it to a slot. `buffer`: what AT_BUFFER means. */
void lie_write(const struct hostile *h, struct front_ring *r, uint16_t slot, const struct descriptor_lie *lie, uint64_t buffer);
/* A frame of `len` bytes to dst's MAC. */
void frame_fill(uint8_t *f, uint32_t len, bool to_victim);
/* Has the connection been closed by now? */
bool gone(struct hostile *h);
/* Wait until the back end has consumed what was offered on a ring, or hung up, or `ms` have passed. True: consumed. */
bool consumed(struct hostile *h, unsigned index, unsigned ms);
/* Send honest frames by ring 1 and wait until they are taken. 0, -ETIMEDOUT, -ECONNRESET. */
int send_honest(struct hostile *h, unsigned n);
/*
 * What was offered to receive in has been offered: let frames come. Somebody has to send them; with --hold, also to say when it has
 * seen enough of what became of them.
 */
void let_frames_come(struct hostile *h);
void pause_ms(unsigned ms);
double seconds_now(void);
uint64_t rnd(void);

#endif
