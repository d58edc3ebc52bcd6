/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CTL_CLIENT_H
#define CTL_CLIENT_H

/*
 * A client of the control socket: connect, say hello, call methods, each with an end in time.
 *
 *      client_open() --> client_call() ... --> client_close()
 *
 * Calls block until the answer is there or the deadline has passed; the deadline is one for the connection's whole life, set at the
 * start and moved by client_deadline(). After an error other than CLIENT_REFUSED the connection is of no further use.
 *
 * A client belongs to one thread at a time. Nothing of the dataplane is needed to link it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#define CLIENT_SOCKET	   "/run/sluice/control.sock"
#define CLIENT_STAT_SOCKET "/run/sluice/stat.sock"
#define CLIENT_LINE_MAX	   (1u << 20)  /* bytes of a request that the daemon takes */
#define CLIENT_REPLY_MAX   (64u << 20) /* bytes of an answer that this side takes */

/* How a call ended, beside 0. */
enum client_result {
	CLIENT_REFUSED = 1, /* the daemon answered with an error: see struct client_error */
	CLIENT_NO_DAEMON,   /* nobody there, or no permission, or it went away; msg says which */
	CLIENT_TIMEOUT,
	CLIENT_BROKEN, /* the answer made no sense, the request does not fit, no memory */
};

struct client_error {
	int code;      /* JSON-RPC's */
	char name[64]; /* data.name: stable */
	char path[160];
	char msg[512];
	char hint[256];
};

struct client;

/* Connect within timeout_ms. 0 or a client_result with *err. */
int client_open(struct client **client, const char *path, unsigned timeout_ms, struct client_error *err);
void client_close(struct client *client);
/* From now on calls may take timeout_ms together. */
void client_deadline(struct client *client, unsigned timeout_ms);

/* Introduce ourselves; `name` owns what is added. */
int client_hello(struct client *client, const char *name, struct client_error *err);
/*
 * Call `method`. `params` is taken over, may be NULL for none. *result is a new reference. 0 or a client_result with *err, and then
 * *result is NULL.
 */
int client_call(struct client *client, const char *method, json_t *params, json_t **result, struct client_error *err);

#endif
