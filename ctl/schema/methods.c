/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The lists: objects in the order in which they are made, and the methods of the socket with their parameters. wait, watch, trace and
 * capture will be further rows here, and a handler each in ctl/daemon/methods.c.
 */

#include "objects.h"

static const struct schema_attr no_attrs[] = {{.name = NULL}};

const struct schema_object schema_node = {
	.name = "node",
	.doc = "this node: versions, memory, workers, what it can do",
	.name_doc = "node",
	.read_only = true,
	.attrs = no_attrs,
};

const struct schema_object *const schema_objects[] = {&schema_node, &schema_vlan, &schema_class, &schema_port, NULL};

#define MAX_INT INT64_MAX

static const struct schema_param hello[] = {
	{"client", "string", .required = true, .doc = "name of the client: the owner of what it adds (1-63 of a-z A-Z 0-9 . _ -)"},
	{"api_major", "integer", .required = true, .max = MAX_INT, .doc = "version of this interface that the client speaks"},
	{.name = NULL},
};

static const struct schema_param none[] = {{.name = NULL}};

static const struct schema_param apply[] = {
	{"ops", "list", .doc = "operations in order, each {op: add|set|del, object, name, attrs}"},
	{"replace", "object", .doc = "{objects: [{object, name, attrs}, ...]}: make the client's own objects exactly these"},
	{"expect_generation", "integer", .max = MAX_INT, .doc = "refuse if the configuration is at another generation"},
	{"dry_run", "boolean", .doc = "validate only, and answer with the plan: what would change"},
	{"force", "boolean", .doc = "change and delete objects of other owners too"},
	{.name = NULL},
};

static const struct schema_param get[] = {
	{"object", "string", .doc = "type of object: node, vlan, port; without: everything that is configured"},
	{"name", "string", .doc = "one object; an error if it is not there"},
	{"all", "boolean", .doc = "also attributes at their default"},
	{"limit", "integer", .min = 1, .max = MAX_INT, .doc = "at most so many; without: all"},
	{"cursor", "string", .doc = "go on where an answer with a cursor ended"},
	{.name = NULL},
};

static const struct schema_param stats[] = {
	{"object", "string", .doc = "node, vlan, port or worker; without: all of them"},
	{"name", "string", .doc = "one of them; a worker's name is its number"},
	{.name = NULL},
};

static const struct schema_param fdb[] = {
	{"vlan", "integer", .max = DP_VLAN_N - 1, .doc = "entries of this VLAN"},
	{"port", "string", .doc = "entries behind this port"},
	{"mac", "string", .doc = "entries of this MAC address"},
	{"limit", "integer", .min = 1, .max = 10000, .doc = "at most so many; without: 1000"},
	{"cursor", "string", .doc = "go on where an answer with a cursor ended"},
	{.name = NULL},
};

static const struct schema_param wait[] = {
	{"generation", "integer", .max = MAX_INT, .doc = "the generation to wait for; without: the present one"},
	{"timeout_ms", "integer", .max = 3600000, .doc = "give up after so long; without: 10000"},
	{.name = NULL},
};

static const struct schema_param watch[] = {
	{"objects", "list", .doc = "types of objects: bounds the snapshot, and the events that are about an object; without: all"},
	{"events", "list",
	 .doc = "types of events, or what they begin with up to a dot; without: all; an empty list ends the watch"},
	{"snapshot", "boolean", .doc = "answer with the objects as they are (true), or begin with what happens next (false)"},
	{.name = NULL},
};

const struct schema_method schema_methods[] = {
	{"hello", "say who is there; learn who answers and what it can do", .params = hello},
	{"describe", "objects, attributes, methods, events and drop reasons of this daemon", .params = none},
	{"apply", "change the configuration: all of it or nothing", .writes = true, .params = apply},
	{"get", "configuration and state of objects", .params = get},
	{"wait", "be answered when a generation is applied: accepted is not yet in force", .params = wait},
	{"stats", "counters", .params = stats},
	{"fdb", "the addresses that the switch knows", .params = fdb},
	{"watch", "the objects as they are, then every change, as notifications on this connection", .params = watch},
	{.name = NULL},
};
