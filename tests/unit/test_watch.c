/* SPDX-License-Identifier: Apache-2.0 */

/* watch: a snapshot, then what happens; see daemon/watch.h. The test makes things happen by itself. */

#include "server_rig.h"

#include "daemon/watch.h"
#include "schema/objects.h"

#define WATCH(params) "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"watch\",\"params\":" params "}\n"
#define DESCRIBE      "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"describe\"}\n"
#define ADD_MEMIF(name) \
	"{\"op\":\"add\",\"object\":\"port\",\"name\":\"" name "\",\"attrs\":{\"kind\":\"memif\",\"path\":\"/m\",\"vlan\":100}}"
#define APPLY(ops) "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"apply\",\"params\":{\"ops\":[" ops "]}}\n"

static int watching(const char *path, const char *request)
{
	int fd = connect_to(path);

	say(fd, request);
	assert_hears(fd, "\"id\":1,\"result\"");
	return fd;
}

static void link_event(const char *port, bool up)
{
	struct dp_event e = {.type = DP_EVENT_LINK, .time_us = 5, .link_up = up};

	snprintf(e.port, sizeof(e.port), "%s", port);
	fake_dp.cb(&e, fake_dp.cb_arg);
}

static void object_event(enum ctl_change change, const char *name, const struct port_conf *conf)
{
	struct ctl_event e = {.type = CTL_OBJECT,
			      .change = change,
			      .object = &schema_port,
			      .name = name,
			      .owner = "cap",
			      .after = change == CTL_DEL ? NULL : conf};

	ctl_notify(&ctl, &e);
}

static void add_port(struct port_conf *conf, const char *name)
{
	schema_defaults(&schema_port, conf);
	assert_int_equal(schema_set_name(&schema_port, conf, name, NULL), 0);
	snprintf(conf->dp.secret, sizeof(conf->dp.secret), "hush");
	object_event(CTL_ADD, name, conf);
}

static void a_snapshot_comes_first_and_then_what_happens(void **state)
{
	struct ctl_event generation = {.type = CTL_GENERATION, .applied = 3};
	int fd = connect_to(control.path);
	struct port_conf conf;

	say(fd, APPLY("{\"op\":\"add\",\"object\":\"vlan\",\"name\":\"100\"}"));
	assert_hears(fd, "\"id\":2");
	assert_null(fake_dp.cb);
	say(fd, WATCH("{}"));
	assert_hears(fd, "\"name\":\"100\"");
	assert_non_null(fake_dp.cb);
	add_port(&conf, "vm1");
	link_event("vm1", true);
	object_event(CTL_DEL, "vm1", NULL);
	ctl_notify(&ctl, &generation);
	watch_health(&ctl, 1, true);
	assert_hears(
		fd,
		"\"method\":\"event\",\"params\":{\"type\":\"object.add\",\"object\":\"port\",\"name\":\"vm1\",\"generation\":1,");
	assert_hears(
		fd,
		"{\"type\":\"port.link\",\"object\":\"port\",\"name\":\"vm1\",\"generation\":1,\"time_us\":5,\"state\":\"up\"}}");
	assert_hears(fd, "\"object.del\"");
	assert_hears(fd, "\"applied\":3");
	assert_hears(fd, "\"worker\":1,\"state\":\"stuck\"");
	/* Requests go on being answered in between. */
	say(fd, GET(9));
	assert_hears(fd, "\"id\":9");
	close(fd);
	turn();
	assert_null(fake_dp.cb);
	assert_null(ctl.hub);
	assert_null(ctl.listeners);
}

