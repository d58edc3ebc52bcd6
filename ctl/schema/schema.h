/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CTL_SCHEMA_H
#define CTL_SCHEMA_H

/*
 * The schema: one table for each object and method, from which everything else is made.
 *
 *      object "port"                                      method "apply"
 *        attr  "vlan"   U64  1-4094  doc                    param "ops"       LIST
 *        attr  "in_bps" U64  0-...   unit bps               param "dry_run"   BOOL
 *          |        |        |         |
 *          |        |        |         +--> describe, help, man page
 *          |        |        +------------> range check and its error
 *          |        +---------------------> sluicectl: key `in-bps=100mbit`
 *          +------------------------------> decoder: JSON -> struct port_conf; encoder: back
 *
 * An attribute is a row: its name on the socket, its type, where it lives in the object's C struct, its range, its default and one
 * line of text. The decoder walks the JSON object, finds each key's row (unknown keys are errors), checks type and range and stores
 * the value; the encoder walks the rows and writes every attribute that differs from its default, or all of them. sluicectl links
 * the same rows: its keys are the names with `-` for `_`, its values take the unit that the row gives. The daemon's own options
 * (ctl/daemon/config.c) are rows too. Adding an attribute is adding a row and a struct member. Adding an object is adding a table.
 *
 * Objects that later versions bring (thin, migration, watch) are further tables; nothing here knows how many there are.
 *
 * Strictness: integers where integers belong (1.0 and 1e3 are refused), no NUL and no control characters in strings. Duplicate keys
 * and depth are the parser's business (ctl/daemon/rpc.h). Absent and null are the same when an object is added (the default); in
 * `set`, absent keeps and null restores the default. What two attributes mean together (a VLAN on a trunk) is judged by the
 * dataplane, which knows; here is only what one value can be.
 *
 * Values are kept in one canonical form (lists of addresses are sorted, strings are zero-filled to their end), so that two structs
 * that mean the same are equal byte for byte, member by member.
 *
 * No function here keeps state; any thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

enum schema_type {
	SCHEMA_U64,    /* unsigned integer: member of 1, 2, 4 or 8 bytes as `size` says */
	SCHEMA_BOOL,   /* true, false: member is bool */
	SCHEMA_STRING, /* member is char[size]; NUL-terminated, shorter than size */
	SCHEMA_ENUM, /* string, one of `choices`; member is an enum (4 bytes), bool (1) or uint16_t (2) holding choices[i].value */
	SCHEMA_MAC,  /* "02:00:00:00:00:01"; member uint8_t[6], presence in a bool at `aux` */
	SCHEMA_IPS,  /* list of "10.0.0.1", "10.0.0.0/24", "fd00::1"; struct dp_ip[] with its uint8_t count at `aux` */
	SCHEMA_IFADDRS,	 /* the same, of a netdev's own addresses with their networks: "10.0.0.11/24" */
	SCHEMA_VLANS,	 /* list of integers and "200-210" ranges 0-4095; struct dp_vlan_set. An empty list is null: all */
	SCHEMA_VLAN_MACS /* list of "100/02:00:00:00:00:01"; struct dp_static_mac[] with its uint8_t count at `aux` */
};

/* The quantity a number stands for: how sluicectl reads and prints it. The name on the socket ends in the unit. */
enum schema_unit { UNIT_NONE, UNIT_BPS, UNIT_PPS, UNIT_BYTES, UNIT_S, UNIT_MS, UNIT_US };

struct schema_choice {
	const char *name;
	uint32_t value;
};

enum {
	SCHEMA_REQUIRED = 1 << 0, /* must be given when the object is added */
	SCHEMA_FIXED = 1 << 1,	  /* cannot be changed once the object exists */
	SCHEMA_SECRET = 1 << 2,	  /* never shown on stat.sock */
	/* U64, ENUM: without a value it follows from the name or others (`settle`); bool at `aux`: was given. Shown either way, kept if given. */
	SCHEMA_IMPLIED = 1 << 3,
};

struct schema_attr {
	const char *name; /* as on the socket: a-z 0-9 _ */
	enum schema_type type;
	enum schema_unit unit;
	uint32_t flags;
	size_t offset, size; /* of the member; size is of the whole array where there is one */
	size_t aux;	     /* see schema_type */
	uint64_t min, max;   /* U64: valid range */
	/* U64, BOOL, ENUM: default. Outside the range or the choices it means "not given" and reads as null on the socket. */
	uint64_t def;
	const struct schema_choice *choices;
	const char *doc;
};

struct schema_error {
	/* Stable: "unknown-attribute", "wrong-type", "out-of-range", "bad-value", "missing-attribute", "fixed-attribute" and the same
	   for parameters: "unknown-parameter", "missing-parameter". Static string. */
	const char *name;
	char path[96]; /* inside what was decoded: "vlan", "ips[2]" */
	char msg[192]; /* "vlan 4095: out of range (1-4094)" */
	char hint[160];
};

/* What a configuration needs of other objects, and what it takes for itself alone. */
struct schema_use {
	enum { SCHEMA_NEEDS, SCHEMA_TAKES } kind;
	const char *attr;		    /* that says so */
	const struct schema_object *object; /* NEEDS: type of the object that must be there; `key` is its name */
	char key[192];			    /* TAKES: what, as people say it and no other object can: "ifname eth1" */
};

