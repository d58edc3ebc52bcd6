/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Object "class": what traffic is worth, said once and meant alike by both engines. A port refers to one by name; what it says about the
 * wire today is its 802.1p code point, and what it says about bandwidth (min_bps, max_bps, weight, priority) will be further rows.
 *
 * The four that every node has begin with code points after the traffic types of IEEE 802.1Q, table I-2:
 *
 *   image      1  background: bulk that must not be felt by others. 802.1Q puts 1 below 0
 *   default    0  best effort: what a frame without a tag has anyway
 *   migration  2  excellent effort: best effort for the ones who matter, for a migration has a deadline and an image has none
 *   online     4  video, which stands for a delay under 100 ms: what answers people. Not 3 (critical applications): a switch of two queues keeps
 *                 4 apart from best effort (table 8-5), and 3 not. 5 and above are voice and the network's own control
 */

#include <stdio.h>
#include <string.h>

#include "objects.h"

#define AT(m) .offset = offsetof(struct class_conf, m), .size = sizeof(((struct class_conf *)0)->m)

static const struct schema_attr attrs[] = {
	{"pcp", SCHEMA_U64, .flags = SCHEMA_IMPLIED, AT(pcp), .aux = offsetof(struct class_conf, pcp_given), .max = 7,
	 .doc = "802.1p code point of its frames in every VLAN tag; without: online 4, migration 2, image 1, others 0"},
	{.name = NULL},
};

const struct class_conf schema_classes[SCHEMA_N_CLASSES] = {
	{.name = "online", .pcp = 4},
	{.name = "default", .pcp = 0},
	{.name = "migration", .pcp = 2},
	{.name = "image", .pcp = 1},
};

static int set_name(void *conf, const char *name, struct schema_error *err)
{
	struct class_conf *class = conf;

	snprintf(class->name, sizeof(class->name), "%s", name);
	return 0;
}

static void settle(void *conf)
{
	struct class_conf *class = conf;

	if (class->pcp_given)
		return;
	class->pcp = 0;
	for (unsigned i = 0; i < SCHEMA_N_CLASSES; i++)
		if (!strcmp(schema_classes[i].name, class->name))
			class->pcp = schema_classes[i].pcp;
}

static void unsay(void *conf)
{
	struct class_conf *class = conf;
	uint8_t kept = class->pcp;

	class->pcp_given = false;
	settle(conf);
	class->pcp_given = class->pcp != kept;
	class->pcp = kept;
}

const struct schema_object schema_class = {
	.name = "class",
	.doc = "what traffic is worth; online, default, migration and image are always there",
	.name_doc = "1-63 of a-z A-Z 0-9 . _ -",
	.size = sizeof(struct class_conf),
	.attrs = attrs,
	.set_name = set_name,
	.settle = settle,
	.unsay = unsay,
	.followed = true,
};
