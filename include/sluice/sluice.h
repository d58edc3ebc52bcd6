/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_SLUICE_H
#define SLUICE_SLUICE_H

/*
 * libsluice: program a node of Sluice from C.
 *
 *      your program                                                          sluiced
 *      sluice_open() ------- connect -------------------------------------> /run/sluice/control.sock
 *      sluice_hello() ------ {"method":"hello","params":{"client":"cap",...}} -->
 *      sluice_apply() ------ {"method":"apply","params":{"ops":[...]}} -----> generation 7
 *      sluice_wait() ------- {"method":"wait","params":{"generation":7}} ---> generation 7 is in force
 *      sluice_watch() ------ {"method":"watch",...} ------------------------> snapshot
 *      sluice_next_event() <------------------------------------------------- {"type":"port.link",...}, ...
 *      sluice_close()
 *
 * The socket speaks JSON-RPC 2.0, one object a line (sluice-protocol(7)). This library does what is tedious about that, and no more: it
 * connects, frames, numbers, waits with an end in time, tells answers from events, and makes errors values. What objects and attributes
 * there are is the daemon's to say (method `describe`), not this header's, so a program need not be compiled anew for a new attribute.
 *
 * JSON is text here, both ways. Every C program that deals in JSON has a library for it by now, and they do not mix: a json_t in this
 * interface would tie its users to one of them and to its version. (Inside it is jansson.) Text that comes back is exactly what the daemon
 * sent, on one line, checked to be JSON. What nearly everybody needs from it, the generation, comes as a number.
 *
 * Memory. Strings that come back are the caller's, to be freed by sluice_free(). Strings that go in are read during the call only.
 * A pointer for a result is set to NULL when the call fails. NULL may be passed for a result that is not wanted, and for `err`.
 *
 * Errors. Functions return 0 or an enum sluice_kind, which is also in err->kind. Nothing is printed, errno is not used, and no function
 * aborts: running out of memory is an error like others.
 *
 *      SLUICE_REFUSED     the daemon answered with an error. Nothing has changed on the node. err holds what it said
 *      SLUICE_GONE        nobody listens, no permission, or the connection ended. err->message says which
 *      SLUICE_TIMEOUT     no answer in time. The request may still be carried out: ask for the generation before you repeat it
 *      SLUICE_BROKEN      what came is not this protocol: not JSON, a line too long, an answer to a question that was not asked
 *      SLUICE_INVALID     the call itself: not JSON, too long for the daemon. Nothing was sent
 *      SLUICE_NO_MEMORY   out of memory
 *
 * After REFUSED, INVALID and TIMEOUT the connection goes on (an answer that comes late is recognised and dropped). After the others, and
 * after a timeout in the middle of sending, it is over: each further call returns the same error at once, and sluice_close() is all that
 * is left to do.
 *
 * Reconnecting is the caller's, because only the caller knows what to do about what happened meanwhile: close, open, hello; compare the
 * generation that hello answers with the last one known; apply again what is not there (SLUICE_REPLACE makes that one call, and it
 * succeeds when nothing is missing). A connection has no state beyond its name and its watch. The daemon's socket may be served by
 * systemd: then a connection made while the daemon restarts is answered when it is back.
 *
 * Time. Each call has as long as sluice_open() or sluice_set_timeout() says; a negative number of milliseconds is for ever. It is one
 * end for the whole call, however the daemon dribbles its answer.
 *
 * Threads. A struct sluice belongs to one thread at a time; several of them know nothing of each other. There is no global state, no
 * thread, no signal handler; SIGPIPE is not raised, descriptors are close-on-exec, interrupted calls go on. After fork() only one of both
 * may go on using the connection.
 *
 * When it is full. A request has SLUICE_LINE_MAX bytes at most, an answer SLUICE_REPLY_MAX. Events that come while nobody takes them are
 * kept up to SLUICE_EVENTS_MAX bytes; those behind are dropped and their place is taken by one {"type":"resync"}, which the daemon sends for
 * the same reason: read the state again with `get`.
 *
 * Compatibility. Symbols carry the version SLUICE_1 and the library is libsluice.so.1: what is declared here keeps its meaning and its
 * layout for as long as that name. New functions may be added.
 */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SLUICE_API_MAJOR      1 /* of the protocol that hello asks for */
#define SLUICE_CONTROL_SOCKET "/run/sluice/control.sock"
#define SLUICE_STAT_SOCKET    "/run/sluice/stat.sock" /* open to everybody; methods that change something are refused */
#define SLUICE_LINE_MAX	      (1u << 20)	      /* bytes of a request that the daemon takes */
#define SLUICE_REPLY_MAX      (64u << 20)	      /* bytes of an answer that this side takes */
#define SLUICE_EVENTS_MAX     (8u << 20)	      /* bytes of events that wait to be taken */

enum sluice_kind {
	SLUICE_OK = 0,
	SLUICE_REFUSED = 1,
	SLUICE_GONE = 2,
	SLUICE_TIMEOUT = 3,
	SLUICE_BROKEN = 4,
	SLUICE_INVALID = 5,
	SLUICE_NO_MEMORY = 6,
};

