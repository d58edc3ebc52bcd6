/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The events of `watch`: the one list, from which describe, the command line tool, its completion and the manual take them.
 */

#include "schema.h"

const struct schema_event schema_events[] = {
	{"object.add", "owner, attrs", "an object was added"},
	{"object.set", "owner, attrs", "attributes of an object were changed; attrs is all of them"},
	{"object.del", "owner", "an object was deleted"},
	{"object.applied", "", "an object that waited for something is now in force"},
	{"object.error", "error {name, message, hint}",
	 "an object is accepted, and cannot be put in force as things are; it is tried again"},
	{"generation", "applied", "the configuration, or what is in force, has reached another generation"},
	{"port.link", "state: up, down, or lost (a container's namespace went)", "a port's link changed"},
	{"port.spoof", "reason, count", "a port sent frames in the name of others; reason is that of the drops"},
	{"port.limit", "reason, count", "a port ran into a limit; reason is that of the drops"},
	{"fdb.learn", "vlan, mac, port", "an address was learned"},
	{"fdb.move", "vlan, mac, port, from", "an address moved to another port"},
	{"fdb.age", "vlan, mac, port", "an address was forgotten"},
	{"fdb.omitted", "count", "so many fdb events were left out: more came than are told in a second"},
	{"node.health", "worker, state: stuck or ok", "a worker stopped making progress, or goes on"},
	{"resync", "reason, missed", "this reader was too slow and missed so many events: read the state again with get"},
	{.name = NULL},
};
