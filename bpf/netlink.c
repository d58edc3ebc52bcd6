/* SPDX-License-Identifier: Apache-2.0 */
#include "netlink.h"

#include <errno.h>
#include <string.h>

#include <netlink/attr.h>
#include <netlink/errno.h>
#include <netlink/socket.h>
#include <sys/socket.h>

#define ANSWER_SIZE (64 << 10) /* a datagram of the kernel's is 32 KB at most */
#define HEARD_SIZE  (4 << 20)

int netlink_errno(int code)
{
	switch (code < 0 ? -code : 0) {
	case 0:
		return 0;
	case NLE_NOMEM:
		return -ENOMEM;
	case NLE_MSGSIZE:
	case NLE_ATTRSIZE:
		return -EMSGSIZE;
	default:
		return -EINVAL;
	}
}

/* libnl turns the errno of a system call that failed into a class; the errno itself is still where the call put it. */
static int system_error(void)
{
	return errno ? -errno : -EIO;
}

/* --- callbacks -------------------------------------------------------------------------------------------------------------- */

/* An answer to an earlier question, whose reading was given up, is nobody's. What is not from the kernel is no answer. */
static int on_sequence(struct nl_msg *msg, void *arg)
{
	const struct netlink *nl = arg;

	if (nlmsg_get_src(msg)->nl_pid)
		return NL_SKIP;
	return nl->listens || nlmsg_hdr(msg)->nlmsg_seq == nl->seq ? NL_OK : NL_SKIP;
}

static int on_message(struct nl_msg *msg, void *arg)
{
	struct netlink *nl = arg;
	int r = nl->each && (nl->listens || nl->result == 0) ? nl->each(nl->arg, msg) : 0;

	if (r < 0 && nl->result == 0)
		nl->result = r;
	return NL_OK;
}

static int answered(struct netlink *nl, int error)
{
	nl->answered = true;
	if (nl->result == 0)
		nl->result = error;
	return NL_STOP;
}

static int on_ack(struct nl_msg *msg, void *arg)
{
	return answered(arg, 0);
}

/* The kernel's text lies behind the `len` bytes of the verdict: NETLINK_CAP_ACK keeps the rest of the question out from between. */
static void take_text(struct netlink *nl, struct nlmsghdr *head, int len)
{
	struct nlattr *at[NLMSGERR_ATTR_MAX + 1];

	if (head->nlmsg_flags & NLM_F_ACK_TLVS && nlmsg_parse(head, len, at, NLMSGERR_ATTR_MAX, NULL) == 0 && at[NLMSGERR_ATTR_MSG])
		nla_strlcpy(nl->why, at[NLMSGERR_ATTR_MSG], sizeof(nl->why));
}

static int on_error(struct sockaddr_nl *who, struct nlmsgerr *e, void *arg)
{
	/* libnl hands over the payload; its header is before it. */
	take_text(arg, (struct nlmsghdr *)(void *)((char *)e - NLMSG_HDRLEN), sizeof(*e));
	return answered(arg, e->error);
}

/* A dump's end carries a verdict too, which libnl does not look at. */
static int on_finish(struct nl_msg *msg, void *arg)
{
	struct nlmsghdr *head = nlmsg_hdr(msg);
	int error = 0;

	if (nlmsg_datalen(head) >= (int)sizeof(error))
		memcpy(&error, nlmsg_data(head), sizeof(error));
	if (error < 0)
		take_text(arg, head, sizeof(error));
	return answered(arg, error);
}

static int on_torn(struct nl_msg *msg, void *arg)
{
	((struct netlink *)arg)->torn = true;
	return NL_OK;
}

/* --- open, close ------------------------------------------------------------------------------------------------------------ */

