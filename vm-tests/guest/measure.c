/* measure FILE PROGRAM...: runs it, writes its wall and CPU seconds (with what it waited for) and its own peak RSS in KiB.
   The peak that wait4 tells is that of the program or the largest of its children, mkfs or sgdisk: so the kernel stops the program
   when it ends, and its own is read. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
int main(int argc, char **argv) {
    struct timespec a, b;
    struct rusage u;
    int status = 0, gate[2];
    long rss = 0;
    char line[256], name[64], go;
    if (argc < 3 || pipe(gate)) return 126;
    pid_t pid = fork();
    if (pid == 0) {
        close(gate[1]);
        if (read(gate[0], &go, 1) != 1) _exit(126);
        close(gate[0]);
        execv(argv[2], argv + 2);
        _exit(127);
    }
    if (pid < 0 || ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACEEXIT | PTRACE_O_EXITKILL)) return 126;
    clock_gettime(CLOCK_MONOTONIC, &a);
    if (write(gate[1], "x", 1) != 1) return 126;
    while (wait4(pid, &status, 0, &u) == pid && WIFSTOPPED(status)) {
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
    clock_gettime(CLOCK_MONOTONIC, &b);
    FILE *out = fopen(argv[1], "w");
    if (!out) return 126;
    fprintf(out, "%.3f %.3f %ld\n", (b.tv_sec - a.tv_sec) + (b.tv_nsec - a.tv_nsec) / 1e9,
            u.ru_utime.tv_sec + u.ru_utime.tv_usec / 1e6 + u.ru_stime.tv_sec + u.ru_stime.tv_usec / 1e6, rss);
    fclose(out);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 125;
}
