/* Reading a workload beside the hash alone, in the same run: SHA-384 over 1 MiB in memory on every core at
 * once, then files of the page cache read and hashed, then read, hashed and copied to tmpfs. usage:
 * bench_measure [--mib N] [--rounds N] */
#include "stats.h"

#include "base/auto.h"
#include "base/digest.h"
#include "workload/tree.h"

#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CORES_MAX 64
#define CHUNK     (1u << 20)

static _Noreturn void fatal(const char *what, const struct err *err)
{
    fprintf(stderr, "bench_measure: %s: %s\n", what, err->cause);
    exit(4);
}

/* Wall clock, and time of all cores: the second says the same on a machine that is busy with other things. */
struct took {
    double wall, cpu;
};

static struct took now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (struct took){ now_us(), (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3 };
}

static struct took since(struct took from)
{
    struct took to = now();
    return (struct took){ to.wall - from.wall, to.cpu - from.cpu };
}

struct series {
    struct samples wall, cpu;
};

static void add(struct series *s, struct took t)
{
    samples_add(&s->wall, t.wall);
    samples_add(&s->cpu, t.cpu);
}

static double ratio(struct samples *bare, struct samples *ours)
{
    return 100 * samples_quantile(bare, 0.5) / samples_quantile(ours, 0.5);
}

static void done(struct series *s)
{
    samples_done(&s->wall);
    samples_done(&s->cpu);
}

/* ---- the hash alone ---- */

static void *hash_alone(void *arg)
{
    const size_t *bytes = arg;
    struct hasher *h;
    struct digest d;
    struct err err = { 0 };
    AUTO(free_u8) uint8_t *chunk = calloc(1, CHUNK);
    if (!chunk || hasher_new(ALG_SHA384, &h, &err) < 0 || hasher_begin(h, &err) < 0)
        fatal("hash", &err);
    for (size_t done = 0; done < *bytes; done += CHUNK)
        if (hasher_put(h, bytes_of(chunk, CHUNK), &err) < 0)
            fatal("hash", &err);
    if (hasher_end(h, &d, &err) < 0)
        fatal("hash", &err);
    hasher_free(h);
    return NULL;
}

static struct took bare(unsigned cores, size_t bytes_each)
{
    pthread_t threads[CORES_MAX];
    struct took from = now();
    for (unsigned i = 0; i < cores; i++)
        if (pthread_create(&threads[i], NULL, hash_alone, &bytes_each) != 0)
            fatal("thread", &(struct err){ .cause = "cannot start" });
    for (unsigned i = 0; i < cores; i++)
        pthread_join(threads[i], NULL);
    return since(from);
}

/* ---- a workload ---- */

static void make(const char *folder, unsigned files, size_t bytes_each)
{
    AUTO(free_u8) uint8_t *chunk = calloc(1, CHUNK);
    for (unsigned i = 0; i < files; i++) {
        char path[PATH_MAX + 32];
        snprintf(path, sizeof(path), "%s/image%u.tar", folder, i);
        AUTO(close_fd) int fd = open(path, O_WRONLY | O_CREAT, 0600);
        for (size_t done = 0; done < bytes_each; done += CHUNK)
            if (!chunk || write(fd, chunk, CHUNK) != CHUNK)
                fatal(path, &(struct err){ .cause = "cannot write" });
    }
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static void remove_all(const char *folder)
{
    (void)nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static struct took pass(const char *from, const char *copy)
{
    struct workload_tree *t = NULL;
    struct err err = { 0 };
    struct took start = now();
    if (copy ? workload_tree_take(from, copy, NULL, &t, &err) < 0
             : workload_tree_read(from, NULL, &t, &err) < 0)
        fatal(from, &err);
    struct took took = since(start);
    workload_tree_free(t);
    if (copy)
        remove_all(copy);
    return took;
}

static const char *text(int argc, char **argv, const char *name, const char *otherwise)
{
    for (int i = 1; i + 1 < argc; i++)
        if (!strcmp(argv[i], name))
            return argv[i + 1];
    return otherwise;
}

int main(int argc, char **argv)
{
    char folder[PATH_MAX], private_dir[] = "/dev/shm/cvm-bench-XXXXXX", from[PATH_MAX + 8], copy[64];
    unsigned cores = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
    size_t mib = strtoul(text(argc, argv, "--mib", "2048"), NULL, 10),
           rounds = strtoul(text(argc, argv, "--rounds", "5"), NULL, 10);
    cores = cores < CORES_MAX ? cores : CORES_MAX;
    size_t each = mib / cores * CHUNK;
    struct series bares = { 0 }, reads = { 0 }, takes = { 0 };
    if (snprintf(folder, sizeof(folder), "%.4000s/cvm-bench-XXXXXX", text(argc, argv, "--dir", "/tmp")) < 0
        || !mkdtemp(folder) || !mkdtemp(private_dir))
        fatal(folder, &(struct err){ .cause = "cannot make the folder" });
    snprintf(from, sizeof(from), "%s/from", folder);
    snprintf(copy, sizeof(copy), "%s/copy", private_dir);
    if (mkdir(from, 0700) < 0)
        fatal(from, &(struct err){ .cause = "cannot make the folder" });
    make(from, cores, each);
    for (size_t i = 0; i < rounds; i++) {
        add(&bares, bare(cores, each));
        add(&reads, pass(from, NULL));
        add(&takes, pass(from, copy));
    }
    remove_all(folder);
    remove_all(private_dir);
    double total = (double)(each * cores) / 1e6;
    printf("%-58s %10.0f MB/s\n", "bare: SHA-384 in memory, per core of CPU time, median",
           total / samples_quantile(&bares.cpu, 0.5) * 1e6);
    printf("%-58s %10.0f MB/s\n", "bare: SHA-384 in memory, all cores at once, median",
           total / samples_quantile(&bares.wall, 0.5) * 1e6);
    stats_row("read and hashed, of the hash alone (CPU time)", ratio(&bares.cpu, &reads.cpu), "%", 90, false);
    printf("%-58s %10.2f %%\n", "the same by the clock", ratio(&bares.wall, &reads.wall));
    printf("%-58s %10.2f %%\n", "read, hashed and copied to tmpfs (CPU time)", ratio(&bares.cpu, &takes.cpu));
    printf("%-58s %10.2f %%\n", "the same by the clock", ratio(&bares.wall, &takes.wall));
    done(&bares);
    done(&reads);
    done(&takes);
    return 0;
}
