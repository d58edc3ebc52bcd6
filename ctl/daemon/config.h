/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CTL_CONFIG_H
#define CTL_CONFIG_H

/*
 * What sluiced is told when it starts: options and /etc/sluice/sluiced.conf. Static facts only (cores, memory, paths); everything that
 * can change while it runs comes over the socket.
 *
 *      --stat-socket PATH    one row of config.c    stat-socket = PATH
 *      (or --stat-socket=PATH)
 *
 * The rows are schema attributes, so values take the same units and errors read the same as on the socket. The file has a `key = value`
 * on each line; `#` begins a comment at the start of a line or after a blank. A key that is unknown or there twice is an error, and so
 * is a value that does not fit. An option wins over the file; given twice, the last one counts. The file need not exist unless
 * --config names it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "dataplane.h"

#define CONFIG_FILE "/etc/sluice/sluiced.conf"

enum config_action { CONFIG_RUN, CONFIG_CHECK, CONFIG_CLEANUP, CONFIG_HELP, CONFIG_VERSION };

/* CONFIG_TRUNK_BY + n: bpf/kern.h's enum kern_trunk_by. */
enum config_trunk { CONFIG_TRUNK_AUTO, CONFIG_TRUNK_NONE, CONFIG_TRUNK_BY };

struct config {
	enum config_action action;
	char file[256];
	char socket[108];
	char stat_socket[108];
	char cores[256];
	uint32_t memory, poll; /* enum dp_memory, enum dp_poll */
	uint32_t buffers, fdb_max;
	char drivers[512];
	char state[256];
	char bpf_dir[256];
	char cgroup_root[256];
	uint32_t trunk;
	char trunk_name[16];

	uint16_t core_list[DP_MAX_WORKERS];
	uint16_t n_cores;
	uint64_t given; /* bit i: row i was given, by option or file */
};

/* Read options and file. 0, or -EINVAL with one line in `why`: "FILE:3: polls: unknown key". */
int config_load(struct config *c, int argc, char *const *argv, char *why, size_t size);
/* The file alone, over what *c holds. Keys that `c->given` marks (the options) are checked and left. */
int config_read(struct config *c, FILE *f, const char *name, char *why, size_t size);
void config_defaults(struct config *c);
/* What the values mean together; fills core_list. */
int config_settle(struct config *c, char *why, size_t size);
void config_help(FILE *out);

/* Options that were given and that this build cannot honour yet: the i-th's name and what to say, or NULL past the last. */
const char *config_unsupported(const struct config *c, unsigned i, const char **text);

/* An option as the manual shows it. */
struct config_doc {
	const char *name, *arg, *def, *doc; /* arg and def may be "" */
	const char *unsupported;	    /* what to say of it in this build, or NULL */
	bool option_only;		    /* no key of the file */
};

/* The i-th option, from 0. False past the last. */
bool config_doc(size_t i, struct config_doc *out);

#endif
