/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CTL_CNI_NODE_H
#define CTL_CNI_NODE_H

/*
 * The node: one connection to sluiced, as client "cni". All ports of all networks are that client's, whichever runtime started us.
 *
 * The VLAN of a port is added along with it if it is missing; one that is there belongs to whom it belongs, with the limits that
 * it has. It stays when its last port goes.
 *
 * Accepted is not in force: node_add() waits for its own port alone, by its events. What other objects on the node wait for
 * (`wait` would) is none of our business.
 *
 * A daemon whose places for clients are all taken (32, of one user fewer) is asked again until the time is up: a node that
 * starts a hundred containers at once is not broken.
 *
 * A daemon that is started anew meanwhile (DHCP may take its time) is connected to again, once for each change.
 *
 * Every call has c->timeout_ms. Errors: TRY_AGAIN (nobody listens, no answer in time, not in force in time), BAD_CONFIG (what
 * the daemon refuses is a value of ours), REFUSED, IO.
 */

#include <jansson.h>

#include "conf.h"
#include "sluice/sluice.h"

struct node {
	struct sluice *s;
	const char *socket;
	int timeout_ms;
};

int node_open(struct node *node, const struct cni_conf *c, struct cni_error *err);
void node_close(struct node *node);

/*
 * Make the port and wait until it is in force. One of its name that is left from an earlier life of the same attachment (a
 * machine that lost power never says DEL) is made anew, alike or not. On failure there is no such port.
 */
int node_add(struct node *node, const char *name, const json_t *attrs, unsigned vlan, struct cni_error *err);
/* Change some of its attributes, and wait until that is in force. On failure the port is as it may be: it is to be deleted. */
int node_set(struct node *node, const char *name, const json_t *attrs, struct cni_error *err);
/* Delete it. One that is not there is deleted. One that somebody else owns is left alone, and a line on stderr says so. */
int node_del(struct node *node, const char *name, struct cni_error *err);
/* The port as `get` shows it, {"attrs", "error", ...}; NULL and 0 if there is none. */
int node_port(struct node *node, const char *name, json_t **port, struct cni_error *err);
/* Our ports of a network, each as node_port() has it: a new list, also if it fails. */
int node_ports(struct node *node, const char *network, json_t **ports, struct cni_error *err);
/* Whether the node has ports of this kind: a daemon may be without the kernel engine. NOT_AVAILABLE. */
int node_status(struct node *node, struct cni_error *err);

#endif
