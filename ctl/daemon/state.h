/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CTL_STATE_H
#define CTL_STATE_H

/*
 * The state file: the desired state on disk, in SQLite.
 *
 *      state.db   application_id "SLUC", user_version 2
 *        object   (object, name) -> owner, generation, attrs (JSON: what was given, secrets too), sum
 *        meta     generation, rows, sum                       one row
 *
 * Written in WAL mode with synchronous=FULL: when state_commit() returns 0, the transaction survives kill -9 and power loss; before that
 * it was never there. A transaction writes the rows that changed and `meta`, so its cost is its own size's. The file and its WAL are
 * mode 0600: secrets are in there.
 *
 * Versions. In version 1 attrs held also what follows from others, as if it had been given; who loads such a file takes that out again
 * (schema.h, `unsay`). It is of version 2 from the first commit on that state_upgrade() is part of: a daemon that was installed, changed nothing and is
 * replaced by the old one leaves that one its file.
 *
 * One daemon. The file is opened with SQLite's exclusive lock, which dies with the process; there is no shared-memory file that could
 * fault when its disk is full. A second daemon on the same file is refused.
 *
 * Trust. `sum` of a row is a checksum of its text, `sum` of meta the exclusive or of all rows': a lost, doubled or altered row shows, as
 * whatever SQLite's own check finds. A file that is damaged, of a later version, or of another program is put aside whole: renamed to
 *
 *      state.db.20261124T184200Z.damaged   (or .future, .foreign), with its WAL beside it as ...damaged-wal
 *
 * and a new one begun. Nothing of it is used, and nothing is ever written over. Its WAL is left as it is, not folded into it, so what
 * went wrong can be found out with sqlite3(1). A file that cannot be opened or read at all (permissions, I/O errors, a full disk, another
 * daemon) is an error of state_open(): beginning anew would then lose what may well be whole.
 *
 * After state_open: state_load, then state_adopt or state_set_aside. A transaction: state_begin, state_put and state_del in any number, state_commit. After a failure state_rollback; state_why() has one
 * line about it. -ENOSPC the disk is full, -ENOMEM, -EIO all else.
 *
 * Control thread only.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STATE_VERSION 2

struct state;

/* Strings are borrowed, both ways. */
struct state_row {
	const char *object, *name, *owner;
	uint64_t generation;
	const char *attrs;
};

/*
 * Open or make the file, and the directories above it. 0; or -errno with one line in `why`: -EBUSY another daemon has it.
 */
int state_open(struct state **state, const char *path, char *why, size_t size);
/* NULL is fine. */
void state_close(struct state *state);

/*
 * Read all rows, in no order. `row` returns 0, or -errno to end it. 0; -EBADMSG the file is damaged: state_set_aside() is next, and whatever
 * was read counts for nothing; other -errno: row's, or with state_why().
 */
int state_load(struct state *state, int (*row)(void *arg, const struct state_row *row), void *arg);
/* Put the file aside, as of a later version or as damaged, and begin anew. 0, or -errno with state_why(); then only close it. */
int state_set_aside(struct state *state, bool future);
/*
 * What was loaded makes sense: go on with this file. Before it nothing is written, so that a file which is put aside is as it was found.
 * 0, or -errno with state_why().
 */
int state_adopt(struct state *state);
/* What state_load() or the last commit left: 0 in a new file. */
uint64_t state_generation(const struct state *state);
/* Which version the file is of: STATE_VERSION, or an earlier one. */
unsigned state_version(const struct state *state);

int state_begin(struct state *state);
int state_put(struct state *state, const struct state_row *row);
/* object and name; a row that is not there is no error. */
int state_del(struct state *state, const struct state_row *row);
/* Inside a transaction that puts every row anew: with it the file becomes one of STATE_VERSION. */
int state_upgrade(struct state *state);
int state_commit(struct state *state, uint64_t generation);
/* Undo what was done since state_begin(). Any time. */
void state_rollback(struct state *state);

const char *state_path(const struct state *state);
/* About the last failure, or about why a file was put aside. */
const char *state_why(const struct state *state);
/* Where a file was put at this start, or NULL. */
const char *state_aside(const struct state *state);

/* For measuring only: without it a commit survives kill -9 but not power loss. */
int state_set_sync(struct state *state, bool full);

#endif
