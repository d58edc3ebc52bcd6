/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CTL_ENGINE_H
#define CTL_ENGINE_H

/*
 * Engines: what brings objects into force. The DPDK switch is one; the kernel's programs and cgroups are others.
 *
 *      store: desired                           engines: in force
 *        vlan 100  ------------------------------>  dataplane
 *        port vm1  kind=memif  ------------------>  dataplane
 *        port web1 kind=veth   ------------------>  kernel          (each row of the table says what it carries)
 *
 * A change goes to the engines in two halves, so that it can be written to disk between them (txn.c):
 *
 *      prepare  engine 1 .. n   all that can fail: devices are opened, memory is taken. One says no: those before it abort
 *      commit   engine 1 .. n   cannot fail
 *
 * Between the halves nothing else happens on the control thread. An engine gets the operations on the objects that it carries, each
 * once, in an order in which they can be done: deletions first, what needs others last of the additions. An object made anew (its
 * fixed attributes changed) is a deletion and an addition.
 *
 * What the node lacks now does not fail an ENGINE_ADD: the engine says so in op->lack and leaves the object out; the object stays
 * desired, and comes again as an ENGINE_ADD later (reconcile.h), until it is made or deleted. What is wrong with the request fails.
 *
 * Adding an engine is a struct engine_type and a call of ctl_add_engine() before the state is loaded.
 *
 * Control thread only.
 */

#include "store.h"

enum engine_op_kind { ENGINE_ADD, ENGINE_SET, ENGINE_DEL };

struct engine_op {
	enum engine_op_kind kind;
	unsigned engine; /* whose it is */
	const struct schema_object *type;
	const char *name;
	const void *before; /* SET, DEL: as the engine has it */
	const void *conf;   /* ADD, SET */
	struct fault *lack; /* ADD: where to say what the node lacks; lack->name stays NULL when it is made */
};

struct engine_error {
	size_t op; /* index of the operation at fault, SIZE_MAX: none in particular */
	struct fault fault;
};

struct engine_type {
	const char *name;
	/* Whether an object of this configuration is this engine's to make, alone or with others. */
	bool (*carries)(const struct schema_object *type, const void *conf);
	/* Whether the operations are possible, as far as can be told without doing anything. 0 or -errno with *err. */
	int (*check)(void *self, const struct engine_op *ops, size_t n, struct engine_error *err);
	/* 0 and *change, or -errno with *err and nothing done. What `ops` points to stays until the commit or the abort. */
	int (*prepare)(void *self, struct engine_op *ops, size_t n, void **change, struct engine_error *err);
	void (*commit)(void *self, void *change);
	void (*abort)(void *self, void *change);
};

#define ENGINES_MAX 8

struct engine {
	const struct engine_type *type;
	void *self;
};

struct engines {
	struct engine at[ENGINES_MAX];
	unsigned n;
};

/* Engines that carry an object of this configuration: bit i for engine i. 0: nobody, it cannot be made. */
unsigned engines_carrying(const struct engines *e, const struct schema_object *type, const void *conf);

/* A change that all engines have prepared. */
struct engines_change {
	const struct engines *engines;
	struct engines_part {
		struct engine_op *ops; /* of this engine, copies */
		size_t *index;	       /* of each in the caller's list */
		size_t n;
		void *change;
		bool prepared;
	} part[ENGINES_MAX];
};

/* Whether all is possible. 0, or -errno with *err, whose op is an index into `ops`. */
int engines_check(const struct engines *e, const struct engine_op *ops, size_t n, struct engine_error *err);
/* Hand each its operations. 0, or -errno with *err. After 0 engines_commit() or engines_abort(), which free. */
int engines_prepare(struct engines_change *c, const struct engines *e, const struct engine_op *ops, size_t n,
		    struct engine_error *err);
void engines_commit(struct engines_change *c);
void engines_abort(struct engines_change *c);

/* The DPDK switch: `self` is the struct ctl that has it. */
extern const struct engine_type dataplane_engine;

#endif
