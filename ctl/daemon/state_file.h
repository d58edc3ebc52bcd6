/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CTL_STATE_FILE_H
#define CTL_STATE_FILE_H

/*
 * The state's file as a file: making it with the right mode, and putting a bad one aside without losing a byte of it. SQLite is not known
 * here (state.c). Its write-ahead log lies beside the file as FILE-wal and belongs to it: the two are renamed together.
 *
 * The file goes first. Killed between the two, the next start finds a log without a file, and puts it where it belongs
 * (state_file_stray_wal) before a new file is made: a new file would take the old log for its own.
 *
 * Control thread. 0, or -errno with one line in `why`.
 */

#include <stddef.h>
#include <stdint.h>

#define STATE_PATH_MAX 256

/* Make the file, empty and 0600, and the directories above it, if they are not there. */
int state_file_touch(const char *path, char *why, size_t size);
/* Its size, -1 if it is not there. */
int64_t state_file_bytes(const char *path);
/* Rename to PATH.TIME.word (`aside`), with a number behind it if that is taken. */
int state_file_aside(const char *path, const char *word, char *aside, size_t aside_size, char *why, size_t size);
/* A log without a file, or beside an empty one (SQLite would delete it): put it aside. 1 if there was one. */
int state_file_stray_wal(const char *path, char *aside, size_t aside_size, char *why, size_t size);

#endif