/* What went wrong. Texts are cut to fit, always end in NUL, and hold no control characters. */
struct sluice_error {
	int kind;	   /* enum sluice_kind */
	int code;	   /* REFUSED: JSON-RPC's: -32602 bad parameters, -32000 not possible as things are, ...; else 0 */
	char name[64];	   /* REFUSED: stable, for programs: "out-of-range", "exists", "owned", "generation-mismatch", ... */
	char path[160];	   /* REFUSED: where in the parameters: "ops[3].attrs.vlan"; "" for nowhere in particular */
	char message[512]; /* one line for people: "vlan 4095: out of range (1-4094)". Not stable */
	char hint[256];	   /* how to mend it, or "" */
};

/* A connection. */
struct sluice;

/* "1.2.3": of the library, not of the daemon. */
const char *sluice_version(void);

/*
 * Connect to the socket at `path` (NULL: the control socket), within timeout_ms, which is also the time of each later call.
 *
 * GONE, TIMEOUT (the daemon does not accept), NO_MEMORY.
 */
int sluice_open(struct sluice **s, const char *path, int timeout_ms, struct sluice_error *err);
/* NULL is fine. */
void sluice_close(struct sluice *s);
void sluice_set_timeout(struct sluice *s, int timeout_ms);
/* For strings that came from this library. NULL is fine. */
void sluice_free(char *text);

/*
 * Say who this is: `client` owns what this connection adds, and sluice_apply() with SLUICE_REPLACE is about what it owns. 1-63 of
 * a-z A-Z 0-9 . _ -. Without hello the daemon takes this for a client called "anonymous".
 *
 * *result: {"version", "api_major", "boot_id", "generation", "features", "limits"}. A boot_id that has changed is a daemon that was
 * restarted. REFUSED "unsupported-version" if the daemon does not speak SLUICE_API_MAJOR.
 */
int sluice_hello(struct sluice *s, const char *client, char **result, struct sluice_error *err);

/*
 * Call any method. `params` is a JSON object, NULL for none; it may be laid out over several lines. *result is the answer's result, on
 * one line. `sluicectl raw METHOD JSON` is this function.
 */
int sluice_call(struct sluice *s, const char *method, const char *params, char **result, struct sluice_error *err);

/* Where the node is. Accepted is not yet applied: a guest may not be there yet. */
struct sluice_generation {
	int64_t generation; /* of the configuration: what has been accepted, and survives a loss of power */
	int64_t applied;    /* what is in force; at most `generation` */
	int64_t changes;    /* what this apply changed; 0 if all was so already */
};

enum {
	SLUICE_REPLACE = 1 << 0, /* `list` is all that this client wants: what it owns beside that is deleted */
	SLUICE_FORCE = 1 << 1,	 /* also objects that belong to another client */
	SLUICE_DRY_RUN =
		1 << 2, /* check only. at->changes says how much would change; the plan itself is in sluice_call()'s answer */
};

#define SLUICE_ANY_GENERATION (-1)

/*
 * Change the configuration: all of it or nothing.
 *
 * `list` is a JSON list of operations, [{"op":"add|set|del","object":"port","name":"vm1","attrs":{...}}, ...], or with SLUICE_REPLACE of
 * objects, [{"object":"port","name":"vm1","attrs":{...}}, ...]. Adding what is already so and deleting what is not there succeed and
 * change nothing. With expect_generation other than SLUICE_ANY_GENERATION the daemon refuses ("generation-mismatch") when the configuration is
 * no longer at that generation. *at may be NULL.
 *
 * A success is kept by the daemon over kill -9 and loss of power. See sluice_wait() for when it is in force.
 */
int sluice_apply(struct sluice *s, const char *list, unsigned flags, int64_t expect_generation, struct sluice_generation *at,
		 struct sluice_error *err);

/*
 * Wait until `generation` is in force, at most timeout_ms (not negative; it stands for the connection's timeout in this call).
 * TIMEOUT: it is not yet, and stays desired; `get` shows the objects that wait and why, in "error". *at may be NULL.
 */
int sluice_wait(struct sluice *s, int64_t generation, int timeout_ms, struct sluice_generation *at, struct sluice_error *err);

/*
 * From now on events come on this connection, which may still be used for calls. `params` is what the method `watch` takes, NULL for
 * everything: {"objects":["port"], "events":["port.link"], "snapshot":true}. *snapshot is what `get` would have answered, at the very point
 * where the events begin: nothing between both is lost. Called again it changes what is watched; {"events":[]} ends it, and what was on its
 * way still comes.
 */
int sluice_watch(struct sluice *s, const char *params, char **snapshot, struct sluice_error *err);

/*
 * The next event, {"type":"port.link","object":"port","name":"vm1",...}, in the order of their happening.
 *
 * timeout_ms: 0 takes only what is there, negative waits for ever. TIMEOUT: none came. {"type":"resync"}: some were lost, read the state
 * with `get`.
 *
 * In a loop of your own: poll sluice_fd() for POLLIN, then call this with 0 until it says TIMEOUT, and do the same after every other call,
 * which may have taken events off the socket in passing.
 */
int sluice_next_event(struct sluice *s, int timeout_ms, char **event, struct sluice_error *err);

/* To poll. Not to be read, written or closed. */
int sluice_fd(const struct sluice *s);

#ifdef __cplusplus
}
#endif

#endif
