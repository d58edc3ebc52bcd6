/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A fuzzer's corpus through its target, without a fuzzer: every input that was ever of use, and every one that once was a crash, in each
 * run of the tests. Linked in front of one tests/fuzz/X_fuzz.c; CORPUS is where its inputs are. Speaks TAP, one line for all inputs; an
 * input that crashes is the last that was named.
 */

#include <glob.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#ifndef CORPUS
#define CORPUS "." /* what is compiled alone is not run */
#endif

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

static int run_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data;
	long size;

	if (!f || fseek(f, 0, SEEK_END) < 0 || (size = ftell(f)) < 0)
		return -1;
	rewind(f);
	data = malloc(size + 1);
	if (!data || fread(data, 1, size, f) != (size_t)size)
		return -1;
	fclose(f);
	printf("# %s\n", path);
	fflush(stdout);
	LLVMFuzzerTestOneInput(data, size);
	free(data);
	return 0;
}

int main(int argc, char **argv)
{
	size_t n = 0;
	glob_t g;

	if (LLVMFuzzerInitialize)
		LLVMFuzzerInitialize(&argc, &argv);
	if (glob(CORPUS "/*", 0, NULL, &g) != 0) {
		printf("not ok 1 - no inputs in " CORPUS "\n");
		return 1;
	}
	for (; n < g.gl_pathc; n++) {
		if (run_file(g.gl_pathv[n]) < 0) {
			printf("not ok 1 - %s cannot be read\n", g.gl_pathv[n]);
			return 1;
		}
	}
	printf("ok 1 - %zu inputs of " CORPUS "\n", n);
	globfree(&g);
	return 0;
}
