/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CTL_CNI_CNI_H
#define CTL_CNI_CNI_H

/*
 * sluice-cni: container runtimes' way to the node.
 *
 * A runtime (podman, containerd, CRI-O, a kubelet's) runs a program for each change of a container's network: the command in the
 * environment, the network's configuration on stdin, the result or an error on stdout, all JSON (the Container Network
 * Interface, versions 0.3.0 to 1.1.0). This program makes each attachment one port of the node:
 *
 *      runtime --env, stdin--> sluice-cni --exec--> host-local, static ...   which addresses (delegate.h)
 *              <--- stdout ---     |
 *                                  +--- control.sock, as client "cni" ---> sluiced: port kind=veth   (node.h)
 *                                  +--- netlink in the container's namespace: what is really there, routes (link.h)
 *
 *      conf.h        environment and configuration, checked: what is wanted
 *      addresses.h   which addresses, routes and name servers: IPAM's, or asked for by name
 *      result.h      what a runtime reads, in the version that it speaks
 *      gc.h          GC: what no attachment has any more
 *      commands.h    ADD, DEL, CHECK, STATUS, GC, VERSION: the order of things, and the way back
 *
 * Nothing is kept between calls but by the daemon. A port's name is derived from container, interface and network (conf.h), so DEL finds
 * what ADD made with nothing but what the runtime says again, on any day; GC knows a network's ports by their names and their owner, and
 * whose they were by their labels.
 *
 * One thread, one short life; memory that a failure leaves behind is the kernel's to take back.
 *
 * Errors are values: a function returns 0 or an enum cni_code, which is also in err->code, with the text made where value and
 * cause are known. They end on stdout as the specification has them.
 */

#include <stddef.h>

/* The specification's, and from 100 on our own. */
enum cni_code {
	CNI_OK = 0,
	CNI_INCOMPATIBLE = 1,	   /* a version that is not spoken here */
	CNI_UNSUPPORTED = 2,	   /* a key of the configuration that is not known; says key and value */
	CNI_UNKNOWN_CONTAINER = 3, /* its namespace is not there; there is nothing to clean up */
	CNI_BAD_ENVIRONMENT = 4,   /* says which variables */
	CNI_IO = 5,
	CNI_DECODE = 6, /* what should be JSON, or a result, is not */
	CNI_BAD_CONFIG = 7,
	CNI_TRY_AGAIN = 11,	/* no daemon there now, it is too busy, or the port is not in force in time */
	CNI_NOT_AVAILABLE = 50, /* STATUS: an ADD would fail */

	CNI_INTERNAL = 100, /* out of memory, a system call that does not fail */
	CNI_REFUSED = 101,  /* the daemon said no, and the configuration is not to blame */
	CNI_DIFFERS = 102,  /* CHECK: something is not as it was made */
	CNI_IPAM = 103,	    /* the IPAM plugin failed without an error of its own, or gave nothing */
};

struct cni_error {
	int code;
	char msg[512];	   /* one line */
	char details[512]; /* more, or "" */
};

/* Fill *err and return `code`. `details` may be NULL. */
int cni_fail(struct cni_error *err, int code, const char *details, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
int cni_no_memory(struct cni_error *err);

/* Versions in the order of their age, so that they compare. */
enum cni_version { CNI_0_3_0, CNI_0_3_1, CNI_0_4_0, CNI_1_0_0, CNI_1_1_0, CNI_VERSIONS };

const char *cni_version_name(enum cni_version version);
/* CNI_VERSIONS when it is none of ours. */
enum cni_version cni_version_parse(const char *text);

#endif
