/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_FRONT_WIRE_H
#define TESTS_FRONT_WIRE_H

/*
 * vhost-user messages as they are on the socket: a header of 12 bytes, a payload whose form depends on the request. All in the
 * machine's byte order.
 */

#include <stdint.h>

enum front_request {
	FRONT_GET_FEATURES = 1,
	FRONT_SET_FEATURES = 2,
	FRONT_SET_OWNER = 3,
	FRONT_RESET_OWNER = 4,
	FRONT_SET_MEM_TABLE = 5,
	FRONT_SET_LOG_BASE = 6,
	FRONT_SET_LOG_FD = 7,
	FRONT_SET_VRING_NUM = 8,
	FRONT_SET_VRING_ADDR = 9,
	FRONT_SET_VRING_BASE = 10,
	FRONT_GET_VRING_BASE = 11,
	FRONT_SET_VRING_KICK = 12,
	FRONT_SET_VRING_CALL = 13,
	FRONT_SET_VRING_ERR = 14,
	FRONT_GET_PROTOCOL_FEATURES = 15,
	FRONT_SET_PROTOCOL_FEATURES = 16,
	FRONT_GET_QUEUE_NUM = 17,
	FRONT_SET_VRING_ENABLE = 18,
	FRONT_SEND_RARP = 19,
	FRONT_NET_SET_MTU = 20,
	FRONT_SET_BACKEND_REQ_FD = 21,
	FRONT_IOTLB_MSG = 22,
	FRONT_GET_CONFIG = 24,
	FRONT_SET_CONFIG = 25,
	FRONT_POSTCOPY_ADVISE = 28,
	FRONT_GET_INFLIGHT_FD = 31,
	FRONT_SET_INFLIGHT_FD = 32,
	FRONT_RESET_DEVICE = 34,
	FRONT_GET_MAX_MEM_SLOTS = 36,
	FRONT_ADD_MEM_REG = 37,
	FRONT_REM_MEM_REG = 38,
	FRONT_SET_STATUS = 39,
	FRONT_GET_STATUS = 40,
};

/* Bits of the features word that virtio does not define. */
#define FRONT_F_LOG_ALL	 26 /* dirty pages are logged */
#define FRONT_F_PROTOCOL 30 /* there are protocol features */

/* Protocol features. */
#define FRONT_PF_MQ		  0
#define FRONT_PF_LOG_SHMFD	  1
#define FRONT_PF_RARP		  2
#define FRONT_PF_REPLY_ACK	  3
#define FRONT_PF_NET_MTU	  4
#define FRONT_PF_CONFIG		  9
#define FRONT_PF_RESET_DEVICE	  13
#define FRONT_PF_CONFIG_MEM_SLOTS 15
#define FRONT_PF_STATUS		  16

/* The flags word of a message. */
#define FRONT_VERSION	 0x1u
#define FRONT_REPLY	 0x4u
#define FRONT_NEED_REPLY 0x8u

/* In the u64 of SET_VRING_KICK and _CALL: bits 0-7 are the ring. */
#define FRONT_NO_FD 0x100u

#define FRONT_HEADER	  12u
#define FRONT_MAX_PAYLOAD 4096u
#define FRONT_MAX_FDS	  253u /* the kernel's limit for one message */

struct front_wire_region {
	uint64_t gpa, size, uva, mmap_offset;
};

struct front_msg {
	uint32_t request, flags, size;
	union {
		uint64_t u64;
		struct {
			uint32_t index, num;
		} state;
		struct {
			uint32_t index, flags;
			uint64_t desc, used, avail, log;
		} addr;
		struct {
			uint32_t n, padding;
			struct front_wire_region region[64];
		} memory;
		struct {
			uint64_t padding;
			struct front_wire_region region;
		} slot;
		struct {
			uint64_t size, offset;
		} log;
		struct {
			uint32_t offset, size, flags;
			uint8_t data[256];
		} config;
		uint8_t raw[FRONT_MAX_PAYLOAD];
	};
} __attribute__((packed));

#endif
