/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CTL_RPC_H
#define CTL_RPC_H

/*
 * JSON-RPC 2.0, one object per line: from the bytes of a line to the bytes of its answer.
 *
 *      line --> scan (depth, NUL) --> jansson, strict --> envelope --> method row --> parameters --> handler
 *        |            |                     |                |             |              |             |
 *      answer <-------+---------------------+----------------+-------------+--------------+---- result --+
 *               -32700 parse-error, too-deep,    -32600      -32601        -32602      -32602, -32000
 *                      duplicate-key, nul                  or -32000 read-only
 *
 * Sockets are not known here (server.c) and neither are objects (apply.c, get.c, ...), so a fuzzer can be put in front of it.
 *
 * The envelope is {"jsonrpc":"2.0","method":...} with "params" (an object; by position is refused) and "id" (string, integer or null).
 * Other members are errors. Without "id" it is a notification: executed, never answered, not even when it fails. Batches are refused.
 *
 * Errors. `code` is one of JSON-RPC's own or RPC_REFUSED, when the request is well formed and the node's state does not allow it.
 * data.name is the stable name of the error for programs, data.path says where in the parameters ("ops[3].attrs.vlan"), data.hint how
 * to mend it; the message is for people.
 *
 * Handlers return their result, or NULL with *err filled (rpc_fail). NULL with an empty *err means out of memory.
 *
 * Later. What a session started may outlive the request: an answer that must wait (`wait`), a stream of notifications (`watch`). Its
 * handler keeps a struct rpc_hold in its own memory, linked to the session:
 *
 *      handler: rpc_defer(s, &w->hold, gone)  ...  return rpc_deferred(err)      nothing is answered now
 *      event:   rpc_answer(&w->hold, result, NULL)                               the answer, under the request's id; hold is unlinked
 *      client:  goes away --> rpc_session_fini() --> gone(&w->hold)              free what you hold; there is nobody to tell
 *
 * Exactly one of the two ends a hold. Answers made later may overtake each other and those of later requests: the id tells them
 * apart. Lines that are made outside of a request leave by session->send, which whoever owns the connection provides; it never frees
 * the session before it returns. A session has RPC_HOLDS_MAX holds at most.
 *
 * Control thread only.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "schema/schema.h"

#define RPC_LINE_MAX	    (1u << 20) /* bytes of a line, without its LF */
#define RPC_DEPTH_MAX	    16	       /* objects and lists within each other */
#define RPC_REPLY_MAX	    (8u << 20) /* bytes of an answer */
#define RPC_VALUES_MAX	    131072     /* values of a line: more do not fit into one that says something, but cost time to refuse */
#define RPC_EVENTS_MAX	    (1u << 20) /* bytes of events that wait for one client: 1,000 ports and 4,094 VLANs made in one apply fit */
#define RPC_CLIENTS	    32	       /* connections to one socket */
#define RPC_CLIENTS_PER_UID 8
#define RPC_CLIENTS_ROOT    24 /* of root on the control socket: see server.h */
#define RPC_PARTIAL_LINE_S  10 /* a line that began must end within this time */
#define RPC_HOLDS_MAX	    64 /* of one session */

enum {
	RPC_PARSE_ERROR = -32700,
	RPC_INVALID_REQUEST = -32600,
	RPC_METHOD_NOT_FOUND = -32601,
	RPC_INVALID_PARAMS = -32602,
	RPC_INTERNAL_ERROR = -32603,
	RPC_REFUSED = -32000,
	RPC_DEFERRED = 1, /* not an error: what rpc_deferred() puts in its place. Never on the wire. */
};

struct rpc_error {
	int code; /* 0: nothing was said */
	const char *name;
	char path[160];
	char msg[320];
	char hint[192];
};

struct ctl;

struct rpc_session;

/* Something of a session that outlives the request that began it. In the memory of whoever asked for it. */
struct rpc_hold {
	struct rpc_hold *next, **link;
	struct rpc_session *session;
	json_t *id; /* of the request to answer; NULL: a notification, or nothing is due */
	void (*gone)(struct rpc_hold *hold);
};

