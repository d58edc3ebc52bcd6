// SPDX-License-Identifier: Apache-2.0
/*
 * The first process of a guest: it makes the small world that commands run in, and runs what the test asks for.
 *
 *      test (lab.py)                                  guest
 *     +-------------+   unix socket = serial port    +------------------------------------------+
 *     | Guest.run() | ------- run 7 12\nip link .. ->| agent, pid 1 ---- fork: /bin/sh -c ...   |
 *     |             | <------ done 7 0 354\n1: lo .. |       ^---- its output, to end of file   |
 *     +-------------+                                +------------------------------------------+
 *
 * Started as /init of the initramfs, it mounts proc, sysfs, devtmpfs and a tmpfs, loads the modules that /etc/modules names (one path
 * a line, in their order: nothing here knows dependencies), takes the second serial port and says `ready`. Then, for each request
 *
 *     run ID LENGTH\n, and LENGTH bytes of shell script
 *
 * it answers once the script has ended and nobody holds its output any more (a process left in the background with its output
 * elsewhere does not count),
 *
 *     done ID STATUS LENGTH\n, and LENGTH bytes: what it wrote, both streams together
 *
 * where STATUS is the shell's, 128 + n when a signal ended it. Requests run side by side, up to MAX_JOBS; one more than that, output
 * beyond MAX_OUTPUT or a request that cannot be read is a bug of the test, and ends the guest with a message on the console.
 *
 * The serial port is used because it needs no module and keeps working while the network, or virtio as a whole, is what is being
 * taken to pieces. It is slow (some 100 KB/s): what is long goes over the network, or stays in a file.
 *
 * A command that wants to see an event waits for it itself: the socket has no time in it, the test's deadline has.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define CHANNEL	   "/dev/ttyS1"
#define MODULES	   "/etc/modules"
#define MAX_JOBS   16
#define MAX_OUTPUT (1 << 20)
#define MAX_SCRIPT (64 << 10)

struct job {
	pid_t pid; /* 0: the place is free */
	unsigned id;
	int output;
	int status; /* -1 until the shell has been reaped */
	bool eof;
	char *text;
	size_t length;
};

static struct job jobs[MAX_JOBS];
static int channel;
static sigset_t unblocked; /* as it was at the start: what the scripts run with, and where SIGCHLD gets in */

/* The guest has no other way to say that it is broken: the kernel panics when pid 1 ends, and QEMU ends by that (-no-reboot). */
#define fatal(...) err(1, "agent: " __VA_ARGS__)

static void mount_at(const char *type, const char *where)
{
	if (mkdir(where, 0755) && errno != EEXIST)
		fatal("%s", where);
	if (mount(type, where, type, 0, NULL) && errno != EBUSY)
		fatal("mount %s", where);
}

static void load_modules(void)
{
	char line[256];
	FILE *list = fopen(MODULES, "r");

	if (!list)
		fatal(MODULES);
	while (fgets(line, sizeof(line), list)) {
		line[strcspn(line, "\n")] = 0;
		int fd = open(line, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) && errno != EEXIST))
			fatal("module %s", line);
		close(fd);
	}
	fclose(list);
}

