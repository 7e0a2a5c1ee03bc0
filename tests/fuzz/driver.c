/* Runs a fuzz target over its seeds and simple mutations of them, where libFuzzer is not at hand (gcc,
 * ctest). usage: TARGET --seeds LIST --roots FOLDER... ; every line of LIST is a file or folder below one of
 * the roots. */
#include "fuzz.h"

#include <ftw.h>
#include <limits.h>
#include <string.h>

#define SEED_MAX  (256u << 10)
#define MUTATIONS 200

static unsigned long runs, seeds;
static uint32_t state = 0x9E3779B9; /* a fixed start: the same inputs on every run */

static uint32_t next_random(void)
{
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
}

/* A block of exactly n bytes, so that ASan sees one byte too far. */
static void run_exact(const uint8_t *p, size_t n)
{
    uint8_t *copy = malloc(n ? n : 1);
    if (!copy)
        exit(2);
    memcpy(copy, p, n);
    LLVMFuzzerTestOneInput(copy, n);
    free(copy);
    runs++;
}

static int run_seed(const char *path, const struct stat *st, int type, struct FTW *where)
{
    (void)where;
    if (type != FTW_F || st->st_size > (off_t)SEED_MAX)
        return 0;
    FILE *f = fopen(path, "rb");
    uint8_t *p = malloc(SEED_MAX), *mutated = malloc(SEED_MAX);
    if (!f || !p || !mutated)
        exit(2);
    size_t n = fread(p, 1, SEED_MAX, f);
    fclose(f);
    seeds++;
    run_exact(p, n);
    for (int i = 0; i < MUTATIONS && n; i++) {
        memcpy(mutated, p, n);
        size_t m = i % 3 == 0 ? next_random() % n : n;
        for (uint32_t flips = next_random() % 4; flips && m; flips--)
            mutated[next_random() % m] ^= (uint8_t)(1u << next_random() % 8);
        run_exact(mutated, m);
    }
    free(p);
    free(mutated);
    return 0;
}

static void run_line(const char *line, char **roots, int count)
{
    char path[PATH_MAX];
    struct stat st;
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof(path), "%s/%s", roots[i], line);
        if (stat(path, &st) == 0)
            nftw(path, run_seed, 16, FTW_PHYS);
    }
}

int main(int argc, char **argv)
{
    if (argc < 5 || strcmp(argv[1], "--seeds") || strcmp(argv[3], "--roots")) {
        fprintf(stderr, "usage: %s --seeds LIST --roots FOLDER...\n", argv[0]);
        return 2;
    }
    FILE *list = fopen(argv[2], "r");
    char line[512];
    if (!list) {
        perror(argv[2]);
        return 2;
    }
    run_exact((const uint8_t *)"", 0);
    while (fgets(line, sizeof(line), list)) {
        line[strcspn(line, "\n")] = '\0';
        if (*line)
            run_line(line, argv + 4, argc - 4);
    }
    fclose(list);
    printf("%lu seeds, %lu runs\n", seeds, runs);
    return 0;
}
