/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CTL_WATCH_H
#define CTL_WATCH_H

/*
 * watch: a snapshot, then everything that happens, on the same connection.
 *
 *      ctl_notify()  --objects, generation--+
 *      dp_events     --links, fdb, spoof----+--> hub --> filter of each watcher --> session.tell() --> its queue --> socket
 *      kernel_start.c --links---------------+     |
 *      supervise.c   --workers--------------+     |
 *                                                 +-- the line is made once, whoever many watch
 *
 * The answer to `watch` holds the objects as `get` shows them, and what happens behind it comes as notifications:
 *
 *      {"jsonrpc":"2.0","method":"event","params":{"type":"port.link","object":"port","name":"vm1","generation":7,"time_us":...,"state":"up"}}
 *
 * Nothing is missing between the two and nothing comes twice: the switch is asked to tell what it has seen before the snapshot is
 * taken. Events come in the order in which they happened. Their types and members are in ctl/schema/events.c. time_us is the wall
 * clock's (CLOCK_REALTIME), generation the node's when the event was told.
 *
 * Parameters: `objects` (types) bounds both the snapshot and the events that are about an object, of which fdb.* are about a port;
 * `events` (types, or what they begin with up to a dot) bounds the events; `snapshot` false leaves the objects out. A connection has one
 * watch: the next replaces it, and one with an empty list of events ends it. It does not end when the client shuts down its sending
 * side. Secrets are shown on the control socket only, as in `get`.
 *
 * Full. RPC_EVENTS_MAX bytes of events wait for a client. When there is no room for one, it and all that follow are left out until the
 * client has read the rest; then it gets one `resync`, with the number that it missed, and what happens from then on. Whoever sees
 * `resync` asks again (watch, or get). Other clients notice nothing.
 *
 * While nobody watches, nothing listens: see notify.h and dp_events_start().
 *
 * Control thread only.
 */

#include "methods.h"

json_t *watch_method(struct rpc_session *s, const json_t *params, struct rpc_error *err);

/* Tell watchers that the link of a port of the kernel's is "up", "down" or "lost". The word is a static string. */
void watch_port_link(struct ctl *ctl, const char *port, const char *state);

/* Tell watchers that a worker has stopped making progress, or makes it again. */
void watch_health(struct ctl *ctl, unsigned worker, bool stuck);

#endif
