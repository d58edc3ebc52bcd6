/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_FRONT_H
#define TESTS_FRONT_H

/*
 * A vhost-user front end by hand: what a hypervisor and its guest are to a switch, in one process, without either.
 *
 *      struct front                                              a back end: sluiced, OVS, testpmd
 *     +-----------------------------------------+              +---------------------------------+
 *     | messages   front_msg.c   ask, tell      | ===socket=== | features, memory table, rings   |
 *     | memory     front_mem.c   regions,       | ---fds-----> | maps the same pages             |
 *     |                          addresses      |              |                                 |
 *     | rings      front_ring.c  2 a queue pair | <==memory==> | descriptors, used indices       |
 *     | start, hang up   front.c                | <==eventfd== | kick and call                   |
 *     +-----------------------------------------+              +---------------------------------+
 *
 * It is made from the texts of the two specifications (vhost-user; virtio 1.1, split rings) and serves three masters:
 *  - the traffic source of the benchmarks, which takes memory, rings and the handshake from here and moves indices itself;
 *  - the checked stream of the system tests, for which front_send() and front_recv() are a plain network card;
 *  - the hostile front end, which builds messages and descriptors with any lie in them. For its sake nothing here is checked on
 *    behalf of the other side: what the caller puts into a message or a descriptor is what the back end gets.
 *
 * Whose side. The back end connects to our socket by default (`connect` false): so OVS `dpdkvhostuserclient`, testpmd
 * `client=1`, sluiced. With `connect` we go to a listening back end. In the terms of the protocol we are the front end in both.
 *
 * Addresses. There are three for each byte: ours (a pointer), the guest's physical one, which descriptors hold, and the front
 * end's virtual one, which SET_VRING_ADDR holds. The latter two are of our choosing, and chosen so that they differ from each
 * other and from the pointer, leave holes between regions, and do not rise in the order of the table: a back end that mixes them
 * up, or believes the regions to be sorted or to touch, fails at once.
 *
 * Rings. Ring 2 q is what the guest receives by (the back end fills it), ring 2 q + 1 what it sends by. Each has as many
 * buffers as its slots have room for, made by front_buffers(). How a buffer lies in descriptors is `shape`.
 *
 * Errors. Negative errno; -ECONNRESET when the back end has closed the connection, -ETIMEDOUT when it does not answer in
 * conf.wait_s. Nothing is freed by a failure: front_close() frees everything and may be called at any time, once.
 *
 * Threads. None of its own, no lock: one thread at a time for one struct front. Different rings of a front that has been
 * started may be used by different threads.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>

#include "front_wire.h"

#define FRONT_MAX_REGIONS 64
#define FRONT_MAX_RINGS	  32 /* 16 queue pairs */
#define FRONT_MAX_RING	  32768
#define FRONT_HDR	  12 /* bytes of struct virtio_net_hdr_v1, before each frame */
#define FRONT_MAX_PARTS	  16 /* descriptors that one of our own buffers is spread over, at most */

#define FRONT_BIT(n) (1ull << (n))

/* How a buffer lies in descriptors. */
enum front_shape {
	FRONT_DIRECT,	/* one descriptor: header and frame together */
	FRONT_CHAINED,	/* header and frame apart, the frame in parts: a chain through the table */
	FRONT_INDIRECT, /* the same chain, in a table of its own */
};

struct front_conf {
	const char *path;
	bool connect;
	double wait_s;	     /* patience with the back end; 0: 10 s */
	uint64_t features;   /* acknowledged: those of these that are offered */
	uint64_t protocol;   /* the same for protocol features; none if bit 30 is not offered */
	unsigned pairs;	     /* queue pairs; 0: one */
	uint32_t ring;	     /* slots; 0: 256 */
	unsigned regions;    /* memory regions; 0: one */
	uint64_t region_mib; /* of each; 0: 16 */
	bool huge;	     /* of huge pages of 2 MiB */
	bool no_enable;	     /* leave the rings disabled at the end of front_start() */
};

struct front_region {
	uint64_t gpa, uva, size, mmap_offset;
	int fd;
	uint8_t *base; /* of the region: mmap_offset into the file */
	uint64_t used; /* bytes given away by front_alloc() */
};

struct front_ring {
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint32_t size;
	uint64_t desc_uva, avail_uva, used_uva; /* what SET_VRING_ADDR says */
	int kick, call;
	uint16_t next;	/* our copy of avail->idx */
	uint16_t taken; /* entries of the used ring that we have seen */
	bool event_idx;

	/* Buffers, one a slot; see front_buffers(). */
	enum front_shape shape;
	unsigned parts;		   /* descriptors of a chain */
	uint32_t room;		   /* bytes of a buffer, header included */
	uint8_t **buffer;	   /* n_buffers of them */
	struct vring_desc **table; /* FRONT_INDIRECT: the table of each slot */
	uint16_t *idle;		   /* sending: buffers that the back end does not hold, n_idle of them */
	uint32_t n_idle, n_buffers;
	bool *held; /* by the back end */
};

struct front {
	struct front_conf conf;
	int listener, sock; /* -1: none */
	uint64_t offered, features, protocol_offered, protocol;
	struct front_region region[FRONT_MAX_REGIONS];
	unsigned n_regions;
	struct front_ring ring[FRONT_MAX_RINGS];
	unsigned n_rings;
	uint64_t lied; /* used entries that named no buffer of ours, or a length beyond it */
};

/* --- coming up and going down: front.c ------------------------------------------------------------------------------------ */

/*
 * Make *f: memory, rings, and the listening socket unless conf.connect (a socket file that is there is replaced). Nobody is
 * waited for. 0 or -errno.
 */
