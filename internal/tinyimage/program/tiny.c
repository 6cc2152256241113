/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The one program of the tiny image. It is freestanding: no C library, no
 * heap, no data segment; a running copy dirties its stack and nothing else,
 * so that what a container of it costs is what a container costs.
 *
 * The mode is the name it is called by, or its first argument:
 *
 *   true, false       exit 0, 1
 *   exit N            exit N
 *   echo WORD...      print the words
 *   sleep SECONDS     sleep; SIGTERM and SIGINT end it with status 0
 *   wait              sleep for ever; the same signals end it
 *   talk              answer each line of stdin, then wait
 */

#if defined(__x86_64__)
enum { SYS_read = 0, SYS_write = 1, SYS_rt_sigaction = 13, SYS_nanosleep = 35,
       SYS_getpid = 39, SYS_exit_group = 231, SYS_uname = 63 };

static long sys4(long n, long a, long b, long c, long d)
{
	long r;
	register long r10 __asm__("r10") = d;
	__asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
	return r;
}

/* The stack pointer at entry points at argc. */
__asm__(".globl _start\n_start:\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall run\n\thlt\n");

#elif defined(__aarch64__)
enum { SYS_read = 63, SYS_write = 64, SYS_nanosleep = 101, SYS_rt_sigaction = 134, SYS_uname = 160,
       SYS_getpid = 172, SYS_exit_group = 94 };

static long sys4(long n, long a, long b, long c, long d)
{
	register long x8 __asm__("x8") = n;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	__asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
	return x0;
}

__asm__(".globl _start\n_start:\n\tmov x0, sp\n\tbl run\n\tbrk #1\n");

#else
#error "no system call convention for this machine"
#endif

#define SA_RESTORER 0x04000000
#define EINTR 4
enum { SIGINT = 2, SIGTERM = 15, SIGCHLD = 17 };

struct action {
	void (*handler)(int);
	unsigned long flags;
	void (*restorer)(void);
	unsigned long mask;
};

struct timespec {
	long sec, nsec;
};

struct utsname {
	char sysname[65], nodename[65], release[65], version[65], machine[65], domain[65];
};

static __attribute__((noreturn)) void leave(int status)
{
	for (;;)
		sys4(SYS_exit_group, status, 0, 0, 0);
}

static unsigned long length(const char *s)
{
	unsigned long n = 0;
	while (s[n])
		n++;
	return n;
}

static int equal(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

static const char *basename(const char *path)
{
	const char *name = path;
	for (; *path; path++)
		if (*path == '/')
			name = path + 1;
	return name;
}

static long number(const char *s)
{
	long n = 0;
	while (*s >= '0' && *s <= '9')
		n = n * 10 + (*s++ - '0');
	return n;
}

static void put(const char *s, unsigned long n)
{
	while (n > 0) {
		long w = sys4(SYS_write, 1, (long)s, (long)n, 0);
		if (w == -EINTR)
			continue;
		if (w <= 0)
			leave(1);
		s += w;
		n -= (unsigned long)w;
	}
}

static void print(const char *s)
{
	put(s, length(s));
}

static void print_number(long n)
{
	char digits[20];
	int i = sizeof digits;
	do {
		digits[--i] = (char)('0' + n % 10);
		n /= 10;
	} while (n > 0);
	put(digits + i, sizeof digits - (unsigned long)i);
}

static void on_signal(int signal)
{
	(void)signal;
	leave(0);
}

/*
 * The first process of a pid namespace has no default actions: without a
 * handler SIGTERM would be dropped. The handler never returns, so the restorer
 * x86-64 insists on is never called. Children left behind by exec'd processes
 * are reaped by the kernel when SIGCHLD is ignored (1 is SIG_IGN).
 */
static void handle_signals(void)
{
	struct action stop = { on_signal, SA_RESTORER, (void (*)(void))on_signal, 0 };
	struct action ignore = { (void (*)(int))1, 0, 0, 0 };
	sys4(SYS_rt_sigaction, SIGTERM, (long)&stop, 0, 8);
	sys4(SYS_rt_sigaction, SIGINT, (long)&stop, 0, 8);
	sys4(SYS_rt_sigaction, SIGCHLD, (long)&ignore, 0, 8);
}

static void sleep_for(long seconds)
{
	struct timespec left = { seconds, 0 };
	while (sys4(SYS_nanosleep, (long)&left, (long)&left, 0, 0) == -EINTR)
		;
}

static __attribute__((noreturn)) void wait_for_ever(void)
{
	for (;;)
		sleep_for(1L << 30);
}

static void answer(const char *line, unsigned long n)
{
	struct utsname name;
	sys4(SYS_uname, (long)&name, 0, 0, 0);
	print("container ");
	print(name.nodename);
	print(", process ");
	print_number(sys4(SYS_getpid, 0, 0, 0, 0));
	print(", heard: ");
	put(line, n);
	print("\n");
}

/* A line longer than the buffer is answered in pieces. */
static void talk(void)
{
	char line[256];
	unsigned long n = 0;
	for (;;) {
		long r = sys4(SYS_read, 0, (long)(line + n), 1, 0);
		if (r == -EINTR)
			continue;
		if (r <= 0)
			break;
		if (line[n] == '\n' || ++n == sizeof line) {
			answer(line, n);
			n = 0;
		}
	}
	if (n > 0)
		answer(line, n);
}

static void echo(char **words)
{
	for (; *words; words++) {
		print(*words);
		print(words[1] ? " " : "");
	}
	print("\n");
}

static __attribute__((noreturn)) void run_mode(const char *mode, char **args)
{
	if (equal(mode, "true"))
		leave(0);
	if (equal(mode, "false"))
		leave(1);
	if (equal(mode, "exit"))
		leave(*args ? (int)number(*args) : 0);
	if (equal(mode, "echo")) {
		echo(args);
		leave(0);
	}
	handle_signals();
	if (equal(mode, "sleep")) {
		sleep_for(*args ? number(*args) : 0);
		leave(0);
	}
	if (equal(mode, "talk")) {
		talk();
		wait_for_ever();
	}
	if (equal(mode, "wait"))
		wait_for_ever();
	print("usage: tiny true|false|exit N|echo WORD...|sleep SECONDS|wait|talk\n");
	leave(2);
}

__attribute__((noreturn, used)) void run(long *stack)
{
	long count = *stack;
	char **args = (char **)(stack + 1);
	if (count > 0 && !equal(basename(args[0]), "tiny"))
		run_mode(basename(args[0]), args + 1);
	if (count > 1)
		run_mode(args[1], args + 2);
	run_mode("", args);
}
