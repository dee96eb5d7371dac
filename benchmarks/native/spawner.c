/* The floor: start processes in the order of their dependencies, and nothing else.
 *
 * usage: spawner TASKS SLOTS TICK OUTDIR [LOGDIR]
 *
 * TASKS has a line a task: ID SECONDS COUNT PREDECESSOR..., where a predecessor is a line number from 0.
 * At most SLOTS processes run at once, ready tasks start first come, first served, by posix_spawn(3);
 * wait4(2) blocks until one ends. With LOGDIR each task's stdout and stderr go to two files there,
 * which is what an engine that keeps logs cannot avoid.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

extern char **environ;

struct task {
    char id[64], seconds[32];
    int waits_for, n_after, *after; /* `after` lists the tasks that wait for this one */
};

static struct task *tasks;
static int n_tasks, *ready, ready_head, ready_tail;

static void die(const char *what)
{
    fprintf(stderr, "spawner: %s\n", what);
    exit(2);
}

static void add_successor(int before, int task)
{
    struct task *t = &tasks[before];
    if ((t->n_after & (t->n_after - 1)) == 0) /* grow at powers of two */
        t->after = realloc(t->after, sizeof *t->after * (size_t)(t->n_after ? 2 * t->n_after : 1));
    t->after[t->n_after++] = task;
}

static void load(const char *path)
{
    FILE *f = fopen(path, "r");
    int capacity = 1024, before;
    if (!f)
        die("cannot read TASKS");
    tasks = calloc((size_t)capacity, sizeof *tasks);
    struct task t = {0};
    while (fscanf(f, "%63s %31s %d", t.id, t.seconds, &t.waits_for) == 3) {
        if (n_tasks == capacity) {
            capacity *= 2;
            tasks = realloc(tasks, sizeof *tasks * (size_t)capacity);
        }
        tasks[n_tasks] = t;
        for (int i = 0; i < t.waits_for; i++) {
            if (fscanf(f, "%d", &before) != 1 || before < 0 || before >= n_tasks)
                die("a predecessor must stand on an earlier line");
            add_successor(before, n_tasks);
        }
        n_tasks++;
    }
    fclose(f);
}

static pid_t start(const struct task *t, char *tick, const char *outdir, const char *logdir)
{
    char id[80], seconds[48], out[4096], log[4096], err[4096];
    posix_spawn_file_actions_t actions;
    pid_t pid;
    snprintf(id, sizeof id, "--id=%s", t->id);
    snprintf(seconds, sizeof seconds, "--duration=%s", t->seconds);
    snprintf(out, sizeof out, "--out=%s/%s.txt", outdir, t->id);
    char *argv[] = {tick, id, seconds, out, NULL};
    posix_spawn_file_actions_init(&actions);
    if (logdir) {
        snprintf(log, sizeof log, "%s/%s.out", logdir, t->id);
        snprintf(err, sizeof err, "%s/%s.err", logdir, t->id);
        posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT | O_TRUNC, 0644);
        posix_spawn_file_actions_addopen(&actions, 2, err, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    }
    if (posix_spawn(&pid, tick, &actions, NULL, argv, environ) != 0)
        die("cannot start the task");
    posix_spawn_file_actions_destroy(&actions);
    return pid;
}

int main(int argc, char **argv)
{
    if (argc < 5)
        die("usage: spawner TASKS SLOTS TICK OUTDIR [LOGDIR]");
    load(argv[1]);
    int slots = atoi(argv[2]), running = 0, done = 0;
    const char *logdir = argc > 5 ? argv[5] : NULL;
    pid_t *pid = calloc((size_t)slots, sizeof *pid);
    int *task = calloc((size_t)slots, sizeof *task);
    ready = calloc((size_t)n_tasks + 1, sizeof *ready);
    for (int i = 0; i < n_tasks; i++)
        if (tasks[i].waits_for == 0)
            ready[ready_tail++] = i;
    while (done < n_tasks) {
        for (int s = 0; s < slots && ready_head < ready_tail; s++)
            if (pid[s] == 0) {
                task[s] = ready[ready_head++];
                pid[s] = start(&tasks[task[s]], argv[3], argv[4], logdir);
                running++;
            }
        if (running == 0)
            die("the dependencies have a cycle");
        int status, s = 0;
        struct rusage usage;
        pid_t ended = wait4(-1, &status, 0, &usage);
        while (s < slots && pid[s] != ended)
            s++;
        if (s == slots || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
            die("a task failed");
        pid[s] = 0, running--, done++;
        for (int i = 0; i < tasks[task[s]].n_after; i++)
            if (--tasks[tasks[task[s]].after[i]].waits_for == 0)
                ready[ready_tail++] = tasks[task[s]].after[i];
    }
    return 0;
}
