/* SPDX-License-Identifier: Apache-2.0 */

/*
 * libsluice when memory runs out: a session is played with the Nth allocation failing, for every N. The Makefile links this program with
 * malloc, calloc and realloc wrapped; jansson takes its memory from the same place.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "fake_server.h"
#include "sluice/sluice.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);

static bool counting;
static unsigned long count, fail_at;

static bool fails(void)
{
	return counting && ++count == fail_at;
}

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	return fails() ? NULL : __real_realloc(p, size);
}

static const char *const script[] = {
	FAKE_HELLO,
	"<apply",
	FAKE_OK("{\"generation\":4,\"applied\":3,\"changes\":1}"),
	"<wait",
	FAKE_OK("{\"generation\":4,\"applied\":4}"),
	"<watch",
	FAKE_OK("{\"objects\":[{\"object\":\"port\",\"name\":\"a\",\"attrs\":{\"kind\":\"memif\"}}]}"),
	"<get",
	FAKE_EVENT("{\"type\":\"port.link\"}"),
	FAKE_ERROR(-32000, "not-found", "name", "port b: not found", ""),
	FAKE_EVENT("{\"type\":\"generation\"}"),
	"|",
	NULL,
};

/* An error is one that says so; a result is whole. Returns the first kind that is not what a healthy session gives. */
static int session(const char *path, struct sluice_error *err)
{
	struct sluice_generation at = {0};
	char *text = NULL, *events[2] = {NULL, NULL};
	struct sluice *s;
	int ret = sluice_open(&s, path, 20000, err);

	if (ret)
		return ret;
	ret = sluice_hello(s, "cap", &text, err);
	if (ret == 0)
		assert_non_null(strstr(text, "boot_id"));
	else
		assert_null(text);
	sluice_free(text);
	if (ret == 0)
		ret = sluice_apply(s, "[{\"op\":\"del\",\"object\":\"vlan\",\"name\":\"1\"}]", 0, SLUICE_ANY_GENERATION, &at, err);
	if (ret == 0)
		ret = sluice_wait(s, at.generation, 1000, &at, err);
	if (ret == 0)
		assert_int_equal(at.applied, 4);
	if (ret == 0)
		ret = sluice_watch(s, NULL, NULL, err);
	if (ret == 0) {
		ret = sluice_call(s, "get", "{\"object\":\"port\",\"name\":\"b\"}", NULL, err);
		ret = ret == SLUICE_REFUSED ? 0 : ret;
	}
	for (int i = 0; ret == 0 && i < 2; i++) {
		ret = sluice_next_event(s, 20000, &events[i], err);
		/* An event for which there was no memory is told as lost, and what follows with it. */
		if (ret == 0 && strstr(events[i], "resync"))
			break;
		if (ret == 0)
			assert_non_null(strstr(events[i], i ? "generation" : "port.link"));
	}
	sluice_free(events[0]);
	sluice_free(events[1]);
	sluice_close(s);
	return ret;
}

static void every_failing_allocation_is_an_error(void **state)
{
	char dir[] = "/tmp/sluice-memory-XXXXXX", path[64];
	unsigned long failed = 0;
	struct sluice_error err;
	struct fake_server server;

	json_set_alloc_funcs(__wrap_malloc, free);
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	for (fail_at = 1;; fail_at++) {
		int ret;

		assert_true(fake_start(&server, path, script));
		count = 0;
		counting = true;
		ret = session(path, &err);
		counting = false;
		kill(server.pid, SIGKILL);
		fake_stop(&server);
		if (ret) {
			failed++;
			assert_int_equal(err.kind, ret);
			assert_true(err.message[0]);
		}
		if (count < fail_at) {
			assert_int_equal(ret, 0);
			break;
		}
	}
	rmdir(dir);
	assert_true(failed > 50);
	print_message("%lu allocations, %lu of them end the session when they fail\n", fail_at - 1, failed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(every_failing_allocation_is_an_error)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