static void open_channel(void)
{
	struct termios tty;

	channel = open(CHANNEL, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (channel < 0 || tcgetattr(channel, &tty))
		fatal(CHANNEL);
	cfmakeraw(&tty);
	cfsetspeed(&tty, B115200);
	tty.c_cflag |= CLOCAL;
	if (tcsetattr(channel, TCSANOW, &tty))
		fatal(CHANNEL);
}

static void say(const void *data, size_t length)
{
	for (const char *at = data; length;) {
		ssize_t n = write(channel, at, length);
		if (n < 0 && errno != EINTR)
			fatal("write");
		if (n > 0) {
			at += n;
			length -= (size_t)n;
		}
	}
}

static void hear(void *data, size_t length)
{
	for (char *at = data; length;) {
		ssize_t n = read(channel, at, length);
		if (n == 0 || (n < 0 && errno != EINTR))
			fatal("read");
		if (n > 0) {
			at += n;
			length -= (size_t)n;
		}
	}
}

static void start_job(unsigned id, char *script)
{
	struct job *job = jobs;
	int ends[2];

	while (job < jobs + MAX_JOBS && job->pid)
		job++;
	if (job == jobs + MAX_JOBS) {
		errno = EAGAIN;
		fatal("a job too many");
	}
	if (pipe2(ends, O_CLOEXEC))
		fatal("pipe");
	*job = (struct job){.id = id, .output = ends[0], .status = -1, .pid = fork()};
	if (job->pid < 0)
		fatal("fork");
	if (job->pid == 0) {
		setsid();
		/* A shell that cannot hear SIGCHLD waits for ever. */
		sigprocmask(SIG_SETMASK, &unblocked, NULL);
		int null = open("/dev/null", O_RDONLY);
		dup2(null, 0);
		dup2(ends[1], 1);
		dup2(ends[1], 2);
		execl("/bin/sh", "sh", "-c", script, NULL);
		fatal("/bin/sh");
	}
	close(ends[1]);
}

/* One whole request: the test sends them whole, so that waiting for the rest of one keeps nobody. */
static void take_request(void)
{
	char line[64];
	unsigned id, length;
	size_t used = 0;

	do {
		if (used == sizeof(line) - 1) {
			errno = EMSGSIZE;
			fatal("request");
		}
		hear(&line[used], 1);
	} while (line[used++] != '\n');
	line[used] = 0;
	if (sscanf(line, "run %u %u", &id, &length) != 2 || length > MAX_SCRIPT) {
		errno = EPROTO;
		fatal("request %s", line);
	}
	char *script = calloc(1, length + 1);
	if (!script)
		fatal("request");
	hear(script, length);
	start_job(id, script);
	free(script);
}

static void take_output(struct job *job)
{
	char buffer[4096];
	ssize_t n = read(job->output, buffer, sizeof(buffer));

	if (n < 0)
		fatal("output");
	if (n == 0) {
		close(job->output);
		job->eof = true;
		return;
	}
	job->text = realloc(job->text, job->length + (size_t)n);
	if (!job->text || job->length + (size_t)n > MAX_OUTPUT) {
		errno = EMSGSIZE;
		fatal("output");
	}
	memcpy(job->text + job->length, buffer, (size_t)n);
	job->length += (size_t)n;
}

/* Pid 1 inherits every orphan: reap them all, note those that are ours. */
static void reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (struct job *job = jobs; job < jobs + MAX_JOBS; job++)
			if (job->pid == pid)
				job->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void answer_ended(void)
{
	char line[64];

	for (struct job *job = jobs; job < jobs + MAX_JOBS; job++) {
		if (!job->pid || !job->eof || job->status < 0)
			continue;
		int n = snprintf(line, sizeof(line), "done %u %d %zu\n", job->id, job->status, job->length);
		say(line, (size_t)n);
		say(job->text, job->length);
		free(job->text);
		job->pid = 0;
	}
}

static void serve(void)
{
	struct pollfd fds[1 + MAX_JOBS];
	struct job *whose[1 + MAX_JOBS];

	for (;;) {
		nfds_t count = 1;
		fds[0] = (struct pollfd){.fd = channel, .events = POLLIN};
		for (struct job *job = jobs; job < jobs + MAX_JOBS; job++)
			if (job->pid && !job->eof) {
				whose[count] = job;
				fds[count++] = (struct pollfd){.fd = job->output, .events = POLLIN};
			}
		/* SIGCHLD is let in here only, so that no child's end is missed between reap() and sleep. */
		if (ppoll(fds, count, NULL, &unblocked) < 0 && errno != EINTR)
			fatal("poll");
		else if (errno == EINTR)
			errno = 0;
		reap();
		for (nfds_t i = 1; i < count; i++)
			if (fds[i].revents)
				take_output(whose[i]);
		if (fds[0].revents)
			take_request();
		answer_ended();
	}
}

static void on_child(int signum)
{
	(void)signum;
}

int main(void)
{
	sigset_t child;

	mount_at("devtmpfs", "/dev");
	mount_at("proc", "/proc");
	mount_at("sysfs", "/sys");
	mount_at("tmpfs", "/tmp");
	load_modules();
	setenv("PATH", "/bin:/sbin:/usr/bin:/usr/sbin", 1);
	setenv("HOME", "/", 1);
	open_channel();

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, &unblocked);
	sigaction(SIGCHLD, &(struct sigaction){.sa_handler = on_child}, NULL);
	say("ready\n", 6);
	serve();
}
