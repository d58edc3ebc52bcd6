/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <stdlib.h>

#include <systemd/sd-daemon.h>

#include "log.h"
#include "supervise.h"
#include "watch.h"

struct supervise {
	struct ctl *ctl;
	sd_event_source *timer;
	uint64_t period_us;
	bool feeds;
	struct supervision seen;
};

bool supervision_note(struct supervision *s, unsigned i, uint64_t beat, bool *stuck)
{
	bool was = s->workers[i].stuck;

	*stuck = s->workers[i].known && s->workers[i].beat == beat;
	s->workers[i].beat = beat;
	s->workers[i].known = true;
	s->workers[i].stuck = *stuck;
	if (i >= s->n)
		s->n = i + 1;
	return *stuck != was;
}

bool supervision_well(const struct supervision *s)
{
	for (unsigned i = 0; i < s->n; i++)
		if (s->workers[i].stuck)
			return false;
	return true;
}

static void report(struct supervise *s, unsigned worker, bool stuck)
{
	struct dp_worker_stats w = {0};

	dp_worker_stats(s->ctl->dp, worker, &w);
	if (stuck)
		log_printf(LOG_CRIT, "worker %u on CPU %u makes no progress", worker, w.core);
	else
		log_printf(LOG_NOTICE, "worker %u on CPU %u makes progress again", worker, w.core);
	watch_health(s->ctl, worker, stuck);
	sd_notifyf(0, stuck ? "STATUS=Worker %u makes no progress" : "STATUS=Worker %u makes progress again", worker);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *arg)
{
	struct supervise *s = arg;
	uint64_t beat;
	bool stuck;

	for (unsigned i = 0; i < DP_MAX_WORKERS && dp_worker_beat(s->ctl->dp, i, &beat) == 0; i++)
		if (supervision_note(&s->seen, i, beat, &stuck))
			report(s, i, stuck);
	if (s->feeds && supervision_well(&s->seen))
		sd_notify(0, "WATCHDOG=1");
	sd_event_source_set_time_relative(source, s->period_us);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

int supervise_open(struct supervise **out, sd_event *event, struct ctl *ctl, uint64_t watchdog_us)
{
	struct supervise *s = calloc(1, sizeof(*s));
	int ret;

	if (!s)
		return -ENOMEM;
	s->ctl = ctl;
	s->feeds = watchdog_us > 0;
	s->period_us = s->feeds ? watchdog_us / 4 : SUPERVISE_PERIOD_US;
	/* At once: the first look only learns where everybody is, and the service manager counts from its own start. */
	ret = sd_event_add_time_relative(event, &s->timer, CLOCK_MONOTONIC, 0, s->period_us / 8, on_timer, s);
	if (ret < 0) {
		free(s);
		return ret;
	}
	*out = s;
	return 0;
}

void supervise_close(struct supervise *s)
{
	if (!s)
		return;
	sd_event_source_disable_unref(s->timer);
	free(s);
}
