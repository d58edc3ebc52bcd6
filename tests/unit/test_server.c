/* SPDX-License-Identifier: Apache-2.0 */

/* Clients of the sockets, and the sockets themselves. */

#include "server_rig.h"

#define SMALL "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"get\",\"params\":{\"object\":\"port\"}}\n"

/* --- lines ------------------------------------------------------------------------------------------------------------------ */

static void requests_are_answered_in_order_however_they_arrive(void **state)
{
	int fd = connect_to(control.path);

	for (const char *p = GET(1); *p; p++)
		say_bytes(fd, p, 1);
	assert_hears(fd, "\"id\":1");
	say(fd, GET(2) GET(3) "junk\n" GET(4));
	assert_hears(fd, "\"id\":2");
	assert_hears(fd, "\"id\":3");
	assert_hears(fd, "parse-error");
	assert_hears(fd, "\"id\":4");
	close(fd);
}

static void a_line_too_long_is_answered_and_the_next_one_too(void **state)
{
	char *line = malloc(RPC_LINE_MAX + 2);
	int fd = connect_to(control.path);

	assert_non_null(line);
	memset(line, ' ', RPC_LINE_MAX + 1);
	memcpy(line, GET(1), sizeof(GET(1)) - 2);
	line[RPC_LINE_MAX] = '\n';
	say_bytes(fd, line, RPC_LINE_MAX + 1);
	assert_hears(fd, "\"id\":1");
	line[RPC_LINE_MAX] = ' ';
	line[RPC_LINE_MAX + 1] = '\n';
	say_bytes(fd, line, RPC_LINE_MAX + 2);
	assert_hears(fd, "line-too-long");
	say(fd, GET(2));
	assert_hears(fd, "\"id\":2");
	free(line);
	close(fd);
}

static void who_stops_sending_is_answered_first(void **state)
{
	int fd = connect_to(control.path);

	say(fd, GET(1) GET(2));
	shutdown(fd, SHUT_WR);
	assert_hears(fd, "\"id\":1");
	assert_hears(fd, "\"id\":2");
	assert_closed(fd);
}

static void a_line_without_its_end_is_not_a_request(void **state)
{
	int fd = connect_to(control.path);

	say(fd, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"get\"}");
	shutdown(fd, SHUT_WR);
	assert_hears(fd, "line-unterminated");
	assert_closed(fd);
}

