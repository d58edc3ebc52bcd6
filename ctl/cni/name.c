/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Names of ports. The hash is FNV-1a: container ids are the runtime's and unguessable or the operator's own, so there is nobody
 * to build a collision; should one happen all the same, the daemon refuses the second port, and nobody gets the first one's.
 */

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "conf.h"

#define READABLE_ID 12

#define FNV_BASIS UINT64_C(0xcbf29ce484222325)
#define FNV_PRIME UINT64_C(0x100000001b3)

/* With its NUL, so that "ab" "c" and "a" "bc" differ. */
static uint64_t hash(uint64_t h, const char *text)
{
	do
		h = (h ^ (unsigned char)*text) * FNV_PRIME;
	while (*text++);
	return h;
}

void conf_port_name(char name[PORT_NAME_SIZE], const char *network, const char *container, const char *ifname)
{
	uint64_t net = hash(FNV_BASIS, network), all = hash(hash(net, container), ifname);

	snprintf(name, PORT_NAME_SIZE, "%.*s-%.15s-%016" PRIx64 "%016" PRIx64, READABLE_ID, container, ifname, net, all);
	for (char *p = name; *p; p++)
		if (!isalnum((unsigned char)*p) && *p != '.' && *p != '_' && *p != '-')
			*p = '_';
}

bool conf_port_of_network(const char *name, const char *network)
{
	char net[PORT_NETWORK_SIZE];
	size_t len = strlen(name);

	snprintf(net, sizeof(net), "%016" PRIx64, hash(FNV_BASIS, network));
	return len > 33 && name[len - 33] == '-' && strspn(name + len - 32, "0123456789abcdef") == 32 &&
	       !memcmp(name + len - 32, net, 16);
}
