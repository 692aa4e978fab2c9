// SPDX-License-Identifier: GPL-2.0-only
/*
 * SIGINT and SIGTERM are blocked in every thread and let in only while the
 * main thread waits, and only as long as the way back is open: so they cannot
 * get lost between a check and a wait, and come in nowhere else.
 */
#include <stddef.h>
#include <string.h>

#include "migrate.h"

static _Atomic int caught;	/* lock-free, so a handler may set it */
static sigset_t open_mask;

static void on_signal(int sig)
{
	if (sig != SIGUSR1)
		caught = sig;
}

/* Before any thread is started: they inherit the mask. */
void signals_setup(void)
{
	struct sigaction sa = { .sa_handler = on_signal };
	sigset_t block;

	sigemptyset(&block);
	sigaddset(&block, SIGINT);
	sigaddset(&block, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &block, &open_mask);
	sigdelset(&open_mask, SIGINT);
	sigdelset(&open_mask, SIGTERM);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGUSR1, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* The signal that asked us to stop, or 0. */
int signals_caught(void)
{
	return caught;
}

/* The mask to wait with for signals to come in. */
const sigset_t *signals_open(void)
{
	return &open_mask;
}
