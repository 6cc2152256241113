// SPDX-License-Identifier: Apache-2.0

// Ends in the way its first argument names, after a byte or end-of-file on stdin.

#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static pthread_barrier_t together;

static void end_thread(int code)
{
	syscall(SYS_exit, code);
}

// The first thread must be gone before the others go on: it is a zombie then.
static void await_leader(void)
{
	usleep(50 * 1000);
}

static void *group_exit_later(void *arg)
{
	await_leader();
	_exit(7); // exit_group
}

static void *thread_exit_later(void *arg)
{
	await_leader();
	end_thread(9);
	return 0;
}

static void *signal_later(void *arg)
{
	await_leader();
	signal(SIGSEGV, SIG_DFL);
	syscall(SYS_tgkill, getpid(), gettid(), SIGSEGV);
	return 0;
}

static void *exec_later(void *arg)
{
	await_leader();
	execl("/bin/sh", "sh", "-c", "exit 11", (char *)0);
	_exit(1);
}

static void *exec_at_once(void *arg)
{
	execl("/bin/sh", "sh", "-c", "exit 12", (char *)0);
	_exit(1);
}

static void *exit_together(void *arg)
{
	pthread_barrier_wait(&together);
	end_thread(9);
	return 0;
}

static void start(void *(*run)(void *))
{
	pthread_t thread;

	if (pthread_create(&thread, 0, run, 0))
		_exit(99);
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";
	char byte;

	(void)!read(0, &byte, 1);
	if (!strcmp(mode, "leader-first-group-exit")) {
		start(group_exit_later);
		end_thread(5);
	} else if (!strcmp(mode, "leader-first-thread-exit")) {
		start(thread_exit_later);
		end_thread(5);
	} else if (!strcmp(mode, "leader-first-signal")) {
		start(signal_later);
		end_thread(5);
	} else if (!strcmp(mode, "leader-first-exec")) {
		start(exec_later);
		end_thread(5);
	} else if (!strcmp(mode, "thread-exec")) {
		start(exec_at_once);
		pause();
	} else if (!strcmp(mode, "together")) {
		pthread_barrier_init(&together, 0, 4);
		for (int i = 0; i < 3; i++)
			start(exit_together);
		pthread_barrier_wait(&together);
		end_thread(5);
	}
	return 98;
}