static void every_event_of_the_switch_has_its_members(void **state)
{
	struct dp_event e = {.port = "p", .from = "q", .vlan = 100, .mac = {2, 0, 0, 0, 0, 1}, .reason = "spoof-mac", .count = 7};
	int fd = watching(control.path, WATCH("{\"snapshot\":false}"));
	static const char *const texts[] = {
		[DP_EVENT_LINK] = "\"state\":\"down\"",
		[DP_EVENT_FDB_LEARN] = "\"vlan\":100,\"mac\":\"02:00:00:00:00:01\",\"port\":\"p\"}",
		[DP_EVENT_FDB_MOVE] = "\"port\":\"p\",\"from\":\"q\"}",
		[DP_EVENT_FDB_AGE] = "\"fdb.age\"",
		[DP_EVENT_FDB_OMITTED] = "\"count\":7}",
		[DP_EVENT_SPOOF] = "\"name\":\"p\",\"generation\":0,\"time_us\":0,\"reason\":\"spoof-mac\",\"count\":7}",
		[DP_EVENT_LIMIT] = "\"port.limit\"",
	};

	for (unsigned i = DP_EVENT_LINK; i <= DP_EVENT_LIMIT; i++) {
		e.type = i;
		fake_dp.cb(&e, fake_dp.cb_arg);
		assert_hears(fd, texts[i]);
	}
	close(fd);
}

static void filters_bound_events_and_snapshot(void **state)
{
	int all = connect_to(control.path), links, ports;
	struct port_conf conf;

	say(all, APPLY("{\"op\":\"add\",\"object\":\"vlan\",\"name\":\"100\"}," ADD_MEMIF("m")));
	assert_hears(all, "\"id\":2");
	links = watching(control.path, WATCH("{\"events\":[\"port.link\",\"node\"],\"snapshot\":false}"));
	ports = connect_to(control.path);
	say(ports, WATCH("{\"objects\":[\"port\"],\"events\":[\"object\"]}"));
	assert_hears(ports, "\"objects\":[{\"object\":\"port\",\"name\":\"m\"");
	add_port(&conf, "vm1");
	link_event("vm1", true);
	watch_health(&ctl, 0, false);
	assert_hears(links, "port.link");
	assert_hears(links, "node.health");
	assert_hears(ports, "object.add");
	/* And nothing else. */
	say(links, GET(3));
	assert_hears(links, "\"id\":3");
	say(ports, GET(4));
	assert_hears(ports, "\"id\":4");
	close(all);
	close(links);
	close(ports);
}

static void what_is_not_known_is_refused(void **state)
{
	static const struct {
		const char *params, *path;
	} wrong[] = {
		{WATCH("{\"events\":[\"port.link\",\"port.lin\"]}"), "events[1]"},
		{WATCH("{\"events\":[\"\"]}"), "events[0]"},
		{WATCH("{\"events\":[7]}"), "events[0]"},
		{WATCH("{\"objects\":[\"toaster\"]}"), "objects[0]"},
		{WATCH("{\"snapshot\":1}"), "snapshot"},
	};
	int fd = connect_to(control.path);

	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		say(fd, wrong[i].params);
		assert_hears(fd, wrong[i].path);
		assert_null(fake_dp.cb);
	}
	close(fd);
}

static void secrets_are_for_the_control_socket(void **state)
{
	int fd = watching(control.path, WATCH("{}")), public = watching(stat_sock.path, WATCH("{}"));
	struct port_conf conf;
	char *line;

	add_port(&conf, "vm1");
	assert_hears(fd, "hush");
	line = hear(public);
	assert_non_null(strstr(line, "object.add"));
	assert_null(strstr(line, "hush"));
	free(line);
	close(fd);
	close(public);
}

static void the_next_watch_replaces_the_first_and_an_empty_one_ends_it(void **state)
{
	int fd = watching(control.path, WATCH("{\"events\":[\"port.link\"]}"));

	say(fd, WATCH("{\"events\":[\"node\"]}"));
	assert_hears(fd, "\"result\"");
	link_event("p", true);
	watch_health(&ctl, 0, true);
	assert_hears(fd, "node.health");
	say(fd, WATCH("{\"events\":[]}"));
	assert_hears(fd, "\"result\"");
	assert_null(fake_dp.cb);
	watch_health(&ctl, 0, true);
	say(fd, GET(5));
	assert_hears(fd, "\"id\":5");
	close(fd);
}

