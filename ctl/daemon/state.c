/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include "state.h"
#include "state_file.h"

#define APPLICATION_ID 0x534c5543 /* "SLUC" */
#define ROW_BYTES_MAX  (1 << 20)
/* A checkpoint copies so many pages of 4 KiB into the file, in the commit that finds as many in the WAL: some milliseconds. */
#define CHECKPOINT_PAGES "256"

#define SCHEMA_OBJECT                                                                                                  \
	"CREATE TABLE object(object TEXT NOT NULL,name TEXT NOT NULL,owner TEXT NOT NULL,generation INTEGER NOT NULL," \
	"attrs TEXT NOT NULL,sum INTEGER NOT NULL,PRIMARY KEY(object,name))STRICT,WITHOUT ROWID"
#define SCHEMA_META                                                                                                 \
	"CREATE TABLE meta(one INTEGER PRIMARY KEY CHECK(one=1),generation INTEGER NOT NULL,rows INTEGER NOT NULL," \
	"sum INTEGER NOT NULL)STRICT"

#define SET_VERSION "PRAGMA user_version=2"
_Static_assert(STATE_VERSION == 2, "as in the statement");

/* What an opened file turns out to be. */
enum finding { FINE, EMPTY, DAMAGED, FUTURE, FOREIGN, UNREADABLE };

enum { SQL_BEGIN, SQL_SUM, SQL_PUT, SQL_DEL, SQL_META, SQL_COMMIT, SQL_ROLLBACK, SQL_N };

static const char *const sql[SQL_N] = {
	[SQL_BEGIN] = "BEGIN IMMEDIATE",
	[SQL_SUM] = "SELECT sum FROM object WHERE object=?1 AND name=?2",
	[SQL_PUT] = "REPLACE INTO object VALUES(?1,?2,?3,?4,?5,?6)",
	[SQL_DEL] = "DELETE FROM object WHERE object=?1 AND name=?2",
	[SQL_META] = "UPDATE meta SET generation=?1,rows=?2,sum=?3",
	[SQL_COMMIT] = "COMMIT",
	[SQL_ROLLBACK] = "ROLLBACK",
};

/* What meta holds. */
struct meta {
	uint64_t generation, rows, sum;
};

struct state {
	sqlite3 *db;
	sqlite3_stmt *stmt[SQL_N];
	struct meta meta, next; /* on disk; as the transaction would leave it */
	unsigned version, next_version;
	bool was_aside;
	char path[STATE_PATH_MAX], aside[STATE_PATH_MAX + 64], why[256];
};

/* --- errors ------------------------------------------------------------------------------------------------------------------- */

/* Note what SQLite says, and what that is as an errno. */
static int fail(struct state *s, int rc)
{
	snprintf(s->why, sizeof(s->why), "%.160s: %.80s", s->path, s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(rc));
	switch (rc & 0xff) {
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		snprintf(s->why, sizeof(s->why), "%.160s: another sluiced is running with this state", s->path);
		return -EBUSY;
	/* What SQLite cannot make sense of, or will not write for what its header says. The file itself could be opened for writing. */
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_ERROR:
	case SQLITE_SCHEMA:
	case SQLITE_TOOBIG:
	case SQLITE_CONSTRAINT:
	case SQLITE_MISMATCH:
	case SQLITE_READONLY:
		return -EBADMSG;
	default:
		return -EIO;
	}
}

