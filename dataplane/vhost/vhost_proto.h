/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_VHOST_PROTO_H
#define DATAPLANE_VHOST_PROTO_H

/*
 * The facts of two specifications, and nothing of ours: messages of the vhost-user protocol ("Vhost-user Protocol", QEMU's
 * docs/interop/vhost-user) and split virtqueues with network headers (virtio 1.1, 2.6 and 5.1). Numbers are in the host's byte order,
 * which is little-endian here, as virtio 1.0 asks for.
 */

#include <stddef.h>
#include <stdint.h>

#include <rte_common.h>

#define VHOST_MAX_VRINGS 32 /* 16 queue pairs */

/* --- the socket ------------------------------------------------------------------------------------------------------ */

#define VHOST_FLAG_VERSION	0x1u
#define VHOST_FLAG_VERSION_MASK 0x3u
#define VHOST_FLAG_REPLY	0x4u
#define VHOST_FLAG_NEED_REPLY	0x8u

/* X(number, NAME, payload bytes (VHOST_ANY: judged by the handler), descriptors at most) */
#define VHOST_ANY 0xffff
#define VHOST_REQUESTS(X)                  \
	X(1, GET_FEATURES, 0, 0)           \
	X(2, SET_FEATURES, 8, 0)           \
	X(3, SET_OWNER, 0, 0)              \
	X(4, RESET_OWNER, 0, 0)            \
	X(5, SET_MEM_TABLE, VHOST_ANY, 32) \
	X(6, SET_LOG_BASE, 16, 1)          \
	X(7, SET_LOG_FD, 0, 1)             \
	X(8, SET_VRING_NUM, 8, 0)          \
	X(9, SET_VRING_ADDR, 40, 0)        \
	X(10, SET_VRING_BASE, 8, 0)        \
	X(11, GET_VRING_BASE, 8, 0)        \
	X(12, SET_VRING_KICK, 8, 1)        \
	X(13, SET_VRING_CALL, 8, 1)        \
	X(14, SET_VRING_ERR, 8, 1)         \
	X(15, GET_PROTOCOL_FEATURES, 0, 0) \
	X(16, SET_PROTOCOL_FEATURES, 8, 0) \
	X(17, GET_QUEUE_NUM, 0, 0)         \
	X(18, SET_VRING_ENABLE, 8, 0)      \
	X(19, SEND_RARP, 8, 0)             \
	X(20, NET_SET_MTU, 8, 0)           \
	X(34, RESET_DEVICE, 0, 0)          \
	X(36, GET_MAX_MEM_SLOTS, 0, 0)     \
	X(37, ADD_MEM_REG, 40, 1)          \
	X(38, REM_MEM_REG, 40, 1)

enum vhost_request {
#define X(number, name, size, fds) VHOST_##name = number,
	VHOST_REQUESTS(X)
#undef X
		VHOST_REQUEST_END = 39
};

struct vhost_header {
	uint32_t request, flags, size;
};

struct vhost_vring_state {
	uint32_t index, num;
};

struct vhost_vring_addr {
	uint32_t index, flags;
	uint64_t desc, used, avail; /* addresses of the front end's */
	uint64_t log;		    /* guest physical address of the used ring, if VHOST_VRING_F_LOG */
};
#define VHOST_VRING_F_LOG 1u

struct vhost_mem_region {
	uint64_t gpa, size, uva, mmap_offset;
};

#define VHOST_TABLE_REGIONS 32 /* in one SET_MEM_TABLE; more come one by one */

struct vhost_mem_table {
	uint32_t n, padding;
	struct vhost_mem_region region[VHOST_TABLE_REGIONS];
};

struct vhost_mem_single {
	uint64_t padding;
	struct vhost_mem_region region;
};

struct vhost_log_base {
	uint64_t size, offset;
};

/* An index in the low byte; bit 8: no descriptor comes with it. */
#define VHOST_VRING_INDEX_MASK 0xffull
#define VHOST_VRING_NOFD       0x100ull

union vhost_payload {
	uint64_t u64;
	struct vhost_vring_state state;
	struct vhost_vring_addr addr;
	struct vhost_mem_table table;
	struct vhost_mem_single single;
	struct vhost_log_base log;
};

