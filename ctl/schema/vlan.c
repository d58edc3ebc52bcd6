/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Object "vlan". Its name is its id in decimal, so that two clients cannot call one VLAN by two names; what people call it is the
 * attribute `name`.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "objects.h"

#define AT(m)	  .offset = offsetof(struct vlan_conf, dp.m), .size = sizeof(((struct vlan_conf *)0)->dp.m)
#define MAC_LIMIT DP_FDB_MAX

static const struct schema_attr attrs[] = {
	{"name", SCHEMA_STRING, AT(name), .doc = "what people call it"},
	{"mac_limit", SCHEMA_U64, AT(mac_limit), .max = MAC_LIMIT, .doc = "learned addresses at most; 0: no limit"},
	{"aging_s", SCHEMA_U64, UNIT_S, AT(aging_s), .min = 1, .max = 1000000, .def = DP_AGING_DEFAULT_S,
	 .doc = "an address not heard for this long is forgotten"},
	{"storm_pps", SCHEMA_U64, UNIT_PPS, AT(storm_pps), .max = SCHEMA_PPS_MAX,
	 .doc = "broadcast, multicast and unknown unicast frames together at most; 0: no limit"},
	{.name = NULL},
};

static int set_name(void *conf, const char *name, struct schema_error *err)
{
	struct vlan_conf *vlan = conf;
	size_t len = strlen(name);
	unsigned long id;

	if (strspn(name, "0123456789") != len || name[0] == '0')
		return schema_fail(err, name[0] == '0' && len == 1 ? "out-of-range" : "bad-name", "name", NULL, "vlan %s: %s", name,
				   name[0] == '0' && len == 1 ? "out of range (1-4094)"
							      : "the name of a vlan is its id in decimal (1-4094)");
	id = len > 4 ? 9999 : strtoul(name, NULL, 10);
	if (id > 4094)
		return schema_fail(err, "out-of-range", "name", NULL, "vlan %s: out of range (1-4094)", name);
	vlan->dp.id = id;
	return 0;
}

const struct schema_object schema_vlan = {
	.name = "vlan",
	.doc = "a VLAN and its limits; it must be there before a port can have it as its own",
	.name_doc = "the VLAN's id, 1-4094",
	.size = sizeof(struct vlan_conf),
	.attrs = attrs,
	.set_name = set_name,
};
