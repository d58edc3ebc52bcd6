/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What kept a tap from being opened, for people. One errno means another thing at each step, so a cause is named only for the step at which
 * the kernel can mean nothing else by it; everything else is told in the kernel's own words.
 */
#include <errno.h>
#include <string.h>

#include "tap/tap.h"

#define AT(step)  (1u << (step))
#define ON_NETDEV (AT(TAP_MAKING) | AT(TAP_ATTACHING) | AT(TAP_SETTING_UP))
#define ANYWHERE  (ON_NETDEV | AT(TAP_OPENING) | AT(TAP_BUFFERS))

static const struct cause {
	unsigned steps;
	int is;		  /* from the kernel */
	int code;	  /* to the caller */
	const char *name; /* stable */
	const char *attr, *text, *hint;
} causes[] = {
	{AT(TAP_OPENING), ENOENT, ENOENT, "no-such-device", "ifname", "there is no /dev/net/tun", "modprobe tun"},
	{AT(TAP_OPENING), ENODEV, ENODEV, "no-such-device", "ifname", "no driver behind /dev/net/tun", "modprobe tun"},
	{AT(TAP_OPENING), ENXIO, ENXIO, "no-such-device", "ifname", "no driver behind /dev/net/tun", "modprobe tun"},
	/* Opening it needs no capability. */
	{AT(TAP_OPENING), EACCES, EACCES, "not-permitted", "ifname", "/dev/net/tun may not be opened",
	 "the permissions of the file"},
	{AT(TAP_OPENING), EPERM, EPERM, "not-permitted", "ifname", "/dev/net/tun may not be opened",
	 "DeviceAllow=/dev/net/tun rw, or the container's device cgroup"},

	{AT(TAP_MAKING), EBUSY, EEXIST, "exists", "ifname", "a netdev of that name is there already",
	 "a tap port makes its netdev; use af-packet for one that is there"},
	{AT(TAP_MAKING), EEXIST, EEXIST, "exists", "ifname", "another netdev has that as an alternative name", "another ifname"},
	{AT(TAP_MAKING), EINVAL, EINVAL, "device-error", "ifname",
	 "the kernel takes no tap of that name with vnet headers and several queues", NULL},
	/* Ours: it is not the one that is meant. */
	{AT(TAP_MAKING) | AT(TAP_ATTACHING), ESTALE, ENODEV, "no-such-device", "ifname", "the netdev is not there any more", NULL},
	{AT(TAP_ATTACHING), EBUSY, EBUSY, "in-use", "ifname", "somebody else has it open", NULL},
	{AT(TAP_ATTACHING), E2BIG, E2BIG, "in-use", "queues", "its queues are all taken", "fewer queues"},
	{AT(TAP_ATTACHING), EINVAL, EINVAL, "unsupported", "ifname", "it is no tap of several queues", NULL},
	{AT(TAP_MAKING) | AT(TAP_ATTACHING), EPERM, EPERM, "not-permitted", "ifname", "making or taking a tap is not permitted",
	 "CAP_NET_ADMIN is needed"},
	{AT(TAP_SETTING_UP), EPERM, EPERM, "not-permitted", "ifname", "setting the netdev up is not permitted",
	 "CAP_NET_ADMIN is needed, and CAP_SYS_ADMIN where somebody has moved it into another namespace"},
	{AT(TAP_SETTING_UP), ENODEV, ENODEV, "no-such-device", "ifname", "the netdev is not there any more", NULL},

	{AT(TAP_BUFFERS), ENOBUFS, ENOBUFS, "no-memory", NULL, "no buffers for a queue", "sluiced --buffers"},
	{ANYWHERE, ENOMEM, ENOMEM, "no-memory", NULL, "out of memory", NULL},
	{ANYWHERE, EMFILE, EMFILE, "too-many-files", NULL, "the daemon has as many files open as it may",
	 "LimitNOFILE=, ulimit -n"},
	{ANYWHERE, ENFILE, ENFILE, "too-many-files", NULL, "the system has as many files open as it may", "sysctl fs.file-max"},
};

int tap_fail(struct dp_error *err, int r, enum tap_step step, const char *ifname)
{
	static const char *const steps[] = {
		[TAP_OPENING] = "opening /dev/net/tun",	     [TAP_MAKING] = "making the netdev",
		[TAP_ATTACHING] = "attaching to the netdev", [TAP_BUFFERS] = "buffers of a queue",
		[TAP_SETTING_UP] = "setting the netdev up",
	};

	for (unsigned i = 0; i < sizeof(causes) / sizeof(causes[0]); i++) {
		const struct cause *c = &causes[i];

		if (c->steps & AT(step) && c->is == -r)
			return dp_fail(err, -c->code, c->name, c->attr, c->hint, "%s: %s", ifname, c->text);
	}
	return dp_fail(err, r, "device-error", "ifname", NULL, "%s: %s: %s", ifname, steps[step], strerror(-r));
}