static int open_socket(struct netlink *nl)
{
	static const struct {
		enum nl_cb_type type;
		nl_recvmsg_msg_cb_t call;
	} calls[] = {{NL_CB_SEQ_CHECK, on_sequence},
		     {NL_CB_VALID, on_message},
		     {NL_CB_ACK, on_ack},
		     {NL_CB_FINISH, on_finish},
		     {NL_CB_DUMP_INTR, on_torn}};

	memset(nl, 0, sizeof(*nl));
	nl->sock = nl_socket_alloc();
	if (!nl->sock)
		return -ENOMEM;
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		nl_socket_modify_cb(nl->sock, calls[i].type, NL_CB_CUSTOM, calls[i].call, nl);
	nl_socket_modify_err_cb(nl->sock, NL_CB_CUSTOM, on_error, nl);
	/* A size given, no answer is looked at first to know how long it is. */
	nl_socket_set_msg_buf_size(nl->sock, ANSWER_SIZE);
	errno = 0;
	return nl_connect(nl->sock, NETLINK_ROUTE) < 0 ? system_error() : 0;
}

int netlink_open(struct netlink *nl)
{
	int r = open_socket(nl), on = 1;

	if (r < 0) {
		netlink_close(nl);
		return r;
	}
	/* Without these the text is missing, or old kernels send the request back: no reason to do without. */
	setsockopt(netlink_fd(nl), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
	setsockopt(netlink_fd(nl), SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
	return 0;
}

int netlink_listen(struct netlink *nl, int group)
{
	int r = open_socket(nl), room = HEARD_SIZE;

	if (r == 0) {
		nl->listens = true;
		setsockopt(netlink_fd(nl), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
		errno = 0;
		if (nl_socket_set_nonblocking(nl->sock) < 0 || nl_socket_add_membership(nl->sock, group) < 0)
			r = system_error();
	}
	if (r < 0)
		netlink_close(nl);
	return r;
}

void netlink_close(struct netlink *nl)
{
	if (nl->sock)
		nl_socket_free(nl->sock);
	nl->sock = NULL;
}

int netlink_fd(const struct netlink *nl)
{
	return nl_socket_get_fd(nl->sock);
}

/* --- questions -------------------------------------------------------------------------------------------------------------- */

struct nl_msg *netlink_request(int type, int flags, const void *header, size_t len)
{
	struct nl_msg *msg = nlmsg_alloc_simple(type, flags);

	if (msg && nlmsg_append(msg, (void *)header, len, NLMSG_ALIGNTO) < 0) {
		nlmsg_free(msg);
		msg = NULL;
	}
	return msg;
}

static int send_message(struct netlink *nl, struct nl_msg *msg)
{
	errno = 0;
	if (nl_send_auto(nl->sock, msg) < 0)
		return system_error();
	nl->seq = nlmsg_hdr(msg)->nlmsg_seq;
	return 0;
}

int netlink_ask(struct netlink *nl, int built, struct nl_msg *msg, netlink_each *each, void *arg)
{
	int r = built < 0 ? netlink_errno(built) : msg ? 0 : -ENOMEM;

	nl->why[0] = '\0';
	nl->unheard = false;
	if (r == 0)
		r = send_message(nl, msg);
	nlmsg_free(msg);
	if (r < 0)
		return r;
	nl->answered = nl->torn = false;
	nl->result = 0;
	nl->each = each;
	nl->arg = arg;
	while (!nl->answered) {
		errno = 0;
		/* The error that the kernel answered with comes back as a class: on_error() had it as it was. */
		if (nl_recvmsgs_default(nl->sock) < 0 && !nl->answered) {
			nl->unheard = true;
			return system_error();
		}
	}
	return nl->result == 0 && nl->torn ? -EINTR : nl->result;
}

int netlink_talk(struct netlink *nl, int built, struct nl_msg *msg)
{
	return netlink_ask(nl, built, msg, NULL, NULL);
}

int netlink_hear(struct netlink *nl, netlink_each *each, void *arg)
{
	nl->result = 0;
	nl->each = each;
	nl->arg = arg;
	for (unsigned i = 0; i < NETLINK_BURST; i++) {
		errno = 0;
		if (nl_recvmsgs_default(nl->sock) < 0)
			return errno == EAGAIN ? nl->result : system_error();
	}
	return nl->result;
}
