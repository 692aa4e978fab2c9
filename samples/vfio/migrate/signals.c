// SPDX-License-Identifier: GPL-2.0-only
/*
 * SIGINT, SIGTERM and SIGHUP (unless that was ignored) are blocked in every thread and let in only while the
 * main thread waits: so they cannot get lost between a check and a wait, and
 * come in nowhere else.
 */
#include <stddef.h>
#include <string.h>

#include "migrate.h"

/*
 * A signal from a terminal, or through timeout(1), comes to a group and may come
 * twice: a second one has to be one that came later.
 */
#define SECOND_NS	(NSEC_PER_SEC / 2)

static _Atomic int caught;	/* lock-free, so a handler may set it */
static _Atomic uint64_t caught_ns;
static _Atomic bool again;
static sigset_t open_mask;

static void on_signal(int sig)
{
	if (sig == SIGUSR1)
		return;
	if (!caught) {
		caught_ns = now_ns();
		caught = sig;
	} else if (now_ns() - caught_ns >= SECOND_NS) {
		again = true;
	}
}

/* Before any thread is started: they inherit the mask. */
void signals_setup(void)
{
	static const int stop[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction sa = { .sa_handler = on_signal }, old;
	sigset_t wake, block;
	size_t i;

	/* Whoever started us may have blocked it. */
	sigaction(SIGUSR1, &sa, NULL);
	sigemptyset(&wake);
	sigaddset(&wake, SIGUSR1);
	pthread_sigmask(SIG_UNBLOCK, &wake, NULL);
	sigemptyset(&block);
	for (i = 0; i < ARRAY_SIZE(stop); i++)
		sigaddset(&block, stop[i]);
	pthread_sigmask(SIG_BLOCK, &block, &open_mask);
	for (i = 0; i < ARRAY_SIZE(stop); i++) {
		sigdelset(&open_mask, stop[i]);
		sigaction(stop[i], &sa, &old);
		if (stop[i] == SIGHUP && old.sa_handler == SIG_IGN)
			signal(SIGHUP, SIG_IGN);
	}
	signal(SIGPIPE, SIG_IGN);
}

/* The signal that asked us to stop, or 0. */
int signals_caught(void)
{
	return caught;
}

/* Has one come again: we are not to wait any longer, whatever for? */
bool signals_insist(void)
{
	return again;
}

/* The mask to wait with for signals to come in. */
const sigset_t *signals_open(void)
{
	return &open_mask;
}
