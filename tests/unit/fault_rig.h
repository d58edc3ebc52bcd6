/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_FAULT_RIG_H
#define TESTS_FAULT_RIG_H

/*
 * The Nth of something fails: allocations (ours, jansson's, SQLite's), and what SQLite does to files (a VFS in front of its own).
 *
 *      fault_arm(FAULT_MEMORY, n, sticky)  ...  fault_disarm()
 *
 * Ours are found by the linker (--wrap, see the Makefile), and jansson's are ours (json_memory.h). A write that fails has written half of it. `sticky`: all after the Nth fail
 * too, as on a full disk. fault_rig_init() comes before the first use of SQLite. Included once by a test program.
 */

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

enum fault_kind { FAULT_NONE, FAULT_MEMORY, FAULT_IO, FAULT_FULL };

static struct {
	enum fault_kind kind;
	unsigned long left; /* until it fails; 0: failing is over or goes on, see sticky */
	bool sticky, hit;
} fault;

static inline void fault_arm(enum fault_kind kind, unsigned long nth, bool sticky)
{
	fault.kind = kind;
	fault.left = nth;
	fault.sticky = sticky;
	fault.hit = false;
}

/* Whether anything failed since fault_arm(). */
static inline bool fault_disarm(void)
{
	fault.kind = FAULT_NONE;
	return fault.hit;
}

/* This one fails. */
static inline bool fault_now(enum fault_kind kind)
{
	if (fault.kind != kind)
		return false;
	if (fault.left > 1) {
		fault.left--;
		return false;
	}
	if (fault.left == 0 && !fault.sticky)
		return false;
	fault.left = 0;
	fault.hit = true;
	return true;
}

/* --- memory ------------------------------------------------------------------------------------------------------------------ */

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);

void *__wrap_malloc(size_t n)
{
	return fault_now(FAULT_MEMORY) ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fault_now(FAULT_MEMORY) ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
	return fault_now(FAULT_MEMORY) ? NULL : __real_realloc(p, n);
}

static sqlite3_mem_methods sqlite_memory;

static void *sqlite_malloc(int n)
{
	return fault_now(FAULT_MEMORY) ? NULL : sqlite_memory.xMalloc(n);
}

static void *sqlite_realloc(void *p, int n)
{
	return fault_now(FAULT_MEMORY) ? NULL : sqlite_memory.xRealloc(p, n);
}

/* --- files ------------------------------------------------------------------------------------------------------------------- */

struct fault_file {
	sqlite3_file base;
	sqlite3_file *real; /* behind us, in the same memory */
};

static sqlite3_vfs *real_vfs;

static sqlite3_file *real_of(sqlite3_file *f)
{
	return ((struct fault_file *)f)->real;
}

static int file_close(sqlite3_file *f)
{
	return real_of(f)->pMethods->xClose(real_of(f));
}

static int file_read(sqlite3_file *f, void *to, int n, sqlite3_int64 at)
{
	return fault_now(FAULT_IO) ? SQLITE_IOERR_READ : real_of(f)->pMethods->xRead(real_of(f), to, n, at);
}

static int file_write(sqlite3_file *f, const void *from, int n, sqlite3_int64 at)
{
	if (fault_now(FAULT_FULL))
		return SQLITE_FULL;
	if (!fault_now(FAULT_IO))
		return real_of(f)->pMethods->xWrite(real_of(f), from, n, at);
	real_of(f)->pMethods->xWrite(real_of(f), from, n / 2, at);
	return SQLITE_IOERR_WRITE;
}

static int file_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	return fault_now(FAULT_IO) ? SQLITE_IOERR_TRUNCATE : real_of(f)->pMethods->xTruncate(real_of(f), size);
}

static int file_sync(sqlite3_file *f, int flags)
{
	return fault_now(FAULT_IO) ? SQLITE_IOERR_FSYNC : real_of(f)->pMethods->xSync(real_of(f), flags);
}

static int file_size(sqlite3_file *f, sqlite3_int64 *size)
{
	return fault_now(FAULT_IO) ? SQLITE_IOERR_FSTAT : real_of(f)->pMethods->xFileSize(real_of(f), size);
}

static int file_lock(sqlite3_file *f, int level)
{
	return real_of(f)->pMethods->xLock(real_of(f), level);
}

static int file_unlock(sqlite3_file *f, int level)
{
	return real_of(f)->pMethods->xUnlock(real_of(f), level);
}

static int file_reserved(sqlite3_file *f, int *held)
{
	return real_of(f)->pMethods->xCheckReservedLock(real_of(f), held);
}

static int file_control(sqlite3_file *f, int op, void *arg)
{
	return real_of(f)->pMethods->xFileControl(real_of(f), op, arg);
}

static int file_sector(sqlite3_file *f)
{
	return real_of(f)->pMethods->xSectorSize(real_of(f));
}

static int file_device(sqlite3_file *f)
{
	return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f));
}

static const sqlite3_io_methods file_methods = {
	.iVersion = 1, /* no shared memory: the state is locked exclusively, and this proves that it needs none */
	.xClose = file_close,
	.xRead = file_read,
	.xWrite = file_write,
	.xTruncate = file_truncate,
	.xSync = file_sync,
	.xFileSize = file_size,
	.xLock = file_lock,
	.xUnlock = file_unlock,
	.xCheckReservedLock = file_reserved,
	.xFileControl = file_control,
	.xSectorSize = file_sector,
	.xDeviceCharacteristics = file_device,
};

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *out)
{
	struct fault_file *ff = (struct fault_file *)f;
	int rc;

	ff->base.pMethods = NULL;
	if (fault_now(FAULT_IO))
		return SQLITE_CANTOPEN;
	ff->real = (sqlite3_file *)(ff + 1);
	rc = real_vfs->xOpen(real_vfs, name, ff->real, flags, out);
	if (rc == SQLITE_OK)
		ff->base.pMethods = &file_methods;
	return rc;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
	return fault_now(FAULT_IO) ? SQLITE_IOERR_DELETE : real_vfs->xDelete(real_vfs, name, sync);
}

static int vfs_access(sqlite3_vfs *vfs, const char *name, int flags, int *yes)
{
	return fault_now(FAULT_IO) ? SQLITE_IOERR_ACCESS : real_vfs->xAccess(real_vfs, name, flags, yes);
}

static int vfs_fullpath(sqlite3_vfs *vfs, const char *name, int n, char *out)
{
	return real_vfs->xFullPathname(real_vfs, name, n, out);
}

static sqlite3_vfs fault_vfs;

static inline void fault_rig_init(void)
{
	sqlite3_mem_methods ours;

	sqlite3_config(SQLITE_CONFIG_GETMALLOC, &sqlite_memory);
	ours = sqlite_memory;
	ours.xMalloc = sqlite_malloc;
	ours.xRealloc = sqlite_realloc;
	sqlite3_config(SQLITE_CONFIG_MALLOC, &ours);
	sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0);
	sqlite3_initialize();
	real_vfs = sqlite3_vfs_find(NULL);
	fault_vfs = *real_vfs;
	fault_vfs.pNext = NULL;
	fault_vfs.zName = "fault";
	fault_vfs.szOsFile = sizeof(struct fault_file) + real_vfs->szOsFile;
	fault_vfs.xOpen = vfs_open;
	fault_vfs.xDelete = vfs_delete;
	fault_vfs.xAccess = vfs_access;
	fault_vfs.xFullPathname = vfs_fullpath;
	sqlite3_vfs_register(&fault_vfs, 1);
}

#endif
