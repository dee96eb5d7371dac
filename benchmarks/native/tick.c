/* The task of every benchmark: it logs that it started, sleeps, writes its output, logs that it ended.
 *
 * usage: tick --id=ID [--duration=SECONDS] [--out=FILE] [--item=TEXT|FILE] [--step=NAME]
 *             [--outlist=FILE --count=N [--prefix=TEXT] [--suffix=TEXT]]
 *             [--workdir=DIR] [--log=FILE] [--any=thing ...]
 *
 * --item    the element of a split, "ID" or "ID:SECONDS", or a file whose first line holds that
 * --step    appended to the id of the item: "c03" and "s017" make "c03.s017"
 * --out     a file to create, one line with the id
 * --outlist a file to create, a JSON list of --count elements: --prefix, a number from 0000, --suffix
 * --workdir relative files are taken from here
 * --log     the log; the environment variable TICK_LOG otherwise
 * Other options are ignored: they are the input ports of an executable.
 *
 * A log line is one write(2) to a file opened with O_APPEND, so lines of many processes do not mix:
 *     start ID CLOCK_MONOTONIC_NS PID
 *     end ID CLOCK_MONOTONIC_NS PID CPU_US
 * where CPU_US is what this process has used itself, so that it can be told from its engine's.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct options {
    const char *id, *duration, *out, *outlist, *count, *prefix, *suffix, *item, *step, *workdir, *log;
};

static void die(const char *what, const char *about)
{
    fprintf(stderr, "tick: %s: %s: %s\n", what, about, strerror(errno));
    exit(2);
}

static const char **slot(struct options *o, const char *name, size_t n)
{
    const struct { const char *name; const char **value; } known[] = {
        {"id", &o->id},           {"duration", &o->duration}, {"out", &o->out},
        {"outlist", &o->outlist}, {"count", &o->count},       {"item", &o->item},
        {"step", &o->step},       {"workdir", &o->workdir},   {"log", &o->log},
        {"prefix", &o->prefix},   {"suffix", &o->suffix},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strlen(known[i].name) == n && strncmp(known[i].name, name, n) == 0)
            return known[i].value;
    return NULL;
}

/* Accept --name=value and --name value. */
static void parse(int argc, char **argv, struct options *o)
{
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--", 2) != 0)
            continue;
        const char *name = argv[i] + 2, *equals = strchr(name, '='), *value = NULL;
        size_t n = equals ? (size_t)(equals - name) : strlen(name);
        if (equals)
            value = equals + 1;
        else if (i + 1 < argc && strncmp(argv[i + 1], "--", 2) != 0)
            value = argv[++i];
        const char **target = slot(o, name, n);
        if (target)
            *target = value;
    }
}

static void in_workdir(const struct options *o, const char *file, char *path, size_t size)
{
    if (file[0] == '/' || !o->workdir)
        snprintf(path, size, "%s", file);
    else
        snprintf(path, size, "%s/%s", o->workdir, file);
}

/* Put the element's text in `text`: the first line of the file it names, or itself. */
static void read_item(const struct options *o, char *text, size_t size)
{
    char path[4096];
    struct stat st;
    in_workdir(o, o->item, path, sizeof path);
    snprintf(text, size, "%s", o->item);
    if (stat(path, &st) == 0 && S_ISREG(st.st_mode)) {
        FILE *f = fopen(path, "r");
        if (!f || !fgets(text, (int)size, f))
            die("cannot read the item", path);
        fclose(f);
        text[strcspn(text, "\r\n")] = 0;
    }
}

static long long monotonic_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static long long own_cpu_us(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000LL + u.ru_utime.tv_usec + u.ru_stime.tv_usec;
}

static void append(int log, const char *line, int n)
{
    if (write(log, line, (size_t)n) != n)
        die("cannot write", "the log");
}

static void sleep_s(double seconds)
{
    struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    while (seconds > 0 && clock_nanosleep(CLOCK_MONOTONIC, 0, &t, &t) == EINTR)
        ;
}

static FILE *create(const struct options *o, const char *file)
{
    char path[4096];
    in_workdir(o, file, path, sizeof path);
    FILE *f = fopen(path, "w");
    if (!f)
        die("cannot create the output", path);
    return f;
}

static void write_outputs(const struct options *o, const char *id)
{
    if (o->out) {
        FILE *f = create(o, o->out);
        fprintf(f, "%s\n", id);
        if (fclose(f) != 0)
            die("cannot write", o->out);
    }
    if (o->outlist) {
        FILE *f = create(o, o->outlist);
        int count = o->count ? atoi(o->count) : 0;
        fputc('[', f);
        for (int i = 0; i < count; i++)
            fprintf(f, "%s\"%s%04d%s\"", i ? ", " : "", o->prefix ? o->prefix : "", i, o->suffix ? o->suffix : "");
        fputs("]\n", f);
        if (fclose(f) != 0)
            die("cannot write", o->outlist);
    }
}

int main(int argc, char **argv)
{
    long long started = monotonic_ns();
    struct options o = {0};
    char item[512] = "", id[1024], line[1280];
    double duration = 0;
    parse(argc, argv, &o);
    if (!o.log && !(o.log = getenv("TICK_LOG")))
        die("no log", "give --log=FILE or set TICK_LOG");
    if (o.item) {
        read_item(&o, item, sizeof item);
        char *colon = strchr(item, ':');
        if (colon) {
            *colon = 0;
            duration = atof(colon + 1);
        }
    }
    const char *first = o.item ? item : o.id;
    if (!first)
        die("no id", "give --id or --item");
    snprintf(id, sizeof id, "%s%s%s", first, o.step ? "." : "", o.step ? o.step : "");
    if (o.duration)
        duration = atof(o.duration);

    int log = open(o.log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (log < 0)
        die("cannot open the log", o.log);
    append(log, line, snprintf(line, sizeof line, "start %s %lld %d\n", id, started, (int)getpid()));
    sleep_s(duration);
    write_outputs(&o, id);
    append(log, line, snprintf(line, sizeof line, "end %s %lld %d %lld\n", id, monotonic_ns(), (int)getpid(), own_cpu_us()));
    return 0;
}
