/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "delegate.h"

/* One run of a plugin. */
struct run {
	pid_t pid;
	int in, out; /* its stdin and stdout, our ends; -1 once closed */
	const char *input;
	size_t input_left;
	char *output; /* CONF_BYTES_MAX + 1 */
	size_t n;
	int64_t deadline_ms;
};

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

/* --- finding ------------------------------------------------------------------------------------------------------------------ */

/* By another name, this program would run itself until the time is up. */
static int not_us(const struct cni_conf *c, const struct stat *st, struct cni_error *err)
{
	struct stat us;

	if (stat("/proc/self/exe", &us) < 0 || us.st_dev != st->st_dev || us.st_ino != st->st_ino)
		return 0;
	return cni_fail(err, CNI_BAD_CONFIG, NULL, "ipam type %.60s: not the name of an IPAM plugin, but of sluice-cni", c->ipam);
}

static int find(const struct cni_conf *c, const struct cni_env *env, char *path, size_t size, struct cni_error *err)
{
	const char *dir = env->path;
	struct stat st;

	if (!dir)
		return cni_fail(err, CNI_BAD_ENVIRONMENT, "ipam needs it", "invalid environment: CNI_PATH (not set)");
	while (*dir) {
		int len = strcspn(dir, ":");

		if (len && (size_t)snprintf(path, size, "%.*s/%s", len, dir, c->ipam) < size && stat(path, &st) == 0 &&
		    S_ISREG(st.st_mode) && access(path, X_OK) == 0)
			return not_us(c, &st, err);
		dir += len + (dir[len] == ':');
	}
	return cni_fail(err, CNI_BAD_CONFIG, NULL, "IPAM plugin %.60s: not found in %.300s", c->ipam, env->path);
}

/* --- running ------------------------------------------------------------------------------------------------------------------ */

/* In the child. */
static void become(const char *path, enum cni_command command, const struct cni_env *env, int in, int out)
{
	char *argv[] = {(char *)path, NULL};

	/* A group of its own, to be killed as one; and not to outlive us if a runtime loses its patience first. */
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_DFL);
	if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0)
		_exit(126);
	env_export(env, command);
	execv(path, argv);
	dprintf(STDERR_FILENO, "sluice-cni: %s: %s\n", path, strerror(errno));
	_exit(127);
}

static int start(struct run *r, const char *path, enum cni_command command, const struct cni_env *env)
{
	int in[2], out[2];

	if (pipe2(in, O_CLOEXEC) < 0)
		return -errno;
	if (pipe2(out, O_CLOEXEC) < 0) {
		close(in[0]);
		close(in[1]);
		return -EMFILE;
	}
	r->pid = fork();
	if (r->pid == 0)
		become(path, command, env, in[0], out[1]);
	if (r->pid > 0)
		setpgid(r->pid, r->pid); /* whoever comes first: a kill must not miss it */
	close(in[0]);
	close(out[1]);
	r->in = in[1];
	r->out = out[0];
	fcntl(r->in, F_SETFL, O_NONBLOCK);
	fcntl(r->out, F_SETFL, O_NONBLOCK);
	return r->pid < 0 ? -EAGAIN : 0;
}

