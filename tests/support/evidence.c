#include "evidence.h"

#include "base/file.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *test_evidence(void)
{
    const char *folder = getenv("CVM_EVIDENCE");
    struct stat st;
    if (!folder || !*folder)
        folder = CVM_EVIDENCE_DEFAULT;
    return stat(folder, &st) == 0 && S_ISDIR(st.st_mode) ? folder : NULL;
}

void skip_without_evidence(void)
{
    if (test_evidence())
        return;
    fprintf(stderr, "SKIPPED: no recorded evidence (set CVM_EVIDENCE to its folder)\n");
    skip();
}

struct sample sample_load_path(const char *path)
{
    struct sample s = { 0 };
    struct err err = { 0 };
    uint8_t *p = NULL;
    if (file_read(path, FILE_MAX_DEFAULT, &p, &s.n, &err) < 0)
        fail_msg("%s", err.cause);
    s.p = heap_copy(p, s.n);
    free(p);
    return s;
}

struct sample sample_load(const char *relative)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/%s", test_evidence(), relative);
    return sample_load_path(path);
}

uint8_t *heap_copy(const uint8_t *p, size_t n)
{
    uint8_t *copy = malloc(n ? n : 1);
    assert_non_null(copy);
    if (n)
        memcpy(copy, p, n);
    return copy;
}

void sample_done(struct sample *s)
{
    free(s->p);
    *s = (struct sample){ 0 };
}

struct sample sample_join(struct sample a, struct sample b)
{
    struct sample both = { malloc(a.n + b.n), a.n + b.n };
    assert_non_null(both.p);
    memcpy(both.p, a.p, a.n);
    memcpy(both.p + a.n, b.p, b.n);
    sample_done(&a);
    sample_done(&b);
    return both;
}

void each_file(const char *folder, void (*fn)(const char *path))
{
    char path[512];
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        snprintf(path, sizeof(path), "%s/%.400s", folder, e->d_name);
        if (e->d_name[0] != '.')
            fn(path);
    }
    closedir(dir);
}

void remove_file(const char *path)
{
    assert_int_equal(unlink(path), 0);
}
