/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CTL_CNI_ADDRESSES_H
#define CTL_CNI_ADDRESSES_H

/*
 * Which addresses, routes and name servers an attachment has, in the form of the newest specification whatever the version spoken:
 *
 *      ips     [{"address":"10.0.0.11/24","gateway":"10.0.0.1"}, ...]
 *      routes  [{"dst":"0.0.0.0/0","gw":"10.0.0.1",...}, ...]
 *      dns     {"nameservers":[...],...}
 *
 * They come from the IPAM plugin's result (any of its versions), or from what was asked for by name where there is no IPAM.
 *
 * Routes. In CNI a gateway beside an address is only known, not used; a route to it is in `routes` or nowhere. The first plain
 * default route of a family becomes the port's attribute `gateway`, which the daemon keeps; all others are set by this program
 * (link.h), a route without a gateway through the one beside the family's first address, and where there is none, straight to
 * the link.
 */

#include <stdbool.h>

#include <jansson.h>

#include "conf.h"
#include "link.h"

struct addresses {
	json_t *ips, *routes, *dns; /* never NULL once made */
};

/* From a plugin's result. DECODE. */
int addresses_from_result(struct addresses *a, const json_t *result, const char *plugin, struct cni_error *err);
/* From c->ips and c->gateway. BAD_CONFIG: without a prefix, not addresses. */
int addresses_from_wants(struct addresses *a, const struct cni_conf *c, struct cni_error *err);
void addresses_free(struct addresses *a);

/* The configuration's dns, where it says anything, is preferred to the plugin's. */
void addresses_prefer_dns(struct addresses *a, json_t *dns);

/*
 * The port's attributes: c->attrs with netns, ifname, label (the container's id, unless it is longer than one may be), addr, gateway,
 * mac and ips. A new object. `mac` is empty or the address to be given.
 *
 * Anti-spoofing (`ips`) is on if the configuration says so, or says nothing and there are addresses.
 */
json_t *addresses_port(const struct addresses *a, const struct cni_conf *c, const struct cni_env *env, const char *mac);
/*
 * The same for a container that is to ask for its address: unless the configuration turns anti-spoofing off, it may speak from 0.0.0.0 only, which is
 * what a host without an address does. And what the answer changes of it: addr, gateway, ips.
 */
json_t *addresses_asking(const struct cni_conf *c, const struct cni_env *env, const char *mac);
json_t *addresses_answered(const struct addresses *a, const struct cni_conf *c, const struct cni_env *env);
bool addresses_spoofcheck(const struct addresses *a, const struct cni_conf *c);

/* Routes that are not the port's `gateway`: into list[] (size max), *n of them. BAD_CONFIG if more. */
int addresses_routes(const struct addresses *a, struct link_route *list, unsigned max, unsigned *n, struct cni_error *err);

#endif