/* As it lies in the socket from `h` on; what is before puts the payload on its boundary. */
struct vhost_msg {
	uint32_t unused;
	struct vhost_header h;
	union vhost_payload p;
};
_Static_assert(offsetof(struct vhost_msg, p) == offsetof(struct vhost_msg, h) + 12, "a header of 12 bytes, then the payload");

/* Protocol features, by bit. */
enum {
	VHOST_PROTO_MQ = 0,
	VHOST_PROTO_LOG_SHMFD = 1,
	VHOST_PROTO_RARP = 2,
	VHOST_PROTO_REPLY_ACK = 3,
	VHOST_PROTO_MTU = 4,
	VHOST_PROTO_RESET_DEVICE = 13,
	VHOST_PROTO_CONFIGURE_MEM_SLOTS = 15,
};

/* --- virtio ----------------------------------------------------------------------------------------------------------- */

/* Features, by bit: virtio 1.1, 5.1.3 and 6; and the transport's own. */
enum {
	VIRTIO_BIT_CSUM = 0,
	VIRTIO_BIT_GUEST_CSUM = 1,
	VIRTIO_BIT_MTU = 3,
	VIRTIO_BIT_GUEST_TSO4 = 7,
	VIRTIO_BIT_GUEST_TSO6 = 8,
	VIRTIO_BIT_GUEST_ECN = 9,
	VIRTIO_BIT_HOST_TSO4 = 11,
	VIRTIO_BIT_HOST_TSO6 = 12,
	VIRTIO_BIT_HOST_ECN = 13,
	VIRTIO_BIT_MRG_RXBUF = 15,
	VIRTIO_BIT_STATUS = 16,
	VIRTIO_BIT_CTRL_VQ = 17,
	VIRTIO_BIT_CTRL_RX = 18,
	VIRTIO_BIT_CTRL_VLAN = 19,
	VIRTIO_BIT_GUEST_ANNOUNCE = 21,
	VIRTIO_BIT_MQ = 22,
	VIRTIO_BIT_CTRL_MAC_ADDR = 23,
	VIRTIO_BIT_LOG_ALL = 26, /* vhost: log every write, for live migration */
	VIRTIO_BIT_ANY_LAYOUT = 27,
	VIRTIO_BIT_INDIRECT_DESC = 28,
	VIRTIO_BIT_EVENT_IDX = 29,
	VIRTIO_BIT_PROTOCOL_FEATURES = 30, /* vhost-user */
	VIRTIO_BIT_VERSION_1 = 32,
	VIRTIO_BIT_RING_RESET = 40,
};

union virtq_desc {
	struct {
		uint64_t addr;
		uint32_t len;
		uint16_t flags, next;
	};
	uint64_t word[2];
};
#define VIRTQ_DESC_NEXT	    1u
#define VIRTQ_DESC_WRITE    2u
#define VIRTQ_DESC_INDIRECT 4u

struct virtq_avail {
	uint16_t flags, idx;
	uint16_t ring[]; /* and behind it used_event */
};
#define VIRTQ_AVAIL_NO_INTERRUPT 1u

struct virtq_used_elem {
	uint32_t id, len;
};

struct virtq_used {
	uint16_t flags, idx;
	struct virtq_used_elem ring[]; /* and behind it avail_event */
};
_Static_assert(offsetof(struct virtq_used, ring) == 4, "virtio 1.1, 2.6.8");
#define VIRTQ_USED_NO_NOTIFY 1u

#define VIRTQ_SIZE_MAX 32768u

/* Bytes of the parts of a ring. */
#define VIRTQ_DESC_BYTES(size)	((uint64_t)(size) * sizeof(union virtq_desc))
#define VIRTQ_AVAIL_BYTES(size) (sizeof(struct virtq_avail) + 2ull * (size) + 2)
#define VIRTQ_USED_BYTES(size)	(sizeof(struct virtq_used) + 8ull * (size) + 2)

/* The network header is <linux/virtio_net.h>'s: 10 bytes, and num_buffers where VERSION_1 or MRG_RXBUF. */
#define VIRTIO_HDR_LEN_LEGACY 10u
#define VIRTIO_HDR_LEN	      12u

#endif