static void a_client_that_does_not_read_is_not_read_from_and_loses_nothing(void **state)
{
	static const char line[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"describe\"}\n";
	int deaf = connect_to(control.path), other = connect_to(control.path);
	size_t sent = 0;

	/* Until the socket is full although the server had its turns. */
	for (;;) {
		ssize_t n =
			send(deaf, line + sent % (sizeof(line) - 1), sizeof(line) - 1 - sent % (sizeof(line) - 1), MSG_NOSIGNAL);

		if (n > 0)
			sent += n;
		turn();
		if (n < 0)
			break;
		assert_true(sent < 16 << 20);
	}
	say(other, GET(5));
	assert_hears(other, "\"id\":5");
	/* Every whole line is answered once it reads. */
	for (size_t i = 0; i < sent / (sizeof(line) - 1); i++)
		assert_hears(deaf, "\"result\"");
	close(deaf);
	close(other);
}

static void who_goes_away_in_the_middle_is_forgotten(void **state)
{
	int fd = connect_to(control.path), other = connect_to(control.path);

	say(fd, GET(1) GET(2) "{\"jso");
	close(fd);
	turn();
	say(other, GET(3));
	assert_hears(other, "\"id\":3");
	close(other);
}

/* --- clients ------------------------------------------------------------------------------------------------------------------ */

/* All places of a user on `path` are taken; one more is told, and a place that is given up is free again. */
static void fill(const char *path, unsigned places, const char *other)
{
	int fds[RPC_CLIENTS], extra;

	for (unsigned i = 0; i < places; i++) {
		fds[i] = connect_to(path);
		say(fds[i], GET(1));
		assert_hears(fds[i], "\"id\":1");
	}
	extra = connect_to(path);
	assert_hears(extra, "too-many-clients");
	assert_closed(extra);
	/* The other socket counts its own. */
	extra = connect_to(other);
	say(extra, GET(2));
	assert_hears(extra, "\"id\":2");
	close(extra);
	close(fds[0]);
	turn();
	fds[0] = connect_to(path);
	say(fds[0], GET(3));
	assert_hears(fds[0], "\"id\":3");
	for (unsigned i = 0; i < places; i++)
		close(fds[i]);
	turn();
}

static void one_more_than_a_user_may_have_is_told_and_others_stay(void **state)
{
	/* The tests' user is root: it has more places where it is at home. */
	unsigned places = getuid() == 0 ? RPC_CLIENTS_ROOT : RPC_CLIENTS_PER_UID;
	char limit[32];
	int fd = connect_to(control.path);

	snprintf(limit, sizeof(limit), "\"clients_per_uid\":%u", places);
	say(fd, HELLO);
	assert_hears(fd, limit);
	close(fd);
	turn();
	fill(control.path, places, stat_sock.path);
	fill(stat_sock.path, RPC_CLIENTS_PER_UID, control.path);
}

#define VLANS  1000
#define FLOODS (RPC_CLIENTS_PER_UID - 1)

static void swallow(int fd)
{
	static char buf[1 << 20];

	while (recv(fd, buf, sizeof(buf), 0) > 0)
		;
}

/* Many VLANs, so that listing them takes longer than a turn of small requests may. */
static void make_vlans(int fd)
{
	char *line = malloc(VLANS * 64 + 128);
	size_t n = sprintf(line, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"apply\",\"params\":{\"ops\":[");

	for (unsigned i = 1; i <= VLANS; i++)
		n += sprintf(line + n, "%s{\"op\":\"add\",\"object\":\"vlan\",\"name\":\"%u\"}", i > 1 ? "," : "", i);
	n += sprintf(line + n, "]}}\n");
	say_bytes(fd, line, n);
	assert_hears(fd, "\"result\"");
	free(line);
}

/* In units of what was asked for, not of time: how many dear requests of others are answered before a small one that comes meanwhile. */
static void who_asks_little_does_not_wait_for_who_asks_much(void **state)
{
	int fds[FLOODS], quiet = connect_to(control.path), other = connect_to(control.path);
	unsigned before;
	char buf[4096];

	/* Not by the quiet one: it would owe for it. */
	make_vlans(other);
	for (unsigned i = 0; i < FLOODS; i++) {
		fds[i] = connect_to(control.path);
		for (unsigned k = 0; k < 20; k++)
			assert_true(send(fds[i], GET(1), sizeof(GET(1)) - 1, MSG_NOSIGNAL) > 0);
	}
	/* The floods have begun, each with a turn or two. */
	while (fake_dp.vlan_states < 2 * FLOODS * VLANS) {
		assert_true(sd_event_run(event, 0) >= 0);
		for (unsigned i = 0; i < FLOODS; i++)
			swallow(fds[i]);
	}
	before = fake_dp.vlan_states;
	assert_true(send(quiet, SMALL, sizeof(SMALL) - 1, MSG_NOSIGNAL) > 0);
	while (recv(quiet, buf, sizeof(buf), 0) < 0) {
		assert_true(sd_event_run(event, 0) > 0);
		for (unsigned i = 0; i < FLOODS; i++)
			swallow(fds[i]);
	}
	/* Its line is read when the loop comes to it, and then it is next. */
	assert_true((fake_dp.vlan_states - before) / VLANS <= 3);
	for (unsigned i = 0; i < FLOODS; i++)
		close(fds[i]);
	close(quiet);
	close(other);
	turn();
}

static void the_stat_socket_reads_only(void **state)
{
	int fd = connect_to(stat_sock.path);

	say(fd, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"apply\",\"params\":{\"ops\":[]}}\n");
	assert_hears(fd, "read-only");
	say(fd, GET(2));
	assert_hears(fd, "\"result\"");
	close(fd);
}

/* --- instances ------------------------------------------------------------------------------------------------------------------ */

static void sockets_have_the_mode_of_who_may_use_them(void **state)
{
	struct stat st;

	assert_int_equal(lstat(control.path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
	assert_int_equal(lstat(stat_sock.path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0666);
}

static void a_second_instance_is_refused_and_disturbs_nothing(void **state)
{
	struct instance_socket second;
	int fd;

	assert_int_equal(instance_open(&second, control.path, &control_access, why, sizeof(why)), -EADDRINUSE);
	assert_non_null(strstr(why, "another sluiced is running"));
	instance_close(&second);
	fd = connect_to(control.path);
	say(fd, GET(1));
	assert_hears(fd, "\"id\":1");
	close(fd);
}

static void what_a_killed_daemon_left_is_replaced(void **state)
{
	struct instance_socket first, second;
	int fd;

	assert_int_equal(instance_open(&first, in_dir("k"), &control_access, why, sizeof(why)), 0);
	/* As if killed: descriptors are closed, files stay. */
	close(first.fd);
	close(first.lock_fd);
	assert_int_equal(access(first.path, F_OK), 0);
	assert_int_equal(instance_open(&second, in_dir("k"), &control_access, why, sizeof(why)), 0);
	fd = connect_to(second.path);
	close(fd);
	instance_close(&second);
	assert_int_equal(access(first.path, F_OK), -1);
	assert_int_equal(access(first.lock_path, F_OK), -1);
}

static void what_is_not_ours_is_left_alone(void **state)
{
	struct instance_socket ours, theirs;
	FILE *f = fopen(in_dir("file"), "w");

	assert_non_null(f);
	fclose(f);
	assert_int_equal(instance_open(&ours, in_dir("file"), &control_access, why, sizeof(why)), -EEXIST);
	assert_non_null(strstr(why, "not a socket"));
	assert_int_equal(unlink(in_dir("file")), 0);
	/* A listener without our lock: another program's. */
	assert_int_equal(instance_open(&theirs, in_dir("t"), &control_access, why, sizeof(why)), 0);
	assert_int_equal(unlink(theirs.lock_path), 0);
	assert_int_equal(instance_open(&ours, in_dir("t"), &control_access, why, sizeof(why)), -EADDRINUSE);
	assert_non_null(strstr(why, "another program"));
	assert_int_equal(access(theirs.path, F_OK), 0);
	instance_close(&theirs);
}

static void directories_are_made_on_the_way(void **state)
{
	struct instance_socket s;

	assert_int_equal(instance_open(&s, in_dir("a/b/sock"), &control_access, why, sizeof(why)), 0);
	instance_close(&s);
	assert_int_equal(rmdir(in_dir("a/b")), 0);
	assert_int_equal(rmdir(in_dir("a")), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(requests_are_answered_in_order_however_they_arrive),
		TEST(a_line_too_long_is_answered_and_the_next_one_too),
		TEST(who_stops_sending_is_answered_first),
		TEST(a_line_without_its_end_is_not_a_request),
		TEST(a_client_that_does_not_read_is_not_read_from_and_loses_nothing),
		TEST(who_goes_away_in_the_middle_is_forgotten),
		TEST(one_more_than_a_user_may_have_is_told_and_others_stay),
		TEST(who_asks_little_does_not_wait_for_who_asks_much),
		TEST(the_stat_socket_reads_only),
		TEST(sockets_have_the_mode_of_who_may_use_them),
		TEST(a_second_instance_is_refused_and_disturbs_nothing),
		TEST(what_a_killed_daemon_left_is_replaced),
		TEST(what_is_not_ours_is_left_alone),
		TEST(directories_are_made_on_the_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
