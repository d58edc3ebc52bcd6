/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_MEMIF_PROTO_H
#define DATAPLANE_MEMIF_PROTO_H

/*
 * memif 2.0 on the wire and in shared memory: the facts, and nothing else.
 *
 * Two processes meet on a Unix socket (SOCK_SEQPACKET). One listens (server), the other connects and brings the memory (client):
 *
 *      server                                client
 *        | <------------ connect --------------|
 *        |------------- HELLO ---------------->|   versions, how many rings and regions, ring size at most
 *        | <------------ INIT -----------------|   interface id, secret
 *        |-------------- ACK ----------------->|
 *        | <--------- ADD_REGION + fd ---------|   a file to map; once for each region       -> ACK
 *        | <---------- ADD_RING + fd ----------|   where a ring lies, and its eventfd; each  -> ACK
 *        | <----------- CONNECT ---------------|
 *        |----------- CONNECTED -------------->|
 *        |<========== frames in memory =======>|
 *        | <---------- DISCONNECT ------------>|   or the socket just ends
 *
 * Every message is exactly 128 bytes, in the byte order of the machine, with at most one descriptor beside it.
 *
 * Rings come in two directions. C2S carries frames from client to server, S2C the other way. The buffers of both are the
 * client's, so the client's index `head` runs ahead in both and the server's `tail` follows:
 *
 *      C2S   head: frames sent by the client      tail: frames taken by the server
 *      S2C   head: empty buffers offered          tail: buffers filled by the server
 *
 * Indices run freely through 16 bits; the slot is index & (size - 1), and head - tail is at most the ring's size. A ring is
 * empty for its reader when its indices meet. Whoever reads a ring (C2S: the server, S2C: the client) owns the flag
 * MEMIF_RING_MASK_INT in it: set, it says "I poll"; clear, the writer of the ring writes to the ring's eventfd after it has
 * moved its index.
 */

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define MEMIF_COOKIE	    0x3E31F20u
#define MEMIF_VERSION	    0x0200 /* major << 8 | minor */
#define MEMIF_MODE_ETHERNET 0
#define MEMIF_MAX_LOG2_RING 14
#define MEMIF_MSG_SIZE	    128

enum memif_msg_type {
	MEMIF_MSG_NONE,
	MEMIF_MSG_ACK,
	MEMIF_MSG_HELLO,
	MEMIF_MSG_INIT,
	MEMIF_MSG_ADD_REGION,
	MEMIF_MSG_ADD_RING,
	MEMIF_MSG_CONNECT,
	MEMIF_MSG_CONNECTED,
	MEMIF_MSG_DISCONNECT,
};

struct memif_hello {
	char name[32];
	uint16_t min_version, max_version;
	uint16_t max_region; /* highest index, as the next two */
	uint16_t max_s2c_ring, max_c2s_ring;
	uint8_t max_log2_ring_size;
} __attribute__((packed));

struct memif_init {
	uint16_t version;
	uint32_t id;
	uint8_t mode;
	char secret[24]; /* NUL-padded; 24 characters have no NUL */
	char name[32];
} __attribute__((packed));

struct memif_add_region {
	uint16_t index;
	uint64_t size;
} __attribute__((packed));

#define MEMIF_ADD_RING_C2S 1 /* flag: the ring is client to server */

struct memif_add_ring {
	uint16_t flags;
	uint16_t index;
	uint16_t region;
	uint32_t offset;
	uint8_t log2_size;
	uint16_t private_hdr_size; /* room that the client keeps between descriptors for itself: nothing to the server */
} __attribute__((packed));

struct memif_connect { /* CONNECTED has the same shape */
	char if_name[32];
} __attribute__((packed));

struct memif_disconnect {
	uint32_t code;
	char reason[96];
} __attribute__((packed));

struct memif_msg {
	uint16_t type;
	union {
		struct memif_hello hello;
		struct memif_init init;
		struct memif_add_region add_region;
		struct memif_add_ring add_ring;
		struct memif_connect connect;
		struct memif_disconnect disconnect;
		uint8_t pad[MEMIF_MSG_SIZE - sizeof(uint16_t)];
	};
} __attribute__((packed, aligned(8)));

#define MEMIF_DESC_NEXT	    1 /* the frame goes on in the next slot */
#define MEMIF_RING_MASK_INT 1 /* the reader polls: do not write to the eventfd */

/* A slot. The words exist so that a descriptor in shared memory can be read exactly once, in two loads. */
union memif_desc {
	struct {
		uint16_t flags;
		uint16_t region;
		uint32_t length;
		uint32_t offset;
		uint32_t metadata;
	};
	uint64_t word[2];
};

struct memif_ring {
	uint32_t cookie;
	uint16_t flags; /* the reader's */
	uint16_t head;	/* the client's */
	uint8_t pad0[56];
	uint16_t tail; /* the server's */
	uint8_t pad1[62];
	union memif_desc desc[];
};

static_assert(sizeof(struct memif_msg) == MEMIF_MSG_SIZE, "memif message");
static_assert(sizeof(struct memif_hello) == 43 && sizeof(struct memif_init) == 63, "memif HELLO and INIT");
static_assert(sizeof(struct memif_add_region) == 10 && sizeof(struct memif_add_ring) == 13, "memif ADD_REGION and ADD_RING");
static_assert(sizeof(union memif_desc) == 16, "memif descriptor");
static_assert(offsetof(struct memif_ring, tail) == 64 && offsetof(struct memif_ring, desc) == 128, "memif ring");

#endif