/* One connection, as the methods see it. */
struct rpc_session {
	struct ctl *ctl;
	bool read_only;	 /* stat.sock: methods that write are refused, secrets are not shown */
	char client[64]; /* from hello; the owner of what this client adds */
	/*
	 * Take a whole line, made outside of a request, to the client. Takes over `line` (from malloc); a NULL line says that memory ran
	 * out, and the connection is to be closed. What it cannot do now it does later: the session is there when it returns. No
	 * function: nobody listens (tests), and lines are not made.
	 */
	void (*send)(struct rpc_session *s, char *line, size_t len);
	/*
	 * The same for an event, which is refused (false, and freed) while RPC_EVENTS_MAX bytes of events wait. `told` is for whoever tells:
	 * it is called, also without need, when no event waits any more, and may tell from inside.
	 */
	bool (*tell)(struct rpc_session *s, char *line, size_t len);
	void (*told)(struct rpc_session *s);
	struct watch *watch;	  /* watch.c; NULL: none */
	unsigned clients_per_uid; /* what is true for this client, for hello */
	struct rpc_hold *holds;
	unsigned n_holds;
	json_t *request_id; /* of the request that is being handled, borrowed */
};

#define RPC_ANONYMOUS "anonymous" /* a client that did not say hello */

typedef json_t *(*rpc_handler)(struct rpc_session *s, const json_t *params, struct rpc_error *err);

void rpc_session_init(struct rpc_session *s, struct ctl *ctl, bool read_only);
/* The client is gone: end what it holds. */
void rpc_session_fini(struct rpc_session *s);
/* An answer is still due, or events are: a client that has shut down its sending side is kept for them. */
bool rpc_session_busy(const struct rpc_session *s);

/*
 * Handle one line of `len` bytes (LF not included). *reply is the answer with its LF, for the caller to free(), or NULL if there is none
 * (a notification). 0, or -ENOMEM: no answer could be made; close the connection rather than leave the client waiting.
 */
int rpc_handle(struct rpc_session *s, const char *line, size_t len, char **reply, size_t *reply_len);

/*
 * From a handler: answer this request later. `gone` is called if the client goes away before; by then the hold is unlinked. 0, or
 * -EBUSY with *err when the session has RPC_HOLDS_MAX already.
 */
int rpc_defer(struct rpc_session *s, struct rpc_hold *hold, void (*gone)(struct rpc_hold *hold), struct rpc_error *err);
/* The same for what has its answer and goes on: a subscription. */
int rpc_bind(struct rpc_session *s, struct rpc_hold *hold, void (*gone)(struct rpc_hold *hold), struct rpc_error *err);
/* What a handler returns after rpc_defer(). */
json_t *rpc_deferred(struct rpc_error *err);
/* Unlink, and answer: `result` (taken over), or *err if it is NULL. Then the hold's memory is its owner's again. */
void rpc_answer(struct rpc_hold *hold, json_t *result, struct rpc_error *err);
/* Unlink without a word. */
void rpc_release(struct rpc_hold *hold);

/* The answer to something that never became a request (id null): a line too long, a client too many. NULL when out of memory. */
char *rpc_error_line(const struct rpc_error *err, size_t *len);

/* Text that may hold anything as a JSON string: what is not UTF-8 shows as `?`. NULL when out of memory. */
json_t *rpc_text(const char *text);
/* Fill *err and return NULL, so that a handler can `return rpc_fail(...)`. `hint` may be NULL. */
void *rpc_fail(struct rpc_error *err, int code, const char *name, const char *path, const char *hint, const char *fmt, ...)
	__attribute__((format(printf, 6, 7)));
/* The same from a schema's error, whose path is put behind `prefix` ("ops[3].attrs", or "" for none). */
void *rpc_fail_schema(struct rpc_error *err, const char *prefix, const struct schema_error *schema);

#endif