static int exec(struct state *s, const char *text)
{
	int rc = sqlite3_exec(s->db, text, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : fail(s, rc);
}

/* --- checksums ---------------------------------------------------------------------------------------------------------------- */

static uint64_t sum_text(uint64_t h, const char *text)
{
	/* FNV-1a over the text and its end, so that no two rows of other cuts are alike. */
	do
		h = (h ^ (unsigned char)*text) * UINT64_C(1099511628211);
	while (*text++);
	return h;
}

static uint64_t sum_row(const struct state_row *row)
{
	uint64_t h = UINT64_C(14695981039346656037);

	h = sum_text(h, row->object);
	h = sum_text(h, row->name);
	h = sum_text(h, row->owner);
	h = (h ^ row->generation) * UINT64_C(1099511628211);
	return sum_text(h, row->attrs);
}

/* --- opening -------------------------------------------------------------------------------------------------------------------- */

/* One integer that a statement gives. 0; -ENODATA it gives none. */
static int query_int(struct state *s, const char *text, int64_t *value)
{
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(s->db, text, -1, &stmt, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW)
		*value = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	if (rc == SQLITE_ROW)
		return 0;
	return rc == SQLITE_DONE ? -ENODATA : fail(s, rc);
}

/* Nothing that is in the file runs: it may have been made by anyone. */
static int settle_connection(struct state *s)
{
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
	sqlite3_limit(s->db, SQLITE_LIMIT_LENGTH, 2 * ROW_BYTES_MAX);
	sqlite3_extended_result_codes(s->db, 1);
	return exec(s, "PRAGMA locking_mode=EXCLUSIVE;PRAGMA trusted_schema=OFF;PRAGMA cell_size_check=ON;PRAGMA temp_store=MEMORY;"
		       "PRAGMA synchronous=FULL;PRAGMA wal_autocheckpoint=" CHECKPOINT_PAGES);
}

/* The tables are ours to the letter, and there is nothing else. */
static int check_schema(struct state *s, bool *ours, bool *empty)
{
	int64_t same = 0, all = 0;
	int ret = query_int(s, "SELECT count(*) FROM sqlite_schema WHERE sql='" SCHEMA_OBJECT "' OR sql='" SCHEMA_META "'", &same);

	if (ret == 0)
		ret = query_int(s, "SELECT count(*) FROM sqlite_schema", &all);
	*ours = same == 2 && all == 2;
	*empty = all == 0;
	return ret;
}

/* A page that could not be read is told as a finding of the check: "... unable to get the page. error code=266". */
static bool is_read_error(const char *finding)
{
	const char *code = strstr(finding, "error code=");
	int rc = code ? atoi(code + strlen("error code=")) & 0xff : SQLITE_CORRUPT;

	return rc != SQLITE_CORRUPT && rc != SQLITE_NOTADB;
}

/* SQLite's own check: structure and constraints of the whole file. 0; -EBADMSG; or -errno when it could not be made. */
static int check_structure(struct state *s)
{
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(s->db, "PRAGMA quick_check(1)", -1, &stmt, NULL), ret = 0;
	const char *text;

	if (rc == SQLITE_OK)
		rc = sqlite3_step(stmt);
	text = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(stmt, 0) : NULL;
	if (rc != SQLITE_ROW)
		ret = fail(s, rc);
	else if (!text)
		ret = fail(s, SQLITE_NOMEM);
	else if (strcmp(text, "ok") != 0)
		ret = is_read_error(text) ? fail(s, SQLITE_IOERR) : -EBADMSG;
	sqlite3_finalize(stmt);
	return ret;
}

/*
 * Nothing was ever in it: no bytes, or the one page that a start leaves which is killed before its tables are there. Anything more that looks
 * empty has lost its first page.
 */
static int check_empty(struct state *s, bool *empty)
{
	int64_t pages = 0, page_size = 0;
	int64_t bytes = state_file_bytes(s->path);
	int ret = query_int(s, "PRAGMA page_count", &pages);

	if (ret == 0)
		ret = query_int(s, "PRAGMA page_size", &page_size);
	*empty = bytes == 0 || (pages == 1 && bytes == page_size && !sqlite3_db_readonly(s->db, "main"));
	return ret;
}

static int find_out(struct state *s, enum finding *finding)
{
	int64_t application = 0, version = 0;
	bool ours = false, empty = false;
	int ret = query_int(s, "PRAGMA application_id", &application);

	if (ret == 0)
		ret = query_int(s, "PRAGMA user_version", &version);
	if (ret == 0)
		ret = check_schema(s, &ours, &empty);
	if (ret == 0 && empty && !application && !version)
		ret = check_empty(s, &empty);
	else
		empty = false;
	if (ret < 0)
		return ret;
	if (empty)
		*finding = EMPTY;
	else if (application != APPLICATION_ID)
		*finding = FOREIGN;
	else if (version > STATE_VERSION)
		*finding = FUTURE;
	/* Read-only by its header: it could be opened for writing. */
	else if (version < 1 || !ours || sqlite3_db_readonly(s->db, "main"))
		*finding = DAMAGED;
	else
		*finding = FINE;
	s->version = (unsigned)version;
	/* Another program's database that is not whole is called damaged: who knows whose it was. */
	return *finding == FUTURE ? 0 : check_structure(s);
}

/*
 * The file is one that we go on with: only now anything is written to it. Its log is folded in, so that the file by itself is never
 * older than what was answered before this start; short of room for that the log serves as well.
 */
static int adopt(struct state *s)
{
	int ret = exec(s, "PRAGMA journal_mode=WAL");

	if (ret == 0)
		sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	return ret;
}

/* A new file becomes ours in one transaction: a start that is killed in it leaves an empty one. */
static int make_tables(struct state *s)
{
	int ret = exec(s,
		       "PRAGMA journal_mode=WAL;BEGIN IMMEDIATE;" SCHEMA_OBJECT ";" SCHEMA_META ";INSERT INTO meta VALUES(1,0,0,0);"
		       "PRAGMA application_id=1397511491;" SET_VERSION ";COMMIT");

	_Static_assert(APPLICATION_ID == 1397511491, "as in the statement");
	s->version = STATE_VERSION;
	if (ret < 0 && !sqlite3_get_autocommit(s->db))
		sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	return ret < 0 ? ret : adopt(s);
}

static int prepare_statements(struct state *s)
{
	for (int i = 0; i < SQL_N; i++) {
		int rc = sqlite3_prepare_v3(s->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &s->stmt[i], NULL);

		if (rc != SQLITE_OK)
			return fail(s, rc);
	}
	return 0;
}

/* Without checkpoint: a file that is put aside stays as it was. */
static void close_file(struct state *s)
{
	for (int i = 0; i < SQL_N; i++) {
		sqlite3_finalize(s->stmt[i]);
		s->stmt[i] = NULL;
	}
	sqlite3_close(s->db);
	s->db = NULL;
}

/* Open what is at the path. 0 with the finding; a file that SQLite says is damaged is a finding too. */
static int open_file(struct state *s, enum finding *finding)
{
	int ret = state_file_touch(s->path, s->why, sizeof(s->why)), rc;

	if (ret < 0)
		return ret;
	rc = sqlite3_open_v2(s->path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE, NULL);
	ret = rc == SQLITE_OK ? settle_connection(s) : fail(s, rc);
	if (ret == 0)
		ret = find_out(s, finding);
	if (ret == 0 && *finding == EMPTY)
		ret = make_tables(s);
	if (ret == 0 && (*finding == EMPTY || *finding == FINE))
		ret = prepare_statements(s);
	if (ret == -EBADMSG) {
		*finding = DAMAGED;
		ret = 0;
	}
	return ret;
}

static int begin_anew(struct state *s, enum finding was)
{
	static const char *const words[] = {[DAMAGED] = "damaged", [FUTURE] = "future", [FOREIGN] = "foreign"};
	static const char *const texts[] = {
		[DAMAGED] = "damaged", [FUTURE] = "of a later version", [FOREIGN] = "of another program"};
	enum finding now = EMPTY;
	int ret;

	close_file(s);
	ret = state_file_aside(s->path, words[was], s->aside, sizeof(s->aside), s->why, sizeof(s->why));
	if (ret == 0)
		ret = open_file(s, &now);
	/* A file that was just made is not found damaged but by a disk that lies. */
	if (ret == 0 && now != EMPTY)
		ret = -EIO;
	if (ret < 0)
		return ret;
	s->was_aside = true;
	s->meta = (struct meta){0};
	snprintf(s->why, sizeof(s->why), "%.160s: %s: kept aside", s->path, texts[was]);
	return 0;
}

int state_open(struct state **state, const char *path, char *why, size_t size)
{
	struct state *s = calloc(1, sizeof(*s));
	enum finding finding = UNREADABLE;
	int ret;

	if (!s || strlen(path) >= sizeof(s->path)) {
		snprintf(why, size, "%.160s: %s", path, s ? "path too long" : "out of memory");
		free(s);
		return s ? -ENAMETOOLONG : -ENOMEM;
	}
	snprintf(s->path, sizeof(s->path), "%s", path);
	ret = state_file_stray_wal(s->path, s->aside, sizeof(s->aside), s->why, sizeof(s->why));
	s->was_aside = ret > 0;
	if (ret >= 0)
		ret = open_file(s, &finding);
	if (ret == 0 && finding != FINE && finding != EMPTY)
		ret = begin_anew(s, finding);
	if (ret == 0) {
		*state = s;
		return 0;
	}
	snprintf(why, size, "%s", s->why);
	close_file(s);
	free(s);
	return ret;
}

void state_close(struct state *s)
{
	if (!s)
		return;
	if (s->db)
		sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
	close_file(s);
	free(s);
}

int state_set_aside(struct state *s, bool future)
{
	return begin_anew(s, future ? FUTURE : DAMAGED);
}

/* --- reading -------------------------------------------------------------------------------------------------------------------- */

static int load_meta(struct state *s)
{
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(s->db, "SELECT generation,rows,sum FROM meta", -1, &stmt, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW)
		s->meta =
			(struct meta){sqlite3_column_int64(stmt, 0), sqlite3_column_int64(stmt, 1), sqlite3_column_int64(stmt, 2)};
	sqlite3_finalize(stmt);
	if (rc == SQLITE_ROW)
		return 0;
	return rc == SQLITE_DONE ? -EBADMSG : fail(s, rc);
}

/* Text without a NUL inside, or NULL. */
static const char *column(sqlite3_stmt *stmt, int i)
{
	const char *text = (const char *)sqlite3_column_text(stmt, i);

	return text && strlen(text) == (size_t)sqlite3_column_bytes(stmt, i) ? text : NULL;
}

static int load_row(sqlite3_stmt *stmt, int (*row)(void *arg, const struct state_row *row), void *arg, struct meta *seen)
{
	struct state_row r = {
		.object = column(stmt, 0),
		.name = column(stmt, 1),
		.owner = column(stmt, 2),
		.generation = sqlite3_column_int64(stmt, 3),
		.attrs = column(stmt, 4),
	};
	uint64_t sum;
	int ret;

	if (!r.object || !r.name || !r.owner || !r.attrs || (int64_t)r.generation <= 0)
		return sqlite3_errcode(sqlite3_db_handle(stmt)) == SQLITE_NOMEM ? -ENOMEM : -EBADMSG;
	sum = sum_row(&r);
	if (sum != (uint64_t)sqlite3_column_int64(stmt, 5))
		return -EBADMSG;
	ret = row(arg, &r);
	seen->sum ^= sum;
	seen->rows++;
	if (r.generation > seen->generation)
		seen->generation = r.generation;
	return ret;
}

int state_load(struct state *s, int (*row)(void *arg, const struct state_row *row), void *arg)
{
	struct meta seen = {0};
	sqlite3_stmt *stmt = NULL;
	int ret = load_meta(s), rc;

	if (ret < 0)
		return ret;
	rc = sqlite3_prepare_v2(s->db, "SELECT object,name,owner,generation,attrs,sum FROM object", -1, &stmt, NULL);
	while (rc == SQLITE_OK && ret == 0) {
		int step = sqlite3_step(stmt);

		if (step == SQLITE_DONE)
			break;
		if (step == SQLITE_ROW)
			ret = load_row(stmt, row, arg, &seen);
		else
			rc = step;
	}
	if (rc != SQLITE_OK)
		ret = fail(s, rc);
	sqlite3_finalize(stmt);
	if (ret == 0 && (seen.sum != s->meta.sum || seen.rows != s->meta.rows || seen.generation > s->meta.generation ||
			 (int64_t)s->meta.generation < 0))
		ret = -EBADMSG;
	return ret;
}

int state_adopt(struct state *s)
{
	return adopt(s);
}

uint64_t state_generation(const struct state *s)
{
	return s->meta.generation;
}

unsigned state_version(const struct state *s)
{
	return s->version;
}

/* --- writing -------------------------------------------------------------------------------------------------------------------- */

/* Run a statement whose parameters are bound, to its first row or its end; *row says which. */
static int step(struct state *s, int which, bool *row)
{
	int rc = sqlite3_step(s->stmt[which]);

	if (row)
		*row = rc == SQLITE_ROW;
	return rc == SQLITE_DONE || rc == SQLITE_ROW ? 0 : fail(s, rc);
}

static void reset(struct state *s, int which)
{
	sqlite3_reset(s->stmt[which]);
	sqlite3_clear_bindings(s->stmt[which]);
}

static int run(struct state *s, int which)
{
	int ret = step(s, which, NULL);

	reset(s, which);
	return ret;
}

/* Strings outlive the statement's run. */
static int bind_text(struct state *s, int which, int i, const char *text)
{
	int rc = sqlite3_bind_text(s->stmt[which], i, text, -1, SQLITE_STATIC);

	return rc == SQLITE_OK ? 0 : fail(s, rc);
}

static int bind_int(struct state *s, int which, int i, uint64_t value)
{
	int rc = sqlite3_bind_int64(s->stmt[which], i, (int64_t)value);

	return rc == SQLITE_OK ? 0 : fail(s, rc);
}

static int bind_key(struct state *s, int which, const struct state_row *row)
{
	int ret = bind_text(s, which, 1, row->object);

	return ret < 0 ? ret : bind_text(s, which, 2, row->name);
}

int state_begin(struct state *s)
{
	s->next = s->meta;
	s->next_version = s->version;
	return run(s, SQL_BEGIN);
}

/* Take the row that is there, if any, out of the sums. */
static int forget(struct state *s, const struct state_row *row)
{
	bool there = false;
	int ret = bind_key(s, SQL_SUM, row);

	if (ret == 0)
		ret = step(s, SQL_SUM, &there);
	if (there) {
		s->next.sum ^= (uint64_t)sqlite3_column_int64(s->stmt[SQL_SUM], 0);
		s->next.rows--;
	}
	reset(s, SQL_SUM);
	return ret;
}

int state_put(struct state *s, const struct state_row *row)
{
	uint64_t sum = sum_row(row);
	int ret = forget(s, row);

	if (ret == 0)
		ret = bind_key(s, SQL_PUT, row);
	if (ret == 0)
		ret = bind_text(s, SQL_PUT, 3, row->owner);
	if (ret == 0)
		ret = bind_int(s, SQL_PUT, 4, row->generation);
	if (ret == 0)
		ret = bind_text(s, SQL_PUT, 5, row->attrs);
	if (ret == 0)
		ret = bind_int(s, SQL_PUT, 6, sum);
	if (ret == 0)
		ret = step(s, SQL_PUT, NULL);
	reset(s, SQL_PUT);
	s->next.sum ^= sum;
	s->next.rows++;
	return ret;
}

int state_del(struct state *s, const struct state_row *row)
{
	int ret = forget(s, row);

	if (ret == 0)
		ret = bind_key(s, SQL_DEL, row);
	if (ret == 0)
		ret = step(s, SQL_DEL, NULL);
	reset(s, SQL_DEL);
	return ret;
}

int state_upgrade(struct state *s)
{
	s->next_version = STATE_VERSION;
	return exec(s, SET_VERSION);
}

int state_commit(struct state *s, uint64_t generation)
{
	int ret;

	s->next.generation = generation;
	ret = bind_int(s, SQL_META, 1, generation);
	if (ret == 0)
		ret = bind_int(s, SQL_META, 2, s->next.rows);
	if (ret == 0)
		ret = bind_int(s, SQL_META, 3, s->next.sum);
	if (ret == 0)
		ret = step(s, SQL_META, NULL);
	reset(s, SQL_META);
	if (ret == 0)
		ret = run(s, SQL_COMMIT);
	if (ret == 0) {
		s->meta = s->next;
		s->version = s->next_version;
	}
	return ret;
}

void state_rollback(struct state *s)
{
	char why[sizeof(s->why)];

	/* SQLite has rolled back by itself after some failures. Its word about the first failure is the one to keep. */
	if (sqlite3_get_autocommit(s->db))
		return;
	memcpy(why, s->why, sizeof(why));
	run(s, SQL_ROLLBACK);
	memcpy(s->why, why, sizeof(why));
}

/* --- telling -------------------------------------------------------------------------------------------------------------------- */

const char *state_path(const struct state *s)
{
	return s->path;
}

const char *state_why(const struct state *s)
{
	return s->why;
}

const char *state_aside(const struct state *s)
{
	return s->was_aside ? s->aside : NULL;
}

int state_set_sync(struct state *s, bool full)
{
	return exec(s, full ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=OFF");
}