struct schema_object {
	const char *name; /* "port" */
	const char *doc;
	const char *name_doc;		 /* what a name of this object looks like */
	bool read_only;			 /* nothing to apply (node): get only */
	size_t size;			 /* of the C struct */
	const struct schema_attr *attrs; /* ends with a NULL name */
	/* Put the object's name into the struct: a vlan's is its id. 0, or -EINVAL with *err. */
	int (*set_name)(void *conf, const char *name, struct schema_error *err);
	/* Fill what follows from other attributes when it was not given; after each decoding. NULL: nothing does. */
	void (*settle)(void *conf);
	/*
	 * A configuration was kept with all that is SCHEMA_IMPLIED in it as if given: what it would have had anyway was not given. For those who
	 * read what builds before version 2 of the state file wrote. NULL: nothing is implied.
	 */
	void (*unsay)(void *conf);
	/* Tell each use of a valid configuration. NULL: it needs and takes nothing but its name. */
	void (*uses)(const void *conf, void (*tell)(void *arg, const struct schema_use *use), void *arg);
	/*
	 * Take over what follows from an object that this one needs, and that is `followed`, into *conf. What follows is no attribute: it
	 * is in the struct for the engines, cleared by `settle`. NULL: nothing follows. Needs `uses`.
	 */
	void (*derive)(void *conf, const struct schema_object *type, const void *needed);
	bool followed; /* objects that need one of this type hold what follows from it */
};

struct schema_param {
	const char *name;
	const char *type; /* "string", "integer", "boolean", "list", "object" */
	bool required;
	uint64_t min, max; /* of an integer */
	const char *doc;
};

struct schema_method {
	const char *name;
	const char *doc;
	bool writes;			   /* not on stat.sock */
	const struct schema_param *params; /* ends with a NULL name */
};

/* What `watch` tells of. Every event has type, generation and time_us (CLOCK_REALTIME), and object and name where it is about one. */
struct schema_event {
	const char *name;   /* "port.link": the part before the dot is a group, for filters */
	const char *fields; /* further members, as people read them: "state: up or down" */
	const char *doc;
};

#define SCHEMA_API_MAJOR 1
#define SCHEMA_CONF_MAX	 8192		/* bytes of an object's struct at most: some are put on the stack */
#define SCHEMA_RATE_MAX	 10000000000000 /* bit/s: 10 Tbit/s */
#define SCHEMA_PPS_MAX	 100000000000
#define SCHEMA_BURST_MAX 4294967295

/* Every table. Objects are in the order in which they are made; deleting goes backwards. Both lists end with NULL. */
extern const struct schema_object *const schema_objects[];
extern const struct schema_method schema_methods[];
extern const struct schema_event schema_events[]; /* ends with a NULL name */

const struct schema_object *schema_object_find(const char *name);
const struct schema_method *schema_method_find(const char *name);
const struct schema_attr *schema_attr_find(const struct schema_object *o, const char *name);
/* 1-63 of a-z A-Z 0-9 . _ - */
bool schema_name_valid(const char *name);
/* Check a name, as "name" of an object of this type. 0, or -EINVAL with *err. */
int schema_check_name(const struct schema_object *o, const char *name, struct schema_error *err);
/* Check a name and put it into *conf. 0, or -EINVAL with *err. */
int schema_set_name(const struct schema_object *o, void *conf, const char *name, struct schema_error *err);

/* Fill *err (may be NULL) and return -EINVAL. `hint` may be NULL. */
int schema_fail(struct schema_error *err, const char *name, const char *path, const char *hint, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
/* A JSON value as an error message quotes it: printable ASCII, short. Returns out. */
const char *schema_quote(const json_t *value, char *out, size_t size);

/* Fill *conf with zeros and the defaults. */
void schema_defaults(const struct schema_object *o, void *conf);
/*
 * Store `attrs` (a JSON object) over *conf. `old` is NULL when the object is added (required attributes must be there); when it is
 * changed, *conf starts as a copy of *old and fixed attributes must stay equal. attrs may be NULL: nothing given.
 * 0, or -EINVAL with *err; then *conf may be half changed.
 */
int schema_decode(const struct schema_object *o, const json_t *attrs, const void *old, void *conf, struct schema_error *err);
/*
 * Store one attribute only, without what schema_decode() checks about the whole.
 */
int schema_decode_attr(const struct schema_attr *a, const json_t *value, void *conf, struct schema_error *err);
/* For those who ask. New reference, or NULL when out of memory. `all`: also what is at its default. `secrets`: also those. */
json_t *schema_encode(const struct schema_object *o, const void *conf, bool all, bool secrets);
/* For keeping: what was given, secrets too, and nothing that follows from it, so that it may follow otherwise one day. Likewise. */
json_t *schema_encode_given(const struct schema_object *o, const void *conf);
/* Whether both mean the same, however it was said. */
bool schema_equal(const struct schema_object *o, const void *a, const void *b);
/* Whether an attribute that is fixed differs. */
bool schema_fixed_differ(const struct schema_object *o, const void *a, const void *b);

/* Check a method's parameters against its rows: unknown, missing, of another type, out of range. NULL params are none. */
int schema_check_params(const struct schema_method *m, const json_t *params, struct schema_error *err);
/* Whole schema as `describe` answers it. New reference, NULL when out of memory. */
json_t *schema_describe(void);

/*
 * One value as typed on a command line ("100mbit", "4GiB", "10s", "100,200-210", "up") to the JSON that the socket takes; "" is
 * null, the default. Ranges are left to the decoder, so that a tool and a daemon of two versions do not disagree about them.
 * NULL with *err.
 */
json_t *schema_parse_text(const struct schema_attr *a, const char *text, struct schema_error *err);
/* A JSON value of this attribute as people read it: "100mbit", "100,200-210"; null and lists without elements give "". */
void schema_format_text(const struct schema_attr *a, const json_t *value, char *out, size_t size);
/* Name of an attribute's type as `describe` and help say it: "integer", "mac", ... */
const char *schema_type_name(enum schema_type t);
const char *schema_unit_name(enum schema_unit u);

#endif