static void close_end(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void feed(struct run *r)
{
	ssize_t n = r->input_left ? write(r->in, r->input, r->input_left) : 0;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	/* A plugin that does not want to know is not wrong for it. */
	if (n < 0)
		r->input_left = 0;
	else {
		r->input += n;
		r->input_left -= n;
	}
	if (!r->input_left)
		close_end(&r->in);
}

/* 0, -EFBIG, -EIO. */
static int take(struct run *r)
{
	ssize_t n = read(r->out, r->output + r->n, CONF_BYTES_MAX + 1 - r->n);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -EIO;
	r->n += n;
	if (r->n > CONF_BYTES_MAX)
		return -EFBIG;
	if (n == 0)
		close_end(&r->out);
	return 0;
}

/* Feed and read until it closes its output. 0, -ETIMEDOUT, -EFBIG, -EIO. */
static int converse(struct run *r)
{
	while (r->out >= 0) {
		struct pollfd fds[2] = {{.fd = r->out, .events = POLLIN}, {.fd = r->in, .events = POLLOUT}};
		int64_t left = r->deadline_ms - now_ms();
		int ret;

		if (left <= 0)
			return -ETIMEDOUT;
		if (poll(fds, 2, left) < 0 && errno != EINTR)
			return -EIO;
		if (fds[1].revents)
			feed(r);
		ret = fds[0].revents ? take(r) : 0;
		if (ret < 0)
			return ret;
	}
	return 0;
}

/* Its wait status, or -ETIMEDOUT; whoever closed its output and does not end is ended, and so is what it leaves behind. */
static int reap(struct run *r, int *status)
{
	int fd = pidfd_open(r->pid, 0), ret = 0;
	struct pollfd ended = {.fd = fd, .events = POLLIN};
	int64_t left = r->deadline_ms - now_ms();

	if (fd < 0 || left <= 0 || poll(&ended, 1, left) <= 0)
		ret = -ETIMEDOUT;
	/* Before the wait: until then the number is its own. */
	kill(-r->pid, SIGKILL);
	while (waitpid(r->pid, status, 0) < 0 && errno == EINTR)
		;
	close_end(&fd);
	return ret;
}

/* Run the program to its end: its status in *status, its output in r->output, ended by NUL. 0 or a negative errno. */
static int run(struct run *r, const char *path, enum cni_command command, const struct cni_env *env, const char *input,
	       int timeout_ms, int *status)
{
	int ret, late;

	memset(r, 0, sizeof(*r));
	r->output = malloc(CONF_BYTES_MAX + 2);
	if (!r->output)
		return -ENOMEM;
	r->input = input;
	r->input_left = strlen(input);
	r->deadline_ms = now_ms() + timeout_ms;
	ret = start(r, path, command, env);
	if (ret < 0)
		return ret;
	ret = converse(r);
	if (ret < 0)
		r->deadline_ms = 0;
	late = reap(r, status);
	close_end(&r->in);
	close_end(&r->out);
	r->output[r->n] = '\0';
	return ret < 0 ? ret : late;
}

/* --- understanding ------------------------------------------------------------------------------------------------------------ */

static int run_failed(const struct cni_conf *c, int ret, struct cni_error *err)
{
	if (ret == -ETIMEDOUT)
		return cni_fail(err, CNI_TRY_AGAIN, "ipamTimeoutMs is its time", "IPAM plugin %.60s: not done after %d ms", c->ipam,
				c->ipam_timeout_ms);
	if (ret == -EFBIG)
		return cni_fail(err, CNI_DECODE, NULL, "IPAM plugin %.60s: printed more than %u bytes", c->ipam, CONF_BYTES_MAX);
	if (ret == -ENOMEM)
		return cni_no_memory(err);
	return cni_fail(err, CNI_IO, NULL, "IPAM plugin %.60s: cannot be run: %s", c->ipam, strerror(-ret));
}

/* Its error, as it says itself; or what can be said about one that says nothing. */
static int plugin_failed(const struct cni_conf *c, const json_t *said, int status, struct cni_error *err)
{
	json_int_t code = json_integer_value(json_object_get(said, "code"));
	const char *msg = json_string_value(json_object_get(said, "msg"));

	if (code > 0 && code <= INT32_MAX && msg)
		return cni_fail(err, (int)code, json_string_value(json_object_get(said, "details")), "IPAM plugin %.60s: %.400s",
				c->ipam, msg);
	if (WIFSIGNALED(status))
		return cni_fail(err, CNI_IPAM, NULL, "IPAM plugin %.60s: killed by signal %d", c->ipam, WTERMSIG(status));
	return cni_fail(err, CNI_IPAM, NULL, "IPAM plugin %.60s: exit status %d, and no error on its output", c->ipam,
			WEXITSTATUS(status));
}

static int run_once(const struct cni_conf *c, const struct cni_env *env, const char *path, enum cni_command command,
		    const json_t *config, json_t **said, struct cni_error *err)
{
	char *input = json_dumps(config, JSON_COMPACT);
	json_error_t bad;
	int status = 0, ret;
	struct run r;

	*said = NULL;
	if (!input)
		return cni_no_memory(err);
	ret = run(&r, path, command, env, input, c->ipam_timeout_ms, &status);
	free(input);
	if (ret == 0)
		*said = json_loads(r.output, JSON_REJECT_DUPLICATES, &bad);
	free(r.output);
	if (ret < 0)
		return run_failed(c, ret, err);
	return status ? plugin_failed(c, *said, status, err) : 0;
}

/* --- versions ----------------------------------------------------------------------------------------------------------------- */

/* The newest that the plugin and the configuration both know: CNI_VERSIONS if none. */
static int common_version(const struct cni_conf *c, const struct cni_env *env, const char *path, enum cni_version *common,
			  struct cni_error *err)
{
	json_t *said, *version;
	size_t i;
	int ret = run_once(c, env, path, CNI_VERSION, c->json, &said, err);

	*common = CNI_VERSIONS;
	json_array_foreach (json_object_get(said, "supportedVersions"), i, version) {
		enum cni_version v = json_is_string(version) ? cni_version_parse(json_string_value(version)) : CNI_VERSIONS;

		if (v <= c->version && (*common == CNI_VERSIONS || v > *common))
			*common = v;
	}
	json_decref(said);
	return ret;
}

static int run_as(const struct cni_conf *c, const struct cni_env *env, const char *path, enum cni_command command,
		  enum cni_version version, json_t **said, struct cni_error *err)
{
	json_t *config = json_copy(c->json);
	int ret;

	json_object_set_new(config, "cniVersion", json_string(cni_version_name(version)));
	/* A DEL that a GC came to is one like all others. */
	if (command != CNI_GC)
		json_object_del(config, CONF_VALID);
	ret = run_once(c, env, path, command, config, said, err);
	json_decref(config);
	return ret;
}

int delegate(const struct cni_conf *c, const struct cni_env *env, enum cni_command command, json_t **result, struct cni_error *err)
{
	enum cni_version version = c->version;
	struct cni_error first;
	json_t *said = NULL;
	char path[4096];
	int ret = find(c, env, path, sizeof(path), err);

	if (result)
		*result = NULL;
	if (ret)
		return ret;
	if (command == CNI_GC || command == CNI_STATUS) {
		ret = common_version(c, env, path, &version, err);
		if (ret || version < CNI_1_1_0 || version == CNI_VERSIONS)
			return ret;
	}
	ret = run_as(c, env, path, command, version, &said, err);
	first = *err;
	if (ret == CNI_INCOMPATIBLE && common_version(c, env, path, &version, err) == 0 && version < c->version) {
		json_decref(said);
		ret = run_as(c, env, path, command, version, &said, err);
	} else if (ret == CNI_INCOMPATIBLE)
		*err = first;
	if (!ret && result && !json_is_object(said))
		ret = cni_fail(err, CNI_DECODE, NULL, "IPAM plugin %.60s: what it printed is not a result", c->ipam);
	if (!ret)
		err->code = 0; /* of a first try */
	if (!ret && result)
		*result = said;
	else
		json_decref(said);
	return ret;
}

bool delegate_needs_link(const struct cni_conf *c)
{
	return c->ipam && !strcmp(c->ipam, "dhcp");
}
