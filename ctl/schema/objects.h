/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CTL_OBJECTS_H
#define CTL_OBJECTS_H

/*
 * The C structs behind the objects' tables.
 *
 * An object that the dataplane carries starts with the dataplane's own struct, so that its configuration is handed over as a pointer
 * and not translated. What only the control plane must remember comes behind it.
 */

#include "dataplane.h"
#include "schema.h"

struct vlan_conf {
	struct dp_vlan_conf dp; /* first: apply.c passes a pointer to it */
};

struct class_conf {
	char name[DP_NAME_MAX];
	uint8_t pcp; /* 0-7 */
	bool pcp_given;
};

struct port_conf {
	struct dp_port_conf dp; /* first */
	/*
	 * vlan_mode was given. If not, it follows from `vlan` each time the port changes, as an empty vlan_mode column of Open
	 * vSwitch's does: access with a VLAN, a trunk of all VLANs without.
	 */
	bool vlan_mode_given;

	/* kind=veth: the container's end of the pair. */
	char netns[108];
	uint8_t n_addrs, n_gateways;
	struct dp_ip addrs[DP_MAX_IPS];
	struct dp_ip gateways[2];

	char class_name[DP_NAME_MAX]; /* "": none */
	/*
	 * The class's code point is in `dp`. Not so of kind=trunk, whose frames are containers' with code points of their own: there the class is
	 * the host's own stack's, and the code point here.
	 */
	bool host_has_pcp;
	uint8_t host_pcp;

	char label[256]; /* whose it is, in its maker's own words */
};

_Static_assert(sizeof(struct vlan_conf) <= SCHEMA_CONF_MAX && sizeof(struct port_conf) <= SCHEMA_CONF_MAX, "raise SCHEMA_CONF_MAX");

extern const struct schema_object schema_vlan;
extern const struct schema_object schema_class;
extern const struct schema_object schema_port;
extern const struct schema_object schema_node;

/* The classes that every node has, as they are before anybody has changed them. */
#define SCHEMA_N_CLASSES 4
extern const struct class_conf schema_classes[SCHEMA_N_CLASSES];

#endif
