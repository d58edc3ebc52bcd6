/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CTL_METHODS_H
#define CTL_METHODS_H

/*
 * The handlers behind the methods of the schema: one file each, one row each in methods.c.
 *
 * Parameters have been checked against the schema's rows when a handler runs: known, of the right type, in range, the required ones
 * there. What only the handler can know (is there such an object) is its own to check. See rpc.h for how it answers.
 */

#include "rpc.h"

json_t *methods_call(const struct schema_method *m, struct rpc_session *s, const json_t *params, struct rpc_error *err);

json_t *hello_method(struct rpc_session *s, const json_t *params, struct rpc_error *err);
json_t *describe_method(struct rpc_session *s, const json_t *params, struct rpc_error *err);
json_t *apply_method(struct rpc_session *s, const json_t *params, struct rpc_error *err);
json_t *get_method(struct rpc_session *s, const json_t *params, struct rpc_error *err);
json_t *wait_method(struct rpc_session *s, const json_t *params, struct rpc_error *err);
json_t *stats_method(struct rpc_session *s, const json_t *params, struct rpc_error *err);
json_t *fdb_method(struct rpc_session *s, const json_t *params, struct rpc_error *err);

/* What `get` shows as the node's state. node.c. */
json_t *node_state(struct ctl *ctl);

/* A parameter that the schema says is a string; NULL if absent. */
const char *param_string(const json_t *params, const char *name);
/* An integer parameter, `absent` without. */
int64_t param_int(const json_t *params, const char *name, int64_t absent);
bool param_bool(const json_t *params, const char *name);

#endif