static void who_stops_sending_goes_on_hearing(void **state)
{
	int fd = watching(control.path, WATCH("{}"));

	shutdown(fd, SHUT_WR);
	turn();
	link_event("p", true);
	assert_hears(fd, "port.link");
	link_event("p", false);
	assert_hears(fd, "down");
	close(fd);
	turn();
	assert_null(ctl.hub);
}

static void the_switch_tells_what_it_has_before_a_second_snapshot(void **state)
{
	int first = watching(control.path, WATCH("{}")), second;

	assert_int_equal(fake_dp.polls, 0);
	second = watching(control.path, WATCH("{}"));
	assert_int_equal(fake_dp.polls, 1);
	close(first);
	close(second);
}

/* The number behind `key` in a line, which is freed. */
static unsigned number_in(char *line, const char *key)
{
	const char *at = strstr(line, key);
	unsigned n = at ? strtoul(at + strlen(key), NULL, 10) : 0;

	free(line);
	return n;
}

#define MANY 10000

static void a_slow_reader_misses_events_and_is_told_once(void **state)
{
	int slow = watching(control.path, WATCH("{\"events\":[\"node\"]}"));
	int fast = watching(stat_sock.path, WATCH("{\"events\":[\"node\"]}"));
	unsigned got = 0, missed;
	char *line;

	for (unsigned i = 0; i < MANY; i++) {
		watch_health(&ctl, i, true);
		assert_int_equal(number_in(hear(fast), "\"worker\":"), i);
	}
	/* What it reads is the beginning, whole and in order, and then one word about the rest. */
	for (;;) {
		line = hear(slow);
		if (strstr(line, "\"resync\""))
			break;
		assert_int_equal(number_in(line, "\"worker\":"), got);
		got++;
	}
	assert_non_null(strstr(line, "\"reason\":\"slow-reader\""));
	missed = number_in(line, "\"missed\":");
	assert_int_equal(got + missed, MANY);
	/* No more than its budget and what the socket itself holds. */
	assert_true(got * 80 < RPC_EVENTS_MAX + (1 << 20));
	assert_true(missed > 0);
	/* And on it goes, for both, with no second word. */
	watch_health(&ctl, 77, false);
	assert_int_equal(number_in(hear(slow), "\"worker\":"), 77);
	assert_int_equal(number_in(hear(fast), "\"worker\":"), 77);
	say(slow, GET(6));
	assert_hears(slow, "\"id\":6");
	close(slow);
	close(fast);
}

static void a_snapshot_that_waits_does_not_use_up_the_room_for_events(void **state)
{
	int fd = connect_to(control.path);

	/* Answers up to where no more requests are taken, unread; the last request is to watch. */
	say(fd, DESCRIBE);
	say(fd, DESCRIBE);
	say(fd, WATCH("{\"events\":[\"node\"]}"));
	turn();
	for (unsigned i = 0; i < 1000; i++)
		watch_health(&ctl, i, true);
	assert_hears(fd, "\"drops\"");
	assert_hears(fd, "\"drops\"");
	assert_hears(fd, "\"objects\"");
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(number_in(hear(fd), "\"worker\":"), i);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_snapshot_comes_first_and_then_what_happens),
		TEST(every_event_of_the_switch_has_its_members),
		TEST(filters_bound_events_and_snapshot),
		TEST(what_is_not_known_is_refused),
		TEST(secrets_are_for_the_control_socket),
		TEST(the_next_watch_replaces_the_first_and_an_empty_one_ends_it),
		TEST(who_stops_sending_goes_on_hearing),
		TEST(the_switch_tells_what_it_has_before_a_second_snapshot),
		TEST(a_slow_reader_misses_events_and_is_told_once),
		TEST(a_snapshot_that_waits_does_not_use_up_the_room_for_events),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
