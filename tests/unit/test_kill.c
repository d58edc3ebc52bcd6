/* SPDX-License-Identifier: Apache-2.0 */

/*
 * kill -9 at random moments during a stream of applies, 500 times (SLUICE_KILLS changes that): no acknowledged change is lost, and no half
 * of a change is seen.
 *
 *      child: load, then apply 1, 2, 3 ...  --a byte for each answer-->  parent: SIGKILL after a random time
 *             each names two VLANs after its number, makes one and deletes one                 loads the file and counts
 *
 * The control plane is the daemon's, the switch fake_dp.h's. What is killed is the process; what survives is the kernel's page cache, so
 * this shows order and atomicity, not fsync. A kill that comes before the file is made, or in the middle of its making, counts too.
 */

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "rpc_rig.h"
#include "daemon/load.h"
#include "state_rig.h"

#define KILLS	   500
#define LONGEST_US 4000 /* from the first answer on; about twenty applies */
#define AT_ONCE_OF 8	/* one of so many kills comes during the start */
#define ANSWERED   0x55

static int open_all(void)
{
	struct state *s;

	memset(&fake_dp, 0, sizeof(fake_dp));
	ctl_init(&ctl, &fake_dp);
	rpc_session_init(&session, &ctl, false);
	if (state_open(&s, rig_path, rig_why, sizeof(rig_why)) < 0)
		return -1;
	return ctl_load(&ctl, s);
}

static const char *name_of(const char *id)
{
	const struct object *o = table_find(&ctl.store.objects, &schema_vlan, id);

	return o ? ((const struct vlan_conf *)o->conf)->dp.name : "";
}

/* VLANs 1 and 2 bear the number of the apply, and VLAN 10 + number % 2000 is there alone. */
static char *make_line(unsigned long n)
{
	char *line;

	if (asprintf(&line,
		     "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"apply\",\"params\":{\"ops\":[%s"
		     "{\"op\":\"del\",\"object\":\"vlan\",\"name\":\"%lu\"},"
		     "{\"op\":\"set\",\"object\":\"vlan\",\"name\":\"1\",\"attrs\":{\"name\":\"%lu\"}},"
		     "{\"op\":\"add\",\"object\":\"vlan\",\"name\":\"%lu\"},"
		     "{\"op\":\"set\",\"object\":\"vlan\",\"name\":\"2\",\"attrs\":{\"name\":\"%lu\"}}]}}",
		     n == 1 ? ADD_VLAN("1") "," ADD_VLAN("2") "," : "", 10 + (n - 1) % 2000, n, 10 + n % 2000, n) < 0)
		abort();
	return line;
}

/* The child: never returns. */
static void stream(int to)
{
	static const char byte = ANSWERED;

	if (open_all() < 0)
		_exit(1);
	for (unsigned long n = ctl.store.generation + 1;; n++) {
		char *line = make_line(n), *reply;
		size_t len;

		if (rpc_handle(&session, line, strlen(line), &reply, &len) < 0 || !memmem(reply, len, "\"result\"", 8))
			_exit(2);
		if (write(to, &byte, 1) != 1)
			_exit(3);
		free(reply);
		free(line);
	}
}

/* Start it, kill it, and return how many answers it gave. */
static unsigned long run_and_kill(void)
{
	struct timespec t = {.tv_nsec = (random() % LONGEST_US) * 1000L};
	bool at_once = random() % AT_ONCE_OF == 0;
	unsigned long answers = 0;
	char buf[4096];
	int pipes[2], status;
	ssize_t got;
	pid_t pid;

	assert_int_equal(pipe(pipes), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(pipes[0]);
		stream(pipes[1]);
	}
	close(pipes[1]);
	if (!at_once) {
		struct pollfd p = {.fd = pipes[0], .events = POLLIN};

		assert_int_equal(poll(&p, 1, 60000), 1);
	}
	nanosleep(&t, NULL);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	/* It did not end by itself. */
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	while ((got = read(pipes[0], buf, sizeof(buf))) > 0)
		answers += got;
	close(pipes[0]);
	return answers;
}

/* What is on disk is whole: its number. */
static unsigned long check_whole(void)
{
	unsigned long n = ctl.store.generation;
	char number[32], made[32];

	snprintf(number, sizeof(number), "%lu", n);
	snprintf(made, sizeof(made), "%lu", 10 + n % 2000);
	assert_null(state_aside(ctl.state));
	assert_int_equal(ctl.store.objects.n, SCHEMA_N_CLASSES + (n ? 3 : 0));
	assert_string_equal(name_of("1"), n ? number : "");
	assert_string_equal(name_of("2"), n ? number : "");
	assert_int_equal(table_find(&ctl.store.objects, &schema_vlan, made) != NULL, n > 0);
	return n;
}

/*
 * Load the file as a daemon would. `tidy`: end as a daemon does, which folds the log in; else the next start finds the log that was left:
 * then it is looked at by a process that just ends.
 */
static unsigned long look(bool tidy)
{
	unsigned long n = 0;
	int pipes[2];
	pid_t pid;

	if (tidy) {
		assert_int_equal(open_all(), 0);
		n = check_whole();
		ctl_fini(&ctl);
		return n;
	}
	assert_int_equal(pipe(pipes), 0);
	pid = fork();
	if (pid == 0) {
		assert_int_equal(open_all(), 0);
		n = check_whole();
		_exit(write(pipes[1], &n, sizeof(n)) != sizeof(n));
	}
	close(pipes[1]);
	/* A check that failed in there sends nothing. */
	assert_int_equal(read(pipes[0], &n, sizeof(n)), sizeof(n));
	close(pipes[0]);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	return n;
}

static void killed_at_any_moment_it_keeps_what_it_answered(void **state)
{
	const char *wish = getenv("SLUICE_KILLS");
	unsigned kills = wish ? strtoul(wish, NULL, 10) : KILLS, in_flight = 0;
	unsigned long known = 0, answers = 0;
	unsigned seed = (unsigned)time(NULL);

	print_message("     seed %u\n", seed);
	srandom(seed);
	for (unsigned i = 0; i < kills; i++) {
		unsigned long answered = run_and_kill(), n;
		n = look(i % 2);
		/* All that was answered, and perhaps the one that was not yet. */
		assert_true(n == known + answered || n == known + answered + 1);
		in_flight += n != known + answered;
		answers += answered;
		known = n;
	}
	print_message("     %u kills, %lu answered applies, %u applied and not answered\n", kills, answers, in_flight);
	assert_true(answers > kills);
}

static int setup_dir(void **state)
{
	return rig_make();
}

static int teardown_dir(void **state)
{
	rig_remove();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(killed_at_any_moment_it_keeps_what_it_answered, setup_dir, teardown_dir),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
