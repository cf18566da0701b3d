/* Stands at the engine's place (/usr/bin/ignition) when boots are measured. It runs the engine and adds a line to /run/out/stages: the
   stage, the exit code, the microseconds of the system's clock when it began and ended, the engine's own CPU time in ns, that of
   the programs that it ran in us, its peak RSS in KiB.
   Its own: the clock of a process counts its threads, those that are gone too, and not its children. It is read when the engine has ended
   and nobody has waited for it yet, so what the kernel does at its end counts. Its memory is gone by then: the peak is read a moment
   before, where ptrace stops it. The children's is what wait4 says of the engine less the engine's own.
   Called as `mark` it notes what the system has done until then, and says so on the journal's console for the harness. As `labels` it
   makes what Debian's Ignition wants to see of SELinux in the new root, as `setfiles` it does nothing: that one cannot be told that
   there is no SELinux. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *engine = "/usr/libexec/vm-tests/engine";

static long long now(clockid_t clock) {
    struct timespec at = {0};
    clock_gettime(clock, &at);
    return at.tv_sec * 1000000000LL + at.tv_nsec;
}

static int mark(void) {
    char line[256] = "";
    long long at = now(CLOCK_MONOTONIC) / 1000;
    FILE *stat = fopen("/proc/stat", "r"), *console = fopen("/dev/hvc0", "w"), *out;
    if (console) {
        fprintf(console, "vm-tests: the root is switched to\n");
        fclose(console);
    }
    if (!stat || !fgets(line, sizeof line, stat)) return 126;
    if (!(out = fopen("/run/out/mark", "w"))) return 126;
    fprintf(out, "%lld %s", at, line);
    return fclose(out) ? 126 : 0;
}

static int labels(void) {
    static const char config[] = "SELINUX=disabled\nSELINUXTYPE=targeted\n";
    mkdir("/sysroot/etc/selinux", 0755);
    mkdir("/sysroot/etc/selinux/targeted", 0755);
    mkdir("/sysroot/etc/selinux/targeted/contexts", 0755);
    mkdir("/sysroot/etc/selinux/targeted/contexts/files", 0755);
    int empty = open("/sysroot/etc/selinux/targeted/contexts/files/file_contexts", O_WRONLY | O_CREAT, 0644);
    int file = open("/sysroot/etc/selinux/config", O_WRONLY | O_CREAT, 0644);
    return empty < 0 || file < 0 || write(file, config, sizeof config - 1) != (ssize_t)sizeof config - 1;
}

int main(int argc, char **argv) {
    const char *stage = "-";
    struct rusage u = {0};
    siginfo_t info;
    clockid_t clock = CLOCK_MONOTONIC;
    int status = 0, gate[2], i;
    long rss = 0;
    char line[256], name[64], go;

    if (strstr(argv[0], "setfiles")) return 0;
    mkdir("/run/out", 0755);
    if (strstr(argv[0], "labels")) return labels();
    if (strstr(argv[0], "mark")) return mark();
    for (i = 1; i < argc; i++)
        if (!strncmp(argv[i], "--stage=", 8)) stage = argv[i] + 8;
    if (pipe2(gate, O_CLOEXEC)) return 126;
    long long began = now(CLOCK_MONOTONIC);
    pid_t pid = fork();
    if (pid == 0) {
        if (read(gate[0], &go, 1) != 1) _exit(126);
        execv(engine, argv);
        _exit(127);
    }
    if (pid < 0 || ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACEEXIT | PTRACE_O_EXITKILL)) return 126;
    if (write(gate[1], "x", 1) != 1) return 126;
    for (;;) {
        memset(&info, 0, sizeof info);
        if (waitid(P_PID, pid, &info, WEXITED | WSTOPPED | WNOWAIT)) return 126;
        if (info.si_code != CLD_TRAPPED && info.si_code != CLD_STOPPED) break;
        if (waitpid(pid, &status, WSTOPPED) != pid) return 126;
        if (!WIFSTOPPED(status)) break;
        if (status >> 8 == (SIGTRAP | PTRACE_EVENT_EXIT << 8)) {
            snprintf(name, sizeof name, "/proc/%d/status", pid);
            FILE *in = fopen(name, "r");
            while (in && fgets(line, sizeof line, in))
                if (!strncmp(line, "VmHWM:", 6)) rss = atol(line + 6);
            if (in) fclose(in);
        }
        int stop = status >> 8 & 0xff;
        ptrace(PTRACE_CONT, pid, 0, status >> 16 || stop == SIGTRAP ? 0 : stop);
    }
    long long own = clock_getcpuclockid(pid, &clock) ? -1 : now(clock);
    if (wait4(pid, &status, 0, &u) != pid) return 126;
    long long ended = now(CLOCK_MONOTONIC);
    long long all = (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000LL + u.ru_utime.tv_usec + u.ru_stime.tv_usec;
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    FILE *out = fopen("/run/out/stages", "a");
    if (!out) return 126;
    fprintf(out, "%s %d %lld %lld %lld %lld %ld\n", stage, code, began / 1000, ended / 1000, own, all - own / 1000, rss);
    fclose(out);
    return code;
}