int front_open(struct front *f, const struct front_conf *conf);
/* Connect to the back end, or wait for it to. 0 or -errno. */
int front_meet(struct front *f);
/*
 * The handshake that every honest front end goes through, from GET_FEATURES to SET_VRING_ENABLE. Rings start from where they are
 * (front_rewind() for a fresh start). 0 or -errno.
 */
int front_start(struct front *f);
/* The steps of front_start(), for those who want to leave one out or change its order. */
int front_negotiate(struct front *f);
int front_send_memory(struct front *f);
int front_send_ring(struct front *f, unsigned index);
int front_enable(struct front *f, unsigned index, bool on);
/* front_meet(), front_rewind() and front_start(). */
int front_up(struct front *f);
/* Stop a ring (GET_VRING_BASE). Returns the index that the back end says it had come to, or -errno. */
int front_stop_ring(struct front *f, unsigned index);
/* Close the connection; the listening socket stays. */
void front_hang_up(struct front *f);
void front_close(struct front *f);

/* --- messages: front_msg.c ------------------------------------------------------------------------------------------------ */

int front_listen(const char *path);
int front_accept(int listener, double wait_s);
int front_connect(const char *path, double wait_s);

/* A message with `size` bytes of payload, version bits right. Fill in the rest. */
struct front_msg front_msg(uint32_t request, uint32_t size);
/* Send a message, its first HEADER + msg->size bytes, with descriptors. */
int front_msg_send(struct front *f, const struct front_msg *msg, const int *fds, unsigned n_fds);
/* Any bytes with any number of descriptors: a message cut short, several at once, or no message at all. */
int front_raw_send(struct front *f, const void *bytes, size_t n, const int *fds, unsigned n_fds);
/* Receive one message; descriptors that come with it are closed. */
int front_msg_recv(struct front *f, struct front_msg *msg);
/* Send and receive the answer, which must be one to this request. */
int front_ask(struct front *f, struct front_msg *msg);
int front_ask_u64(struct front *f, uint32_t request, uint64_t *value);
/*
 * Send a message that has no answer. With REPLY_ACK negotiated one is asked for: 0 if the back end says that all is well, -EREMOTEIO
 * if it says otherwise. Without, 0 says that the message left.
 */
int front_tell(struct front *f, struct front_msg *msg, const int *fds, unsigned n_fds);
int front_tell_u64(struct front *f, uint32_t request, uint64_t value, int fd);
int front_tell_state(struct front *f, uint32_t request, uint32_t index, uint32_t num);
/* Has the back end closed the connection? Waits for it up to wait_s; what it says until then is thrown away. */
bool front_closed(struct front *f, double wait_s);

/* --- memory: front_mem.c -------------------------------------------------------------------------------------------------- */

/* Another region of that size. Not told to the back end. Returns its index or -errno. */
int front_region_add(struct front *f, uint64_t size);
/* Memory from region r, zeroed, for ever; NULL when the region is full. */
void *front_alloc(struct front *f, unsigned r, uint64_t size, uint64_t align);
/* The addresses of a byte of ours; 0 when it lies in no region. */
uint64_t front_gpa(const struct front *f, const void *at);
uint64_t front_uva(const struct front *f, const void *at);
/* How region r looks in a message. */
struct front_wire_region front_wire_region(const struct front *f, unsigned r);

/* --- rings: front_ring.c -------------------------------------------------------------------------------------------------- */

/* Make ring `index` of `size` slots in region r. The eventfds are made too. 0 or -errno. */
int front_ring_make(struct front *f, unsigned index, uint32_t size, unsigned r);
/*
 * Buffers for a ring, `room` bytes each with header, spread over all regions but the first (unless there is only one), at
 * distances of an odd number of cache lines. `parts`: descriptors a buffer, for the shapes that have several; a chain of parts
 * takes parts slots of the table, so that ring carries size / parts buffers. The buffers of a receiving ring are offered at
 * once. 0 or -errno.
 */
int front_buffers(struct front *f, unsigned index, enum front_shape shape, unsigned parts, uint32_t room);
/* All rings as they were when made, receive buffers offered: for a new connection. */
void front_rewind(struct front *f);
/*
 * Send a frame by ring `index` (odd). `hdr` NULL: no offload asked for. Returns 0, -EAGAIN when the back end holds all buffers,
 * -EMSGSIZE when it does not fit into one. The back end is kicked if it asks for that.
 */
int front_send(struct front *f, unsigned index, const struct virtio_net_hdr_v1 *hdr, const void *frame, uint32_t len);
/*
 * The next frame from ring `index` (even), copied to `frame`, without its header, which goes to *hdr if that is not NULL. The
 * buffers are offered again. Returns its length, -EAGAIN when there is none, -EMSGSIZE if it is longer than `cap` (it is
 * dropped), -EPROTO if the back end's entry makes no sense (counted in f->lied).
 */
ssize_t front_recv(struct front *f, unsigned index, struct virtio_net_hdr_v1 *hdr, void *frame, uint32_t cap);
/* Take back the buffers of a sending ring that the back end is done with. Returns how many it still holds. */
uint32_t front_reclaim(struct front *f, unsigned index);
/* Show the back end the first `r->next` entries, and kick it if it wants to be. `old`: avail->idx before. */
void front_publish(struct front_ring *r, uint16_t old);
/* Offer the chain that begins at descriptor `head`, without any check. */
void front_offer(struct front_ring *r, uint16_t head);
/* A descriptor, as it is. */
void front_desc(struct front_ring *r, uint16_t slot, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next);
/* Kick whether it is wanted or not. */
void front_kick(struct front_ring *r);
/* Ask for calls (true) or forbid them. */
void front_want_calls(struct front_ring *r, bool on);

#endif
